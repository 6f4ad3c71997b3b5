# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the census's cases share: the other C libraries, asking for a census, and
comparing it with what libmtcount.so counted inside the target."""

import glob
import json
import os
import re
import shutil
import time

from harness import (BUILD, CLASSES, PRELOAD, ROOT, Failure, Skip, Target, Truth, check, class_size,
                     equal, memtrace, one_line, run, target, tmp)

LIBCS = os.path.join(ROOT, BUILD, "libcs")
SUITES = ("bullseye", "bookworm", "trixie", "sid")
FIGURES = ("in_use", "free", "top", "cached", "fast", "other")


def own_suite():
    with open("/etc/os-release") as f:
        m = re.search(r"^VERSION_CODENAME=(\w+)", f.read(), re.M)
    return m and m[1]


def read(path):
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError:
        return ""


def loaders():
    """{name: the loader}: None for the machine's own C library, "" for one that is not here."""
    found = {"own": None}
    for suite in SUITES:
        version = read(f"{LIBCS}/{suite}.version")
        where = [p for lib in ("lib", "usr/lib") if os.path.exists(
            p := f"{LIBCS}/{version}/{lib}/x86_64-linux-gnu/ld-linux-x86-64.so.2")]
        if version and where:
            found[version.split("-")[0]] = where[0]
        elif suite != own_suite():
            found[suite] = ""
    return found


LOADERS = loaders()


def loaded(name, *argv):
    """argv by that C library and with the preload: the command and its environment."""
    ld = LOADERS[name]
    if ld == "":
        raise Skip(read(f"{LIBCS}/{name}.why") or f"no {LIBCS}/{name}: scripts/libcs gets it")
    if ld is None:
        return list(argv), {"LD_PRELOAD": PRELOAD}
    return [ld, "--library-path", os.path.dirname(ld), "--preload", PRELOAD, *argv], {}


def with_library(suite, lib, *argv):
    """argv under the count and that release's allocator: the command and its environment.
    By the machine's own C library, unless it is too old for it."""
    if not run(["/bin/true"], env={**os.environ, "LD_PRELOAD": lib})[2]:
        return list(argv), {"LD_PRELOAD": f"{PRELOAD} {lib}"}
    version = read(f"{LIBCS}/{suite}.version")
    ld = LOADERS[version.split("-")[0]]
    # The machine's C++ library alone, not what else lies beside it.
    for name in ("libstdc++.so.6", "libgcc_s.so.1"):
        found = glob.glob(f"/usr/lib/x86_64-linux-gnu/{name}") + glob.glob(f"/lib/*/{name}")
        if not found:
            raise Skip(f"no {name} on this machine")
        shutil.copy(found[0], tmp(name))
    path = f"{os.path.dirname(ld)}:{os.path.dirname(tmp('x'))}"
    return [ld, "--library-path", path, "--preload", f"{PRELOAD} {lib}", *argv], {}


class Counted(Target):
    """A census target under the preload; self.pid is the one that says "ready"."""

    def __init__(self, libc, program, *args, env=None):
        counts = tmp(f"counts-{time.monotonic_ns()}")
        argv, more = loaded(libc, target(program), *args)
        super().__init__(*argv, ready=None, env={"MTCOUNT_FILE": counts, "MTCOUNT_FORK": "1",
                                                 **more, **(env or {})})
        said = self.lines.next(program).split()
        if said[0] == "cannot":
            raise Skip(f"the target could not make its heap: {os.strerror(int(said[1]))}")
        equal(said[0], "ready", "what the target says first")
        self.pid = int(said[1])
        self.counts = counts if self.pid == self.p.pid else f"{counts}.{self.pid}"

    def truth(self):
        return Truth(self.counts)

    def arenas(self):
        """What its malloc_info says of each: (system, fast, free and top, free blocks)."""
        self.say("i")
        text = ""
        while (line := self.lines.next("malloc_info")) != "done":
            text += line
        return [arena_said(heap) for heap in re.findall(r'<heap nr="\d+">(.*?)</heap>', text)]


