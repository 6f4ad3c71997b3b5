# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""jemalloc: Debian's releases of it, its own functions, linked in, and programs
that run on it, to the last block and byte."""

import glob
import json
import os

from census import LIBCS, SUITES, asleep, own_suite, read, settled, with_library
from harness import (PRELOAD, PYTHON, Failure, Skip, Target, Truth, allocators, attach, case,
                     cases, check, compare, count_env, equal, final, launch_counted, memtrace, need, run,
                     target, tmp)
from test_census_programs import Redis

OWN = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"


def library(suite):
    """That release's libjemalloc.so.2, the path."""
    if suite == own_suite():
        path = OWN
    else:
        path = f"{LIBCS}/{read(f'{LIBCS}/{suite}.version')}/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
    if not os.path.exists(path):
        raise Skip(read(f"{LIBCS}/{suite}.why") or f"no libjemalloc2 of {suite}: scripts/libcs gets it")
    return path


def under(suite, *argv):
    """argv under the count and that release's jemalloc: the command and its environment."""
    argv, env = with_library(suite, library(suite), *argv)
    return argv, {**env, "WITHOUT_GNU": "1"}


def rounds(t, counts, n=3):
    """Counts since the attach equal the truth after each turn; the last snapshot."""
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    for _ in range(n):
        t.step()
        snap = tracer.snapshot()
        compare(snap, Truth(counts) - before)
    snap = final(tracer)
    compare(snap, Truth(counts) - before)
    return snap


@cases(**{suite: suite for suite in SUITES})
def all_functions(suite):
    """Eight threads that free each other's blocks, of all sizes, aligned, moved, refused."""
    counts = tmp("counts")
    argv, env = under(suite, target("alloc_mix"), 8, 8000, "wait")
    t = Target(*argv, env={**env, "MTCOUNT_FILE": counts})
    snap = rounds(t, counts)
    equal(allocators(snap)[0].split()[0], "jemalloc", "the allocator")
    equal(snap["sizes"], "usable", "sizes")
    equal(t.finish(), 0, "the target's exit status")


@cases(library="jemalloc_mix", linked="jemalloc_mix-linked")
def own_functions(program):
    """mallocx and its kin, with the library and linked into the executable."""
    counts = tmp("counts")
    t = Target(target(program), 8, 8000, env=count_env(counts))
    snap = rounds(t, counts)
    equal(allocators(snap)[0].split()[0], "jemalloc", "the allocator")
    equal(t.finish(), 0, "the target's exit status")


PYTHON_WORK = """
import ast, json, re, sys, threading
keep = {}
def work():
    keep[len(keep)] = json.loads(json.dumps({str(j): list(range(j % 40)) for j in range(1500)}))
    ast.parse("x = [%s]" % ",".join(map(str, range(500))))
    re.sub(r"(\\d+)", lambda m: m.group(1) * 2, json.dumps(keep[len(keep) - 1]))
    ts = [threading.Thread(target=lambda: [bytearray(n * 300) for n in range(300)])
          for _ in range(4)]
    [t.start() for t in ts]; [t.join() for t in ts]
print("ready", flush=True)
for line in iter(sys.stdin.readline, ""):
    work(); print("done", flush=True)
"""
PERL_WORK = """
$| = 1; my %h; my $n = 0; print "ready\\n";
while (<STDIN>) {
    $n++; for my $i (1..20000) { $h{"key$n$i"} = [1..($i % 10)]; }
    my $s = join ",", sort keys %h; $s =~ s/key(\\d+)/$1$1/g;
    delete $h{$_} for grep { /7/ } keys %h; print "done\\n";
}
"""
SQL_WORK = """
CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000)
  INSERT INTO a SELECT i, printf('row %d %s', i, hex(i*i)) FROM n;
CREATE INDEX ai ON a(x); SELECT 1 WHERE (SELECT count(*) FROM a a1 JOIN a a2 ON a1.x = a2.x) = 0;
DROP TABLE a;
.print done
""".strip()


def attach_still(pid, counts):
    """A tracer that is on while nothing happens in the target, and the truth then."""
    for _ in range(200):
        before = Truth(counts)
        if asleep(pid):
            tracer, _ = attach(pid)
            if Truth(counts).cls == before.cls:
                return tracer, before
            tracer.stop()
    raise Failure(f"process {pid} was never still")


@cases(python=[PYTHON, "-c", PYTHON_WORK], perl=["perl", "-e", PERL_WORK],
       sqlite=["sqlite3", ":memory:"])
