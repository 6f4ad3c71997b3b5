# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real programs: the census against the preload's count; attached to with all
their history; and memtrace's own proof, the audit, while they work."""

import json
import os
import socket
import subprocess
import time

from census import asleep, census, same, settled, sound
from harness import (PRELOAD, PYTHON, Lines, Skip, Truth, at_exit, cases,
                     case, check, count_env, equal, memtrace, need, 
                     popen, run, tmp)
from test_census_trace import begin, level, no_drift
from test_life import wait_for

PYTHON_WORK = """
import json, re, sys, threading
keep = {}
def work():
    keep[len(keep)] = json.loads(json.dumps({str(j): list(range(j % 40)) for j in range(1500)}))
    re.sub(r"(\\d+)", lambda m: m.group(1) * 2, json.dumps(keep))
    ts = [threading.Thread(target=lambda: keep.setdefault(len(keep), [99999] * 30000))
          for _ in range(4)]
    [t.start() for t in ts]; [t.join() for t in ts]
for line in iter(sys.stdin.readline, ""):
    work(); print("done", flush=True)
"""
PERL_WORK = """
$| = 1; my %h; my $n = 0;
while (<STDIN>) {
    $h{"key" . $n++} = [1 .. ($n % 20)] for 1 .. 20000;
    my $s = join ",", sort keys %h; $s =~ s/key(\\d+)/$1$1/g;
    delete $h{$_} for grep { /7$/ } keys %h; print "done\\n";
}
"""
SQL_WORK = """
CREATE TABLE IF NOT EXISTS a(id INTEGER PRIMARY KEY, x TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<8000)
  INSERT INTO a(x) SELECT printf('row %d %s', i, hex(i*i)) FROM n;
CREATE INDEX IF NOT EXISTS ax ON a(x);
.shell echo done
"""


def repository():
    """Some files with a history, in a new repository."""
    path = tmp("repo")
    git = [need("git"), "-C", path, "-c", "user.name=t", "-c", "user.email=t@t"]
    os.mkdir(path)
    run([*git, "init", "-q"])
    for i in range(50):
        for j in range(40):
            with open(os.path.join(path, f"f{j}"), "a") as f:
                f.writelines(f"line {i} {j} {k * i * 7919 % 10007}\n" for k in range(60))
        run([*git, "add", "."])
        equal(run([*git, "commit", "-q", "-m", f"change {i}"])[0], 0, "git commit's exit status")
    return path


class Talk:
    """A program that does some work for each piece of its input and says so."""

    def __init__(self, argv, work="\n", env=None, cwd=None):
        self.counts = tmp(f"counts-{time.monotonic_ns()}")
        self.work = work
        self.p = popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd,
                       env={**os.environ, **count_env(self.counts), **(env or {})})
        self.pid = self.p.pid
        self.lines = Lines(self.p.stdout)

    def step(self):
        self.p.stdin.write(self.work.encode())
        self.p.stdin.flush()
        self.lines.next("the program")

    def end(self):
        self.p.stdin.close()
        equal(self.p.wait(60), 0, "exit status")


def git_cat(env=None):
    path = repository()
    return Talk([need("git"), "cat-file", "--batch-check"], "HEAD~7:f3\n", cwd=path, env=env)


TALKERS = {
    "python": lambda: Talk([PYTHON, "-c", PYTHON_WORK]),
    "python_malloc": lambda: Talk([PYTHON, "-c", PYTHON_WORK], env={"PYTHONMALLOC": "malloc"}),
    "perl": lambda: Talk([need("perl"), "-e", PERL_WORK]),
    "sqlite": lambda: Talk([need("sqlite3"), "-batch", ":memory:"], SQL_WORK),
    "git": git_cat,
}


@cases(**TALKERS)
def counted(program):
    t = program()
    for _ in range(3):
        t.step()
        settled(lambda: sound(t.pid), t.pid, t.counts, same)
    t.end()


@cases(**TALKERS)
def traced(program):
    """Attached to with its history, then at work: level and truth stay the same."""
    t = program()
    t.step()
    wait_for(lambda: asleep(t.pid), "it waits for its input")
    tracer, first = begin(t.pid)
    level(first, Truth(t.counts))
    for _ in range(2):
        t.step()
        no_drift(settled(tracer.snapshot, t.pid, t.counts, level))
    tracer.stop()
    t.end()


