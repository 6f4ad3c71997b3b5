# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Targets whose address space is hard to read, by chance or on purpose."""

import os
import time

from harness import (Failure, Target, at_exit, attach, case, check, equal, final, memtrace,
                     one_line, status_kib, target)

MAX_MAP_COUNT = "/proc/sys/vm/max_map_count"
MAPPINGS = 240000  # smaps of so many is above 64 MiB
RSS_MAX = 20 << 10  # KiB


def sizes(pid):
    """Sys of a process by its status; of a thread's where the first one has exited."""
    return (status_kib(pid, "VmData") + status_kib(pid, "VmStk")) * 1024


def allow_mappings(n):
    with open(MAX_MAP_COUNT, "r+") as f:
        old = f.read()
        if int(old) >= n:
            return
        f.seek(0)
        f.write(str(n))

    def restore():
        with open(MAX_MAP_COUNT, "w") as f:
            f.write(old)
    at_exit(restore)


@case
def many_mappings():
    """Sys is right in each snapshot, and memtrace's memory does not grow with the target's."""
    allow_mappings(MAPPINGS + 1000)
    t = Target(target("hostile"), "mappings", MAPPINGS)
    tracer, first = attach(t.pid)
    equal(first["memstats"]["Sys"], sizes(t.pid), "Sys")
    for _ in range(3):
        t.step()
    snap = tracer.snapshot()
    equal(snap["memstats"]["Sys"], sizes(t.pid), "Sys after it grew")
    equal(snap["memstats"]["Mallocs"] - first["memstats"]["Mallocs"], 3000, "Mallocs")
    check(snap["vm"]["pss"] > 0, "pss was not read")
    hwm = status_kib(tracer.p.pid, "VmHWM")
    check(hwm <= RSS_MAX, f"memtrace needed {hwm} KiB")
    final(tracer)


@case
def unserved_faults():
    """Memory whose faults nobody serves is neither touched nor waited for."""
    t = Target(target("hostile"), "faults")
    tracer, first = attach(t.pid)
    check(first["memstats"]["Sys"] >= 64 << 20, f"Sys {first['memstats']['Sys']}")
    t.step()
    snap = tracer.snapshot()
    equal(snap["memstats"]["Mallocs"] - first["memstats"]["Mallocs"], 1000, "Mallocs")
    final(tracer)


def wait_for_zombie(pid):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/stat") as f:
            if ") Z " in f.read():
                return
        os.sched_yield()
    raise Failure("the first thread does not exit")


@case
def headless():
    """The first thread has exited: the kernel's filter would see no other, so never an exact 0."""
    t = Target(target("hostile"), "headless")
    wait_for_zombie(t.pid)
    status, _, err = memtrace("-c", "1", "-p", t.pid)
    equal(status, 1, "exit status")
    one_line(err, "main thread has exited")
