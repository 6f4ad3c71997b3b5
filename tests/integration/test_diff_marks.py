# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Snapshots at marks in a program (USDT) and at an OOM kill: as counted inside the
target at these very moments."""

import glob
import json
import os
import subprocess

from harness import (BUILD, MEMTRACE, PYTHON, ROOT, Failure, Lines, Skip, Target, Truth, at_exit,
                     case, cases, check, class_size, count_env, end, equal, memtrace, one_line,
                     popen, run, seen_classes, target, tmp)
from namespaces import Inside, make_root
from test_life import wait_for

TOOL = os.path.join(ROOT, BUILD, "tests/integration/marks_tool")
KERNEL = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
PROGRAMS = {"pie": "marked", "semaphores": "marked-semaphores", "static": "marked-static",
            "library": "marked-library"}
LEFT, EXEC = 4, 8


class Marks:
    """A marks_tool on a process; its probes are on."""

    def __init__(self, pid, *args, flags=()):
        self.p = popen([TOOL, *flags, str(pid), *map(str, args)], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = Lines(self.p.stdout)
        equal(self.lines.next("marks_tool"), "ready", "first line of marks_tool")

    def next(self):
        try:
            return json.loads(self.lines.next("marks_tool"))
        except Failure as e:
            self.p.kill()
            raise Failure(f"{e}; it said: {self.p.stderr.read().decode().split()}")

    def tell(self):
        """It may read now."""
        self.p.stdin.write(b"\n")
        self.p.stdin.flush()

    def finish(self):
        """What it said of each mark."""
        err = self.p.stderr.read().decode().splitlines()
        equal(self.p.wait(60), 0, f"exit status of marks_tool ({err})")
        return err


def marked(program):
    counts = tmp("counts")
    return Target(target(program), env=count_env(counts)), counts


def same_change(old, new, truth, what):
    """What changed from one snapshot to the other, class by class, against the truth."""
    before, after = seen_classes(old), seen_classes(new)
    for i, (mallocs, frees, got, gone) in enumerate(truth.cls):
        size = class_size(i)
        have = tuple(b - a for a, b in zip(before[size], after[size]))
        equal(have, (mallocs, frees, mallocs - frees, got - gone), f"{what}, class {size}")
    check(truth.sum(0) > 5, f"{what}: nothing was allocated")
    equal(new["loss"]["lost"], 0, "lost")


def same_request(counts, i, old, new):
    truth = Truth(f"{counts}.end.{i}") - Truth(f"{counts}.begin.{i}")
    same_change(old, new, truth, f"request {i}")


def exact_marks(program, flags=()):
    t, counts = marked(program)
    m = Marks(t.pid, "demo:begin,demo:end", 4, flags=flags)
    t.say(4)
    snaps = [m.next() for _ in range(8)]
    equal(t.lines.next("the target"), "done", "the target's answer")
    for i in range(4):
        same_request(counts, i, snaps[2 * i], snaps[2 * i + 1])
    if KERNEL >= (6, 18):
        equal(set(m.finish()), {"counted held"}, "what was said of the marks")
    equal(t.step("semaphore", None), "semaphore 0", "when nobody waits any more")
    equal(t.finish(), 0, "the target's exit status")


@cases(**PROGRAMS)
def every_request(program):
    """Each of several requests in a row, none is missed."""
    if KERNEL < (6, 18):
        raise Skip("the kernel cannot hold a thread at a mark, Linux 6.18 can")
    exact_marks(program)


@case
def every_request_by_perf():
    """As kernels without uprobe_multi links attach."""
    if KERNEL < (6, 18):
        raise Skip("the kernel cannot hold a thread at a mark, Linux 6.18 can")
    exact_marks("marked-semaphores", ["--perf"])


@case
def read_late():
    """As where the kernel cannot hold a thread: what is counted is that of the mark."""
    t, counts = marked("marked")
    for i in range(2):
        m = Marks(t.pid, "demo:begin,demo:end", 1, flags=["--late"])
        t.step(1)
        m.tell()
        old, new = m.next(), m.next()
        same_request(counts, i, old, new)
        equal(set(m.finish()), {"counted late"}, "what was said of the marks")


@case
def semaphore_only_while_attached():
    t, _ = marked("marked-semaphores")
    equal(t.step("semaphore", None), "semaphore 0", "before")
    m = Marks(t.pid, "demo:begin,demo:end", 1)
    # two places of demo:begin, three of demo:end
    equal(t.step("semaphore", None), "semaphore 5", "while attached")
    t.step(1)
    m.next(), m.next()
    m.finish()
    equal(t.step("semaphore", None), "semaphore 0", "after")


@case
def semaphore_after_kill():
    """The keeper takes the probes away when memtrace cannot."""
    t, _ = marked("marked-semaphores")
    m = Marks(t.pid, "demo:begin,demo:end", 1)
    m.p.kill()
    m.p.wait()
    wait_for(lambda: t.step("semaphore", None) == "semaphore 0", "the semaphore to be down")


@case
def other_threads():
    """demo:end of another thread is not the end of the request."""
    t, counts = marked("marked")
    m = Marks(t.pid, "demo:begin,demo:end", 2)
    t.step("threads")
    t.step("threads")
    for i in range(2):
        same_request(counts, i, m.next(), m.next())
    m.finish()


@case
def thread_that_leaves():
    """One that ends between its marks: the next request counts."""
    t, counts = marked("marked")
    m = Marks(t.pid, "demo:begin,demo:end", 1)
    t.step("left")
    check("memstats" in m.next(), "no snapshot at demo:begin")
    equal(m.next(), {"what": LEFT}, "after the thread's end")
    t.step(1)
    same_request(counts, 1, m.next(), m.next())
    m.finish()


@case
def exec_ends_it():
    t, _ = marked("marked-semaphores")
    m = Marks(t.pid, "demo:begin,demo:end", 1)
    t.say("exec")
    equal(m.next(), {"what": EXEC}, "after exec")
    m.finish()
    equal(t.lines.next("the new program"), "ready", "its first line")
    equal(t.step("semaphore", None), "semaphore 0", "in the new program")


@case
def one_mark_twice():
    """From a mark to the next time that it comes."""
    t, _ = marked("marked")
    m = Marks(t.pid, "demo:begin,demo:begin", 2)
    t.say(4)
    snaps = [m.next() for _ in range(4)]
    m.finish()
    mallocs = [s["memstats"]["Mallocs"] for s in snaps]
    # 10 in a request, and two that are of none
    equal([b - a for a, b in zip(mallocs, mallocs[1:])], [12, 12, 12], "from mark to mark")


@case
def in_a_container():
    """The file with the marks is where only the target sees it."""
    program = target("marked-semaphores")
    t = Inside(make_root("root", "own", program), program)
    m = Marks(t.pid, "demo:begin,demo:end", 1)
    t.say(1)
    snaps = m.next(), m.next()
    equal(t.lines.next("the target"), "done", "the target's answer")
    same_request(t.counts, 0, *snaps)
    m.finish()


# --- memtrace diff --usdt ------------------------------------------------------


class Diff:
    """A memtrace diff that waits for its event."""

    def __init__(self, pid, *args):
        self.p = popen([MEMTRACE, "diff", "-v", "-f", "json", "-p", str(pid), *args],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.err = Lines(self.p.stderr)
        said = self.err.next("memtrace diff")
        while "waiting for the event" not in said:
            said = self.err.next("memtrace diff")

    def process(self, status=0):
        """What it printed of the one process."""
        out = self.p.stdout.read().decode()
        err = self.err.rest()
        equal(self.p.wait(60), status, f"exit status ({err})")
        return json.loads(out)["processes"][0]


@case
def diff_requests():
    t, counts = marked("marked-semaphores")
    d = Diff(t.pid, "--usdt", "demo:begin,demo:end", "--repeat", "6", "--max-stop", "5s")
    t.step(6)
    p = d.process()
    truths = [Truth(f"{counts}.end.{i}") - Truth(f"{counts}.begin.{i}") for i in range(6)]
    for row, column in (("Mallocs", 0), ("Frees", 1), ("TotalAlloc", 2)):
        all_of = sorted(x.sum(column) for x in truths)
        equal([p["rows"][row][k] for k in ("min", "max")], [all_of[0], all_of[-1]], row)
        equal(p["rows"][row]["change"], truths[-1].sum(column), f"{row} of the last")
    live = [x.sum(2) - x.sum(3) for x in truths]
    equal([p["rows"]["Alloc"][k] for k in ("min", "max")], [min(live), max(live)], "Alloc")
    equal((p["leak"]["verdict"], p["leak"]["grew"], p["leak"]["of"]), ("grows", 6, 6), "leak")
    for c in p["classes"]:
        i = [class_size(k) for k in range(len(truths[-1].cls))].index(c["Size"])
        equal((c["Mallocs"], c["Frees"]), truths[-1].cls[i][:2], f"class {c['Size']}")


@case
def diff_python_gc():
    """A real program's marks: what a collection of Python's frees."""
    p = popen([PYTHON, "-c", """
