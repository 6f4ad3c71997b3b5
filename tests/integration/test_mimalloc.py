# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""mimalloc: Debian's releases of it, preloaded behind the independent count, and
programs that run on it, to the last block and byte."""

import glob
import os

from census import LIBCS, SUITES, own_suite, read, with_library
from harness import (PYTHON, Skip, Target, Truth, allocators, attach, case, cases, check, compare, equal, final,
                     launch_counted, need, target, tmp)
from test_exact import PERL_WORK, PYTHON_WORK, SQL_WORK

DIR = "usr/lib/x86_64-linux-gnu"
# 2.0.9 looks at memory that another thread has just unmapped, once in some hundred
# runs, traced or not; what it has reserved it keeps.
KEPT = {"MIMALLOC_RESERVE_OS_MEMORY": "2GiB", "MIMALLOC_ALLOW_DECOMMIT": "0"}


def library(suite):
    """That release's libmimalloc.so, the path."""
    root = "" if suite == own_suite() else f"{LIBCS}/{read(f'{LIBCS}/{suite}.version')}"
    found = glob.glob(f"{root}/{DIR}/libmimalloc.so.?.?")
    if not found:
        raise Skip(read(f"{LIBCS}/{suite}.why") or
                   f"no libmimalloc of {suite}: scripts/setup and scripts/libcs get it")
    return found[0]


def is_mimalloc(snap):
    check(allocators(snap)[0].startswith("mimalloc "), f"allocator {snap['allocator']!r}")
    equal(snap["sizes"], "usable", "sizes")


def counted(suite, *argv, **more):
    """argv waits for a line before each round; counts since the attach must agree."""
    counts = tmp("counts")
    argv, env = with_library(suite, library(suite), *argv)
    t = Target(*argv, env={**env, **KEPT, **more, "MTCOUNT_FILE": counts})
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    for _ in range(3):
        t.step()
        compare(tracer.snapshot(), Truth(counts) - before)
    snap = final(tracer)
    compare(snap, Truth(counts) - before)
    equal(t.finish(), 0, "the target's exit status")
    is_mimalloc(snap)


# A thread that ends and one that aligns a block race in 3.0.1, so that it forgets, now
# and then, that the block begins in the middle of another: then it has had two sizes.
RACY = {("trixie", 8)}
BOTH = {f"{suite}_{n}": (suite, n) for suite in SUITES[1:] for n in (1, 8)
        if (suite, n) not in RACY}


@cases(**BOTH)
def phases(how):
    """Threads that free each other's blocks, of all sizes, aligned, moved, refused."""
    suite, threads = how
    counted(suite, target("alloc_mix"), threads, 8000, "wait")


@cases(**BOTH)
def operators(how):
    """C++'s, which do not pass through malloc here. Debian's was compiled as C: where
    operator new would throw, it aborts, traced or not."""
    suite, threads = how
    counted(suite, target("operators"), threads, 3000, NEVER_REFUSED="1")


def launched(*argv, env=None, **kw):
    """argv from its first instruction, on the machine's own mimalloc; what it printed."""
    _, preload = with_library(own_suite(), library(own_suite()))
    snap, text = launch_counted(argv, env={**preload, **KEPT, **(env or {})}, **kw)
    is_mimalloc(snap)
    return text


@case
def python():
    text = launched(PYTHON, "-c", PYTHON_WORK, env={"PYTHONMALLOC": "malloc"})
    equal(text.strip(), "2000", "what the program printed")


@case
def perl():
    launched(need("perl"), "-e", PERL_WORK)


@case
def sqlite():
    sql = tmp("work.sql")
    with open(sql, "w") as f:
        f.write(SQL_WORK)
    with open(sql, "rb") as f:
        text = launched(need("sqlite3"), ":memory:", stdin=f)
    check("row" in text, f"sqlite3 printed {text!r}")
