# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Censuses of targets that allocate as fast as they can: right, or none."""

from census import LOADERS, by_class, census, loaded, sound
from harness import Target, cases, check, equal, target

# As in census_hot.c, their classes.
CLASSES = (288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280)


def total(live):
    return sum(n for n, _ in live.values())


def off_by(now, base, threads, how):
    """What is wrong with the live blocks `now`, where at rest there were `base`."""
    if not total(base) - threads <= total(now) <= total(base):
        return f"{total(now)} blocks, at rest there were {total(base)}"
    if how == "large":  # of which the classes are shared
        return None
    own = CLASSES[:threads]
    each = threads if how == "shared" else 1
    for k in base.keys() | now.keys():
        (n, size), (was, old) = now.get(k, (0, 0)), base.get(k, (0, 0))
        low = was - (each if k in own else 0)
        if not low <= n <= was:
            return f"class {k}: {n} blocks, expected {low} to {was}"
        if k not in own and size != old:
            return f"class {k}: {size} bytes, expected {old}"
        if abs((was - n) * k - (old - size)) > 32 * each + 16 * was:
            return f"class {k}: {size} bytes in {n} blocks, at rest {old} in {was}"
    return None


def repeat(pid, n, base, threads, how):
    """n censuses: how many were made."""
    made = 0
    for i in range(n):
        c, why = census(pid)
        if c:
            wrong = off_by(by_class(c["live"]), base, threads, how)
            check(not wrong, f"census {i}, sound by its own account, is wrong: {wrong}")
            made += 1
        else:
            check("census:" in why, f"no reason in {why!r}")
    return made


def hot(argv, env, n, threads, how, least=0.2):
    t = Target(*argv, env=env)
    base = by_class(sound(t.pid)["live"])
    check(sum(base.get(k, (0, 0))[0] >= 64 for k in CLASSES) >= threads or how == "large",
          "the target does not hold its blocks")
    t.step()
    made = repeat(t.pid, n, base, threads, how)
    t.p.stdin.close()
    equal(t.lines.next("census_hot"), "intact", "the target's own account")
    equal(t.p.wait(60), 0, "the target's exit status")
    check(made >= least * n, f"{n - made} of {n} censuses refused")


CACHELESS = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


@cases(**{"1": (1, 300), "4": (4, 300), "16": (16, 150), "16-again": (16, 150)})
def own(variant):
    """Each its own blocks, in and out of its cache."""
    threads, n = variant
    hot([target("census_hot"), threads, "own"], {}, n, threads, "own")


@cases(**{"1": (1, 100), "4": (4, 100), "16": (16, 12)})
def shared(variant):
    """Without caches, and freed by others: bins and locks. Sixteen queue for them:
    there is hardly a moment when none is inside malloc, so refusals are expected."""
    threads, n = variant
    hot([target("census_hot"), threads, "shared"], CACHELESS, n, threads, "shared",
        least=0.2 if threads < 16 else 0)


@cases(**{"1": (1, 40), "4": (4, 20)})
def large(variant):
    """Blocks that come and go by system calls: hardly ever is a thread outside of malloc."""
    threads, n = variant
    hot([target("census_hot"), threads, "large"], {}, n, threads, "large", least=0)


@cases(**{k: k for k in LOADERS if k != "own"})
def libc(name):
    argv, env = loaded(name, target("census_hot"), "4", "own")
    hot(argv, env, 60, 4, "own")
    argv, _ = loaded(name, target("census_hot"), "4", "shared")
    hot(argv, CACHELESS, 60, 4, "shared")
