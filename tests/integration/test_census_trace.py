# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A trace that begins with a census: from its first snapshot the levels are the
whole heap's, and they stay so."""

import json
import signal

from census import LOADERS, Counted, adds_up, same_levels
from harness import Target, Truth, attach, case, cases, check, count_env, equal, seen_classes, \
    target, tmp


def level(snap, truth):
    """A snapshot's levels and those of its flows against the truth."""
    m = snap["memstats"]
    equal(snap["since"], "census", f"since ({snap['heap']})")
    equal(snap["loss"]["lost"], 0, "lost")
    same_levels(m["HeapObjects"], m["HeapAlloc"], snap["live"], truth)
    same_levels(snap["net"]["Objects"], snap["net"]["Bytes"], snap["net"]["live"], truth)
    equal(m["Mallocs"] - m["Frees"], m["HeapObjects"], "Mallocs - Frees")
    equal(m["Alloc"], m["HeapAlloc"], "Alloc")
    for size, (mallocs, frees, objects, _) in seen_classes(snap).items():
        equal(mallocs - frees, objects, f"Mallocs - Frees of class {size}")


def begin(pid):
    """Attached with all the time for the census that it wants: machines differ."""
    return attach(pid, "--audit", "--max-stop", "10s", census=True)


def no_drift(snap):
    """True if it was audited, and then without drift; refused is not audited."""
    a = snap["audit"]
    if a["objects"] is None:
        check(a["why"], "an audit was not made for no reason")
        return False
    equal((a["objects"], a["bytes"], a["classes"]), (0, 0, []),
          f"drift (with losses {snap['loss']}, heap {snap['heap']})")
    return True


def first_heap(first):
    """The census in the first snapshot is the level there."""
    heap = first["heap"]
    equal(heap["baseline"], "census", f"baseline ({heap.get('why')})")
    adds_up({"objects": heap["objects"], "bytes": heap["bytes"], "live": first["live"],
             "heap": heap})


@cases(**{f"{libc}-{p}" if loader != "" else libc: (libc, program, p)
          for libc, loader in LOADERS.items()
          for program, p in (("census_mix", "small"), ("census_mix", "mremaps"),
                             ("census_mix", "brk_blocked"), ("census_mix", "none"),
                             ("census_threads", "crossed"), ("census_threads", "exits"),
                             ("census_threads", "fork"))})
def history(variant):
    t = Counted(*variant)
    t.step()
    tracer, first = begin(t.pid)
    level(first, t.truth())
    first_heap(first)
    for _ in range(3):
        t.step()
        snap = tracer.snapshot()
        level(snap, t.truth())
        check(no_drift(snap), f"not audited: {snap['audit']}")
    last = json.loads(tracer.stop()[-1])
    level(last, t.truth())
    check(no_drift(last), f"not audited at the end: {last['audit']}")
    equal(t.finish(), 0, "the target's exit status")


@cases(one=1, eight=8)
def alloc_mix(threads):
    counts = tmp("counts")
    t = Target(target("alloc_mix"), threads, 8000, "wait", env=count_env(counts))
    t.step()
    tracer, first = begin(t.pid)
    level(first, Truth(counts))
    for _ in range(4):
        t.step()
        snap = tracer.snapshot()
        level(snap, Truth(counts))
        check(no_drift(snap), f"not audited: {snap['audit']}")
    tracer.stop()
    equal(t.finish(), 0, "the target's exit status")


@cases(one=1, four=4, sixteen=16)
def audited_while_hot(threads):
    """Attached to and audited while the threads never rest."""
    t = Target(target("hot"), threads)
    made = tried = 0
    for _ in range(3):
        tracer, first = attach(t.pid, "--audit", census=True)
        if first["since"] == "census":
            made += sum(no_drift(tracer.snapshot()) for _ in range(6))
            tried += 6
        else:
            check(first["heap"]["why"], "no reason")
        tracer.p.send_signal(signal.SIGINT)
        tracer.lines.rest()
        check(tracer.p.wait(60) in (0, 1), "an audit drifted")
    check(made or threads == 16, f"{made} of {tried} audits were made")
    t.p.stdin.close()
    check(t.lines.next("hot").startswith("intact"), "the target's account is damaged")
    equal(t.p.wait(60), 0, "the target's exit status")


@case
def audited_between():
    """The target's own work goes on between two audits: the count follows it."""
    counts = tmp("counts")
    t = Target(target("alloc_mix"), 4, 20000, "wait", env=count_env(counts))
    tracer, _ = begin(t.pid)
    made = 0
    for _ in range(3):
        t.say()
        made += sum(no_drift(tracer.snapshot()) for _ in range(6))
        equal(t.lines.next("alloc_mix"), "done", "the target's answer")
    check(made >= 6, f"{made} audits were made at work")
    level(tracer.snapshot(), Truth(counts))
    tracer.stop()


@case
def no_census():
    """Asked for none: levels from 0, and said so."""
    t = Target(target("alloc_mix"), 2, 3000, "wait")
    t.step()
    tracer, first = attach(t.pid, "--no-census")
    equal(first["since"], "attach", "since")
    equal(first["heap"], None, "heap")
    equal(first["memstats"]["HeapObjects"], 0, "HeapObjects")
    equal(first["memstats"]["Mallocs"], 0, "Mallocs")
    tracer.stop()


@case
def no_time():
    """Past --max-stop it goes on without a baseline, and says why."""
    t = Counted("own", "census_mix", "many", "2000000")
    tracer, first = attach(t.pid, "--max-stop", "1ms", census=True)
    equal(first["since"], "attach", "since")
    equal(first["heap"]["baseline"], "unknown", "baseline")
    check(first["heap"]["why"], "no reason")
    equal(first["memstats"]["HeapObjects"], 0, "HeapObjects")
    tracer.stop()
    equal(t.finish(), 0, "the target's exit status")