def programs(argv):
    counts, lib = tmp("counts"), library(own_suite())
    t = Target(need(argv[0]), *argv[1:], ready=None,
               env={"LD_PRELOAD": f"{PRELOAD} {lib}", "MTCOUNT_FILE": counts,
                    "PYTHONMALLOC": "malloc"})
    if argv[0] == "sqlite3":
        t.step(".print ready", answer="ready")
    else:
        equal(t.lines.next(argv[0]), "ready", "its first line")
    turn = SQL_WORK if argv[0] == "sqlite3" else ""
    t.step(turn)
    tracer, before = attach_still(t.pid, counts)
    for _ in range(3):
        t.step(turn)
        snap = settled(tracer.snapshot, t.pid, counts,
                       lambda s, truth: compare(s, truth - before))
    equal(allocators(snap)[0].split()[0], "jemalloc", "the allocator")
    tracer.stop()


@case
def redis():
    """Debian's is linked with jemalloc, whose background threads it starts."""
    counts = tmp("counts")
    r = Redis(PRELOAD, counts)
    if "jemalloc" not in read(f"/proc/{r.p.pid}/maps"):
        raise Skip("this redis-server does not use jemalloc")
    equal(r.load(2000).wait(60), 0, "redis-benchmark's exit status")
    tracer, before = attach_still(r.p.pid, counts)
    equal(r.load(20000).wait(120), 0, "redis-benchmark's exit status")
    snap = settled(tracer.snapshot, r.p.pid, counts, lambda s, truth: compare(s, truth - before))
    equal(allocators(snap)[0].split()[0], "jemalloc", "the allocator")
    check(snap["memstats"]["Mallocs"] > 100000, "redis hardly worked")
    tracer.stop()


@cases(no_cache="tcache:false", sampled="prof:true,lg_prof_sample:10",
       filled="junk:true,zero:false", few_arenas="narenas:1,background_thread:true",
       thp="thp:always,metadata_thp:always,retain:false", hpa="hpa:true")
def configured(conf):
    """What MALLOC_CONF changes of where blocks lie does not change what they are."""
    counts = tmp("counts")
    t = Target(target("jemalloc_mix"), 8, 5000, env={**count_env(counts), "MALLOC_CONF": conf})
    rounds(t, counts, n=2)
    equal(t.finish(), 0, "the target's exit status")


@cases(mix=["alloc_mix", 8, 5000], churn=["thread_churn", 1000])
def launched(argv):
    """From the first instruction; threads that end give their caches back uncounted."""
    lib = library(own_suite())
    snap, _ = launch_counted([target(argv[0]), *argv[1:]],
                             env={"LD_PRELOAD": f"{PRELOAD} {lib}", "WITHOUT_GNU": "1"})
    check(any("jemalloc" in a for a in allocators(snap)), f"allocator: {snap['allocator']}")


@case
def prefixed():
    """Behind another prefix, as Rust and redis have it, beside the libc's: both count."""
    counts = tmp("counts")
    t = Target(target("jemalloc_mix-prefixed"), 8, 8000, env=count_env(counts))
    snap = rounds(t, counts)
    equal(sorted(a.split()[0] for a in allocators(snap)), ["glibc", "jemalloc"],
          "the allocators")


@cases(bullseye="bullseye", bookworm="bookworm", trixie="trixie", sid="sid")
def operators(suite):
    """Every operator new and delete: 5.3's new does not go through malloc."""
    counts = tmp("counts")
    argv, env = under(suite, target("operators"), 8, 3000)
    t = Target(*argv, env={**env, "MTCOUNT_FILE": counts})
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    for _ in range(3):
        t.step()
        snap, truth = tracer.snapshot(), Truth(counts) - before
        check(snap["loss"]["failed"] > 0, "nothing was refused: the target tests nothing")
        compare(snap, truth)
    equal(t.finish(), 0, "the target's exit status")


@case
def thrown():
    """bad_alloc thrown and caught; what a new_handler allocates within operator new
    is counted or said to be lost."""
    out = tmp("out.json")
    rc, text, err = memtrace("-f", "json", "-i", "1h", "-o", out, "--", "env",
                             f"LD_PRELOAD={library(own_suite())}", target("throw"))
    equal((rc, text.strip()), (0, "ok"), f"status and what the program printed ({err})")
    with open(out) as f:
        snap = json.loads(f.readlines()[-1])
    m = snap["memstats"]
    # All it makes it frees, but three blocks of its start.
    check(0 <= m["Frees"] + 3 - m["Mallocs"] <= snap["loss"]["lost"],
          f"{m['Mallocs']} mallocs, {m['Frees']} frees, {snap['loss']['lost']} lost")
