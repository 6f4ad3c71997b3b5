# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A Go program's MemStats, read from outside, beside what the program itself was
told at the same moment: every field, by every toolchain and way of building."""

import glob
import json
import os
import subprocess

from harness import (BUILD, ROOT, TARGETS, Failure, Lines, Skip, case, cases, check, equal, popen,
                     run, tmp)

GO = os.path.join(TARGETS, "go")
TOOL = os.path.join(ROOT, BUILD, "tests/integration/go_truth_tool")
VERSIONS = sorted(os.path.basename(d) for d in glob.glob(f"{GO}/[0-9]*"))
OTHERS = ("stripped", "pie", "pie-stripped", "cgo", "cgo-stripped", "cgo-pie",
          "cgo-pie-stripped")
SAMPLES = 150
CHUNK = 256 << 10  # in which the runtime's persistentalloc takes memory
SPANS_MAX = 16 << 10


def program(version, name, how="normal"):
    path = f"{GO}/{version}/{name}-{how}"
    if not os.path.exists(path):
        raise Skip(f"no {name} by Go {version}, {how}")
    return path


def flushed_itself(diff):
    """
    True if all that differs is what ReadMemStats itself takes and gives back while
    it flushes the caches, which from outside does not happen: it frees the mspans
    of stack spans in which no stack is left, unless the P that runs it keeps them
    for itself; and it puts spans on lists, and these may have to be made: so much
    of what was OtherSys is then GCSys, and when a chunk is used up there is
    another one, which counts towards the memory limit.
    """
    diff = dict(diff)
    if not -SPANS_MAX <= diff.pop("MSpanInuse", 0) <= 0:
        return False
    lists, chunks = diff.pop("GCSys", 0), diff.pop("Sys", 0)
    if lists < 0 or chunks % CHUNK or chunks < 0 or chunks > lists + CHUNK:
        return False
    if diff.pop("OtherSys", 0) != chunks - lists:
        return False
    return not diff or (chunks and list(diff) == ["NextGC"] and diff["NextGC"] < 0)


def differences(have, true):
    """{field: true - have}; a list that differs as a whole counts as such."""
    fields = [k for k in true if k != "Point"]
    check(len(fields) >= 31, f"its MemStats has only {fields}")
    return {k: true[k] - have[k] if isinstance(true[k], (int, float)) else (have[k], true[k])
            for k in fields if have[k] != true[k]}


def check_classes(m):
    """Memtrace's classes are the same objects as BySize, besides those above it."""
    small = m["BySize"]
    for i in range(len(small)):
        mallocs, frees, alloc, free = m["classes"][i]
        equal((mallocs, frees), (small[i]["Mallocs"], small[i]["Frees"]), f"class {i}")
        equal((alloc, free), (mallocs * small[i]["Size"], frees * small[i]["Size"]),
              f"class {i}, bytes")
    rows = m["classes"] + [m["unsized"]]
    equal(sum(r[2] for r in rows), m["TotalAlloc"], "the classes' bytes")
    equal(sum(r[2] - r[3] for r in rows), m["Alloc"], "the classes' live bytes")
    equal(sum(r[0] - r[1] for r in rows), m["HeapObjects"], "the classes' live objects")


def sample(version, how, n):
    """n readings at the entry of readmemstats_m, and what it said."""
    exe = program(version, "allocs", how)
    symbols = program(version, "allocs", how.replace("stripped", "").strip("-") or "normal")
    out = tmp("read")
    status, said, err = run([TOOL, "trap", out, symbols, exe, str(n)], timeout=300)
    check(status == 0, f"the tool ended with {status}: {err}")
    with open(out, encoding="ascii") as f:
        have = [json.loads(line) for line in f]
    true = [json.loads(line) for line in said.splitlines()]
    equal((len(have), len(true)), (n, n), "readings and MemStats")
    return list(zip(have, true))


def check_samples(pairs):
    own = 0
    for i, (have, true) in enumerate(pairs):
        check(have["consistent"], f"sample {i} is not consistent: {have['why']}")
        diff = differences(have, true)
        check(flushed_itself(diff), f"sample {i} differs: {diff}")
        own += bool(diff)
        check_classes(have)
    # it is the first times that the lists are made, however many follow
    check(own <= max(25, len(pairs) / 3), f"{own} of {len(pairs)} samples differ by what ReadMemStats did")
    check(pairs[-1][1]["NumGC"] > len(pairs) / 10, "it hardly ever collected")


@cases(**{v: v for v in VERSIONS})
def every_field(version):
    check_samples(sample(version, "normal", SAMPLES))


@cases(**{f"{v}-{how}": (v, how) for v in VERSIONS for how in OTHERS
          if os.path.exists(f"{GO}/{v}/allocs-{how}")})
def every_build(what):
    check_samples(sample(*what, 40))


