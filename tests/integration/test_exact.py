# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The counts, against an independent count made inside the target, to the last
block and byte."""

import json
import os

from census import LOADERS, Counted
from harness import (MEMTRACE, PYTHON, Skip, Target, Tracer, Truth, attach, case, cases, check, compare,
                     count_env, equal, final, launch_counted, need, run, target, tmp)

PYTHON_WORK = """
import ast, collections, decimal, json, re, threading, zlib
d = {str(i): list(range(i % 50)) for i in range(2000)}
for _ in range(3):
    d = json.loads(json.dumps(d))
    ast.parse("x = [%s]" % ",".join(map(str, range(500))))
    re.sub(r"(\\d+)", lambda m: m.group(1) * 2, json.dumps(d))
    zlib.decompress(zlib.compress(json.dumps(d).encode()))
ts = [threading.Thread(target=lambda: [bytearray(n * 100) for n in range(300)]) for _ in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
print(len(d))
"""
PERL_WORK = """
my %h; for my $i (1..20000) { $h{"key$i"} = [1..($i % 10)]; }
my $s = join ",", sort keys %h; $s =~ s/key(\\d+)/$1$1/g;
delete $h{$_} for grep { /7/ } keys %h; print length($s), "\\n";
"""
SQL_WORK = """
CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE b(id INTEGER, y REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000)
  INSERT INTO a SELECT i, printf('row %d %s', i, hex(i*i)) FROM n;
INSERT INTO b SELECT id % 500, id * 1.5 FROM a; CREATE INDEX bi ON b(id);
SELECT count(*), sum(y) FROM a JOIN b ON a.id = b.id;
SELECT substr(x, 1, 6), count(*) FROM a GROUP BY 1 ORDER BY 2 DESC LIMIT 3;
"""
BASH_WORK = """
declare -A m; for i in {1..5000}; do m[k$i]="value $i"; done
s=; for k in "${!m[@]}"; do s+=${m[$k]//a/bb}; done; echo ${#s}
f() { local x=("$@"); echo "${x[*]}" > /dev/null; }; for i in {1..200}; do f {1..50}; done
"""
GAWK_WORK = 'BEGIN { for (i = 0; i < 30000; i++) a[i] = sprintf("%d %s", i, i * i);' \
            ' n = asorti(a, b); for (i in a) { gsub(/1/, "one", a[i]); s += length(a[i]) }' \
            ' print n, s }'


@case
def python():
    _, text = launch_counted([PYTHON, "-c", PYTHON_WORK], env={"PYTHONMALLOC": "malloc"})
    equal(text.strip(), "2000", "what the program printed")


@case
def perl():
    launch_counted([need("perl"), "-e", PERL_WORK])


@case
def sqlite():
    sql = tmp("work.sql")
    with open(sql, "w") as f:
        f.write(SQL_WORK)
    with open(sql, "rb") as f:
        _, text = launch_counted([need("sqlite3"), ":memory:"], stdin=f)
    check("row" in text, f"sqlite3 printed {text!r}")


@case
def bash():
    launch_counted([need("bash"), "-c", BASH_WORK])


@case
def gawk():
    launch_counted([need("gawk"), GAWK_WORK])


@case
def sort():
    data = tmp("numbers")
    with open(data, "w") as f:
        f.writelines(f"{i * 2654435761 % 1000003} {i}\n" for i in range(60000))
    launch_counted([need("sort"), "--parallel=4", "-n", "-S", "2M", "-o", tmp("sorted"), data])


def repository():
    path = tmp("repo")
    git = [need("git"), "-c", "user.name=t", "-c", "user.email=t@t", "-C", path]
    os.mkdir(path)
    run([*git, "init", "-q"])
    for i in range(30):
        with open(os.path.join(path, f"f{i % 7}"), "a") as f:
            f.writelines(f"line {i} {j}\n" for j in range(50))
        run([*git, "add", "."])
        rc, _, err = run([*git, "commit", "-q", "-m", f"change {i}"])
        equal(rc, 0, f"git commit: {err}")
    return path


@cases(log=["log", "-p", "--stat"], repack=["repack", "-adfq"], gc=["gc", "-q"],
       blame=["blame", "f1"])
def git(args):
    path = repository()
    launch_counted([need("git"), "--no-pager", "-C", path, *args])


@case
def cc1():
    gcc = need("gcc")
    compiler = run([gcc, "-print-prog-name=cc1"])[1].strip()
    if not os.path.exists(compiler):
        raise Skip("gcc has no cc1")
    source = tmp("x.i")
    here = os.path.dirname(os.path.abspath(__file__))
    rc, _, err = run([gcc, "-E", "-D_GNU_SOURCE", "-I", os.path.join(here, "../../bpf"), "-o",
                      source, os.path.join(here, "../targets/alloc_mix.c")])
    equal(rc, 0, f"gcc -E: {err}")
    launch_counted([compiler, "-quiet", "-O2", "-fpreprocessed", source, "-o", tmp("x.s")])


@case
def exceptions():
    _, text = launch_counted([target("throw")])
    equal(text.strip(), "ok", "what the program printed")


@case
def stack_jumps():
    _, text = launch_counted([target("stack_jump")])
    equal(text.strip(), "ok", "what the program printed")


@cases(one=1, eight=8)
def all_functions(threads):
    snap, _ = launch_counted([target("alloc_mix"), threads, 40000 // threads])
    check(snap["loss"]["failed"] > 0, "no allocation failed: the target tests nothing")
    check(snap["loss"]["nested"] > 0, "no call was nested: the target tests nothing")


@case
def thread_churn():
    _, text = launch_counted([target("thread_churn"), 1000])
    check("blocks=7000" in text, f"the target printed {text!r}")


@case
def thread_churn_alone():
    """Without the preload every call's return address is where it really is."""
    out = tmp("o")
    rc, _, err = run([MEMTRACE, "-f", "json", "-o", out, "--", target("thread_churn"),
                      "1000"])
    equal(rc, 0, f"exit status ({err})")
    with open(out) as f:
        snap = json.loads(f.readlines()[-1])
    # 7 blocks a thread, all freed; the dynamic thread vectors of those at once stay.
    by_class = {c["Size"]: c for c in snap["memstats"]["BySize"]}
    for size in (48, 96, 128, 176, 208, 256, 288):
        c = by_class[size]
        check(c["Mallocs"] >= 1000 and c["Mallocs"] - c["Frees"] < 100,
              f"class {size}: {c['Mallocs']} allocated, {c['Frees']} freed")
    check(snap["memstats"]["Frees"] <= snap["memstats"]["Mallocs"],
          f"{snap['memstats']['Frees']} frees of {snap['memstats']['Mallocs']} blocks: "
          "the allocator's own are counted")


@case
def calls_from_libc():
    """strdup's block counts, though the call to malloc comes from libc's text."""
    t = Target(target("libc_calls"))
    tracer, _ = attach(t.pid)
    for _ in range(2):
        line = t.step(answer=None)
    equal(line, "mallocs=1500 frees=1000 bytes=68000", "the target's account")
    snap = final(tracer)
    equal(snap["memstats"]["Mallocs"], 3000, "Mallocs")
    equal(snap["memstats"]["Frees"], 2000, "Frees")
    equal(snap["memstats"]["TotalAlloc"], 136000, "TotalAlloc")


@cases(**{libc: libc for libc in LOADERS})
def threads_under(libc):
    """A thread's first free, in which glibc 2.43 makes its cache and begins anew,
    and its end, when the cache goes: by the C library of each release."""
    t = Counted(libc, "census_threads", "exits")
    before = t.truth()
    tracer, _ = attach(t.pid)
    for _ in range(4):
        t.step()
        compare(tracer.snapshot(), t.truth() - before)
    compare(final(tracer), t.truth() - before)
    equal(t.finish(), 0, "the target's exit status")


@cases(two=2, eight=8)
def attached(threads):
    """Counts since the attach equal what the target counted meanwhile."""
    counts = tmp("counts")
    t = Target(target("alloc_mix"), threads, 8000, "wait", env=count_env(counts))
    t.step()
    before = Truth(counts)
    tracer, first = attach(t.pid)
    equal(first["since"], "attach", "since")
    equal(first["memstats"]["Mallocs"], 0, "Mallocs at the attach")
    t.step()
    compare(tracer.snapshot(), Truth(counts) - before)
    t.step()
    compare(tracer.snapshot(), Truth(counts) - before)
    compare(final(tracer), Truth(counts) - before)
    equal(t.finish(), 0, "the target's exit status")


@case
def two_tracers():
    """Nothing doubles when two memtraces trace the same process."""
    counts = tmp("counts")
    t = Target(target("alloc_mix"), 4, 5000, "wait", env=count_env(counts))
    before = Truth(counts)
    first, _ = attach(t.pid)
    t.step()
    between = Truth(counts)
    second, _ = attach(t.pid)
    t.step()
    compare(final(first), Truth(counts) - before)
    compare(final(second), Truth(counts) - between)


@case
def two_targets():
    """-p A,B in one memtrace: each has its own counts."""
    files = [tmp("a"), tmp("b")]
    ts = [Target(target("alloc_mix"), 2, 3000 * (i + 1), "wait", env=count_env(f))
          for i, f in enumerate(files)]
    before = [Truth(f) for f in files]
    tracer = Tracer("-p", f"{ts[0].pid},{ts[1].pid}", "-f", "json", "-i", "1h")
    tracer.object(), tracer.object()
    for t in ts:
        t.step()
    snaps = {s["pid"]: s for s in map(json.loads, tracer.stop())}
    for t, f, b in zip(ts, files, before):
        compare(snaps[t.pid], Truth(f) - b)


@case
def ended_target():
    """What a target did up to its last instruction is in the final snapshot."""
    counts = tmp("counts")
    t = Target(target("alloc_mix"), 4, 3000, "wait", env=count_env(counts))
    before = Truth(counts)
    tracer, _ = attach(t.pid)
    t.step()
    equal(t.finish(), 0, "the target's exit status")
    last = json.loads(tracer.wait()[-1])
    check(last["final"], "the last snapshot is not the final one")
    compare(last, Truth(counts) - before)


@case
def exec_restarts():
    """A new program image: counts start anew."""
    snap, _ = launch_counted([target("execer"), target("quick"), 250, 100])
    equal(snap["memstats"]["Mallocs"], 250, "Mallocs")
    equal(snap["memstats"]["Frees"], 125, "Frees")
    equal(snap["comm"], "quick", "comm")


@case
def forked_children_apart():
    """A child's calls are not its parent's, by fork, vfork and in a pipeline."""
    script = "x=$(for i in {1..200}; do echo $i$i; done | sort | head -3); /bin/true; echo $x"
    launch_counted([need("bash"), "-c", script])
    launch_counted([PYTHON, "-c", "import subprocess as s; s.run(['/bin/true']); "
                    "print(s.check_output(['/bin/echo', 'x']))"], env={"PYTHONMALLOC": "malloc"})


@case
def never_backwards():
    t = Target(target("hot"), 4)
    tracer = Tracer("-p", t.pid, "-f", "json", "50ms", "60")
    last, n = None, 0
    for line in tracer.wait():
        s = json.loads(line)
        m = s["memstats"]
        now = [m["Mallocs"], m["Frees"], m["TotalAlloc"], s["uptime_ns"], s["seq"]]
        now += [c[k] for c in m["BySize"] for k in ("Mallocs", "Frees")]
        check(last is None or all(a <= b for a, b in zip(last, now)),
              f"counts went backwards in snapshot {n}")
        last, n = now, n + 1
    equal(n, 60, "snapshots")
    check(last[0] > 0, "nothing was counted")
    t.p.stdin.close()
    check(t.lines.next("hot").startswith("intact"), "the target's account is damaged")
    equal(t.p.wait(60), 0, "the target's exit status")
