# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What memtrace -a costs the machine: a mixed load beside itself untraced, memory
per traced process, and the time of the attach and of a snapshot with many
processes asleep."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import time

import commands
import pairs
import tools

ALL = ("-a",)
IDLE = ("sleep", "3600")  # not for ever, should nobody be left to end them
SHORT_LIVED = "i=0; while [ $i -lt %d ]; do expr $i + 1 >/dev/null; i=$((i + 1)); done"
PID = re.compile(r"\[(\d+)\]\t")


class Tracer(tools.Process):
    """memtrace -a, which prints when it is asked to and once at its start."""

    def __init__(self, *options, interval="1h"):
        super().__init__([tools.MEMTRACE, *ALL, *options, "-i", interval])

    def pids(self, wanted, pid_of):
        """Reads until each of them has been told of; the last line."""
        left = set(wanted)
        while left:
            line = self.line()
            left.discard(pid_of(line))
        return line

    def wait_ready(self, wanted):
        self.pids(wanted, pid_of_line)


def pid_of_line(line):
    m = PID.search(line.split("Alloc =")[0])
    return int(m.group(1)) if m else None


def pid_of_object(line):
    return json.loads(line)["pid"]


class Idle:
    """Processes that do nothing."""

    def __init__(self, n):
        self.all = []
        try:
            for _ in range(n):
                self.all.append(subprocess.Popen(IDLE, stdin=subprocess.DEVNULL))
        except OSError:
            self.__exit__()
            raise

    def pids(self):
        return [p.pid for p in self.all]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.all:
            p.kill()
        for p in self.all:
            p.wait()


def check_available():
    """Whether this memtrace traces all at once; why not is its own message."""
    p = subprocess.run([tools.MEMTRACE, *ALL, "-i", "1h", "-c", "1", "-o", "/dev/null"],
                       capture_output=True, text=True, timeout=tools.TIMEOUT, check=False)
    if p.returncode:
        said = p.stderr.strip().split("\n")
        raise tools.Unavailable(f"memtrace -a: {said[0][:200]}")


def make_load(scratch, scale):
    """[(name, argv)] to run at once."""
    def n(full):
        return max(1, int(full * scale))
    numbers = commands.write(f"{scratch}/numbers", "".join(
        f"{i * 2654435761 % 1000003} {i}\n" for i in range(n(400000))))
    rows = [(name.split(":")[0], program, argv)
            for name, program, argv, _ in commands.make_commands(scratch, scale)[1:]]
    rows.append(("sort -n", "sort", ["sort", "-n", "-S", "4M", "-o", f"{scratch}/sorted", numbers]))
    rows.append(("sh, one expr after the other", "expr", ["sh", "-c", SHORT_LIVED % n(500)]))
    return [(name, argv) for name, program, argv in rows if shutil.which(program)]


def run_load(load):
    """[(wall s, CPU s)], of each command and, last, of all of them together."""
    start = time.monotonic()
    poll, running, out = select.poll(), {}, [None] * len(load)
    for i, (_, argv) in enumerate(load):
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        fd = os.pidfd_open(p.pid)
        running[fd] = i, p
        poll.register(fd, select.POLLIN)
    while running:
        for fd, _ in poll.poll():
            wall = time.monotonic() - start
            i, p = running.pop(fd)
            poll.unregister(fd)
            os.close(fd)
            _, status, usage = os.wait4(p.pid, 0)
            p.returncode = os.waitstatus_to_exitcode(status)
            out[i] = wall, usage.ru_utime + usage.ru_stime, p.returncode
    for (name, _), (_, _, status) in zip(load, out):
        if status:
            raise tools.Unavailable(f"{name}: exit status {status}")
    return [v[:2] for v in out] + [(max(v[0] for v in out), sum(v[1] for v in out))]


def drain(fd):
    while os.read(fd, 1 << 16):
        pass


def run_traced(load):
    tracer = Tracer("-q", "-f", "line", interval="1s")
    tracer.line()
    reader = threading.Thread(target=drain, args=(tracer.p.stdout.fileno(),))
    reader.start()
    try:
        return run_load(load)
    finally:
        tracer.p.send_signal(signal.SIGINT)
        reader.join()
        tracer.end()


