# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What could not be counted is said."""

import re

from harness import Target, Tracer, attach, case, check, equal, final, target


@case
def none():
    t = Target(target("lose"))
    tracer, _ = attach(t.pid, "--strict")
    t.step("malloc")
    equal(final(tracer)["loss"]["lost"], 0, "lost")


@case
def failed_read():
    """A free of an address with nothing behind it."""
    t = Target(target("lose"))
    tracer, first = attach(t.pid, "--strict")
    equal(first["loss"]["lost"], 0, "lost at the start")
    t.step("free")
    t.step("malloc")
    snap = final(tracer, status=3)
    check(snap["loss"]["failed_reads"] >= 1, f"loss {snap['loss']}")
    check(snap["loss"]["lost"] >= 1, f"loss {snap['loss']}")
    equal((snap["memstats"]["Mallocs"], snap["memstats"]["Frees"]), (1, 0), "Mallocs, Frees")


@case
def unreturned():
    """A function that is left by a signal handler and never returns."""
    t = Target(target("lose"))
    tracer, _ = attach(t.pid, "--strict")
    t.step("return")
    t.step("return")
    snap = final(tracer, status=3)
    check(snap["loss"]["unreturned"] >= 1, f"loss {snap['loss']}")


@case
def without_strict():
    t = Target(target("lose"))
    tracer, _ = attach(t.pid)
    t.step("free")
    check(final(tracer)["loss"]["lost"] >= 1, "nothing was lost")


@case
def shown_in_line():
    t = Target(target("lose"))
    tracer = Tracer("-p", t.pid, "-i", "1h")
    check("Lost" not in tracer.line(), "lost at the start")
    t.step("free")
    lines = tracer.stop()
    check(any(re.search(r"\tLost = [1-9]", x) for x in lines), f"no loss in {lines[:2]}")
