# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is found in the files of Go programs: each toolchain's, however they are built,
against their symbols as nm has them; and that it holds in a process."""

import glob
import json
import os
import re
import shutil
import subprocess

from harness import ROOT, TARGETS, Skip, at_exit, case, cases, check, end, equal, need, popen, run, tmp

GO = os.path.join(TARGETS, "go")
TOOL = os.path.join(os.path.dirname(TARGETS), "integration/go_find_tool")
VERSIONS = sorted(os.listdir(GO), key=lambda v: [int(n) for n in v.split(".")]) \
    if os.path.isdir(GO) else []
UNSTRIPPED = ["normal", "pie", "cgo", "cgo-pie"]
STRIPPED = ["stripped", "pie-stripped", "cgo-stripped", "cgo-pie-stripped"]
VARS = ["memstats", "mheap_", "gcController", "allp", "gcphase"]
NEWEST = VERSIONS[-1:] or [None]
each_version = cases(**{str(v): v for v in VERSIONS or [None]})


def quiet(version, variant):
    path = os.path.join(GO, version or "", f"quiet-{variant}")
    if not os.path.exists(path):
        raise Skip(f"{path} was not built: scripts/gos and make go-targets")
    return path


def built(version, variants):
    """Those of them that there are: make go-targets does not make all by each version."""
    there = [w for w in variants if os.path.exists(os.path.join(GO, version or "", f"quiet-{w}"))]
    return there or [quiet(version, variants[0])]


def tool(*args):
    status, out, err = run([TOOL, *map(str, args)])
    check(status in (0, 1), f"go_find_tool {args}: exit status {status}: {err}")
    return [json.loads(line) for line in out.splitlines()]


def inspect(path):
    found = tool("inspect", path)
    equal(len(found), 1, f"Go programs found in {path}")
    check("error" not in found[0], f"{path}: {found[0]}")
    return found[0]


def symbols(path):
    _, out, _ = run([need("nm"), path])
    have = {m[2]: int(m[1], 16) for m in re.finditer(r"^(\w+) \w runtime\.(\w+)$", out, re.M)}
    return {name: have[name] for name in VARS}


def edited(path, old, new):
    """A copy in which some bytes are others, as many."""
    with open(path, "rb") as f:
        data = f.read()
    check(old in data and len(old) == len(new), f"{path} has no {old!r}")
    out = tmp(os.path.basename(path) + "-edited")
    with open(out, "wb") as f:
        f.write(data.replace(old, new))
    return out


def start(path):
    """The program once it has said its version: its runtime is up."""
    p = popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    at_exit(lambda: end(p))
    return p, p.stdout.readline().strip()


@each_version
def symbols_and_code(version):
    """By symbols and DWARF what nm says; without them, by the code, the very same."""
    for variant in built(version, UNSTRIPPED):
        path = quiet(version, variant)
        want = symbols(path)
        found = inspect(path)
        equal(found["version"], f"go{version}", variant)
        check(found["dwarf"], f"{variant}: no layout by DWARF")
        equal(found["tries"][0], want, f"{variant} by symbols")
        bare = tmp(variant)
        equal(run([need("strip"), "-o", bare, path])[0], 0, "strip")
        found = inspect(bare)
        check(not found["dwarf"], f"{variant}: a layout by DWARF that was stripped")
        equal(found["tries"], [want], f"{variant} by its code")


@each_version
def holds(version):
    """What is found holds in a process, for every way of building."""
    for variant in built(version, UNSTRIPPED + STRIPPED):
        path = quiet(version, variant)
        p, said = start(path)
        equal(said, f"go{version}", "what the program says of itself")
        g = tool("attach", p.pid, path)[0]
        check("error" not in g, f"{variant}: {g}")
        want = inspect(path)["tries"][0]
        equal({k: v - g["bias"] for k, v in g["vars"].items()}, want, f"{variant}: variables")
        equal(g["bias"] != 0, "pie" in variant, f"{variant}: a bias")
        equal(g["minor"], int(version.split(".")[1]), f"{variant}: minor version")
        end(p)


def table():
    with open(os.path.join(ROOT, "user/golang/layouts.inc"), encoding="ascii") as f:
        rows = re.finditer(r'^\{"[^"]*", (\d+),\n((?:\t.*\n)*)', f.read(), re.M)
    return {int(r[1]): dict(re.findall(r"\.(\w+) = (\w+),", r[2].replace("MT_GO_ABSENT", "-1")))
            for r in rows}


def no_minus(d):
    return {k: v for k, v in d.items() if v != "-1"}


@each_version
def rows_are_measured(version):
    """The table says what the DWARF of a program says, plain and by the C linker."""
    row = table().get(int((version or "0.0").split(".")[1]), {})
    for variant in built(version, UNSTRIPPED):
        status, out, _ = run([TOOL, "layout", quiet(version, variant)])
        equal(status, 0, f"{variant}: {out}")
        measured = dict(line.split() for line in out.splitlines())
        check(len(measured) > 60, f"only {len(measured)} members")
        equal(no_minus(measured), no_minus(row), variant)


@cases(**{w: w for w in ("normal", "stripped", "cgo-pie-stripped")})
def newer_version(variant):
    """A version that no row has: by its DWARF, or by the row that holds in the process."""
    version = NEWEST[0]
    path = quiet(version, variant)
    newer = "go1.99" + version[4:]
    odd = edited(path, f"go{version}".encode(), newer.encode())
    found = inspect(odd)
    equal(found["version"], newer, "version")
    p, _ = start(path)
    g = tool("attach", p.pid, odd)[0]
    check("error" not in g, g)
    if variant != "normal":
        equal(g["layout"].split(".")[1], version.split(".")[1], "the row that holds")
        check(len(found["tries"]) > 1, "only one way is tried")
    want = inspect(path)["tries"][0]
    equal({k: v - g["bias"] for k, v in g["vars"].items()}, want, "variables")


@cases(**{f"{v}-{w}": (v, w) for v in VERSIONS or [None] for w in ("normal", "stripped")})
def no_version(of):
    """Of a program that does not say its version, the layout says which it is like."""
    version, variant = of
    path = quiet(version, variant)
    odd = edited(path, "\xff Go buildinf:".encode("latin-1"), b"\xff No buildinf:")
    equal(inspect(odd)["version"], "go", "version")
    p, _ = start(path)
    g = tool("attach", p.pid, odd)[0]
    check("error" not in g, g)
    rows = table()  # some are alike
    equal(rows[g["minor"]], rows[int(version.split(".")[1])], f"the row of 1.{g['minor']}")


@case
def wrong_row():
    """A layout that is not the program's is refused, with the reason."""
    version = NEWEST[0]
    path = quiet(version, "stripped")
    old = "go1.19" + version[4:]
    p, _ = start(path)
    g = tool("attach", p.pid, edited(path, f"go{version}".encode(), old.encode()))[0]
    check(g.get("error") and g["why"], f"read by the layout of 1.19: {g}")


@case
def too_old():
    version = NEWEST[0]
    old = "go1.17" + version[4:]
    found = tool("inspect", edited(quiet(version, "normal"), f"go{version}".encode(),
                                   old.encode()))
    equal([f.get("why") for f in found], [f"it was built by {old}: Go is read from 1.19 on"], "why")


@case
def no_go():
    """Files that are no Go programs are none, whatever else they are."""
    paths = [p for p in sorted(glob.glob("/usr/bin/*"))[:300] if os.path.isfile(p)]
    goes = {os.path.realpath(p) for p in paths
            if b"\xff Go buildinf:" in open(os.path.realpath(p), "rb").read()}
    found = {os.path.realpath(f["file"]) for f in tool("inspect", *paths)}
    equal(found, goes, "Go programs among /usr/bin")


@case
def damaged():
    """Cut anywhere, it is a program that cannot be read, or none."""
    path = quiet(NEWEST[0], "cgo")
    size = os.path.getsize(path)
    cut = tmp("cut")
    shutil.copy(path, cut)
    for i in range(63, 0, -1):
        os.truncate(cut, size * i // 64)
        tool("inspect", cut)
        tool("open", cut)
