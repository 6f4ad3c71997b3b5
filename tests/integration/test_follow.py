# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Children: each is counted by itself, from the copy of its parent's heap that it
begins with, or anew from its exec on; exact as its parent."""

import json
import os
import shutil
import signal

from follow import (FAMILY, counted, launch, launch_tree, load, split, sums_agree, truth_of, truths)
from harness import (Target, Tracer, Truth, attach, case, cases, check, compare, equal, final,
                     popen, run, seen_classes, class_size, target, tmp, MEMTRACE)

QUICK = target("quick")


@cases(child="a(a)a", frees="aa(f)a", chain="a(af(af(af(af))))a", tree="a(a(af)(f(f)))(af)f",
       together="a[af][af][af(f)]af", empty="a(())", late="aa(af)")
def forked(script):
    last = launch_tree([FAMILY, script])
    equal(len(last), 1 + sum(script.count(c) for c in "([{"), "processes")


def by_place(script, *program, comms=("family",)):
    """The last snapshots of a launched family, the root's first."""
    counts = tmp("counts")
    snaps, _, _ = launch([FAMILY, script, *program], counted(counts))
    last, total = split(snaps)
    sums_agree(last, total)
    root = snaps[0]["pid"]
    last.sort(key=lambda s: s["pid"] != root)
    return last


@case
def clone_past_fork():
    """No handler of fork runs in the child, and its heap is a copy all the same."""
    root, child = by_place("a{af}a")
    compare(root, truth_of(FAMILY, "aa"))
    compare(child, truth_of(FAMILY, "aaf"))


@case
def vfork_counts_on_its_parent():
    """Until its exec: what it allocates stays its parent's."""
    root, child = by_place("ava", QUICK, "300", "100")
    compare(root, truth_of(FAMILY, "aaa"))
    compare(child, truth_of(QUICK, "300", "100"))
    equal(child["comm"], "quick", "comm")


@case
def vfork_that_forks():
    """A fork from a vfork child: a copy of the heap of the child's parent."""
    root, grandchild = by_place("awa")
    compare(root, truth_of(FAMILY, "aaa"))
    compare(grandchild, truth_of(FAMILY, "aaf"))


@case
def posix_spawn():
    last = launch_tree([FAMILY, "asa", QUICK, "300", "100"])
    equal(len(last), 2, "processes")


@cases(root=("ax", 1), child=("a(ax)a", 2), children=("a(x)(a(x)f)[x]a", 5))
def executed(case_):
    """The counts are the new image's, and its end is the process's."""
    script, n = case_
    last = launch_tree([FAMILY, script, QUICK, "300", "100"])
    equal(len(last), n, "processes")
    for s in last.values():
        if s["comm"] == "quick":
            equal(s["memstats"]["Mallocs"] >= 300, True, "Mallocs of the new image")


@case
def execs_in_a_chain():
    """Each image counts from 0: the last one's counts are the process's."""
    last = launch_tree([target("execer"), target("execer"), FAMILY, "a(a)x", target("execer"),
                        QUICK, "300", "100"])
    equal(sorted(s["comm"] for s in last.values()), ["family", "quick"], "programs")


@case
def exec_by_another_thread():
    last = launch_tree([FAMILY, "a(ax)a", target("thread_exec"), target("thread_exec"), QUICK,
                        "300", "100"])
    equal(sorted(s["comm"] for s in last.values()), ["family", "quick"], "programs")


@case
def threads_at_a_fork():
    """What they do meanwhile may be in the child's heap or not: that is said."""
    root, child, grandchild = by_place("ah(a(a)f)")
    equal(root["loss"]["lost"], 0, "lost of the parent")
    for s in child, grandchild:
        equal((s["loss"]["inherited"], s["loss"]["lost"]), (3, 3), "lost of a child")


@case
def threads_before_a_fork():
    """That have ended are none."""
    launch_tree([target("thread_exec"), FAMILY, "a(a)f"])


def levels(snap, truth):
    """What lives, by class."""
    live = {c["Size"]: (c["Objects"], c["Bytes"]) for c in snap["net"]["live"]}
    want = {class_size(i): (m - f, got - gone) for i, (m, f, got, gone) in enumerate(truth.cls)
            if m != f}
    equal(live, want, f"what lives in {snap['pid']}")
    equal(snap["loss"]["lost"], 0, "lost")


class Family(Target):
    """A tree that runs before it is traced, and waits at each g of its script."""

    def __init__(self, script, *program):
        self.counts = tmp("counts")
        super().__init__(FAMILY, script, *program, env=counted(self.counts), ready=None)
        self.lines.next("family")

    def go(self, more=True):
        self.say()
        if more:
            self.lines.next("family")


@cases(census=True, attach=False)
def followed_later(census):
    """-F -p: the children of a process that ran before inherit what its census found."""
    t = Family("aafg(af(f))a(f)fw")
    before = Truth(t.counts)
    tracer, first = attach(t.pid, "-F", "--max-stop", "10s", census=census)
    equal(first["since"], "census" if census else "attach", "since")
    t.go(more=False)
    last, total = split([json.loads(line) for line in tracer.wait()])
    want = truths(t.counts)
    sums_agree(last, total)
    equal(len(last), len(want) + 1, "processes")
    for s in last:
        equal(s["since"], first["since"], f"since of {s['pid']}")
        truth = want.get(s["pid"])
        if s["pid"] == t.pid:
            truth = truth_of(FAMILY, "aafafw".replace("w", "a"))
        elif not truth:
            continue
        if census:
            levels(s, truth)
        else:
            compare(s, truth - before)


@case
def not_followed():
    """-p without -F, and --no-follow: the one process alone."""
    t = Family("ag(a)s(a)", QUICK)
    tracer, _ = attach(t.pid)
    t.go(more=False)
    last, total = split([json.loads(line) for line in tracer.wait()])
    equal(([s["pid"] for s in last], total), ([t.pid], None), "processes")
    counts = tmp("counts2")
    snaps, _, _ = launch([FAMILY, "a(a)a(ax)", QUICK], counted(counts), ["--no-follow"])
    last, total = split(snaps)
    equal((len(last), total), (1, None), "processes")
    compare(last[0], Truth(counts))
