# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Sys and its parts against an independent reading of /proc, and the flows of
memory system calls against a known number of them."""

import os

from harness import (BUILD, PYTHON, ROOT, Target, attach, case, check, equal, final, run,
                     status_kib, target)

PAGE = 4096
PARTS = ("HeapSys", "StackSys", "MSpanSys", "MCacheSys", "BuckHashSys", "GCSys", "OtherSys")


def smaps(pid):
    """[{start, end, perms, name, Rss, ...}], sizes in bytes."""
    out = []
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            w = line.split()
            if w[0][-1] != ":":
                a, b = (int(x, 16) for x in w[0].split("-"))
                out.append({"start": a, "end": b, "perms": w[1], "size": b - a,
                            "name": w[5] if len(w) > 5 else "", "anon": w[4] == "0"})
            elif len(w) == 3 and w[2] == "kB":
                out[-1][w[0][:-1]] = int(w[1]) * 1024
    return out


def named(maps, name):
    return sum(m["size"] for m in maps if m["name"] == name)


def stack_pointer(pid, tid):
    while True:
        with open(f"/proc/{pid}/task/{tid}/syscall") as f:
            w = f.read().split()
        if len(w) > 2:
            return int(w[-2], 16)
        os.sched_yield()  # it is on its way to where it blocks


def stacks(pid, maps):
    """Of each thread but the first, the mapping that its stack pointer is in."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        if int(tid) == pid:
            continue
        sp = stack_pointer(pid, tid)
        for m in maps:
            if m["start"] <= sp < m["end"]:
                found[m["start"]] = m
    return list(found.values())


def sound(snap, pid):
    """What holds in every snapshot of a target that stands still."""
    m = snap["memstats"]
    data, stack = status_kib(pid, "VmData") * 1024, status_kib(pid, "VmStk") * 1024
    equal(m["Sys"], data + stack, "Sys against VmData + VmStk")
    equal((snap["vm"]["data"], snap["vm"]["stack"]), (data, stack), "vm.data, vm.stack")
    equal(sum(m[p] for p in PARTS), m["Sys"], "sum of the parts of Sys")
    equal(m["HeapInuse"] + m["HeapIdle"], m["HeapSys"], "HeapInuse + HeapIdle")
    check(m["HeapReleased"] <= m["HeapIdle"], "HeapReleased is more than HeapIdle")
    check(m["StackInuse"] <= m["StackSys"], "StackInuse is more than StackSys")
    return m


def shapes():
    t = Target(target("vm_shapes"))
    tracer, first = attach(t.pid)
    return t, tracer, first


@case
def brk_heap():
    t, tracer, first = shapes()
    m = sound(first, t.pid)
    equal(m["HeapSys"], named(smaps(t.pid), "[heap]"), "HeapSys against [heap]")
    equal(m["StackSys"], named(smaps(t.pid), "[stack]"), "StackSys against [stack]")
    t.step("brk")
    m = sound(tracer.snapshot(), t.pid)
    equal(m["HeapSys"], named(smaps(t.pid), "[heap]"), "HeapSys after growing")
    check(m["HeapSys"] >= 5000 * 1008, "the heap has not grown: the target tests nothing")
    final(tracer)


@case
def mapped_blocks():
    t, tracer, _ = shapes()
    t.step("brk")  # the first block makes the brk heap
    before = tracer.snapshot()["memstats"]["HeapSys"]
    t.step("map")
    m = sound(tracer.snapshot(), t.pid)
    blocks = sum(((i + 1) << 20) + PAGE for i in range(16))
    equal(m["HeapSys"] - before, blocks, "HeapSys of 16 mapped blocks")
    t.step("trim")
    m = sound(tracer.snapshot(), t.pid)
    equal(m["HeapSys"], before, "HeapSys after they are gone")
    final(tracer)


@case
def arenas_and_stacks():
    t, tracer, first = shapes()
    t.step("arena")
    m = sound(tracer.snapshot(), t.pid)
    maps = smaps(t.pid)
    # An arena's accessible part begins on a multiple of its largest size.
    arenas = sum(v["size"] for v in maps
                 if v["perms"] == "rw-p" and v["anon"] and not v["name"] and v["size"] >= 64 << 10
                 and v["start"] % (64 << 20) == 0)
    threads = stacks(t.pid, maps)
    equal(len(threads), 4, "thread stacks found")
    check(arenas >= 4 * 1000 * 1008, "the threads have no arenas: the target tests nothing")
    equal(m["StackSys"], named(maps, "[stack]") + sum(v["size"] for v in threads), "StackSys")
    heap = m["HeapSys"] + m["MSpanSys"] + m["MCacheSys"]
    equal(heap, named(maps, "[heap]") + arenas, "HeapSys with its metadata")
    final(tracer)


@case
def attached_late():
    """The same numbers when the heap was there before."""
    t = Target(target("vm_shapes"))
    for what in ("brk", "map", "arena"):
        t.step(what)
    tracer, first = attach(t.pid)
    m = sound(first, t.pid)
    maps = smaps(t.pid)
    equal(m["StackSys"], named(maps, "[stack]") + sum(v["size"] for v in stacks(t.pid, maps)),
          "StackSys")
    check(m["HeapSys"] >= named(maps, "[heap]") + sum((i + 1) << 20 for i in range(16)),
          "HeapSys lacks the mapped blocks")
    # read at the first snapshot; a share of libc's pages more or less as processes come and go
    pss = sum(v["Pss"] for v in maps)
    check(abs(first["vm"]["pss"] - pss) <= 64 << 10, f"vm.pss {first['vm']['pss']}, smaps {pss}")
    final(tracer)


def flow(new, old, call):
    return {k: new["vm"][call][k] - old["vm"][call][k] for k in new["vm"][call]}


@case
def flows():
    t, tracer, first = shapes()
    t.step("flows")
    snap = tracer.snapshot()
    check(snap["vm"]["source"] in ("fexit", "tracepoint"), f"source {snap['vm']['source']}")
    equal(flow(snap, first, "mmap"), {"calls": 4, "failed": 1, "bytes": 30 * PAGE}, "mmap")
    equal(flow(snap, first, "munmap"), {"calls": 3, "failed": 0, "bytes": 40 * PAGE}, "munmap")
    equal(flow(snap, first, "madvise"), {"calls": 2, "failed": 0, "bytes": 8 * PAGE}, "madvise")
    equal(flow(snap, first, "mremap"),
          {"calls": 1, "failed": 0, "bytes": 20 * PAGE, "released": 0}, "mremap")
    equal(flow(snap, first, "brk")["calls"], 0, "brk calls")
    heap = named(smaps(t.pid), "[heap]")
    t.step("brk")
    last = tracer.snapshot()
    equal(flow(last, snap, "brk")["bytes"], named(smaps(t.pid), "[heap]") - heap, "brk bytes")
    check(flow(last, snap, "brk")["calls"] > 0, "no brk calls were counted")
    final(tracer)


@case
def heap_to_the_byte():
    """HeapSys and StackSys against malloc's own account, in many shapes of heap."""
    tool = os.path.join(ROOT, BUILD, "tests/integration/vmread")
    status, out, err = run([PYTHON, os.path.join(ROOT, "tests/integration/vm_truth.py"),
                            target("vm_target"), tool, target("vm_target-static")], timeout=280)
    wrong = [x for x in out.splitlines() if x.startswith("not ok")]
    check(status == 0 and not wrong, f"{wrong or err}")
    check(out.count("ok ") > 20, f"too few shapes: {out!r}")