def listening(port):
    def answers():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    wait_for(answers, f"somebody listens on port {port}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx:
    def __init__(self, workers):
        nginx = need("nginx")
        self.dir, self.port, self.counts = tmp("nginx"), free_port(), tmp("counts")
        os.makedirs(os.path.join(self.dir, "www"))
        with open(os.path.join(self.dir, "www/index.html"), "w") as f:
            f.write("<p>" + "words " * 5000)
        master = f"worker_processes {workers};" if workers else "master_process off;"
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            os.makedirs(os.path.join(self.dir, name))
        conf = os.path.join(self.dir, "conf")
        with open(conf, "w") as f:
            f.write(f"""daemon off; {master} pid {self.dir}/pid; error_log {self.dir}/error.log;
user root;
events {{ worker_connections 256; }}
http {{
    access_log {self.dir}/access.log; gzip on; gzip_types *; gzip_min_length 1;
    client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy;
    fastcgi_temp_path {self.dir}/fastcgi; uwsgi_temp_path {self.dir}/uwsgi;
    scgi_temp_path {self.dir}/scgi;
    server {{ listen 127.0.0.1:{self.port}; root {self.dir}/www; }}
}}
""")
        self.p = popen([nginx, "-c", conf, "-p", self.dir], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL,
                       env={**os.environ, **count_env(self.counts), "MTCOUNT_FORK": "1"})
        at_exit(self.end)
        listening(self.port)

    def end(self):
        """Its workers end with it, unless it is killed."""
        self.p.terminate()
        self.p.wait(30)

    def workers(self):
        with open(f"/proc/{self.p.pid}/task/{self.p.pid}/children") as f:
            return [int(x) for x in f.read().split()]

    def wrk(self, seconds):
        return popen([need("wrk"), "-t", "1", "-c", "20", "-d", f"{seconds}s", "-H",
                      "Accept-Encoding: gzip", f"http://127.0.0.1:{self.port}/"],
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wrk_ends(w):
    out = w.communicate(timeout=60)[0].decode()
    equal(w.returncode, 0, f"wrk's exit status ({out})")
    check("Requests/sec" in out, f"wrk said {out}")


@case
def nginx_counted():
    """The master, and two workers that it forked; at rest, then after requests."""
    n = Nginx(2)
    for _ in range(2):
        pids = {n.p.pid: n.counts, **{w: f"{n.counts}.{w}" for w in n.workers()}}
        check(len(pids) == 3, f"processes {pids}")
        for pid, counts in pids.items():
            settled(lambda p=pid: sound(p), pid, counts, same)
        wrk_ends(n.wrk(1))


@case
def nginx_under_load():
    n = Nginx(0)
    wrk_ends(n.wrk(1))
    tracer, first = begin(n.p.pid)
    equal(first["since"], "census", "since")
    w = n.wrk(5)
    audited = 0
    while w.poll() is None:
        audited += no_drift(tracer.snapshot())
    wrk_ends(w)
    check(audited >= 3, f"{audited} audits were made under load")
    settled(tracer.snapshot, n.p.pid, n.counts, level)
    tracer.stop()


class Redis:
    def __init__(self, preload, counts=None):
        self.port = free_port()
        env = {**os.environ, **({"LD_PRELOAD": preload} if preload else {}),
               **({"MTCOUNT_FILE": counts} if counts else {})}
        self.p = popen([need("redis-server"), "--port", str(self.port), "--save", "", "--dir",
                        os.path.dirname(tmp("x"))], stdout=subprocess.DEVNULL, env=env)
        listening(self.port)

    def load(self, requests):
        return popen([need("redis-benchmark"), "-p", str(self.port), "-n", str(requests), "-q",
                      "-r", "100000", "-t", "set,lpush,sadd,hset,zadd,mset"],
                     stdout=subprocess.DEVNULL)


def own_libc():
    maps = run(["cat", "/proc/self/maps"])[1]
    for line in maps.splitlines():
        if "libc.so.6" in line or "/libc-2." in line:
            return line.split()[-1]
    raise Skip("cat has no libc")


@case
def redis_under_load():
    """Debian's is linked with jemalloc; a preload of libc comes before that."""
    counts = tmp("counts")
    r = Redis(f"{PRELOAD}:{own_libc()}", counts)
    equal(r.load(2000).wait(60), 0, "redis-benchmark's exit status")
    tracer, first = begin(r.p.pid)
    equal(first["since"], "census", f"since ({first['heap']})")
    load = r.load(10000000)
    audited = sum(no_drift(tracer.snapshot()) for _ in range(15))
    check(audited >= 3, f"{audited} audits were made under load")
    load.kill()
    settled(tracer.snapshot, r.p.pid, counts, level)
    settled(lambda: sound(r.p.pid), r.p.pid, counts, same)
    tracer.stop()


@case
def redis_with_jemalloc():
    """No walker for it: said, not guessed."""
    r = Redis(None)
    maps = run(["cat", f"/proc/{r.p.pid}/maps"])[1]
    if "jemalloc" not in maps:
        raise Skip("this redis-server does not use jemalloc")
    c, why = census(r.p.pid)
    check(c is None and "jemalloc" in why, f"the census said {why}")
    # It is traced without, and says since when.
    rc, out, _ = memtrace("-p", r.p.pid, "-f", "json", "-c", "1")
    equal(rc, 0, "exit status")
    snap = json.loads(out)
    equal(snap["since"], "attach", "since")
    check("jemalloc" in snap["heap"]["why"], f"the snapshot said {snap['heap']}")


def audited_at_work(argv):
    """Attached to when it has begun, audited some times while it works."""
    p = popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tracer, first = begin(p.pid)
    equal(first["since"], "census", f"since ({first['heap']})")
    audited = sum(no_drift(tracer.snapshot()) for _ in range(15))
    check(audited >= 3, f"{audited} audits were made")
    check(p.poll() is None, "it ended too soon")
    tracer.stop()


@case
def cc1_audited():
    compiler = run([need("gcc"), "-print-prog-name=cc1"])[1].strip()
    if not os.path.exists(compiler):
        raise Skip("gcc has no cc1")
    source = tmp("large.c")
    with open(source, "w") as f:
        for i in range(1300):
            f.write(f"int f{i}(int a, int *b) {{ for (int i = 0; i < a; i++) switch (b[i] % 7) {{"
                    + "".join(f" case {k}: b[i] += a * {i + k}; break;" for k in range(7))
                    + f" }} return {f'f{i - 1}(a - 1, b)' if i else 'a'} + b[a]; }}\n")
    audited_at_work([compiler, "-quiet", "-O2", source, "-o", tmp("large.s")])


@case
def git_gc_audited():
    path = repository()
    audited_at_work([need("git"), "-C", path, "-c", "pack.threads=2", "-c", "pack.window=1000",
                     "pack-objects", "--all", "--no-reuse-delta", "--depth=200",
                     os.path.join(path, "p")])
