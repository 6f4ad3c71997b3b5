# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""mimalloc, preloaded behind the independent count: blocks as its page structures
size them."""

import os

from harness import (PRELOAD, PYTHON, Skip, Target, Truth, attach, case, cases, check, compare,
                     count_env, equal, final, launch_counted, need, target, tmp)
from test_exact import PERL_WORK, PYTHON_WORK, SQL_WORK

LIB = os.environ.get("MILIB", "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0")


def mimalloc():
    """The environment that puts the count, and then the library, before libc."""
    if not os.path.exists(LIB):
        raise Skip(f"no {LIB}: scripts/setup")
    return {"LD_PRELOAD": f"{PRELOAD}:{LIB}"}


def is_mimalloc(snap):
    check(snap["allocator"].startswith("mimalloc 2.0"), f"allocator {snap['allocator']!r}")
    equal(snap["sizes"], "usable", "sizes")


def counted(argv, rounds=2):
    """argv waits for a line before each round; counts since the attach must agree."""
    counts = tmp("counts")
    t = Target(*argv, env={**count_env(counts), **mimalloc()})
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    for _ in range(rounds):
        t.step()
        compare(tracer.snapshot(), Truth(counts) - before)
    snap = final(tracer)
    compare(snap, Truth(counts) - before)
    equal(t.finish(), 0, "the target's exit status")
    is_mimalloc(snap)
    return snap


@cases(one=1, two=2, eight=8)
def phases(threads):
    counted([target("alloc_mix"), threads, 8000, "wait"])


@cases(one=1, eight=8)
def operators(threads):
    """operator new returns, throws, returns NULL, calls a handler that allocates."""
    snap = counted([target("operators"), threads, 3000], rounds=3)
    check(snap["loss"]["failed"] > 0, "nothing was refused: the target tests nothing")


@case
def launched():
    """From the first instruction, exceptions through the allocator and all."""
    snap, text = launch_counted([target("throw")], env=mimalloc())
    equal(text.strip(), "ok", "what the program printed")
    is_mimalloc(snap)


@case
def python():
    snap, text = launch_counted([PYTHON, "-c", PYTHON_WORK],
                                env={**mimalloc(), "PYTHONMALLOC": "malloc"})
    equal(text.strip(), "2000", "what the program printed")
    is_mimalloc(snap)


@case
def perl():
    is_mimalloc(launch_counted([need("perl"), "-e", PERL_WORK], env=mimalloc())[0])


@case
def sqlite():
    sql = tmp("work.sql")
    with open(sql, "w") as f:
        f.write(SQL_WORK)
    with open(sql, "rb") as f:
        snap, text = launch_counted([need("sqlite3"), ":memory:"], stdin=f, env=mimalloc())
    check("row" in text, f"sqlite3 printed {text!r}")
    is_mimalloc(snap)
