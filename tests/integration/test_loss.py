# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What could not be counted is said."""

import os
import re
import signal
import time

from harness import (Skip, Target, Tracer, at_exit, attach, case, check, equal, final, target)

MEMCG = "/sys/fs/cgroup/memory"


@case
def none():
    t = Target(target("lose"))
    tracer, _ = attach(t.pid, "--strict")
    t.step("malloc")
    equal(final(tracer)["loss"]["lost"], 0, "lost")


@case
def failed_read():
    """A free of an address with nothing behind it."""
    t = Target(target("lose"))
    tracer, first = attach(t.pid, "--strict")
    equal(first["loss"]["lost"], 0, "lost at the start")
    t.step("free")
    t.step("malloc")
    snap = final(tracer, status=3)
    check(snap["loss"]["failed_reads"] >= 1, f"loss {snap['loss']}")
    check(snap["loss"]["lost"] >= 1, f"loss {snap['loss']}")
    equal((snap["memstats"]["Mallocs"], snap["memstats"]["Frees"]), (1, 0), "Mallocs, Frees")


@case
def unreturned():
    """A function that is left by a signal handler and never returns."""
    t = Target(target("lose"))
    tracer, _ = attach(t.pid, "--strict")
    t.step("return")
    t.step("return")
    snap = final(tracer, status=3)
    check(snap["loss"]["unreturned"] >= 1, f"loss {snap['loss']}")


@case
def without_strict():
    t = Target(target("lose"))
    tracer, _ = attach(t.pid)
    t.step("free")
    check(final(tracer)["loss"]["lost"] >= 1, "nothing was lost")


@case
def shown_in_line():
    t = Target(target("lose"))
    tracer = Tracer("-p", t.pid, "-i", "1h")
    check("Lost" not in tracer.line(), "lost at the start")
    t.step("free")
    lines = tracer.stop()
    check(any(re.search(r"\tLost = [1-9]", x) for x in lines), f"no loss in {lines[:2]}")


def write(path, value):
    with open(path, "w") as f:
        f.write(str(value))


def read(path):
    with open(path) as f:
        return f.read().strip()


@case
def failed_storage():
    """No memory for the frames of new threads: memtrace's memory cgroup is full."""
    if not os.path.exists(f"{MEMCG}/memory.oom_control"):
        raise Skip("needs a version 1 memory cgroup, whose OOM killer can be turned off")
    group = f"{MEMCG}/memtrace-test-{os.getpid()}"
    os.mkdir(group)
    at_exit(lambda: os.rmdir(group))
    write(f"{group}/memory.oom_control", 1)
    t = Target(target("many_threads"), 4000)
    tracer = Tracer("-p", t.pid, "-f", "json", "-i", "1h", "--strict",
                    preexec_fn=lambda: write(f"{group}/cgroup.procs", os.getpid()))
    equal(tracer.object()["loss"]["lost"], 0, "lost at the start")
    write(f"{group}/memory.limit_in_bytes", read(f"{group}/memory.usage_in_bytes"))
    t.step()
    write(f"{group}/memory.limit_in_bytes", -1)
    snap = final(tracer, status=3)
    check(snap["loss"]["failed_storage"] > 0, f"loss {snap['loss']}")
    check(snap["loss"]["lost"] >= snap["loss"]["failed_storage"], f"loss {snap['loss']}")
    equal(t.finish(), 0, "the target's exit status")


@case
def map_full():
    """More execs than the ring buffer holds while memtrace is not running."""
    t = Target(target("exec_storm"), 2000)
    tracer, _ = attach(t.pid, "--strict")
    tracer.p.send_signal(signal.SIGSTOP)
    while read(f"/proc/{tracer.p.pid}/stat").split()[2] != "T":
        time.sleep(0.001)
    t.step()
    tracer.p.send_signal(signal.SIGCONT)
    snap = final(tracer, status=3)
    check(snap["loss"]["map_full"] > 0, f"loss {snap['loss']}")


@case
def keeper_killed():
    """The process that holds the probes is gone: nothing is counted, and that is said."""
    t = Target(target("lose"))
    tracer, _ = attach(t.pid, "--strict")
    with open(f"/proc/{tracer.p.pid}/task/{tracer.p.pid}/children") as f:
        keeper = int(f.read().split()[0])
    os.kill(keeper, signal.SIGKILL)
    while "holds the probes was killed" not in tracer.stderr():
        time.sleep(0.001)
    snap = final(tracer, status=3)
    equal(snap["loss"]["untraced"], 1, "untraced")
