# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Go programs as targets of the whole program: launched, attached to, followed, held,
with C memory beside, refused. That what is read is right: test_go_truth."""

import json
import os
import shutil
import subprocess

from harness import (MEMTRACE, Failure, Skip, Target, Tracer, Truth, attach, case, cases, check, compare,
                     count_env, equal, final, memtrace, popen, run, target, tmp)
from test_life import wait_for

GO = target("go")
VERSIONS = sorted(os.listdir(GO), key=lambda v: [int(n) for n in v.split(".")]) \
    if os.path.isdir(GO) else []
NEWEST = VERSIONS[-1:] or [None]
OWN = ("Mallocs", "Frees", "TotalAlloc", "HeapObjects", "Alloc", "NumGC")


def program(version, name, variant="normal"):
    path = os.path.join(GO, version or "", f"{name}-{variant}")
    if not os.path.exists(path):
        raise Skip(f"{path} was not built: scripts/gos and make go-targets")
    return path


def turns(version=NEWEST[0], variant="normal", **kw):
    return Target(program(version, "turns", variant), **kw)


def go_of(snap, version):
    equal(snap["runtime"], f"go{version}", "runtime")
    return snap["memstats"]


def own(line):
    return dict(zip(OWN, map(int, line.split())))


def same(m, line, slack=0):
    """The program's numbers are those of the moment: what it does next allocates nothing."""
    want = own(line)
    have = {k: m[k] for k in want}
    wrong = {k: (have[k], v) for k, v in want.items() if abs(have[k] - v) > slack}
    check(not wrong, f"not what the program says of itself (have, want): {wrong}")


@cases(**{str(v): v for v in VERSIONS or [None]})
def levels(version):
    """What was there before the attach, and what comes, as the program has it. On a
    busy machine the runtime may start a thread of its own between the two readings,
    which allocates."""
    for last in (False, False, True):
        try:
            return compare_levels(version)
        except Failure:
            if last:
                raise


def compare_levels(version):
    t = turns(version)
    t.step("keep 5000")
    tracer, first = attach(t.pid)
    equal(first["since"], "start", "since")
    equal(first["runtimes"], [f"go{version}"], "runtimes")
    equal(first["allocator"], "go", "allocator")
    equal(first["native"], None, "C memory of a program that has none")
    same(go_of(first, version), t.step("stats", None))
    t.step("keep 100")
    t.step("gc 2")
    same(tracer.snapshot()["memstats"], t.step("stats", None))
    t.step("drop")
    t.step("gc 2")
    snap = tracer.snapshot()
    same(snap["memstats"], t.step("stats", None))
    equal(snap["loss"]["lost"], 0, "lost")
    check(snap["memstats"]["Frees"] > 5000, "nothing was freed")
    last = final(tracer)
    check(last["final"], "the last snapshot is not the final one")
    equal(t.finish(), 0, "the target's exit status")


@cases(**{f"{v}-{w}": (v, w) for v in VERSIONS or [None] for w in ("normal", "stripped")})
def last_numbers(of):
    """A program that ends is waited for: its numbers at its end."""
    version, variant = of
    t = turns(version, variant)
    tracer, _ = attach(t.pid)
    t.step("keep 3000")
    t.step("gc 1")
    line = t.step("exit 7", None)
    equal(t.p.wait(60), 7, "exit status")
    last = json.loads(tracer.wait()[-1])
    same(go_of(last, version), line)
    equal(last["heap"]["consistency"], "consistent", f"consistency ({last['heap']})")


@cases(**{str(v): v for v in VERSIONS or [None]})
def launched(version):
    """From the first instruction, at which its runtime is not there yet."""
    out = tmp("out.json")
    rc, said, err = run([MEMTRACE, "-f", "json", "-o", out, "--", program(version, "turns")],
                        stdin=subprocess.PIPE)
    equal(rc, 0, f"exit status ({err})")
    equal(said, "ready\n", "what the program says")
    with open(out) as f:
        snaps = [json.loads(line) for line in f]
    for s in snaps:
        go_of(s, version)
        equal(s["heap"]["consistency"], "consistent", f"consistency ({s['heap']})")
    equal(snaps[0]["memstats"]["Mallocs"], 0, "Mallocs before the first instruction")
    check(snaps[-1]["final"] and snaps[-1]["memstats"]["Mallocs"] > 50, "it allocated nothing")
    equal(err, "", "messages")


