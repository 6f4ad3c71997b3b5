# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How snapshots of Go programs fit together: what was allocated is all there, the
pauses follow one another without gap, C's memory stands beside Go's."""

import glob
import json
import os
import subprocess

from harness import (TARGETS, Skip, Target, Tracer, attach, case, check, end, equal, final,
                     memtrace, tmp)


def newest(name, variant):
    """That program by the newest toolchain there is."""
    def age(path):
        return [int(n) for n in path.split("/")[-2].split(".")]

    found = sorted(glob.glob(os.path.join(TARGETS, "go", "*", f"{name}-{variant}")), key=age)
    if not found:
        raise Skip("no Go program was built: make go-targets")
    return found[-1]


def program(name, variant):
    """The same, taking its steps."""
    return Target(newest(name, variant))


def total(v, key):
    return sum(c[key] for c in v)


def fits(snap):
    """The sums that hold in every snapshot of a Go program."""
    m = snap["memstats"]
    equal(total(snap["live"], "Bytes"), m["Alloc"], "bytes in live, and Alloc")
    equal(total(snap["live"], "Objects"), m["HeapObjects"], "objects in live, and HeapObjects")
    equal(snap["net"]["Bytes"], m["Alloc"], "net, and Alloc")
    tiny = [m[k] - total(m["BySize"], k) - total(snap["large"], k) for k in ("Mallocs", "Frees")]
    check(tiny[0] >= 0, f"{tiny[0]} tiny allocations")
    equal(tiny[0], tiny[1], "what is in no class, of Mallocs and of Frees")
    equal(m["Sys"], sum(m[k] for k in ("HeapSys", "StackSys", "MSpanSys", "MCacheSys",
                                       "BuckHashSys", "GCSys", "OtherSys")), "the parts of Sys")
    equal((snap["gc"]["count"], snap["gc"]["forced"]), (m["NumGC"], m["NumForcedGC"]), "gc")


@case
def blocks_and_keys():
    t = program("steps", "normal")
    tracer, one = attach(t.pid)
    t.step("large 30")
    t.step("small 500")
    two = tracer.snapshot()
    last = final(tracer)
    for s in (one, two, last):
        fits(s)
        check(s["runtime"].startswith("go1."), s["runtime"])
        equal(s["runtimes"], [s["runtime"]], "runtimes")
        equal((s["allocator"], s["since"], s["sizes"]), ("go", "start", "usable"), "what it is")
        equal(s["native"], None, "native")
        equal(s["heap"]["consistency"], "consistent", f"of a program that waits, {s['heap']}")
        equal(s["gc"]["next"], None, "next, of GOGC=off")
        equal(s["loss"]["lost"], 0, f"lost, {s['loss']}")
    unsized = [next((c for c in s["large"] if c["Size"] is None), {"Mallocs": 0})["Mallocs"]
               for s in (one, two)]
    equal(unsized[1] - unsized[0], 30, "blocks above 32 KiB")
    by_size = [next(c for c in s["memstats"]["BySize"] if c["Size"] == 1024)["Mallocs"]
               for s in (one, two)]
    check(500 <= by_size[1] - by_size[0] < 520, f"blocks of 1,000 bytes: {by_size}")
    end(t.p)


@case
def pauses_follow():
    """Each pause is in one snapshot; those that the rings lost are counted."""
    t = program("steps", "normal")
    tracer, one = attach(t.pid)
    equal(one["gc"]["pauses"], [], "pauses of the first snapshot")
    seen, count, missed = [], one["gc"]["count"], 0
    for n in (1, 0, 7, 256, 300, 3):
        t.step(f"gc {n}")
        s = tracer.snapshot()
        gc, count, missed = s["gc"], count + n, missed + max(0, n - 256)
        equal(gc["count"], count, f"count after {n} more")
        equal(len(gc["pauses"]), min(n, 256), f"pauses after {n}")
        equal((s["loss"]["gc_pauses"], s["loss"]["lost"]), (missed, missed), "lost pauses")
        seen += gc["pauses"]
        if n:
            equal(gc["pauses"][-1]["end"], gc["last"], "the end of the newest pause")
    ends = [p["end"] for p in seen]
    equal(ends, sorted(set(ends)), "the pauses' ends in order, each once")
    total_ns = s["gc"]["pause_total_ns"] - one["gc"]["pause_total_ns"]
    check(total(seen, "ns") <= total_ns, f"{total(seen, 'ns')} ns of {total_ns}")
    final(tracer)
    end(t.p)


@case
def c_beside_go():
    t = program("steps", "cgo")
    tracer, one = attach(t.pid, census=True)
    t.step("c 1000 400")
    two = tracer.snapshot()
    for s in (one, two):
        fits(s)
        equal(s["runtimes"], [s["runtime"], "native"], "runtimes")
        equal(s["allocator"][0], "go", "the first allocator")
        equal(s["allocator"][1], s["native"]["allocator"], "the second")
    was, now = (next((c for c in s["native"]["memstats"]["BySize"] if c["Size"] == 80))
                for s in (one, two))
    equal((now["Mallocs"] - was["Mallocs"], now["Frees"] - was["Frees"]), (1000, 400),
          "C's blocks of 64 bytes")
    go = two["memstats"]["Mallocs"] - one["memstats"]["Mallocs"]
    check(go < 500, f"Go allocated {go} meanwhile: C's are among them")
    equal(two["native"]["net"]["Bytes"], two["native"]["memstats"]["Alloc"], "C's net, and Alloc")
    final(tracer)
    end(t.p)


@case
def every_format():
    """The line has NumGC, the table its sections; and promtool finds nothing to say."""
    t = program("steps", "cgo")
    t.step("gc 3")
    line = Tracer("-p", t.pid, "-i", "1h")
    check("NumGC = 3" in line.line(), "NumGC in the line")
    table = line.stop()
    for text in ("Garbage collector", "NumGC 3, 3 of them forced", "next: at no size of the heap",
                 "C memory (", "), not in the numbers above", "consistent: "):
        check(any(text in row for row in table), f"{text!r} in the table")
    page = Tracer("-p", t.pid, "-f", "openmetrics", "-c", "1").wait()
    for text in ("memtrace_gc_duration_seconds_count{", "memtrace_native_memstats_alloc_bytes{"):
        check(any(row.startswith(text) for row in page), text)
    lint = subprocess.run(["promtool", "check", "metrics"], input="\n".join(page) + "\n",
                          text=True, capture_output=True, check=False)
    equal((lint.returncode, lint.stdout + lint.stderr), (0, ""), "promtool")
    end(t.p)


@case
def total_of_both():
    """A total adds up what each process shows, Go or not, and C's of Go programs apart."""
    go, cgo = newest("steps", "normal"), newest("steps", "cgo")
    what = f"echo large 30 | {go}; printf 'c 1000 400\\ngc 3\\n' | {cgo}; /bin/true"
    rc, _, err = memtrace("-f", "json", "-o", tmp("out.json"), "-i", "1h", "--", "/bin/sh", "-c",
                          what)
    equal(rc, 0, f"exit status ({err.strip()})")
    with open(tmp("out.json"), encoding="utf-8") as f:
        snaps = [json.loads(line) for line in f]
    sums, parts = snaps[-1], [s for s in snaps if s["final"] and s["pid"]]
    equal(sums["processes"], len(parts), "processes of the total")
    native = [s for s in parts if s["runtime"] == "native"]
    both = [s for s in parts if s["native"]]
    equal((len(both), len(parts) - len(native)), (1, 2), "Go programs with C, and all")
    for key in ("Mallocs", "Frees", "TotalAlloc", "Alloc", "HeapObjects", "Sys", "NumGC",
                "NumForcedGC", "PauseTotalNs"):
        equal(sums["memstats"][key], sum(s["memstats"][key] for s in parts), key)
    for key in ("Mallocs", "Frees", "Alloc"):
        equal(sums["native"]["memstats"][key], both[0]["native"]["memstats"][key], f"C's {key}")
    equal(sums["gc"]["count"], 3, "collections")
    equal((sums["runtime"], sorted(sums["runtimes"])),
          ("mixed", sorted({"native", both[0]["runtime"]})), "runtimes")
    unsized = [c["Mallocs"] for c in sums["large"] if c["Size"] is None]
    check(unsized and unsized[0] >= 30, f"blocks above 32 KiB: {unsized}")
