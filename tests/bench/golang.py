# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What it takes to read a Go program's MemStats from outside: the time of a
snapshot, how long the program is held for one, and what watching costs it."""

import glob
import json
import os
import signal
import subprocess
import time

import pairs
import tools

TOOL = os.path.join(tools.ROOT, tools.BUILD, "tests/integration/go_truth_tool")
PROGRAMS = os.path.join(tools.ROOT, tools.BUILD, "tests/targets/go")
SLICE = 1  # s of each round, watched or not
# So often in a second a program is watched here, that what it costs shows at all: each
# snapshot costs the same, so that one a second takes a fiftieth of it.
OFTEN = 50


class Allocs(tools.Process):
    """Eight goroutines that allocate, on as many Ps."""

    def __init__(self, version):
        super().__init__([f"{PROGRAMS}/{version}/allocs-normal", "0"])
        self.total()

    def total(self):
        self.say("")
        return int(self.line())

    def cpu_ns(self):
        """Of all its threads so far; from the scheduler, no ticks."""
        out = 0
        for path in glob.glob(f"/proc/{self.pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as f:
                out += int(f.read().split()[0])
        return out

    def rates(self, seconds):
        """Objects allocated in a second of time, and of the CPU."""
        start, cpu, total = time.monotonic(), self.cpu_ns(), self.total()
        while time.monotonic() < start + seconds:
            time.sleep(seconds / 100)
        n = self.total() - total
        return n / (time.monotonic() - start), n / (self.cpu_ns() - cpu) * 1e9


def versions():
    """The oldest and the newest of those that were built."""
    found = [p.split("/")[-2] for p in glob.glob(f"{PROGRAMS}/*/allocs-normal")]
    found.sort(key=lambda v: [int(n) for n in v.split(".")])
    if not found:
        raise tools.Unavailable("scripts/gos and make go-targets have made no program")
    return found[:1] + found[1:][-1:]


def readings(how, pid, n):
    p = subprocess.run([TOOL, how, str(pid), str(n)], capture_output=True, text=True,
                       timeout=4 * tools.TIMEOUT, check=False)
    rows = [json.loads(line) for line in p.stdout.splitlines()]
    if p.returncode or len(rows) != n:
        raise tools.Unavailable(f"go_truth_tool: {p.stderr.strip()[:200]}")
    return rows


def spread(values):
    values = sorted(values)
    return {"median": pairs.median(values), "p99": values[len(values) * 99 // 100],
            "worst": values[-1]}


def row(version, label, pid, n):
    free, held = readings("read", pid, n), readings("held", pid, n // 4)
    return {"version": version, "label": f"go{version}, {label}", "readings": n,
            "ns": spread([m["ns"] for m in free]),
            "stop_ns": spread([m["stop_ns"] for m in held]),
            "consistent": sum(m["consistent"] for m in free) / n,
            "consistent_held": sum(m["consistent"] for m in held) / (n // 4)}


def snapshots(version, n):
    idle = tools.Process([f"{PROGRAMS}/{version}/demo-normal"])
    idle.wait_line("start")
    out = [row(version, "idle", idle.pid, n)]
    idle.end(signal.SIGKILL)
    busy = Allocs(version)
    out.append(row(version, "8 goroutines allocating", busy.pid, n))
    busy.end(signal.SIGKILL)
    return out


def watched(version, how, rounds):
    """Medians of the rounds' own ratios, with to without memtrace: time and CPU an object."""
    target, by_time, by_cpu = Allocs(version), [], []
    watcher = tools.Memtrace(options=("-i", f"{1000 // OFTEN}ms", *how))
    for i in range(rounds):
        pair = {}
        for on in (False, True) if i % 2 else (True, False):
            if on:
                watcher.start(target.pid)
            pair[on] = target.rates(SLICE)
            if on:
                watcher.stop()
        by_time.append(pair[False][0] / pair[True][0])
        by_cpu.append(pair[False][1] / pair[True][1])
        tools.note(".")
    target.end(signal.SIGKILL)
    return {"label": f"watched, {OFTEN} snapshots/s" + "".join(f", {h}" for h in how),
            "rounds": rounds, "often": OFTEN, "ratio": pairs.median(by_time),
            "cpu_ratio": pairs.median(by_cpu), "quartiles": pairs.quartiles(by_cpu)}


def measure(cfg):
    try:
        found = versions()
        rows = [r for v in found for r in snapshots(v, 200 if cfg["quick"] else 2000)]
        slow = [watched(found[-1], how, cfg["go_rounds"]) for how in ((), ("--freeze",))]
    except (tools.Unavailable, subprocess.TimeoutExpired) as e:
        return {"skipped": str(e)}
    return {"snapshots": rows, "watched": slow}
