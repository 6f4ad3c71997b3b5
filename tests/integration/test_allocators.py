# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""An allocator that memtrace does not know counts what is asked of it, in a map of
live blocks; several allocators in one process count once each."""

import os
import time

from harness import (BYSIZE, MEMTRACE, PRELOAD, Skip, Target, Truth, allocators, attach, case,
                     cases, check, compare, count_env, equal, final, memtrace, run, seen_classes, target, tmp)

FAKE = target("libfakealloc.so")


def fake():
    return {"LD_PRELOAD": f"{PRELOAD}:{FAKE}"}


def start(*argv):
    """A target on the fake allocator, which has allocated nothing of its own, and its count."""
    counts = tmp("counts")
    t = Target(*argv, env={**count_env(counts), **fake()})
    return t, counts, Truth(counts)


@cases(one=1, eight=8)
def requested(threads):
    """All functions, by the sizes asked for, to the last block and byte."""
    t, counts, before = start(target("alloc_mix"), threads, 16000 // threads, "wait")
    tracer, first = attach(t.pid)
    equal(first["sizes"], "requested", "sizes")
    equal(first["allocator"], "unknown libfakealloc.so", "allocator")
    for _ in range(3):
        t.step()
        snap = tracer.snapshot()
        compare(snap, Truth(counts) - before)
    check(snap["loss"]["failed"] > 0, "no allocation failed: the target tests nothing")
    check(snap["loss"]["nested"] > 0, "no call was nested: the target tests nothing")
    compare(final(tracer), Truth(counts) - before)
    equal(t.finish(), 0, "the target's exit status")


@case
def alone():
    """Without the preload, calls between its functions go straight."""
    t = Target(target("alloc_mix"), 4, 4000, "wait", env={"LD_PRELOAD": FAKE})
    tracer, _ = attach(t.pid)
    t.step()
    t.step()
    snap = final(tracer)
    equal(snap["loss"]["lost"], 0, "lost")
    check(snap["memstats"]["Mallocs"] > 10000, "it counted next to nothing")
    check(snap["memstats"]["Frees"] <= snap["memstats"]["Mallocs"], "more freed than there was")


@case
def exceptions():
    """bad_alloc through its operators new: none of them has a return probe."""
    _, text, err = memtrace("-f", "json", "-o", tmp("o"), "--", "env", f"LD_PRELOAD={FAKE}",
                            target("throw"))
    equal(text.strip(), "ok", f"what the program printed ({err.strip()[-300:]})")


@case
def older_blocks():
    """Frees of blocks from before the attach are loss: their sizes are unknown."""
    t, counts, _ = start(target("alloc_mix"), 2, 4000, "wait")
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid, "--strict")
    t.step()
    snap, truth = final(tracer, status=3), Truth(counts) - before
    loss = snap["loss"]
    check(loss["unknown_free"] > 0, f"loss {loss}")
    missed = truth.sum(1) - snap["memstats"]["Frees"]
    check(0 < missed <= loss["unknown_free"], f"{missed} frees missed, loss {loss}")


@case
def map_full():
    """More live blocks than there is room for: loss, and nothing else goes wrong."""
    t, counts, before = start(target("alloc_mix"), 2, 8000, "wait")
    tracer, _ = attach(t.pid, "--strict", "--max-blocks", 50)
    t.step()
    snap, truth = final(tracer, status=3), Truth(counts) - before
    loss = snap["loss"]
    check(loss["map_full"] > 0 and loss["lost"] >= loss["map_full"], f"loss {loss}")
    missed = truth.sum(1) - snap["memstats"]["Frees"]
    check(0 <= missed <= loss["unknown_free"], f"{missed} frees missed, loss {loss}")


@case
def loaded_late():
    """An allocator that a thread loads counts beside the libc, each once."""
    t = Target(target("late"), FAKE)
    tracer, first = attach(t.pid)
    check(allocators(first)[0].startswith("glibc"), f"allocator {first['allocator']!r}")
    t.step()
    snap = tracer.snapshot()
    end = time.monotonic() + 30
    while len(allocators(snap)) < 2 and time.monotonic() < end:
        snap = tracer.snapshot()
    check(any(a.startswith("glibc") for a in allocators(snap)) and
          "unknown libfakealloc.so" in allocators(snap),
          f"allocator {snap['allocator']!r}")
    seen = seen_classes(snap)
    equal(tuple(seen[768][:2]), (300, 100), "blocks of the libc, allocated and freed")
    if snap["since"] == "attach" and not seen[1536][0]:
        return  # the thread could not be held until the probes stood
    equal(tuple(seen[1536]), (300, 100, 200, 200 * 1500), "blocks of the other one")
    equal(t.finish(), 0, "the target's exit status")


@case
def in_doctor():
    """Both allocators of a process, the probes on operator new's exits and why."""
    t = Target(target("alloc_mix"), 1, 10, "wait", env={"LD_PRELOAD": FAKE})
    rc, out, err = run([MEMTRACE, "doctor", "-p", str(t.pid)])
    equal(rc, 0, f"exit status ({err.strip()})")
    for text in ("unknown libfakealloc.so in", "glibc", ": an exit", "the size that was asked for",
                 "left by an exception"):
        check(text in out, f"{text!r} is not in what doctor says")
    check(os.path.realpath(FAKE) in out, "the library's path is not shown")


@cases(jump="jump", cancel="cancel", throw="throw")
def left_new(how):
    """operator new that never returns: what is allocated afterwards counts, all of it."""
    lib = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
    if not os.path.exists(lib):
        raise Skip(f"no {lib}: scripts/setup")
    t = Target(target("leave_new"), how, 100, env={"LD_PRELOAD": lib})
    t.step()
    tracer, _ = attach(t.pid)
    t.step()
    snap = final(tracer)
    size = next(c for c in BYSIZE if c >= 3584)
    equal(tuple(seen_classes(snap)[size][:2]), (1000, 200), "blocks after operator new was left")
    # the room of an exception that a new_handler throws passes for operator new's, and is told
    loss = snap["loss"]
    equal(loss["lost"], loss["unreturned"], "lost")
    check(loss["lost"] <= (200 if how == "throw" else 0), f"loss {loss}")
    equal(t.finish(), 0, "the target's exit status")
