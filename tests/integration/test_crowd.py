# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Many processes, one after the other and at once: none is forgotten, the total is
their sum, and memtrace is afterwards as it was. Builds are the case of everyday."""

import glob
import json
import os
import shutil
import signal

from follow import FAMILY, Family, Growing, Launched, launch_tree
from harness import ROOT, Tracer, case, cases, check, equal, need, run, target, tmp
from test_life import wait_for

QUICK = target("quick")


@cases(forked=(FAMILY, "a" + "(af)" * 1000), spawned=(FAMILY, "a" + "s" * 1000, QUICK, "10", "100"))
def thousand_in_a_row(argv):
    last = launch_tree(argv)
    equal(len(last), 1001, "processes")


@case
def two_hundred_at_once():
    """They all live when the first of them ends."""
    t = Launched("a" + "[ag]" * 200 + "g")
    for _ in range(201):
        t.ready()
    t.p.stdin.close()
    t.check(201)


# How many of a crowd have ended when one looks is chance: a snapshot of each may be
# in memory at a time, some 32 KiB.
@cases(row=("(af)" * 1000, 1000, 1 << 20), crowd=("[ag]" * 300 + "e", 300, 300 << 15))
def memory_returns(what):
    """What one batch of processes took is there for the next."""
    script, n, varies = what
    out = tmp("out.json")
    t = Family("ga" + (script + "g") * 4)
    tracer = Tracer("-p", t.pid, "-F", "-f", "json", "-i", "1h", "-o", out)
    wait_for(lambda: os.path.exists(out) and os.path.getsize(out), "the first snapshot")
    file = Growing(out)
    equal(file.next()["pid"], t.pid, "first")
    seen = []
    for _ in range(4):
        t.say()
        for _ in range(script.count("g")):
            t.lines.next("a member")
        for _ in range(script.count("g")):
            t.say()
        t.lines.next("the root")
        for _ in range(n):
            check(file.next()["final"], "one that has ended")
        tracer.p.send_signal(signal.SIGUSR1)
        snap = file.next()
        equal((snap["pid"], snap["loss"]["lost"]), (t.pid, 0), "pid and lost")
        seen.append(snap["tracer"])
    rss = [s["rss"] for s in seen]
    maps = [s["map_bytes"] for s in seen]
    # some slots that wait in the kernel hold their chunk of 64
    check(maps[-1] <= max(maps[:-1]) + (1 << 20), f"map_bytes {maps}")
    check(rss[-1] <= max(rss[:-1]) + varies, f"rss {rss}")


BUILD = """
OBJECTS = {objects}
all: lib.a prog
lib.a: $(OBJECTS)
\trm -f $@
\tar rcD $@ $(OBJECTS)
prog: prog.c
\tcc -O1 -o $@ $<
%.o: %.c
\tcc -std=gnu11 -O1 -D_GNU_SOURCE -I{root}/user -I{root}/user/include -I{root}/bpf -c -o $@ $<
"""
SOURCES = ("user/base/writer.c", "user/base/json.c", "user/base/units.c")


def build_tree(name):
    where = tmp(name)
    os.mkdir(where)
    names = []
    for source in SOURCES:
        shutil.copy(f"{ROOT}/{source}", where)
        names.append(os.path.basename(source)[:-2] + ".o")
    with open(f"{where}/prog.c", "w", encoding="ascii") as f:
        f.write("int main(void) { return 7; }\n")
    with open(f"{where}/Makefile", "w", encoding="ascii") as f:
        f.write(BUILD.format(objects=" ".join(names), root=ROOT))
    return where


def built(where):
    """{name: bytes} of what the build made."""
    found = {}
    for path in glob.glob(f"{where}/*.o") + [f"{where}/lib.a", f"{where}/prog"]:
        with open(path, "rb") as f:
            found[os.path.basename(path)] = f.read()
    return found


@case
def build():
    """make -j2 of a few files: each process exact, what it builds is what it builds alone."""
    need("make"), need("cc")
    # the same directory, whose name is in what is built
    equal(run(["make", "-j2"], cwd=build_tree("build"))[0], 0, "exit status of make alone")
    want = built(tmp("build"))
    equal(len(want), len(SOURCES) + 2, "files built")
    shutil.rmtree(tmp("build"))
    last = launch_tree(["make", "-j2"], cwd=build_tree("build"))
    equal(built(tmp("build")) == want, True, "what is built is the same")
    names = {s["comm"] for s in last.values()}
    check({"make", "cc1", "as", "ar"} <= names, f"programs {names}")


@case
def build_that_fails():
    need("make"), need("cc")
    where = build_tree("build")
    with open(f"{where}/prog.c", "w", encoding="ascii") as f:
        f.write("int main(void) { return x; }\n")
    launch_tree(["make", "-k", "-j2"], cwd=where, status=2)