@case
def ended_by_a_signal():
    """Nobody waits then: the numbers are older, which is said."""
    t = turns()
    tracer, first = attach(t.pid)
    t.p.kill()
    last = json.loads(tracer.wait()[-1])
    equal(last["memstats"], first["memstats"], "MemStats")
    equal(last["heap"]["consistency"], "approximate", "consistency")
    check("ended" in last["heap"]["why"], f"why: {last['heap']}")


@case
def follows_exec():
    """A shell that is traced becomes a Go program, and another program again."""
    path = program(NEWEST[0], "turns")
    t = Target("/bin/sh", "-c", f"echo ready; read x; exec {path}")
    tracer, first = attach(t.pid)
    equal(first["runtime"], "native", "runtime of the shell")
    t.say()
    equal(t.lines.next("turns"), "ready", "the program's first line")
    t.step("keep 100")
    snap = tracer.snapshot()
    same(go_of(snap, NEWEST[0]), t.step("stats", None))
    equal(snap["native"], None, "C memory")
    equal(snap["loss"]["lost"], 0, "lost")
    tracer.stop()


@case
def children():
    """A tree of shells and Go programs: each by itself, and the total of all."""
    path, out = program(NEWEST[0], "turns"), tmp("out.json")
    script = f"(echo exit 3 | {path}; true) & echo keep 100 | {path}; wait"
    rc, said, err = run([MEMTRACE, "-f", "json", "-o", out, "--", "sh", "-c", script])
    equal(rc, 0, f"exit status ({err})")
    with open(out) as f:
        last = [s for s in map(json.loads, f) if s["final"]]
    goes = [s for s in last if s["runtime"] == f"go{NEWEST[0]}"]
    equal(len(goes), 2, "Go programs")
    total = [s for s in last if s["pid"] == 0][0]
    for key in ("Mallocs", "TotalAlloc", "Frees"):
        equal(total["memstats"][key], sum(s["memstats"][key] for s in last if s["pid"]), key)
    equal(sorted(total["runtimes"]), sorted(["native", f"go{NEWEST[0]}"]), "runtimes")
    equal([s["loss"]["lost"] for s in last], [0] * len(last), "lost")
    line = next(x for x in said.splitlines() if x[0].isdigit())
    check(any(s["memstats"]["Mallocs"] == own(line)["Mallocs"] for s in goes),
          f"none of them is at its end as it says: {line}")


@case
def whole_machine():
    """One that runs already and one that comes later, under -a."""
    before = turns(ready="ready")
    before.step("keep 1000")
    tracer = Tracer("-a", "-n", "turns-normal", "-f", "json", "-i", "1h", "--no-census")
    first = tracer.object()
    equal(first["pid"], before.pid, "pid")
    same(go_of(first, NEWEST[0]), before.step("stats", None))
    later = turns(ready="ready")
    later.step("keep 10")
    tracer.p.send_signal(10)
    snaps = [tracer.object(), tracer.object()]
    equal({s["pid"] for s in snaps}, {before.pid, later.pid}, "pids")
    equal(snaps[0]["pid"], before.pid, "the larger one comes first")
    same(snaps[1]["memstats"], later.step("stats", None))
    tracer.stop()


@cases(**{str(v): v for v in VERSIONS or [None]})
def pauses(version):
    """Each pause is in one snapshot, and what the rings no longer had is loss."""
    t = turns(version)
    tracer, first = attach(t.pid)
    equal(first["gc"]["pauses"], [], "pauses of before")
    seen, missed = [], 0
    for n in (1, 0, 255, 3, 256, 300):
        t.step(f"gc {n}")
        snap = tracer.snapshot()
        m, gc = snap["memstats"], snap["gc"]
        equal(len(gc["pauses"]), min(n, 256), f"pauses of {n} collections")
        missed += n - min(n, 256)
        equal(snap["loss"]["gc_pauses"], missed, "pauses lost")
        equal(snap["loss"]["lost"], missed, "lost")
        seen += gc["pauses"]
        equal(gc["count"], m["NumGC"], "count")
        equal(gc["forced"], m["NumForcedGC"], "forced")
        if n:
            equal(gc["pauses"][-1]["ns"], m["PauseNs"][(m["NumGC"] + 255) % 256], "last pause")
    equal(len(seen) + missed, snap["memstats"]["NumGC"], "pauses and missed ones")
    equal([p["end"] for p in seen], sorted(p["end"] for p in seen), "order of the pauses")
    if not missed:
        equal(sum(p["ns"] for p in seen), snap["memstats"]["PauseTotalNs"], "their sum")
    tracer.stop()