import gc, sys
gc.disable()
print("ready", flush=True)
for line in sys.stdin:
    for i in range(2000):
        a = ["x" * 1000 + str(i)]
        a.append(a)
    gc.collect()
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    equal(Lines(p.stdout).next("python"), "ready", "first line")
    marks = ["--usdt", "python:gc__start,python:gc__done"]
    rc, _, err = memtrace("diff", "-p", p.pid, *marks, "-d", "1ms")
    if "no mark" in err:
        raise Skip(f"{PYTHON} has no marks")
    equal(rc, 1, "exit status when nothing comes")
    one_line(err, "did not come")
    d = Diff(p.pid, *marks, "--repeat", "3", "--max-stop", "5s")
    p.stdin.write(b"\n\n\n")
    p.stdin.flush()
    rows = d.process()["rows"]
    for row, sign in (("HeapObjects", -1), ("Frees", 1)):
        check(2000 <= sign * rows[row]["median"] < 2100, f"{row}: {rows[row]}")
    check("Mallocs" not in rows or rows["Mallocs"]["median"] < 100, "it allocates")


@case
def no_such_mark():
    t, _ = marked("marked")
    for marks, words in (
            ("demo:begn,demo:end", ["no mark demo:begn", "it has demo:begin, demo:end"]),
            ("demo:begin,shop:open", ["no mark shop:open", "it has demo:begin, demo:end"]),
            ("demo:\x1b[31m,demo:end", ["\\x1B[31m"])):
        rc, out, err = memtrace("diff", "-p", t.pid, "--usdt", marks)
        equal((rc, out), (1, ""), f"exit status and output for {marks!r}")
        one_line(err, *words)
    plain = Target(target("alloc_mix"), 1, 10, "wait")
    rc, _, err = memtrace("diff", "-p", plain.pid, "--usdt", "a:b,c:d")
    equal(rc, 1, "exit status without marks")
    one_line(err, "no mark a:b", "no marks (USDT)", "readelf -n")


