# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The census of musl's heap against the count that the target makes of its own
blocks by malloc_usable_size: equal in every class, to the last block and byte."""

import bisect
import json
import os
import subprocess

from harness import BYSIZE, MEMTRACE, ROOT, Target, cases, equal, need, run, tmp

SIZES = BYSIZE + [1 << n for n in range(15, 50)]
SLOTS = 20000
TURNS = [1, 1000, 50000, 100000, "clear", 20000, 200000]


def build(*flags):
    out = tmp("musl_mix")
    argv = [need("musl-gcc"), "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-fno-builtin", "-pthread",
            *flags, "-o", out, os.path.join(ROOT, "tests/targets/musl_mix.c")]
    r = subprocess.run(argv, capture_output=True, text=True)
    equal(r.returncode, 0, f"musl-gcc: {r.stderr}")
    return out


def turn(t, text):
    """One turn of the target; its live blocks as {class: [objects, bytes]}."""
    live = {}
    t.say(text)
    while (line := t.lines.next("musl_mix")) != "done":
        size, count = map(int, line.split())
        c = live.setdefault(SIZES[bisect.bisect_left(SIZES, size)], [0, 0])
        c[0] += count
        c[1] += count * size
    return live


def census(pid):
    status, out, err = run([MEMTRACE, "census", "-p", str(pid), "-f", "json"])
    equal(status, 0, f"exit status, {err.strip()}")
    return json.loads(out)


def compare_live(have, want):
    classes = {c["Size"]: [c["Objects"], c["Bytes"]] for c in have["live"] if c["Objects"]}
    wrong = {size: (classes.get(size), want.get(size))
             for size in classes.keys() | want.keys() if classes.get(size) != want.get(size)}
    equal(wrong, {}, "classes (census, truth)")
    equal(have["objects"], sum(c[0] for c in want.values()), "objects")
    equal(have["bytes"], sum(c[1] for c in want.values()), "bytes")


@cases(shared=([], 1), shared_threads=([], 4), static=(["-static"], 1),
       static_threads=(["-static"], 4), static_stripped=(["-static", "-s"], 1))
def mix(how):
    flags, threads = how
    program = build(*flags)
    for seed in (1, 2, 3):
        t = Target(program, seed, threads, SLOTS)
        for text in TURNS:
            want = turn(t, text)
            compare_live(census(t.pid), want)
        equal(t.finish(), 0, "the target's exit status")