@cases(**{str(v): v for v in VERSIONS or [None]})
def c_memory(version):
    """Of a cgo program both sides, each exact, none in the other."""
    counts = tmp("counts")
    t = turns(version, "cgo", env=count_env(counts))
    t.step("malloc 500")
    t.step("keep 500")
    tracer = Tracer("-p", t.pid, "-f", "json", "-i", "1h")
    first = tracer.object()
    t.step("malloc 1000")
    snap = tracer.snapshot()
    same(go_of(snap, version), t.step("stats", None))
    equal(snap["runtimes"], [f"go{version}", "native"], "runtimes")
    check(len(snap["allocator"]) == 2 and snap["allocator"][0] == "go", snap["allocator"])
    native = snap["native"]
    equal(native["since"], "census", "since of the C memory")
    truth = Truth(counts)
    equal(native["memstats"]["HeapObjects"], truth.sum(0) - truth.sum(1), "blocks of C")
    equal(native["memstats"]["Alloc"], truth.sum(2) - truth.sum(3), "bytes of C")
    equal(native["memstats"]["Mallocs"] - first["native"]["memstats"]["Mallocs"], 1000, "mallocs")
    equal(snap["loss"]["lost"], 0, "lost")
    tracer.stop()


@cases(asked=("--freeze", True), one=("-c1", True), forbidden=("--no-freeze", False))
def held(how):
    """--freeze holds a program that never rests; one snapshot does, too."""
    option, holds = how
    t = popen([program(NEWEST[0], "allocs"), "0"], stdin=subprocess.PIPE,
              stdout=subprocess.DEVNULL)
    wait_for(lambda: len(os.listdir(f"/proc/{t.pid}/task")) > 3, "its threads")
    rc, out, err = memtrace("-p", t.pid, "-f", "json", "--no-census", option,
                            *([] if option == "-c1" else ["50ms", "5"]))
    equal(rc, 0, f"exit status ({err})")
    snaps = [json.loads(line) for line in out.splitlines()]
    stops = [s["heap"]["stop_ns"] > 0 for s in snaps]
    equal(any(stops), holds, f"held, by {[s['heap'] for s in snaps]}")
    if holds:
        equal([s["heap"]["consistency"] for s in snaps], ["consistent"] * len(snaps),
              "consistency")
    equal(t.poll(), None, "the target's end")


@case
def held_too_long():
    """It is let go in time, and the reading is what it would be without."""
    t = popen([program(NEWEST[0], "allocs"), "0"], stdin=subprocess.PIPE,
              stdout=subprocess.DEVNULL)
    wait_for(lambda: len(os.listdir(f"/proc/{t.pid}/task")) > 3, "its threads")
    rc, out, err = memtrace("-p", t.pid, "-f", "json", "--no-census", "--freeze", "--max-stop",
                            "1us", "-c1")
    equal(rc, 0, f"exit status ({err})")
    snap = json.loads(out)
    check(snap["memstats"]["Mallocs"] > 0, "nothing was read")
    check(snap["heap"]["stop_ns"] < 250_000_000, f"held: {snap['heap']}")


def other_version(path, version):
    """A copy of a program whose build says another version of the same length."""
    with open(path, "rb") as f:
        data = f.read()
    old = f"go{NEWEST[0]}".encode()
    new = version.encode().ljust(len(old), b"0")
    equal(len(new), len(old), "length of the version")
    copy = tmp("other")
    with open(copy, "wb") as f:
        f.write(data.replace(old, new))
    os.chmod(copy, 0o755)
    return copy