@case
def no_two_marks():
    for marks in ("", "a:b", "a:b,", "a,b", "a:b,c:d,e:f", "a:b,c:"):
        rc, out, err = memtrace("diff", "-p", os.getpid(), "--usdt", marks)
        equal((rc, out), (2, ""), f"exit status and output for {marks!r}")
        one_line(err, "PROVIDER:BEGIN,PROVIDER:END")


@case
def ends_before_the_mark():
    t, _ = marked("marked")
    d = Diff(t.pid, "--usdt", "demo:begin,demo:end")
    t.finish()
    equal(d.p.wait(60), 1, "exit status")
    one_line("\n".join(d.err.rest()), "ended before the event")


# --- an OOM kill --------------------------------------------------------------


def write(path, text):
    with open(path, "w") as f:
        f.write(str(text))


def memory_cgroup(limit):
    """A memory cgroup of its own; where to write a pid to be in it."""
    v2 = [d for d in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
          if os.path.exists(f"{d}/cgroup.subtree_control")
          and "memory" in open(f"{d}/cgroup.subtree_control").read().split()]
    root = v2[0] if v2 else "/sys/fs/cgroup/memory"
    group = f"{root}/memtrace-test-{os.getpid()}"
    try:
        os.mkdir(group)
    except OSError as e:
        raise Skip(f"cannot make a memory cgroup: {e}")
    at_exit(lambda: os.rmdir(group))
    limits = ({"memory.swap.max": 0, "memory.max": limit} if v2 else
              {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit})
    for name, value in limits.items():
        if os.path.exists(f"{group}/{name}"):
            write(f"{group}/{name}", value)
    return f"{group}/cgroup.procs"


