# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the cases of processes and their children share: a tree of processes, each
with a count of its own, and what memtrace says of each of them and of all."""

import glob
import json
import os
import subprocess

from harness import (MEMTRACE, Lines, Target, Truth, at_exit, check, compare, count_env, equal, memtrace,
                     popen, run, target, tmp)
from test_life import wait_for

FAMILY = target("family")
SUMS = ("Mallocs", "Frees", "TotalAlloc", "Sys")


def counted(counts):
    """The environment in which a process and all that comes of it count."""
    return {**count_env(counts), "MTCOUNT_FORK": "1"}


def truths(counts):
    """{pid: what that process counted}."""
    found = [Truth(p) for p in glob.glob(counts + "*")]
    return {t.owner: t for t in found}


def truth_of(*argv):
    """What a program counts that runs alone, untraced."""
    path = tmp("alone")
    if os.path.exists(path):
        os.unlink(path)
    status, _, err = run([str(a) for a in argv], env={**os.environ, **count_env(path)})
    equal(status, 0, f"exit status of {argv} ({err})")
    return Truth(path)


def split(snaps):
    """The last snapshots in the order of output, and the total or None."""
    total = [s for s in snaps if "processes" in s]
    check(len(total) <= 1, f"{len(total)} totals")
    last = [s for s in snaps if s["final"] and "processes" not in s]
    who = [(s["pid"], s["start_time"]) for s in last]
    equal(len(set(who)), len(who), "processes with one last snapshot each")
    return last, total[0] if total else None


def load(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def sums_agree(last, total):
    """The total is the sum of what ended."""
    equal(total["processes"], len(last), "processes of the total")
    equal(total["pid"], 0, "pid of the total")
    for field in SUMS:
        equal(total["memstats"][field], sum(s["memstats"][field] for s in last), f"total {field}")
    for field in "Objects", "Bytes":
        equal(total["net"][field], sum(s["net"][field] for s in last), f"total net {field}")
    for i, size in enumerate(total["memstats"]["BySize"]):
        for field in ("Mallocs", "Frees"):
            equal(size[field], sum(s["memstats"]["BySize"][i][field] for s in last),
                  f"total {field} of {size['Size']}")
    equal(total["loss"]["lost"], sum(s["loss"]["lost"] for s in last), "lost of the total")


def launch(argv, env=None, options=(), status=0, **kw):
    """Launches argv under memtrace: all snapshots, and what else it said."""
    out = tmp("out.json")
    sets = [f"{k}={v}" for k, v in (env or {}).items()]
    rc, text, err = memtrace("-f", "json", "-o", out, "-i", "1h", *options, "--", "env", *sets,
                             *map(str, argv), **kw)
    equal(rc, status, f"exit status of {argv[0]} ({err.strip()[-500:]})")
    return load(out), text, err


def launch_tree(argv, options=(), **kw):
    """The same of a tree whose every process counts: compares each of them, and the
    total; the last snapshots by pid, in their order."""
    counts = tmp("counts")
    snaps, _, err = launch(argv, counted(counts), options, **kw)
    last, total = split(snaps)
    want = truths(counts)
    equal(sorted(s["pid"] for s in last), sorted(want), f"processes ({err.strip()})")
    for s in last:
        compare(s, want[s["pid"]])
        equal(s["since"], "start", f"since of {s['pid']}")
    equal(total is not None, len(last) > 1, "a total")
    if total:
        sums_agree(last, total)
    return {s["pid"]: s for s in last}


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


class Launched:
    """A family that memtrace launches, and whose steps the case leads."""

    def __init__(self, script, *options):
        self.counts, self.out = tmp("counts"), tmp("out.json")
        sets = [f"{k}={v}" for k, v in counted(self.counts).items()]
        with open(tmp("err"), "wb") as err:
            self.p = popen([MEMTRACE, "-f", "json", "-i", "1h", "-o", self.out, *options, "--",
                            "env", *sets, FAMILY, script], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=err)
        self.lines = Lines(self.p.stdout)

    def ready(self):
        """The pid of one that waits."""
        return int(self.lines.next("family").split()[1])

    def say(self):
        self.p.stdin.write(b"\n")
        self.p.stdin.flush()

    def check(self, n, status=0):
        """After its end: each process exact, and the total."""
        with open(tmp("err"), encoding="utf-8") as err:
            equal(self.p.wait(60), status, f"exit status ({err.read()})")
        last, total = split(load(self.out))
        equal(len(last), n, "processes")
        want = truths(self.counts)
        for s in last:
            compare(s, want[s["pid"]])
        sums_agree(last, total)
        return last


def wait_stopped(pid):
    while status_of(pid) != "T":
        pass


def status_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()[0]


class Growing:
    """The snapshots in a file that memtrace writes on. A pipe that nobody reads would
    hold memtrace up."""

    def __init__(self, path):
        self.f = open(path, encoding="utf-8")
        at_exit(self.f.close)
        self.part = ""
        self.read = []

    def line(self):
        if not self.part.endswith("\n"):
            self.part += self.f.readline()
        return self.part.endswith("\n")

    def next(self):
        wait_for(self.line, "a snapshot", 60)
        line, self.part = self.part, ""
        self.read.append(json.loads(line))
        return self.read[-1]

    def all(self):
        """Of a memtrace that has ended: all that it wrote."""
        while self.line():
            self.next()
        return self.read
