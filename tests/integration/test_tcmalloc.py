# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""gperftools tcmalloc, preloaded behind the independent count: blocks as its
own tables size them."""

import json
import os

from harness import (PRELOAD, PYTHON, Skip, Target, Truth, allocators, attach, case, cases, check, compare,
                     count_env, equal, final, launch_counted, memtrace, need, target, tmp)
from test_exact import PERL_WORK, PYTHON_WORK, SQL_WORK

LIBS = "/usr/lib/x86_64-linux-gnu"


def tcmalloc(name="libtcmalloc_minimal"):
    """The environment that puts the count, and then the library, before libc."""
    path = os.path.join(LIBS, name + ".so.4")
    if not os.path.exists(path):
        raise Skip(f"no {path}: scripts/setup")
    # reallocarray is the libc's own, which nobody sees where it refuses
    return {"LD_PRELOAD": f"{PRELOAD}:{path}", "WITHOUT_GNU": "1"}


def is_tcmalloc(snap, sizes="usable"):
    check(allocators(snap)[0].startswith("tcmalloc 2."), f"allocator {snap['allocator']!r}")
    equal(snap["sizes"], sizes, "sizes")


def counted(argv, env):
    """argv waits for a line before each round; counts since the attach must agree."""
    counts = tmp("counts")
    t = Target(*argv, env={**count_env(counts), **env})
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    for _ in range(2):
        t.step()
        compare(tracer.snapshot(), Truth(counts) - before)
    snap = final(tracer)
    compare(snap, Truth(counts) - before)
    equal(t.finish(), 0, "the target's exit status")
    is_tcmalloc(snap)
    return snap


@cases(one=1, two=2, eight=8)
def tcmalloc_phases(threads):
    counted([target("alloc_mix"), threads, 8000, "wait"], tcmalloc())


@cases(never={}, often={"TCMALLOC_SAMPLE_PARAMETER": "2000"})
def tcmalloc_sampled(env):
    """With the profiler's hooks; a sampled block is a span of its own."""
    counted([target("alloc_mix"), 4, 4000, "wait"], {**tcmalloc("libtcmalloc"), **env})


@cases(one=1, eight=8)
def tcmalloc_operators(threads):
    """operator new returns, throws, returns NULL; each delete in its forms."""
    snap = counted([target("operators"), threads, 3000], tcmalloc())
    check(snap["loss"]["failed"] > 0, "nothing was refused: the target tests nothing")


@case
def tcmalloc_handler():
    """What a new_handler allocates within operator new may be missed, but never
    without saying so; the exceptions arrive."""
    counts = tmp("counts")
    t = Target(target("operators"), 4, 2000, "handler",
               env={**count_env(counts), **tcmalloc()})
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    t.step()
    snap, truth = final(tracer), Truth(counts) - before
    missed = truth.sum(0) - snap["memstats"]["Mallocs"] + \
        truth.sum(1) - snap["memstats"]["Frees"]
    check(0 <= missed <= snap["loss"]["lost"],
          f"{missed} calls missed, {snap['loss']['lost']} said to be lost")
    equal(t.finish(), 0, "the target's exit status")


@cases(static="static", linked="linked")
def tcmalloc_in_executable(how):
    """Known by .symtab, at an address that is fixed or not; what counts is linked in."""
    counted([target(f"alloc_mix-tcmalloc-{how}"), 4, 8000, "wait"],
            {"LD_PRELOAD": "", "WITHOUT_GNU": "1"})


@case
def tcmalloc_cancelled():
    counted([target("cancel"), 40], tcmalloc())


@case
def tcmalloc_thrown():
    """Exceptions through operator new, some by a handler that allocates, whose blocks
    pass for operator new's own: the program is as without memtrace, the loss is told."""
    out = tmp("out.json")
    sets = [f"{k}={v}" for k, v in tcmalloc().items()]
    rc, text, err = memtrace("-f", "json", "-o", out, "-i", "1h", "--", "env", *sets,
                             target("throw"))
    equal((rc, text.strip()), (0, "ok"), f"exit status and output ({err.strip()[-300:]})")
    with open(out) as f:
        snap = json.loads(f.readlines()[-1])
    is_tcmalloc(snap)
    ahead = snap["memstats"]["Frees"] - snap["memstats"]["Mallocs"]
    check(ahead <= snap["loss"]["lost"], f"{ahead} blocks freed that never were, "
          f"{snap['loss']['lost']} said to be lost")


@case
def tcmalloc_churn():
    """Threads that end give their caches back, which is nobody's free."""
    snap, text = launch_counted([target("thread_churn"), 1000], env=tcmalloc())
    check("blocks=7000" in text, f"the target printed {text!r}")
    is_tcmalloc(snap)


@case
def tcmalloc_python():
    snap, text = launch_counted([PYTHON, "-c", PYTHON_WORK],
                                env={"PYTHONMALLOC": "malloc", **tcmalloc()})
    equal(text.strip(), "2000", "what the program printed")
    is_tcmalloc(snap)


@case
def tcmalloc_perl():
    snap, _ = launch_counted([need("perl"), "-e", PERL_WORK], env=tcmalloc())
    is_tcmalloc(snap)


@case
def tcmalloc_sqlite():
    sql = tmp("work.sql")
    with open(sql, "w") as f:
        f.write(SQL_WORK)
    with open(sql, "rb") as f:
        snap, text = launch_counted([need("sqlite3"), ":memory:"], stdin=f, env=tcmalloc())
    check("row" in text, f"sqlite3 printed {text!r}")
    is_tcmalloc(snap)
