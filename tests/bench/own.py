# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What memtrace itself takes: memory, CPU at one snapshot a second, time to
attach and to detach, memory of its maps."""

import json
import re
import signal
import time

import pairs
import tools


def cpu_ns(pid):
    """User and system time of a process so far; ns from the scheduler, no ticks."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0])


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        text = f.read()
    return {k: int(re.search(rf"^{k}:\s+(\d+)", text, re.M).group(1))
            for k in ("VmRSS", "VmHWM")}


def at_rest(target, seconds):
    """memtrace's memory and CPU share over that many of its one-second snapshots."""
    p = tools.Process([tools.MEMTRACE, "-p", str(target)])
    p.line()
    p.line()  # the first second holds the attach
    cpu, start = cpu_ns(p.pid), time.monotonic()
    for _ in range(seconds):
        p.line()
    cpu, wall = cpu_ns(p.pid) - cpu, time.monotonic() - start
    out = memory_kib(p.pid)
    p.end(signal.SIGINT)
    return {"cpu_percent": cpu / wall / 1e7, "rss_kib": out["VmRSS"], "hwm_kib": out["VmHWM"],
            "seconds": seconds}


def busy(seconds):
    loop = tools.Loop(1)
    loop.say(f"run {10 ** 12}")  # longer than we stay
    out = at_rest(loop.pid, seconds)
    loop.end(signal.SIGKILL)
    return out


def idle(seconds):
    loop = tools.Loop(1)
    out = at_rest(loop.pid, seconds)
    loop.end()
    return out


def ready_ms(pid):
    """(as -v says it, from its start to its first line, SIGINT to its end)"""
    m = tools.Memtrace(options=("-v",))
    m.start(pid)
    errors = m.p.errors
    errors.seek(0)
    said = re.search(r"attached and ready in (\d+) ms", errors.read())
    m.stop()
    return int(said.group(1)) if said else None, m.attach_ms, m.detach_ms


def map_bytes(pid):
    p = tools.Process([tools.MEMTRACE, "-f", "json", "-c", "1", "-p", str(pid)])
    text = p.line()
    p.end()
    return json.loads(text)["tracer"]["map_bytes"]


def times(rounds):
    loop = tools.Loop(1)
    rows = [ready_ms(loop.pid) for _ in range(rounds)]
    said = [r[0] for r in rows if r[0] is not None]
    out = {"attach_said_ms": pairs.median(said), "attach_said_max_ms": max(said, default=None),
           "attach_to_first_line_ms": pairs.median([r[1] for r in rows]),
           "detach_to_exit_ms": pairs.median([r[2] for r in rows]),
           "rounds": rounds, "map_bytes": map_bytes(loop.pid)}
    loop.end()
    return out


def measure(rounds, seconds):
    tools.note("memtrace itself: ")
    out = {"times": times(rounds)}
    tools.note(".")
    out["busy"] = busy(seconds)
    tools.note(".")
    out["idle"] = idle(seconds)
    tools.note(".\n")
    return out
