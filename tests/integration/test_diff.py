# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""memtrace diff of saved snapshots: what it says is computed again from the files, of
real processes; and whatever a file may be, it is one line that says what is wrong."""

import gzip
import json
import os
import shutil

from harness import (BUILD, MEMTRACE, PYTHON, ROOT, Target, Tracer, attach, case, check, end,
                     equal, final, memtrace, need, run, tmp)
from test_go_show import program

SAVED_TOOL = os.path.join(ROOT, BUILD, "tests/integration/saved_tool")

# Holds one more block of as many bytes as each line says, or lets the last one go.
HOLDER = """
import sys
kept = []
print("ready", flush=True)
for line in sys.stdin:
    if line[0] == "-":
        kept.pop()
    else:
        kept.append(bytearray(int(line)))
    print("done", flush=True)
"""


def holder():
    return Target(PYTHON, "-S", "-c", HOLDER)


def save(name, snaps):
    path = tmp(name)
    with open(path, "w", encoding="utf-8") as f:
        for s in snaps:
            f.write(s if isinstance(s, str) else json.dumps(s))
            f.write("\n")
    return path


def diff(*args, status=0, **kw):
    rc, out, err = memtrace("diff", *args, **kw)
    equal((rc, err), (status, ""), f"memtrace diff {' '.join(map(str, args))}")
    return out


def as_json(*args):
    d = json.loads(diff("-f", "json", *args))
    equal(d["schema"], "memtrace-diff/1", "schema")
    return d


def numbers(s):
    """What a row may be of, by its name."""
    n = {k: v for k, v in s["memstats"].items() if not isinstance(v, list)}
    n.update({k: v for k, v in s["vm"].items() if isinstance(v, int) and k != "parts_age_ns"})
    for call in ("mmap", "munmap", "mremap", "brk", "madvise"):
        of = s["vm"][call]
        n.update({f"{call}.{k}": of[k] for k in ("calls", "bytes", "released") if k in of})
    if s["native"]:
        n.update({f"native.{k}": v for k, v in s["native"]["memstats"].items()
                  if not isinstance(v, list)})
    return n


# Of a Go program's C memory these are rows: the others are of the whole process.
OF_HEAP = {"Alloc", "TotalAlloc", "Mallocs", "Frees", "HeapAlloc", "HeapSys", "HeapIdle",
           "HeapInuse", "HeapReleased", "HeapObjects", "MSpanInuse", "MSpanSys", "MCacheInuse",
           "MCacheSys"}


def same_rows(p, old, new):
    """Every number that changed is a row, and no other is."""
    a, b = numbers(old), numbers(new)
    want = {k for k in a if a[k] != b[k] and
            (not k.startswith("native.") or k[7:] in OF_HEAP)}
    equal(set(p["rows"]) - {"net.Bytes", "net.Objects"}, want, "what changed")
    for k in want:
        row = p["rows"][k]
        if k == "GCCPUFraction":
            check(abs(row["new"] - b[k]) < 1e-9, f"{k}: {row}, {b[k]}")
            continue
        equal((row["old"], row["new"]), (a[k], b[k]), k)
        if not isinstance(a[k], bool) and k not in ("LastGC", "NextGC"):
            equal(row["change"], b[k] - a[k], f"change of {k}")


def levels(s, key):
    return {c["Size"]: c[key] for c in s["net"]["live"]}


def same_classes(v, old, new):
    for key in ("Objects", "Bytes"):
        a, b = levels(old, key), levels(new, key)
        want = {size: b.get(size, 0) - a.get(size, 0) for size in {**a, **b}}
        equal({c["Size"]: c[key]["change"] for c in v if c[key]["change"]},
              {size: n for size, n in want.items() if n}, f"{key} by class")


def round_trip(path):
    rc, out, err = run([SAVED_TOOL, path])
    equal((rc, err), (0, ""), f"saved_tool {path}")
    with open(path, encoding="utf-8") as f:
        check(f.read() == out, f"{path} is not the same when it was read and written")


def trace(t, steps, *args, census=True):
    """Snapshots before the first step and after each, as the file that they are."""
    path = tmp(f"trace-{t.pid}.ndjson")
    tracer, _ = attach(t.pid, *args, census=census)
    snaps = [tracer.snapshot()]
    for step in steps:
        t.step(step)
        snaps.append(tracer.snapshot())
    final(tracer)
    save(path, (json.dumps(s) for s in snaps))
    return path, snaps


@case
def says_what_changed():
    t = holder()
    path, snaps = trace(t, ["100000", "300000", "-"])
    d = as_json(path)
    p, = d["processes"]
    same_rows(p, snaps[0], snaps[-1])
    same_classes(p["classes"], snaps[0], snaps[-1])
    equal((p["notes"], d["notes"], d["came"], d["went"]), ([], [], [], []), "nothing else")
    equal((p["leak"], p["native"]), (None, None), "of one pair there is no verdict")
    for a, b in ((1, 3), (2, 2), (3, 0)):
        p, = as_json(f"{path}:{snaps[a]['seq']}", f"{path}:{snaps[b]['seq']}")["processes"]
        same_rows(p, snaps[a], snaps[b])
        equal(any("newer than NEW" in n for n in p["notes"]), a > b, f"notes, {p['notes']}")
    grown = as_json(f"{path}:{snaps[1]['seq']}", f"{path}:{snaps[2]['seq']}")
    check(grown["processes"][0]["rows"]["Alloc"]["change"] >= 300000, "Alloc of 300000 bytes")
    end(t.p)


@case
def without_a_base():
    """Frees of blocks that are older than the attach: levels below 0."""
    t = holder()
    t.step("500000")
    path, snaps = trace(t, ["-"], census=False)
    p, = as_json(path)["processes"]
    same_rows(p, snaps[0], snaps[-1])
    same_classes(p["classes"], snaps[0], snaps[-1])
    net = p["rows"]["net.Bytes"]
    check(net["change"] < -400000, f"net.Bytes {net}")
    line = diff("-f", "line", "-u", "B", path)
    check(line.startswith(f"Alloc {net['change']} B\tTotalAlloc +"), line)
    check("\t(since attach)" in line, line)
    end(t.p)


def written(name, pid, *args):
    """A file that memtrace itself has written."""
    path = tmp(name)
    rc, _, err = memtrace("-p", pid, "-f", "json", "-i", "10ms", "-o", path, *args)
    equal(rc, 0, err)
    return path


@case
def reads_what_was_written():
    """Of real processes, to the byte."""
    t = holder()
    round_trip(written("native.ndjson", t.pid, "-c", "3", "--audit", "--label", "a\nb"))
    round_trip(written("attach.ndjson", t.pid, "-c", "2", "--no-census"))
    end(t.p)
    rc, _, err = memtrace("-f", "json", "-i", "20ms", "-o", tmp("tree.ndjson"), "--", "sh", "-c",
                          "/bin/true; ls / >/dev/null; exit 0")
    equal(rc, 0, err)
    round_trip(tmp("tree.ndjson"))  # its total, too


def of_go(variant, steps):
    t = program("steps", variant)
    path, snaps = trace(t, steps)
    p, = as_json(path)["processes"]
    same_rows(p, snaps[0], snaps[-1])
    same_classes(p["classes"], snaps[0], snaps[-1])
    equal(next(c for c in p["classes"] if c["Size"] is None)["Objects"]["change"], 30,
          "blocks above 32 KiB")
    round_trip(written(f"{variant}.ndjson", t.pid, "-c", "2"))
    check(snaps[0]["memstats"]["NextGC"] > 1 << 62, "NextGC of GOGC=off")
    end(t.p)
    return p


@case
def go():
    equal(of_go("normal", ["large 30"])["native"], None, "C memory")


@case
def go_and_c():
    p = of_go("cgo", ["large 30", "c 1000 400"])
    small = next(c for c in p["native"]["classes"] if c["Size"] == 80)
    equal((small["Mallocs"], small["Frees"]), (1000, 400), "C's blocks of 64 bytes")
    equal(small["Bytes"]["change"], 600 * 72, "C's live bytes of these")


@case
def several_processes():
    a, b, c = holder(), holder(), holder()
    one = written("one.ndjson", f"{a.pid},{b.pid}", "-c", "1")
    b.step("400000")
    end(a.p)
    two = written("two.ndjson", f"{b.pid},{c.pid}", "-c", "2")
    d = as_json(one, two)
    equal([p["pid"] for p in d["processes"]], [b.pid], "in both")
    equal(([s["pid"] for s in d["came"]], [s["pid"] for s in d["went"]]), ([c.pid], [a.pid]),
          "came and went")
    check(d["processes"][0]["rows"]["Alloc"]["change"] > 400000, "Alloc")
    check(any("two traces" in n for n in d["processes"][0]["notes"]), "two traces")
    check(any("last of 2 moments" in n for n in d["notes"]), f"notes {d['notes']}")
    table = diff(one, two)
    for text in (f"python3[{b.pid}]", "Came", "Went", f"python3[{a.pid}]"):
        check(text in table, f"no {text} in {table}")
    check(max(map(len, table.splitlines())) <= 80, "wider than 80 columns")
    # One file with both: the first and the last of each.
    with open(one, encoding="utf-8") as f, open(two, encoding="utf-8") as g:
        both = save("both.ndjson", (line.rstrip("\n") for line in [*f, *g]))
    d = as_json(both)
    equal({p["pid"] for p in d["processes"]}, {b.pid, c.pid}, "with more than one snapshot")
    equal([s["pid"] for s in d["went"]], [a.pid], "with one")
    for t in (b, c):
        end(t.p)


@case
def names_and_outputs():
    t = holder()
    path = written("a:1", t.pid, "-c", "3")
    end(t.p)
    plain = as_json(path)["processes"][0]
    equal(plain["new"]["seq"], 2, "seq of the last")
    equal(as_json(f"{path}:0", f"{path}:2")["processes"][0]["rows"], plain["rows"], "FILE:SEQ")
    equal(as_json(f"{path}:0", path)["processes"][0]["new"]["seq"], 2, "FILE is its last")
    shutil.copy(path, tmp("a"))
    equal(as_json(f"{tmp('a')}:0", path)["processes"][0]["new"]["seq"], 2,
          "a:1 is a file, whatever a is")
    with open(path, "rb") as f:
        out = diff("-f", "line", "-", stdin=f)
    check(out.startswith("Alloc +") or out.startswith("Alloc -"), out)
    # Aside and renamed: a link to what was there keeps it.
    report = tmp("out.txt")
    with open(report, "w", encoding="utf-8") as f:
        f.write("old")
    os.link(report, tmp("link"))
    equal(diff("-o", report, path), "", "standard output")
    with open(report, encoding="utf-8") as f, open(tmp("link"), encoding="utf-8") as g:
        check("python3[" in f.read() and g.read() == "old", "the file was not replaced")
    equal(sorted(n for n in os.listdir(os.path.dirname(report)) if "tmp" in n), [], "left over")
    check("\033[" in diff("--color", "always", path), "colour")
    check("\033[" not in diff(path), "no colour in a pipe")
    # No privileges are needed.
    copy = tmp("memtrace")
    shutil.copy(MEMTRACE, copy)
    rc, out, err = run([need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", copy,
                        "diff", path])
    equal((rc, err), (0, ""), "as nobody")


@case
def strict():
    t = holder()
    path, snaps = trace(t, ["10"])
    end(t.p)
    equal(diff("--strict", "-f", "line", path).count("LOST"), 0, "nothing lost")
    snaps[1]["loss"]["map_full"] = 7
    out = diff("--strict", "-f", "line", save("lost", snaps), status=3)
    check("\tLost = 7\t" in out and "NEW LOST 7" in out, out)
    diff("-f", "line", save("lost", snaps))


def fails(says, *args, status=1):
    rc, out, err = memtrace("diff", *args)
    equal((rc, out), (status, ""), f"diff {args}: {err}")
    lines = err.splitlines()
    equal(len(lines), 1, f"lines of {err!r}")
    check(lines[0].startswith("memtrace: ") and says in lines[0], f"no {says!r} in {err!r}")


@case
def refused():
    t = holder()
    path, snaps = trace(t, ["10", "20"])
    end(t.p)
    good = [json.dumps(s) for s in snaps]
    newer = good[1].replace('"memtrace/1"', '"memtrace/9"')
    without = good[1].replace('"TotalAlloc"', '"totalalloc"')
    packed = tmp("packed.gz")
    with gzip.open(packed, "wt") as f:
        f.write("\n".join(good))
    cut = save("cut", good)
    os.truncate(cut, os.path.getsize(cut) - 50)
    fails("No such file or directory", tmp("none"), path)
    fails("no snapshot in it: memtrace -f json -o FILE writes them", path, save("empty", []))
    fails("it is a directory: name a file in it", os.path.dirname(path), path)
    fails("packed.gz:1: no JSON at column", packed, path)
    fails("it is compressed: zcat", packed, path)
    fails(":2: its \"schema\" is \"memtrace/9\", not \"memtrace/1\": a newer memtrace wrote it",
          save("newer", [good[0], newer]))
    fails(':3: the key "memstats.TotalAlloc" is missing', save("key", [good[0], "", without]))
    fails(":3: it ends in the middle, at column ", cut)
    fails("cut short: remove that line", path, cut)
    fails(":1: no snapshot: it has no \"schema\": it is MemStats alone: save with -f json",
          save("memstats", [snaps[0]["memstats"], snaps[1]["memstats"]]))
    fails("it is the line format", save("line", ["Alloc = 1 MiB\tTotalAlloc = 2 MiB"]), path)
    fails("each snapshot is to be one line: jq -c . FILE",
          save("spread", [json.dumps(snaps[0], indent=1)]), path)
    fails("it is a program", MEMTRACE, path)
    fails(": no snapshot with seq 77 in it", f"{path}:77", path)
    fails("as of two traces", f"{save('twice', good + good)}:1", path)
    fails("it has one snapshot of each process", save("one", good[:1]))
    fails("standard input can be read only once", "-", "-", status=2)
    fails("is one snapshot, two are compared", f"{path}:1", status=2)
    fails("too many operands", path, path, path, status=2)
    fails("cannot write", "-o", "/nowhere/x", path)
    # A line that was cut off does not keep one from those that are whole.
    rc, out, err = memtrace("diff", "-f", "line", f"{cut}:{snaps[0]['seq']}",
                            f"{cut}:{snaps[1]['seq']}")
    equal((rc, err.count("left out"), out.count("\n")), (0, 2, 1), err)