def waits_in_read(pid):
    for path in glob.glob(f"/proc/{pid}/task/*/syscall"):
        with open(path, encoding="ascii") as f:
            if f.read().split()[:2] == ["0", "0x0"]:
                return True
    return False


def read_one(how, pid):
    status, out, err = run([TOOL, how, str(pid)])
    check(status == 0, f"the tool ended with {status}: {err}")
    return json.loads(out)


@cases(**{v: v for v in VERSIONS})
def demo(version):
    for how in ("read", "held"):
        p = popen([program(version, "demo")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        lines, alloc = Lines(p.stdout), {}
        for _ in range(6):
            name = lines.next("a point")
            while not waits_in_read(p.pid):
                check(p.poll() is None, "the demo has ended")
            have = read_one(how, p.pid)
            p.stdin.write(b"\n")
            p.stdin.flush()
            true = json.loads(lines.next("its MemStats"))
            check(have["consistent"], f"{name}: not consistent: {have['why']}")
            equal(differences(have, true), {}, f"{how} at {name}: what differs")
            check_classes(have)
            alloc[name] = have["Alloc"]
        check(alloc["slice deleted, collected"] < alloc["slice deleted"] - (64 << 20),
              "the slice was not freed")
        check(alloc["integers deleted, collected"] > alloc["map of integers"] - (1 << 20),
              "the map's buckets were freed")


def check_flow(rows):
    for a, b in zip(rows, rows[1:]):
        for key in ("TotalAlloc", "Mallocs", "Frees", "NumGC", "PauseTotalNs"):
            check(a[key] <= b[key], f"{key} fell from {a[key]} to {b[key]}")
    for m in rows:
        check_classes(m)
        check(m["consistent"] != bool(m["why"]), f"consistent, and why: {m['why']}")
        equal(m["HeapObjects"], m["Mallocs"] - m["Frees"], "HeapObjects")
        equal(m["Sys"], sum(m[k] for k in ("HeapSys", "StackSys", "MSpanSys", "MCacheSys",
                                           "BuckHashSys", "GCSys", "OtherSys")), "Sys")


@cases(**{v: v for v in VERSIONS})
def at_work(version):
    """While it runs: held, all is of one moment; unheld it mostly is, or says so."""
    p = popen([program(version, "allocs"), "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(b"\n")
    p.stdin.flush()
    Lines(p.stdout).next("its count")
    for how, least in (("read", 0.5), ("held", 0.9)):
        status, out, err = run([TOOL, how, str(p.pid), "200"], timeout=300)
        check(status == 0, f"the tool ended with {status}: {err}")
        rows = [json.loads(line) for line in out.splitlines()]
        equal(len(rows), 200, "readings")
        good = sum(m["consistent"] for m in rows)
        check(good >= least * len(rows), f"{how}: {good} of {len(rows)} were consistent; "
              f"{[m['why'] for m in rows if not m['consistent']][:3]}")
        check_flow([m for m in rows if m["consistent"]])
        check(how == "read" or all(m["stop_ns"] for m in rows if m["consistent"] and how != "read")
              or any(m["stop_ns"] for m in rows), "it was never held")


@cases(**{v: v for v in VERSIONS})
def unnoticed(version, n=300):
    """A program that is held again and again does all that it did, without an error."""
    p = popen([program(version, "steady", "cgo")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lines = Lines(p.stdout)
    equal(lines.next("ready"), "ready", "its first line")
    status, out, err = run([TOOL, "held", str(p.pid), str(n)], timeout=600)
    check(status == 0, f"the tool ended with {status}: {err}")
    rows = [json.loads(line) for line in out.splitlines()]
    equal(len(rows), n, "readings")
    good = sum(m["consistent"] for m in rows)
    check(good >= 0.9 * n, f"only {good} of {n} were consistent: "
          f"{[m['why'] for m in rows if not m['consistent']][:3]}")
    p.stdin.close()
    said = json.loads(lines.next("what it did"))
    equal(said["Errors"], None, "what went wrong in it")
    equal(len(said["Done"]), 8, "what it does")
    equal(p.wait(timeout=60), 0, "its status")


@case
def ended():
    """A process that ends while it is read is gone, not wrong."""
    if not VERSIONS:
        raise Skip("no Go toolchain")
    p = popen([program(VERSIONS[0], "allocs"), "0"], stdin=subprocess.PIPE,
              stdout=subprocess.PIPE)
    tool = popen([TOOL, "held", str(p.pid), "1000000"], stdout=subprocess.PIPE,
                 stderr=subprocess.PIPE)
    Lines(tool.stdout).next("a reading")
    p.kill()
    out, err = tool.communicate(timeout=60)
    equal(tool.returncode, 1, "the tool's status")
    if b"No such process" not in err:
        raise Failure(f"it said {err!r}")
    for line in out.splitlines():
        json.loads(line)
