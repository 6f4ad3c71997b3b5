# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Children: each is counted by itself, from the copy of its parent's heap that it
begins with, or anew from its exec on; exact as its parent."""

import json
import os
import shutil
import signal

from follow import (FAMILY, Family, Launched, counted, launch, launch_tree, load, split, status_of,
                    sums_agree, truth_of, truths, wait_stopped)
from harness import (MEMTRACE, Target, Truth, attach, case, cases, check, class_size, compare,
                     equal, run, target, tmp)
from test_life import probes_in, wait_for

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
    last = launch_tree([FAMILY, "ava", QUICK, "300", "100"])
    equal(sorted(s["comm"] for s in last.values()), ["family", "quick"], "programs")


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


LIBC = os.path.realpath("/lib/x86_64-linux-gnu/libc.so.6")


def fresh(n, kind):
    """n programs whose allocators are in files that nobody has seen; a shell's words
    that run each of them."""
    words = []
    for i in range(n):
        where = tmp(f"fresh-{i}")
        os.mkdir(where)
        if kind == "static":
            shutil.copy(target("quick-counted"), f"{where}/quick")
            words.append(f"{where}/quick")
        else:
            shutil.copy(LIBC, f"{where}/libc.so.6")
            words.append(f"LD_LIBRARY_PATH={where} {QUICK}")
    return words


@cases(static="static", libc="libc")
def new_allocators(kind):
    """Programs that live for a millisecond: nothing of them is lost, the first call is counted."""
    script = "\n".join(f"{w} 300 100 || exit 1" for w in fresh(20, kind)) + "\n:"
    last = launch_tree(["sh", "-c", script])
    equal(len(last), 21, "processes")


@cases(static="static", libc="libc")
def new_allocators_at_once(kind):
    words = fresh(24, kind)
    script = "\n".join("(" + "\n".join(f"{w} 300 100 || exit 1" for w in words[i::4]) + "\n:)&"
                       for i in range(4)) + "\nwait"
    last = launch_tree(["sh", "-c", script], ["--max-stop", "10s"])
    equal(len(last), 1 + 4 + 24, "processes")


@cases(static="static", libc="libc")
def hold_that_ends(kind):
    """memtrace stands still: new allocators wait for it no longer than they may, and
    what they did meanwhile is not said to have been counted."""
    a, b = fresh(2, kind)
    t = Target("sh", "-c", f"echo ready; read x; {a} 300 100; {b} 500 100 0 wait")
    tracer, _ = attach(t.pid, "-F", "--max-stop", "30ms")
    tracer.p.send_signal(signal.SIGSTOP)
    wait_stopped(tracer.p.pid)
    t.say()
    equal(t.lines.next("the second program"), "ready", "it says")
    tracer.p.send_signal(signal.SIGCONT)
    seen = None
    while not seen:  # the next snapshot has it
        tracer.p.send_signal(signal.SIGUSR1)
        snap = tracer.object()
        if snap["comm"] == "quick" and not snap["final"]:
            seen = snap
    equal(seen["since"], "attach", "since of the one that lives")
    t.say()
    last, _ = split([json.loads(line) for line in tracer.wait()])
    ended = {s["pid"]: s for s in last if s["comm"] == "quick"}
    equal(ended[seen["pid"]]["memstats"]["Mallocs"], 500, "Mallocs from there on")


def in_order(pids):
    """Numbers may begin anew; a difference is small then."""
    return [p + 32768 if max(pids) - p > 16384 else p for p in pids]


@case
def ends_in_order():
    """Though all of them are read of at once."""
    t = Family("g(a(a(a(a))))g")
    tracer, _ = attach(t.pid, "-F")
    tracer.p.send_signal(signal.SIGSTOP)
    wait_stopped(tracer.p.pid)
    t.go()
    tracer.p.send_signal(signal.SIGCONT)
    t.go(more=False)
    last, _ = split([json.loads(line) for line in tracer.wait()])
    pids = in_order([s["pid"] for s in last])
    equal(pids[-1], t.pid, "the last to end")
    equal(pids[:-1], sorted(pids[:-1], reverse=True), "innermost first")


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}") or status_of(pid) == "Z"


@case
def daemon():
    """It forks twice, and goes on when the command has ended: so does memtrace."""
    t = Launched("a[a[naga]]")
    pid = t.ready()
    root = load(t.out)[0]["pid"]
    wait_for(lambda: is_gone(root), "the command has ended")
    equal(t.p.poll(), None, "memtrace's status")
    t.say()
    last = t.check(3)
    equal(last[-1]["pid"], pid, "the last to end")


@case
def daemon_left_alone():
    """A stop signal ends the trace of what the command left running."""
    t = Launched("a[a[naga]]")
    pid = t.ready()
    wait_for(lambda: is_gone(load(t.out)[0]["pid"]), "the command has ended")
    t.p.send_signal(signal.SIGTERM)
    t.check(3)
    check(not is_gone(pid), "the daemon was ended, too")
    wait_for(lambda: probes_in(pid) == 0, "libc's text is as it was")
    t.say()
    wait_for(lambda: is_gone(pid), "the daemon's end")


@case
def member_killed():
    t = Launched("a[aag]a(n)")
    pid = t.ready()
    root = load(t.out)[0]["pid"]

    def has_two_children():
        with open(f"/proc/{root}/task/{root}/children", encoding="ascii") as f:
            return len(f.read().split()) == 2

    wait_for(has_two_children, "the root's second child")
    os.kill(pid, signal.SIGKILL)
    t.p.send_signal(signal.SIGTERM)  # n waits for a parent that waits for it
    t.check(3, 128 + signal.SIGTERM)


@case
def root_killed():
    t = Launched("a[ag]a(n)")
    child = t.ready()
    os.kill(load(t.out)[0]["pid"], signal.SIGKILL)
    t.say()
    last = t.check(3, 128 + signal.SIGKILL)
    check(child in {s["pid"] for s in last}, "the child is not told of")


@case
def memtrace_killed():
    """The tree goes on, and no probe is left in it."""
    t = Launched("a[afgaf(a)]a(afgaf(a))af")
    pids = [t.ready(), t.ready()]
    t.p.kill()
    t.p.wait()
    for pid in pids:
        wait_for(lambda: probes_in(pid) == 0, "libc's text is as it was")
    t.say(), t.say()
    for pid in pids:
        wait_for(lambda: is_gone(pid), "a member's end")
    wait_for(lambda: is_gone(load(t.out)[0]["pid"]), "the root's end")
    alone = [truth_of(FAMILY, script).sum(1) for script in ("aafaf", "aaafaf")]
    found = truths(t.counts)
    equal(sorted(found[pid].sum(1) for pid in pids), alone, "what they freed")


@case
def pid_used_again():
    """Two processes of one number, in a pid namespace whose numbers can be chosen."""
    out = tmp("out.json")
    script = f"""
        tick() {{ read a b </proc/uptime; while read c b </proc/uptime; [ $a = $c ]; do :; done; }}
        {QUICK} 300 100 & p=$!; wait; tick; tick
        echo $((p - 1)) >/proc/sys/kernel/ns_last_pid
        {QUICK} 500 100 & [ $! = $p ] || exit 9; wait"""
    rc, _, err = run(["unshare", "-fp", "--mount-proc", "--kill-child", MEMTRACE, "-f", "json",
                      "-i", "1h", "-o", out, "--", "sh", "-c", script])
    equal(rc, 0, f"exit status ({err})")
    last, total = split(load(out))
    sums_agree(last, total)
    a, b = (s for s in last if s["comm"] == "quick")
    equal(a["pid"], b["pid"], "pid")
    check(a["start_time"] < b["start_time"], "start_time is the same")
    equal((a["memstats"]["Mallocs"], b["memstats"]["Mallocs"]), (300, 500), "Mallocs")
