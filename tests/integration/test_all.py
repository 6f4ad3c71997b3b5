# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The whole machine: every process is traced, none is harmed, and many are no trouble."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess

from follow import Growing, split, status_of, wait_stopped
from harness import (MEMTRACE, PYTHON, Lines, Skip, Target, Tracer, Truth, at_exit, case, check,
                     compare, count_env, equal, popen, run, status_kib, target, tmp)
from test_crowd import build_tree, built
from test_life import wait_for

def own(name):
    """A copy of a target whose name nobody else's process has, and that name."""
    name_here = f"{name[:6]}{os.getpid()}"
    if not os.path.exists(tmp(name_here)):
        shutil.copy(target(name), tmp(name_here))
    return tmp(name_here), name_here


class All:
    """memtrace -a, whose snapshots go to a file: a pipe that nobody reads would hold it up."""

    def __init__(self, *args, name="all", **kw):
        out = tmp(f"{name}.json")
        self.t = Tracer("-v", "-a", "-f", "json", "-i", "1h", "-o", out, *args, **kw)
        wait_for(lambda: "attached and ready" in self.t.stderr(), "the attach", 60)
        self.file = Growing(out)
        self.p = self.t.p

    def of(self, *pids, final=False):
        """The next snapshot of each of them."""
        found = {}
        while len(found) < len(pids):
            snap = self.file.next()
            if snap["pid"] in pids and snap["final"] == final:
                found[snap["pid"]] = snap
        return [found[p] for p in pids]

    def now(self, *pids):
        self.p.send_signal(signal.SIGUSR1)
        return self.of(*pids)

    def stop(self):
        """Ends it; all that it said."""
        self.p.send_signal(signal.SIGINT)
        equal(self.p.wait(60), 0, f"exit status ({self.t.stderr()[-500:]})")
        return self.file.all()


def counted(name):
    counts = tmp(name)
    t = Target(own("libc_calls")[0], env=count_env(counts))
    return t, counts


def named(*names):
    """What makes -a show the case's own alone."""
    return "-n", ",".join(own(n)[1] for n in names)


@case
def before_and_after():
    """Those that run are counted from the attach, those that come from their first block."""
    old, counts = counted("old")
    tracer = All("--no-census", *named("libc_calls"))
    before = Truth(counts)
    tracer.of(old.pid)
    new, new_counts = counted("new")
    for t in old, new:
        t.step(answer=None)
    a, b = tracer.now(old.pid, new.pid)
    compare(a, Truth(counts) - before)
    compare(b, Truth(new_counts))
    equal((a["since"], b["since"]), ("attach", "start"), "since")
    new.finish()
    last, = tracer.of(new.pid, final=True)
    compare(last, Truth(new_counts))
    last, total = split(tracer.stop())
    check(old.pid in {s["pid"] for s in last}, "the one that lives has no last snapshot")
    check(total["processes"] >= 2, "the total")


@case
def with_census():
    """What a process had before is in its levels as soon as its census is taken."""
    old, counts = counted("old")
    old.step(answer=None)
    tracer = All(*named("libc_calls"), "--max-stop", "10s")
    while (snap := tracer.now(old.pid)[0])["since"] != "census":
        pass
    truth = Truth(counts)
    equal((snap["net"]["Objects"], snap["net"]["Bytes"]),
          (truth.sum(0) - truth.sum(1), truth.sum(2) - truth.sum(3)), "what lives")


@case
def sorted_by_alloc():
    ts = [Target(target("libc_calls")) for _ in range(3)]
    rc, out, err = run([MEMTRACE, "-q", "-a", "-f", "json", "-c", "1", "--no-census"])
    equal((rc, err), (0, ""), "status and errors")
    snaps = [json.loads(line) for line in out.splitlines()]
    allocs = [s["memstats"]["Alloc"] for s in snaps if "processes" not in s]
    equal(allocs, sorted(allocs, reverse=True), "order")
    check({t.pid for t in ts} <= {s["pid"] for s in snaps}, "not all are there")
    check("processes" in snaps[-1], "the total is not last")


@case
def excluded_are_listed():
    other = All("--no-census", *named("libc_calls"), name="other")
    rc, _, err = run([MEMTRACE, "-v", "-a", "-c", "1", "-o", "/dev/null", "--no-census"])
    equal(rc, 0, f"exit status ({err})")
    said = [line for line in err.splitlines() if "not traced: pid " in line]
    for pid, why in ((2, "a kernel thread"), (other.p.pid, "another memtrace")):
        check(any(f"pid {pid} " in line and why in line for line in said), f"{pid}: {why}: {said[:5]}")
    check(any("memtrace itself" in line for line in said), "itself is not listed")