def slowdown(rounds, scale, scratch):
    load = make_load(scratch, scale)
    run_load(load)  # warms the page cache
    bare, traced = [], []
    for n in range(rounds):
        for run, into in ((run_load, bare), (run_traced, traced))[::1 if n % 2 else -1]:
            into.append(run(load))
        tools.note(".")
    rows = []
    for i, name in enumerate([name for name, _ in load] + ["all of them at once"]):
        walls = sorted(t[i][0] / b[i][0] for t, b in zip(traced, bare))
        # of what is too short for the clock of CPU time there is no ratio
        cpus = sorted(t[i][1] / b[i][1] for t, b in zip(traced, bare) if b[i][1] > 0)
        rows.append({"name": name, "untraced_s": pairs.median([b[i][0] for b in bare]),
                     "traced_s": pairs.median([t[i][0] for t in traced]),
                     "ratio": pairs.median(walls), "ratio_quartiles": pairs.quartiles(walls),
                     "cpu_ratio": pairs.median(cpus), "rounds": rounds})
    return rows


def pss(pid):
    """Resident bytes, those that are shared divided among who shares them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1)) << 10


def family(pid):
    """A process and its children: the keeper of the probes is one."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [pid, *(int(p) for p in f.read().split())]


def memory(n):
    """Bytes that memtrace takes with so many processes asleep, after a snapshot."""
    with Idle(n) as idle:
        tracer = Tracer("-f", "json")
        tracer.pids(idle.pids(), pid_of_object)
        tracer.p.send_signal(signal.SIGUSR1)
        last = json.loads(tracer.pids(idle.pids(), pid_of_object))
        resident = sum(pss(p) for p in family(tracer.pid))
        tracer.end(signal.SIGINT)
    return {"processes": n, "map_bytes": last["tracer"]["map_bytes"], "pss": resident}


def memory_growth(few, many):
    a, b = memory(few), memory(many)
    total = [x["map_bytes"] + x["pss"] for x in (a, b)]
    return {"few": a, "many": b, "bytes_per_process": total[1] / many,
            "growth_per_process": (total[1] - total[0]) / (many - few)}


def attach_ms(idle):
    """(from the program's start to the last process's first line, as -v says it)"""
    start = time.monotonic()
    tracer = Tracer("-v", "-f", "line")
    tracer.wait_ready(idle.pids())
    wall = (time.monotonic() - start) * 1e3
    tracer.errors.seek(0)
    said = re.search(r"attached and ready in (\d+) ms", tracer.errors.read())
    tracer.end(signal.SIGINT)
    return wall, int(said.group(1)) if said else None


def snapshot_ms(idle, rounds):
    """From the signal that asks for one to the last process's line."""
    tracer = Tracer("-f", "line")
    tracer.wait_ready(idle.pids())
    out = []
    for _ in range(rounds):
        start = time.monotonic()
        tracer.p.send_signal(signal.SIGUSR1)
        tracer.wait_ready(idle.pids())
        out.append((time.monotonic() - start) * 1e3)
    tracer.end(signal.SIGINT)
    return out


def times(processes, attaches, snapshots):
    with Idle(processes) as idle:
        attached = [attach_ms(idle) for _ in range(attaches)]
        tools.note(".")
        taken = snapshot_ms(idle, snapshots)
    said = [s for _, s in attached if s is not None]
    return {"processes": processes, "attach_ms": pairs.median([w for w, _ in attached]),
            "attach_said_ms": pairs.median(said), "attaches": attaches,
            "snapshot_ms": pairs.median(taken), "snapshot_worst_ms": max(taken),
            "snapshots": snapshots}


def measure(cfg, scratch):
    tools.note("the whole machine: ")
    try:
        check_available()
        out = {"load": slowdown(cfg["command_rounds"], cfg["scale"], scratch),
               "memory": memory_growth(cfg["processes"] // 10, cfg["processes"])}
        tools.note(".")
        out["times"] = times(cfg["processes"], min(cfg["attaches"], 5), cfg["attaches"])
    except tools.Unavailable as e:
        out = {"skipped": str(e)}
    tools.note("\n")
    return out