def arena_said(heap):
    rest = re.search(r'<total type="rest" count="(\d+)" size="(\d+)"', heap)
    fast = re.search(r'<total type="fast" count="\d+" size="(\d+)"', heap)
    system = re.search(r'<system type="current" size="(\d+)"', heap)
    # The top is one of the rest.
    return int(system[1]), int(fast[1]) if fast else 0, int(rest[2]), int(rest[1]) - 1


def census(pid, *args, timeout=120):
    """The census, or None and why there is none."""
    rc, out, err = memtrace("census", "-p", pid, "-f", "json", *args, timeout=timeout)
    lines = out.splitlines()
    if rc == 1:
        equal(lines, [], "output beside the refusal")
        one_line(err, "no census")
        return None, err.strip()
    equal(rc, 0, f"exit status ({err.strip()})")
    equal(len(lines), 1, "lines of output")
    c = json.loads(lines[0])
    equal(c["heap"]["baseline"], "census", "baseline")
    adds_up(c)
    return c, None


def sound(pid, *args):
    """One that has all the time that it wants: machines differ."""
    c, why = census(pid, *(args or ("--max-stop", "10s")))
    check(c, f"no census: {why}")
    return c


def by_class(live):
    return {c["Size"]: (c["Objects"], c["Bytes"]) for c in live if c["Objects"] or c["Bytes"]}


def adds_up(c):
    """What must hold of every sound census, whatever the target does."""
    heap = c["heap"]
    for a in heap["arenas"]:
        equal(sum(a[k] for k in FIGURES), a["system"], f"parts of the arena {a}")
        check(all(a[k] >= 0 for k in FIGURES), f"negative in the arena {a}")
    equal(sum(a["objects"] for a in heap["arenas"]) + heap["mapped"]["objects"], c["objects"],
          "objects of the arenas and those mapped")
    live = by_class(c["live"])
    equal(sum(n for n, _ in live.values()), c["objects"], "objects of the classes")
    equal(sum(n for _, n in live.values()), c["bytes"], "bytes of the classes")


def truth_classes(truth):
    live = {class_size(i): (t[0] - t[1], t[2] - t[3]) for i, t in enumerate(truth.cls[:CLASSES])}
    return {k: v for k, v in live.items() if v != (0, 0)}


def same_levels(objects, bytes_, live, truth):
    """Levels against the truth, to the last block and byte of every class."""
    have, want = by_class(live), truth_classes(truth)
    wrong = [f"class {k}: {have.get(k, (0, 0))}, expected {want.get(k, (0, 0))}"
             for k in sorted(have.keys() | want.keys()) if have.get(k) != want.get(k)]
    for what, a, b in (("objects", objects, truth.sum(0) - truth.sum(1)),
                       ("bytes", bytes_, truth.sum(2) - truth.sum(3))):
        if a != b:
            wrong.append(f"{what}: {a}, expected {b} ({a - b:+d})")
    check(not wrong, "not as counted inside the target: " + "; ".join(wrong[-12:]))


def same(c, truth):
    same_levels(c["objects"], c["bytes"], c["live"], truth)


def same_arenas(c, said):
    """Each arena against what the C library itself says of it."""
    have = sorted((a["system"], a["fast"], a["free"] + a["top"]) for a in c["heap"]["arenas"])
    equal([a[:2] for a in have], [a[:2] for a in sorted(said)],
          "arenas: (system, fast), by malloc_info")
    for (system, _, free), (_, _, rest, n) in zip(have, sorted(said)):
        # It adds the flags of the free blocks' headers, which are 1 or 5.
        check(n <= rest - free <= 5 * n and (rest - free - n) % 4 == 0,
              f"free and top of the arena of {system}: {free}, malloc_info says {rest} of {n}")


def asleep(pid):
    """Whether all threads sleep: none stands between the preload's count and the deed."""
    for stat in glob.glob(f"/proc/{pid}/task/*/stat"):
        if read(stat).rpartition(")")[2].split()[:1] != ["S"]:
            return False
    return True


def settled(take, pid, counts, compare, tries=200):
    """Takes something while nothing happens in the target, which is not ours to hold."""
    for _ in range(tries):
        if not asleep(pid):
            time.sleep(0.01)
            continue
        before = Truth(counts)
        got = take()
        if Truth(counts).cls == before.cls:
            compare(got, before)
            return got
    raise Failure(f"process {pid} was never still in {tries} tries")
