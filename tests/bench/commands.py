# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What real programs lose under memtrace: each command untraced and traced in
turns, wall time, and how often it allocates, without which no ratio is
understood."""

import json
import os
import shutil
import subprocess
import time

import pairs
import tools

PYTHON = """
import json, re
d = {str(i): [i, str(i) * 3, {"k": i}] for i in range(%d)}
for _ in range(3):
    t = json.dumps(d)
    d = json.loads(t)
    n = len(re.findall(r'"(\\d+)": \\[', t))
"""
PERL = """
my %%h; for my $i (1..%d) { $h{"key$i"} = [$i, "v" x ($i %% 50)]; }
my @k = sort { $h{$a}[0] <=> $h{$b}[0] } keys %%h; my $s = join ",", @k; my @p = split /,/, $s;
"""
SQL = """
CREATE TABLE t(a INTEGER, b TEXT, c REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO t SELECT i, hex(i * 7919), i * 0.5 FROM n;
CREATE INDEX x ON t(b);
SELECT count(*), max(b) FROM (SELECT b, c FROM t ORDER BY c DESC, b);
SELECT count(DISTINCT substr(b, 1, 4) || a %% 100) FROM t;
"""


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def c_file(functions):
    body = "int f%d(int *v, int n)\n{\n\tint s = %d;\n\tfor (int i = 0; i < n; i++)\n" \
           "\t\ts += v[i] * (i ^ %d) + (s >> %d);\n\tswitch (s %% 7) {\n\tcase 0: return s;\n" \
           "\tcase 1: return v[n / 2];\n\tdefault: return s ^ n;\n\t}\n}\n"
    return "".join(body % (i, i, i * 3, i % 13 + 1) for i in range(functions))


def make_repository(path, commits):
    """A history of one file's growth and change, by git fast-import."""
    lines, out = [], []
    for c in range(commits):
        lines.append(f"line {c} of the file, which says {c * 7919}")
        lines[c * 31 % len(lines)] = f"changed by commit {c}"
        data = "\n".join(lines) + "\n"
        out.append(f"commit refs/heads/main\ncommitter A <a@example.org> {10 ** 9 + c} +0000\n"
                   f"data 8\ncommit {c % 10}\nM 100644 inline file\n"
                   f"data {len(data)}\n{data}\n")
    subprocess.run(["git", "init", "-q", path], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["git", "-C", path, "fast-import", "--quiet"], check=True,
                   input="".join(out).encode())


def cc1():
    p = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True,
                       check=True)
    return p.stdout.strip()


def make_commands(scratch, scale):
    """[(name, program, argv, environment)]; scale 1 is about half a second each;
    the first is what every trace takes, whatever it traces."""
    def n(full):
        return max(1, int(full * scale))
    script = write(f"{scratch}/work.py", PYTHON % n(60000))
    perl = write(f"{scratch}/work.pl", PERL % n(90000))
    sql = write(f"{scratch}/work.sql", SQL % n(250000))
    source = write(f"{scratch}/work.c", c_file(n(400)))
    git = f"{scratch}/repository"
    if shutil.which("git"):
        make_repository(git, n(1500))
    # cc1 itself: gcc only starts it, and memtrace follows no children
    compiler = cc1() if shutil.which("gcc") else "cc1"
    return [
        ("true: what memtrace's start and end take", "true", ["true"], {}),
        ("python3: json and re, every object by malloc", "/usr/bin/python3",
         ["/usr/bin/python3", "-S", script], {"PYTHONMALLOC": "malloc"}),
        ("perl: hashes, sort, split", "perl", ["perl", perl], {}),
        ("sqlite3: insert, index, sort", "sqlite3", ["sqlite3", ":memory:", f".read {sql}"], {}),
        ("git log -p", "git", ["git", "-C", git, "--no-pager", "log", "-p", "main"], {}),
        ("gcc -O2 (cc1)", "gcc", [compiler, "-quiet", "-O2", source, "-o", "/dev/null"], {}),
    ]


def timed(argv, env):
    start = time.monotonic()
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, env={**os.environ, **env}, check=False,
                       timeout=10 * tools.TIMEOUT)
    wall = time.monotonic() - start
    if p.returncode:
        text = p.stderr.decode(errors="replace").strip()
        raise tools.Unavailable(f"exit status {p.returncode}: {text[-200:]}")
    return wall


def traced(argv, env):
    return timed([tools.MEMTRACE, "-q", "-o", "/dev/null", "--", *argv], env)


def count(argv, env, scratch):
    """Blocks that the command allocates, by memtrace's own last snapshot."""
    path = f"{scratch}/count.json"
    if os.path.exists(path):
        os.unlink(path)
    timed([tools.MEMTRACE, "-f", "json", "-o", path, "--", *argv], env)
    with open(path, encoding="utf-8") as f:
        last = json.loads(f.read().strip().split("\n")[-1])
    return last["memstats"]["Mallocs"]


def measure_one(name, program, argv, env, rounds, scratch):
    row = {"name": name}
    if not shutil.which(program):
        return {**row, "skipped": f"{program} is not installed"}
    bare, under = [], []
    try:
        timed(argv, env)  # warms the page cache
        mallocs = count(argv, env, scratch)
        for n in range(rounds):
            for run, into in ((timed, bare), (traced, under))[::1 if n % 2 else -1]:
                into.append(run(argv, env))
    except (tools.Unavailable, subprocess.TimeoutExpired) as e:
        return {**row, "skipped": str(e)}
    wall, ratios = pairs.median(bare), sorted(u / b for u, b in zip(under, bare))
    extra = pairs.median([u - b for u, b in zip(under, bare)])
    return {**row, "untraced_s": wall, "traced_s": pairs.median(under), "extra_s": extra,
            "ratio": pairs.median(ratios), "ratio_quartiles": pairs.quartiles(ratios),
            "mallocs": mallocs, "mallocs_per_s": mallocs / wall, "rounds": rounds}


def measure(rounds, scale, scratch):
    tools.note("commands: ")
    rows = []
    for name, program, argv, env in make_commands(scratch, scale):
        rows.append(measure_one(name, program, argv, env, rounds, scratch))
        tools.note(".")
    tools.note("\n")
    # starting and ending memtrace is no malloc's cost
    fixed = rows[0].get("extra_s", 0)
    for r in rows[1:]:
        if "skipped" not in r:
            r["extra_ns_per_malloc"] = (r["extra_s"] - fixed) * 1e9 / r["mallocs"]
    return rows