@case
def several_at_once():
    """Each has the numbers that it has alone."""
    old, counts = counted("old")
    tracers = [All("--no-census", *named("libc_calls"), name=f"all{i}") for i in range(3)]
    for t in tracers:
        t.of(old.pid)
    before = Truth(counts)
    new, new_counts = counted("new")
    for t in old, new:
        t.step(answer=None)
    for t in tracers:
        a, b = t.now(old.pid, new.pid)
        compare(a, Truth(counts) - before)
        compare(b, Truth(new_counts))
    for t in tracers:
        t.stop()
    old.step(answer=None)


SCRIPT = r"""
set -e
cd "$1"
for i in 1 2 3 4 5 6 7 8 9 10; do
    seq $i 50 | sort -r | tail -n 3 | tr '\n' ' '
    (x=$(echo $i | sed 's/$/./'); echo "$x" | wc -c) &
    wait
done
find /usr/share/doc -maxdepth 1 -name 'lib*' | sort | md5sum
exec sh -c 'echo the end; exit 3'
"""
PYTHON_PROGRAM = r"""
import hashlib, multiprocessing, re, subprocess, threading
def work(n):
    return hashlib.sha256(repr(sorted(str(i * n) for i in range(3000))).encode()).hexdigest()
out = []
threads = [threading.Thread(target=lambda n=n: out.append(work(n))) for n in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
print(sorted(out))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(6)))
print(subprocess.run(["sh", "-c", "echo $((6 * 7)); kill -9 $$"], capture_output=True))
print(len(re.sub(r"\w+", "x", "a bc " * 5000)))
raise SystemExit(5)
"""
SQL = """create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
insert into t select i, hex(i * 7919) || printf('%.50c', 'x') from n;
create index b on t(b);
select count(*), sum(length(b)), max(b) from t;
select b from t order by b desc limit 3;
pragma integrity_check;
"""


