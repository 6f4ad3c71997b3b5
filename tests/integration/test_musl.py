# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs of musl's, against the independent count, which is linked into them:
--wrap puts it in front of each allocation function."""

import os
import subprocess

from harness import (ROOT, Target, Truth, allocators, attach, cases, check, compare, equal, final,
                     last_of_first, memtrace, need, tmp)

WRAPPED = ["malloc", "free", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc",
           "posix_memalign", "valloc", "pvalloc"]
# musl has none; the call of valloc in it is one inside another.
PVALLOC_H = "#include <stdlib.h>\n#include <malloc.h>\nvoid *pvalloc(size_t);\n"
PVALLOC_C = "void *pvalloc(size_t n) { return valloc((n + 4095) & ~(size_t)4095); }\n"


def build(*flags):
    """alloc_mix for musl, with the count in it."""
    out = tmp("alloc_mix")
    for name, text in (("pvalloc.h", PVALLOC_H), ("pvalloc.c", PVALLOC_C)):
        with open(tmp(name), "w") as f:
            f.write(text)
    targets = os.path.join(ROOT, "tests/targets")
    argv = [need("musl-gcc"), "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-DMTCOUNT_WRAP",
            "-include", tmp("pvalloc.h"), "-fno-builtin", "-pthread", "-I", os.path.join(ROOT, "bpf"),
            # the kernel's headers, behind musl's own
            "-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu",
            *(f"-Wl,--wrap={f}" for f in WRAPPED), *flags, "-o", out,
            os.path.join(targets, "alloc_mix.c"), os.path.join(targets, "mtcount.c"), tmp("pvalloc.c")]
    r = subprocess.run(argv, capture_output=True, text=True)
    equal(r.returncode, 0, f"musl-gcc: {r.stderr}")
    return out


def is_musl(snap):
    check(allocators(snap)[0].startswith("musl"), f"allocator {snap['allocator']!r}")
    equal(snap["sizes"], "usable", "sizes")


HOW = {"shared": [], "static": ["-static"], "static_pie": ["-static-pie", "-fPIE"]}


@cases(**{f"{name}_{n}": (flags, n) for name, flags in HOW.items() for n in (1, 8)})
def attached(how):
    """Counts since the attach equal what the target counted meanwhile."""
    flags, threads = how
    counts = tmp("counts")
    t = Target(build(*flags), threads, 8000, "wait", env={"MTCOUNT_FILE": counts})
    t.step()
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    for _ in range(2):
        t.step()
        compare(tracer.snapshot(), Truth(counts) - before)
    snap = final(tracer)
    compare(snap, Truth(counts) - before)
    is_musl(snap)
    equal(t.finish(), 0, "the target's exit status")


@cases(**HOW)
def launched(flags):
    """From the first instruction, with the libc that is the loader, too."""
    counts, out = tmp("counts"), tmp("out.json")
    rc, _, err = memtrace("-f", "json", "-o", out, "-i", "1h", "--", build(*flags), "8", "20000",
                          env={**os.environ, "MTCOUNT_FILE": counts})
    equal(rc, 0, f"exit status ({err.strip()})")
    snap = last_of_first(out)
    compare(snap, Truth(counts))
    equal(snap["since"], "start", "since")
    is_musl(snap)


@cases(**HOW)
def with_census(flags):
    """Levels count what lived at the attach; the counts after it move them as they should."""
    counts = tmp("counts")
    t = Target(build(*flags), 4, 8000, "wait", env={"MTCOUNT_FILE": counts})
    t.step()
    tracer, first = attach(t.pid, census=True)
    equal(first["since"], "census", "since")
    before = Truth(counts)
    t.step()
    moved = Truth(counts) - before
    snap = final(tracer)
    equal(snap["memstats"]["HeapObjects"] - first["memstats"]["HeapObjects"],
          moved.sum(0) - moved.sum(1), "objects more than at the attach")
    equal(snap["memstats"]["HeapAlloc"] - first["memstats"]["HeapAlloc"],
          moved.sum(2) - moved.sum(3), "bytes more than at the attach")
    live = before.sum(0) - before.sum(1)
    check(live <= first["memstats"]["HeapObjects"] <= live + 64,
          f"{first['memstats']['HeapObjects']} objects at the attach, the program has {live}")
    equal(t.finish(), 0, "the target's exit status")