LIMIT = 48 << 20


def hungry(*args):
    """It, what it counted so far, and where it counts."""
    procs = memory_cgroup(LIMIT)
    # in memory that the kernel cannot take back: it is written to until the end
    counts = f"/dev/shm/memtrace-test-{os.getpid()}"
    at_exit(lambda: [os.unlink(f) for f in glob.glob(counts + "*")])
    t = Target(target("hungry"), *args, env=count_env(counts))
    write(procs, t.pid)
    return t, Truth(counts), counts


def nearly_same_change(old, new, truth):
    """Of two threads: the one that did not ask for too much is killed anywhere, which may
    be between the end of a call and its count by the preload."""
    for name, column in (("Mallocs", 0), ("Frees", 1)):
        have = new["memstats"][name] - old["memstats"][name]
        check(abs(have - truth.sum(column)) <= 1, f"{name} {have}, {truth.sum(column)} in truth")
    check(truth.sum(0) > 100, "nothing was allocated")
    equal(new["loss"]["lost"], 0, "lost")


def killed(args, late):
    """The snapshot at the kill, which is checked."""
    t, before, counts = hungry(*args)
    m = Marks(t.pid, flags=["--late", "--oom"] if late else ["--oom"])
    first = m.next()
    t.say()
    if late:
        equal(t.p.wait(60), -9, "how the target ended")
        m.tell()
    last = m.next()
    m.finish()
    equal(t.p.wait(60), -9, "how the target ended")
    if args:
        nearly_same_change(first, last, Truth(counts) - before)
    else:
        same_change(first, last, Truth(counts) - before, "until the kill")
    stats, vm = last["memstats"], last["vm"]
    check(LIMIT / 2 < stats["Alloc"] < LIMIT, f"Alloc {stats['Alloc']}")
    equal(stats["Sys"], vm["data"] + vm["stack"], "Sys")
    check(stats["Alloc"] < stats["Sys"] < stats["Alloc"] + (160 << 20), f"Sys {stats['Sys']}")
    check(LIMIT * 0.8 < vm["rss"] < LIMIT * 1.3, f"rss {vm['rss']}")
    return last


@case
def oom_kill():
    """The level at the kill, to the last block."""
    killed([], False)


@cases(one_thread=[], two_threads=["threads"])
def oom_kill_read_late(args):
    """The same, read when the process is gone: another thread has run on until then."""
    last = killed(args, True)
    check(last["final"], "the process is not gone")


@case
def diff_oom():
    t, _, counts = hungry()
    d = Diff(t.pid, "--oom")
    t.say()
    p = d.process()
    equal(t.p.wait(60), -9, "how the target ended")
    truth = Truth(counts)
    for row, level in (("Alloc", truth.sum(2) - truth.sum(3)),
                       ("HeapObjects", truth.sum(0) - truth.sum(1))):
        equal(p["rows"][row]["new"], level, row)
    check(p["rows"]["Sys"]["change"] > p["rows"]["Alloc"]["change"], f"{p['rows']['Sys']}")


@case
def diff_oom_that_does_not_come():
    t = Target(target("hungry"))
    d = Diff(t.pid, "--oom")
    t.finish()
    equal(d.process(status=1)["rows"].get("Mallocs"), None, "Mallocs")
