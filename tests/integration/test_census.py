# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The census against a count made inside the target, under each C library: heaps
of every shape, block by block and class by class."""

from census import LOADERS, Counted, census, same, same_arenas, sound
from harness import Target, Truth, cases, check, equal, target, tmp

MIX = ("none", "small", "caches", "fast", "bins", "zeroes", "trim", "mapped", "dynamic",
       "neighbours", "no_mmap", "few_mmaps", "aligned", "aligned_big", "mremaps", "reallocs",
       "foreign_sbrk", "sbrk_first", "brk_blocked", "brk_never", "no_memory", "moved_start_brk")
THREADS = ("apart", "crossed", "heaps", "exits", "fork", "residue")
# Those that a libc does not know, it ignores.
TUNABLES = {
    "tcache_0": "tcache_count=0",
    "tcache_300": "tcache_count=300",
    "tcache_max_0": "tcache_max=0",
    "tcache_max_big": "tcache_max=4000000",
    "mxfast_0": "mxfast=0",
    "mxfast_160": "mxfast=160",
    "arena_max_1": "arena_max=1",
    "hugetlb_1": "hugetlb=1",
    "hugetlb_2": "hugetlb=2",
    "top_pad": "top_pad=1000000",
    "perturb": "perturb=85",
    "mmap_max_0": "mmap_max=0",
}


def variants(of):
    """{case: (libc, name, value)}; a C library that is not here has one case, which skips."""
    return {f"{libc}-{name}" if loader != "" else libc: (libc, name, value)
            for libc, loader in LOADERS.items() for name, value in of.items()}


def follow(t, turns, arenas=True):
    for turn in range(turns):
        if turn:
            t.step()
        c = sound(t.pid)
        same(c, t.truth())
        if arenas:
            same_arenas(c, t.arenas())
    equal(t.finish(), 0, "the target's exit status")
    return c


@cases(**variants({**{p: "census_mix" for p in MIX}, **{p: "census_threads" for p in THREADS}}))
def shape(variant):
    libc, pattern, program = variant
    # Without an allocation there may be no arena to speak of.
    c = follow(Counted(libc, program, pattern), 4, arenas=pattern != "none")
    check(c["heap"]["arenas"] or pattern == "none", "no arena at all")


@cases(**variants(TUNABLES))
def tunable(variant):
    libc, _, value = variant
    env = {"GLIBC_TUNABLES": f"glibc.malloc.{value}"}
    for program, pattern in (("census_threads", "crossed"), ("census_mix", "caches"),
                             ("census_mix", "bins"), ("census_mix", "mremaps"),
                             ("census_mix", "small")):
        follow(Counted(libc, program, pattern, env=env), 3)


@cases(**{k: k for k, v in LOADERS.items() if v != ""})
def many_blocks(libc):
    """Ten million, 15 of 16 live: once by count, once more for the same."""
    t = Counted(libc, "census_mix", "many", "10000000")
    for _ in range(2):
        same(sound(t.pid, "--max-stop", "10s"), t.truth())
    # The heap of such a size is not walked within the limit: no guess, and no harm.
    c, _ = census(t.pid, "--max-stop", "1ms")
    check(c is None, "ten million blocks were walked within a millisecond")
    t.step()
    equal(t.finish(), 0, "the target's exit status")


STATIC = {f"{p}-{kind}": (f"census_mix-{kind}", p)
          for kind in ("static", "stripped")
          for p in ("none", "small", "caches", "mremaps", "aligned", "sbrk_first", "brk_blocked")}
STATIC.update({f"threads-{p}": ("census_threads-static", p) for p in ("apart", "exits", "fork")})


@cases(**STATIC)
def static(variant):
    """The C library is in the program, which counts for itself."""
    counts = tmp("counts")
    t = Target(target(variant[0]), variant[1], ready=None,
               env={"MTCOUNT_FILE": counts, "MTCOUNT_FORK": "1"})
    pid = int(t.lines.next("target").split()[1])
    for turn in range(3):
        if turn:
            t.step()
        same(sound(pid), Truth(counts if pid == t.pid else f"{counts}.{pid}"))
    equal(t.finish(), 0, "the target's exit status")