@cases(normal="normal", cgo="cgo")
def too_old(variant):
    """Refused in one line; of a cgo program the C memory is left."""
    t = Target(other_version(program(NEWEST[0], "turns", variant), "go1.17."))
    rc, out, err = memtrace("-p", t.pid, "-f", "json", "-c1")
    check("Go program whose own numbers cannot be read" in err and "1.17" in err, err)
    if variant == "cgo":
        equal(rc, 0, f"exit status ({err})")
        snap = json.loads(out)
        equal((snap["runtime"], snap["native"], snap["gc"]), ("native", None, None), "runtime")
        equal(err.count("\n"), 1, f"lines of {err!r}")
    else:
        equal(rc, 1, "exit status")
        equal(out, "", "output")


@case
def newer_by_dwarf():
    """A version that nobody knows is read by its debugging information."""
    t = Target(other_version(program(NEWEST[0], "turns"), "go1.99."))
    rc, out, err = memtrace("-p", t.pid, "-f", "json", "-c1")
    equal((rc, err), (0, ""), "exit status and messages")
    same(json.loads(out)["memstats"], t.step("stats", None))


@case
def newer_stripped():
    """And without that by the layout that holds."""
    t = Target(other_version(program(NEWEST[0], "turns", "stripped"), "go1.99."))
    rc, out, err = memtrace("-p", t.pid, "-f", "json", "-c1")
    equal((rc, err), (0, ""), "exit status and messages")
    same(json.loads(out)["memstats"], t.step("stats", None))


@case
def no_probes_in_text():
    """But the one where it ends, the program's text is as it was."""
    path = program(NEWEST[0], "turns")
    t = Target(path)
    tracer, _ = attach(t.pid)
    with open(f"/proc/{t.pid}/maps") as f:
        lo, hi, off = next((*(int(x, 16) for x in line.split()[0].split("-")),
                            int(line.split()[2], 16))
                           for line in f if path in line and " r-xp " in line)
    with open(path, "rb") as f, open(f"/proc/{t.pid}/mem", "rb") as mem:
        f.seek(off)
        text = f.read(hi - lo)
        mem.seek(lo)
        changed = [i for i, (a, b) in enumerate(zip(text, mem.read(len(text)))) if a != b]
    check(len(changed) <= 1, f"{len(changed)} bytes of its text have changed")
    tracer.stop()


@case
def nothing_to_walk():
    """A census and an audit are of C memory: that there is none is said."""
    t = turns()
    rc, out, err = memtrace("census", "-p", t.pid)
    equal((rc, out, err.count("\n")), (1, "", 1), "exit status, output and lines")
    check("Go program" in err and f"-p {t.pid}" in err, err)
    rc, out, err = memtrace("-p", t.pid, "--audit", "-f", "json", "-c1")
    equal(rc, 1, "exit status")
    check("Go program" in json.loads(out)["audit"]["why"], out[-300:])


@case
def doctor():
    t = turns(variant="stripped")
    rc, out, err = memtrace("doctor", "-p", t.pid)
    equal((rc, err), (0, ""), "exit status and messages")
    check(f"go{NEWEST[0]}: its numbers are read" in out and "runtime.exit" in out, out)
    check("can trace this process" in out, out)


@case
def usage():
    rc, _, err = memtrace("-p", os.getpid(), "--freeze", "--no-freeze")
    equal(rc, 2, "exit status")
    check("--freeze" in err and err.count("\n") == 1, err)


@case
def service():
    """A real service of Debian's: what it exports of itself is what is seen."""
    exe = shutil.which("prometheus")
    if not exe:
        raise Skip("prometheus is not installed")
    rc, out, err = memtrace("-f", "json", "--", exe, "--version")
    equal(rc, 0, f"exit status ({err})")
    last = [json.loads(x) for x in out.splitlines() if x.startswith("{")][-1]
    check(last["runtime"].startswith("go1.") and last["memstats"]["Mallocs"] > 1000, last["runtime"])
    equal(last["heap"]["consistency"], "consistent", "consistency")
    equal(last["loss"]["lost"], 0, "lost")