def work():
    """(status, output) of each kind of work."""
    done = {}
    where = tmp("work")
    os.mkdir(where)
    done["shell"] = run(["sh", "-c", SCRIPT, "sh", where])
    done["python"] = run([PYTHON, "-c", PYTHON_PROGRAM])
    if shutil.which("sqlite3"):
        db = popen(["sqlite3", f"{where}/db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        done["sqlite3"] = db.communicate(SQL.encode(), timeout=120), db.returncode
    if shutil.which("make") and shutil.which("cc"):
        make = run(["make", "-s", "-j2"], cwd=build_tree("build"))
        done["build"] = make, built(tmp("build"))
        shutil.rmtree(tmp("build"))
    shutil.rmtree(where)
    return done


def serve():
    """A daemon of the kind that forks for each that comes; where it listens."""
    code = ("import os, socket, socketserver\n"
            "class H(socketserver.StreamRequestHandler):\n"
            "    def handle(self):\n"
            "        self.wfile.write(self.rfile.readline().upper())\n"
            "s = socketserver.ForkingTCPServer(('127.0.0.1', 0), H)\n"
            "print(s.server_address[1], flush=True)\n"
            "s.serve_forever()\n")
    t = Target(PYTHON, "-c", code, ready=None)
    return t, int(t.lines.next("the daemon"))


def asked(port):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.sendall(b"still there?\n")
        return s.makefile("rb").readline()


@case
def work_goes_on():
    """What a script, a build, python and sqlite3 do and say is what they do alone."""
    want = work()
    shell = Target("sh", "-c", "echo ready; while read x; do eval \"$x\"; done")
    daemon, port = serve()
    tracer = All("--max-stop", "50ms")
    have = work()
    for name in want:
        equal(have[name], want[name], f"what {name} did")
    equal(want["shell"][0], 3, "exit status of the script")
    for _ in range(2):
        shell.step("(echo in $((1 + 1)) | cat)", "in 2")
        equal(asked(port), b"STILL THERE?\n", "the daemon's answer")
        check(status_of(1) in "SR", "state of process 1")
        if tracer:
            last, _ = split(tracer.stop())
            tracer = None
    names = {s["comm"] for s in last}
    check({"sh", "python3"} <= names, f"who was traced: {names}")


@case
def limited_bomb():
    """A fork bomb that its limit stops: memtrace stands it, and says what it missed."""
    def limit():
        resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))
        os.setgid(60123)
        os.setuid(60123)

    tracer = All("--no-census", *named("bomb", "libc_calls"))
    bomb = popen([own("bomb")[0], "3000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                 preexec_fn=limit)
    lines = Lines(bomb.stdout)
    equal(lines.next("bomb"), "ready", "the bomb says")
    bomb.stdin.write(b"\n")
    bomb.stdin.flush()
    forks = int(lines.next("bomb", 240))
    bomb.stdin.close()
    equal(bomb.wait(60), 0, "exit status")
    survivor(tracer)
    last, total = split(tracer.stop())
    ours = [s for s in last if s["comm"] == own("bomb")[1]]
    lost = sum(s["loss"]["lost"] for s in ours)
    check(len(ours) == forks + 1 or lost, f"{len(ours)} of {forks + 1} processes, none lost")
    check(total["loss"]["lost"] >= lost, "the total's loss")


def survivor(tracer):
    """After all that: a new process is counted to the last block, and none of those
    that are gone is thought to live."""
    t, counts = counted(f"survivor-{len(os.listdir(tmp('.')))}")
    t.step(answer=None)
    gone = set()
    for _ in range(3):  # those of one moment are sorted: what stands last is read in the next
        tracer.p.send_signal(signal.SIGUSR1)
        living = set()
        while (snap := tracer.file.next())["pid"] != t.pid:
            if not snap["final"]:
                living.add(snap["pid"])
        equal(living & gone, set(), "processes that are gone")
        gone |= {pid for pid in living if not os.path.exists(f"/proc/{pid}")}
    compare(snap, Truth(counts))
    t.finish()
    return snap


def quicks(snaps):
    return [s for s in split(snaps)[0] if s["comm"] == own("quick")[1]]


@case
def come_and_go():
    """Thousands, hundreds in a second: each is counted, and forgotten."""
    tracer = All("--no-census", *named("quick", "libc_calls"))
    maps = [survivor(tracer)["tracer"]["map_bytes"]]
    for _ in range(4):
        equal(run([own("family")[0], "s" * 1000, own("quick")[0], "10", "100"])[0], 0, "exit status")
        maps.append(survivor(tracer)["tracer"]["map_bytes"])
    check(maps[-1] <= maps[0] + (1 << 20), f"map_bytes {maps}")
    ours = quicks(tracer.stop())
    equal(len(ours), 4000, "processes")
    for s in ours:
        equal((s["memstats"]["Mallocs"], s["memstats"]["Frees"], s["loss"]["lost"]), (10, 5, 0),
              f"Mallocs, Frees and lost of {s['pid']}")


@case
def stopped_meanwhile():
    """Thousands come and go while memtrace stands still: what it missed is said, and
    no room is lost by it."""
    tracer = All("--no-census", *named("quick", "libc_calls", "family"), "--max-stop", "10ms")
    maps = []
    for _ in range(3):
        tracer.p.send_signal(signal.SIGSTOP)
        wait_stopped(tracer.p.pid)
        t = Target(own("family")[0], "a" + "s" * 1700 + "g", own("quick")[0], "10", "100", ready=None)
        t.lines.next("family", 200)
        tracer.p.send_signal(signal.SIGCONT)
        snap, = tracer.now(t.pid)
        check(snap["loss"]["map_full"] > 0, f"nothing was lost of {t.pid}: {snap['loss']}")
        t.say()
        maps.append(survivor(tracer)["tracer"]["map_bytes"])
    check(maps[-1] <= maps[0] + (1 << 20), f"map_bytes {maps}")
    ours = quicks(tracer.stop())
    for s in ours:
        equal((s["memstats"]["Mallocs"], s["memstats"]["Frees"]), (10, 5), f"counts of {s['pid']}")


@case
def thousands_at_once():
    """2,000 that sleep: all are told of, whether they came before or after."""
    n = 1000
    room = status_kib("self", "VmRSS") and os.sysconf("SC_AVPHYS_PAGES") * 4 // 1024
    if room < 4096:
        raise Skip(f"{room} MiB of memory are free")
    families = [Target(own("family")[0], "a" + "[ag]" * n + "e", ready=None)]
    tracer = None
    for _ in range(2):
        for _ in range(n):
            families[-1].lines.next("a member")
        if not tracer:
            tracer = All("--no-census", *named("family"))
            families.append(Target(own("family")[0], "a" + "[ag]" * n + "e", ready=None))
    tracer.p.send_signal(signal.SIGUSR1)
    want = 2 * (n + 1)
    seen = {}
    while len(seen) < want:
        snap = tracer.file.next()
        seen[snap["pid"]] = snap
    for f in families:
        for _ in range(n):
            f.say()
        equal(f.finish(), 0, "exit status")
    last, total = split(tracer.stop())
    equal(len(last), want, "processes")
    equal(total["processes"], want, "processes of the total")
    equal(total["loss"]["lost"], 0, "lost")
