# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""memtrace diff --func: what the calls of a function allocate, against the
function's own record of each call."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request

from harness import (MEMTRACE, PYTHON, Failure, Lines, Target, Truth, at_exit, case, cases, check,
                     count_env, equal, memtrace, need, one_line, popen, run, target, tmp)
from test_census_programs import Nginx, Redis


class Measure:
    """A memtrace that measures; it counts when this returns."""

    def __init__(self, pid, func, *args):
        pids = pid if isinstance(pid, str) else str(pid)
        self.p = popen([MEMTRACE, "diff", "-p", pids, "--func", func, *map(str, args)],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.errors = Lines(self.p.stderr)
        self.said = []
        while not self.said or "counting the calls" not in self.said[-1]:
            try:
                self.said.append(self.errors.next("memtrace"))
            except Failure as e:
                raise Failure(f"{e}; it said {self.said}")

    def stop(self, sig=signal.SIGINT, status=0):
        self.p.send_signal(sig)
        return self.wait(status)

    def wait(self, status=0):
        out = self.p.stdout.read().decode()
        equal(self.p.wait(60), status, f"exit status ({self.said})")
        return out


def measure(pid, func, *args):
    return Measure(pid, func, "-f", "json", *args)


def percentile(values, percent):
    v = sorted(values)
    return v[max(0, (len(v) * percent + 99) // 100 - 1)]


def near(have, want, what):
    """p50 and p99: exact up to 63, else within 1.6 %."""
    check(have == want if want < 64 else abs(have - want) <= 0.016 * want,
          f"{what}: {have}, expected about {want}")


def part(calls):
    return {"calls": len(calls), "mallocs": sum(c[0] for c in calls),
            "frees": sum(c[1] for c in calls), "alloc_bytes": sum(c[2] for c in calls),
            "free_bytes": sum(c[3] for c in calls)}


def compare(f, log):
    """Every number of the answer, to the last block and byte."""
    back, left = [c for c in log if not c[4]], [c for c in log if c[4]]
    equal(f["returned"], part(back), "calls that returned")
    equal(f["left"], part(left), "calls that were left")
    equal(f["open"]["calls"], 0, "open calls")
    per = f["per_call"]
    for name, column, net in (("blocks", 0, [c[0] - c[1] for c in back]),
                              ("bytes", 2, [c[2] - c[3] for c in back])):
        v = [c[column] for c in back] or [0]
        equal(per[name]["total"], sum(v), f"{name}, total")
        equal(per[name]["max"], max(v), f"{name}, max")
        equal(per[name]["mean"], sum(v) / len(v), f"{name}, mean")
        near(per[name]["p50"], percentile(v, 50), f"{name}, p50")
        near(per[name]["p99"], percentile(v, 99), f"{name}, p99")
        net = net or [0]
        got = per["net_" + name]
        equal((got["min"], got["max"], got["total"]), (min(net), max(net), sum(net)), f"net {name}")
    net = [c[2] - c[3] for c in back]
    equal((per["grew"], per["shrank"]), (sum(n > 0 for n in net), sum(n < 0 for n in net)),
          "calls that left more and fewer bytes live")
    for key, column in (("Mallocs", 0), ("Frees", 1), ("alloc_bytes", 2), ("free_bytes", 3)):
        equal(sum(c[key] for c in f["classes"]), sum(c[column] for c in log), f"classes, {key}")
    equal(f["loss"]["lost"], 0, f"lost ({f['loss']})")


def env_of(allocator):
    if allocator == "glibc":
        return {}
    return {"LD_PRELOAD": f"/usr/lib/x86_64-linux-gnu/lib{allocator}.so.2"}


def counted(program, func, name=None, threads=4, rounds=500, allocator="glibc"):
    """The program's function, called by several threads and by the main one."""
    t = Target(target(program), env=env_of(allocator))
    t.step(f"{func} {threads} 10")
    before = len(json.loads(t.step("log", answer=None)))
    m = measure(t.pid, name or func)
    t.step(f"{func} {threads} {rounds}")
    t.step(f"{func} 0 {rounds}")
    f = json.loads(m.stop())
    log = json.loads(t.step("log", answer=None))[before:]
    equal(t.finish(), 0, "the target's exit status")
    check(len(log) >= rounds, "the target recorded no calls")
    compare(f, log)
    return f


SHAPES = ["plain", "nothing", "tail_jump", "tail_malloc", "by_switch", "to_switch", "by_array",
          "by_const_array", "varying", "tail_pointer", "ping"]


@cases(**{f"{f}_{a}": (f, a) for f in SHAPES for a in ("glibc", "jemalloc")})
def shapes(how):
    """What C is compiled to: to the last block and byte of every call."""
    counted("func_calls", how[0], allocator=how[1])


@cases(glibc="glibc", jemalloc="jemalloc")
def exceptions(allocator):
    """Caught inside, at once, and far up with destructors on the way."""
    f = counted("func_throws", "pay", "shop::Till::pay(int)", allocator=allocator, rounds=200)
    check(f["left"]["calls"] > 100, f"left: {f['left']}")


@case
def recursion():
    f = counted("func_calls", "recursive")
    check(f["nested"] > 1000, f"nested calls {f['nested']}")


@cases(**{f"{f}_{a}": (f, a) for f in ("jumper", "quiet_jumper", "odd_jumper", "ends")
          for a in ("glibc", "jemalloc")})
def left(how):
    """By longjmp, pthread_exit and pthread_cancel."""
    f = counted("func_calls", how[0], allocator=how[1], rounds=60)
    check(f["left"]["calls"] > 50, f"left: {f['left']}")


@case
def inside_at_the_attach():
    """A call that is on its way when the probes come is none; one that is not over at
    the end is shown as that."""
    t = Target(target("func_calls"))
    t.step("lasting 0 2", answer="inside")
    m = measure(t.pid, "lasting")
    t.p.stdin.write(b"x")  # the byte that the first one waits for
    t.p.stdin.flush()
    equal(t.lines.next("target"), "inside", "the second call")
    f = json.loads(m.stop())
    equal(f["returned"]["calls"], 0, "calls that returned")
    equal(f["open"], {"calls": 1, "mallocs": 1, "frees": 0,
                      "alloc_bytes": f["open"]["alloc_bytes"], "free_bytes": 0}, "open")
    check(f["open"]["alloc_bytes"] >= 300, f"open: {f['open']}")


@case
def target_ends():
    """Within a call, by a signal: what it did is shown."""
    t = Target(target("func_calls"))
    m = measure(t.pid, "lasting")
    t.step("lasting 0 1", answer="inside")
    os.kill(t.pid, signal.SIGKILL)
    f = json.loads(m.wait())
    equal((f["left"]["calls"], f["left"]["mallocs"], f["open"]["calls"]), (1, 1, 0), "left, open")


@case
def no_calls():
    t = Target(target("func_calls"))
    out = Measure(t.pid, "plain", "-d", "100ms").wait()
    check("no calls\n" in out, f"it said {out}")


@case
def formats():
    t = Target(target("func_calls"))
    for fmt, words in (("table", ("2 calls returned", "Per call", "Size <=")),
                       ("line", ("Calls = 2", "Blocks = "))):
        m = Measure(t.pid, "varying", "-f", fmt, "-o", tmp("out"))
        t.step("varying 0 2")
        equal(m.stop(), "", "standard output")
        with open(tmp("out")) as f:
            text = f.read()
        for w in words:
            check(w in text, f"{w!r} is not in {text!r}")


NAMES = {
    "mangled": "_ZN4shop4Till3payEi",
    "with_arguments": "shop::Till::pay( int )",
    "suffix": "Till::pay(int)",
    "binary": "func_throws:shop::Till::pay(int)",
    "path": target("func_throws") + ":pay(int)",
    "string": "shop::Till::pay(std::__cxx11::basic_string<char, std::char_traits<char>, "
              "std::allocator<char> > const&)",
    "template": "shop::twice<double>",
}


@case
def names():
    """Each way to write a function's name."""
    t = Target(target("func_throws"))
    t.step("pay 0 1")
    for how, name in NAMES.items():
        command = {"string": "other_pay", "template": "twice"}.get(how, "pay")
        m = measure(t.pid, name)
        t.step(f"{command} 0 9")
        f = json.loads(m.stop())
        want = 18 if command == "pay" else 9
        equal(f["returned"]["calls"] + f["left"]["calls"], want, f"calls by {how} ({f})")


def refused(name, status, *words, program="func_throws"):
    t = Target(target(program))
    rc, out, err = memtrace("diff", "-p", t.pid, "--func", name)
    equal((rc, out), (status, ""), f"status, output ({err})")
    for w in words:
        check(w in err, f"{w!r} is not in {err!r}")
    return err


@case
def several():
    """What there is to choose from; and that what is offered works."""
    err = refused("pay", 1, "2 functions", "shop::Till::pay(int)", "func_throws:0x")
    names = re.findall(r"--func '(\S+:0x[0-9a-f]+)'  shop::Till::pay\(int\)", err)
    equal(len(names), 1, f"offers in {err}")
    t = Target(target("func_throws"))
    m = measure(t.pid, names[0])
    t.step("pay 0 4")
    equal(json.loads(m.stop())["left"]["calls"], 2, "left")
    refused("twice", 1, "2 functions", "twice<int>", "twice<double>")


@case
def errors():
    one_line(refused("shop::Till::pai", 1, "nearest: shop::Till::pay("), "no function")
    one_line(refused("no_such_thing", 1, "inlined"), "no function")
    one_line(refused("plian", 1, "nearest: ", "plain", program="func_calls"), "no function")
    one_line(refused("memcpy", 1, "IFUNC"), "memcpy")
    one_line(refused("malloc", 1, "allocator's own"), "memtrace -p")
    one_line(refused("libnothing:f", 1, "libnothing"), "no file")
    one_line(refused(":f", 2), "BINARY:]SYMBOL")
    one_line(refused("0x1234", 2), "BINARY:0xADDRESS")
    one_line(refused("func_throws:0x1", 1), "no code")


@case
def debug_symbols():
    """Of a stripped program, in a file that its build id names."""
    prog, debug = tmp("prog"), tmp("prog.debug")
    shutil.copy(target("func_calls"), prog)
    for argv in (["objcopy", "--only-keep-debug", prog, debug], ["strip", prog]):
        equal(run(argv)[0], 0, argv[0])
    t = Target(prog)
    rc, _, err = memtrace("diff", "-p", t.pid, "--func", "plain")
    equal(rc, 1, "exit status")
    one_line(err, "no function is called plain", "stripped")
    found = re.search(r"Build ID: ([0-9a-f]+)", run(["readelf", "-n", prog])[1]).group(1)
    path = f"/usr/lib/debug/.build-id/{found[:2]}/{found[2:]}.debug"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    at_exit(lambda: os.unlink(path))
    shutil.copy(debug, path)
    m = measure(t.pid, "plain")
    t.step("plain 2 20")
    equal(json.loads(m.stop())["returned"]["calls"], 40, "calls")


@case
def deleted():
    """A program whose file is gone; the file that has its path now is another."""
    prog = tmp("prog")
    shutil.copy(target("func_calls"), prog)
    t = Target(prog)
    os.unlink(prog)
    shutil.copy(target("func_throws"), prog)
    m = measure(t.pid, "plain")
    t.step("plain 0 20")
    f = json.loads(m.stop())
    equal((f["returned"]["calls"], f["binary"]), (20, prog), "calls, binary")


@case
def under_load():
    """Probes come and go while all threads are in full run; what is read adds up."""
    t = Target(target("func_calls"))
    t.say("plain 8 1000000000")
    for _ in range(5):
        f = json.loads(Measure(t.pid, "plain", "-f", "json", "-d", "300ms").wait())
        check(f["returned"]["calls"] > 10, f"calls: {f['returned']}")
        check(f["open"]["calls"] <= 8 and f["open"]["mallocs"] <= 24, f"open: {f['open']}")
        equal((f["left"]["calls"], f["loss"]["lost"]), (0, 0), "left, lost")
        check(f["per_call"]["blocks"]["max"] <= 3, f"max: {f['per_call']}")
    t.p.kill()


SOURCES = {
    "one.c": """
        #include <stdlib.h>
        #include <stdio.h>
        __attribute__((noipa, used)) static void *helper(void) { return malloc(10); }
        __attribute__((noinline)) static int copied(int n, int how)
        { free(malloc(50 + n)); return how > 1 ? n * rand() : n; }
        void *other(void); int more(int);
        int main(void) {
            puts("ready"); fflush(stdout);
            for (int c; (c = getchar()) != EOF;) {
                if (c != '\\n') continue;
                free(helper()); free(other()); more(copied(7, 1));
                puts("done"); fflush(stdout);
            }
        }
    """,
    "two.c": """
        #include <stdlib.h>
        __attribute__((noipa, used)) static void *helper(void) { return malloc(20000); }
        void *other(void) { return helper(); }
        int more(int n) { return n; }
    """,
}


@case
def same_names():
    """Two static functions of one name in a file, told by their addresses; a copy that
    the compiler made."""
    for name, text in SOURCES.items():
        with open(tmp(name), "w") as f:
            f.write(text)
    for how in ([], ["-static"]):
        rc, _, err = run(["gcc", "-O2", "-fno-builtin", *how, "-o", tmp("prog"),
                          *map(tmp, SOURCES)])
        equal(rc, 0, err)
        t = Target(tmp("prog"))
        rc, _, err = memtrace("diff", "-p", t.pid, "--func", "helper")
        equal(rc, 1, "exit status")
        offers = re.findall(r"--func '(prog:0x[0-9a-f]+)'  helper", err)
        equal(len(offers), 2, f"offers in {err}")
        sizes = []
        for name in offers:
            m = measure(t.pid, name)
            t.step()
            f = json.loads(m.stop())
            equal(f["returned"]["calls"], 1, f"calls of {name}")
            sizes.append(f["returned"]["alloc_bytes"])
        check(min(sizes) < 100 and max(sizes) >= 20000, f"sizes {sizes}")
        t.finish()
    symbols = run(["nm", tmp("prog")])[1]
    if "copied." not in symbols:
        return
    t = Target(tmp("prog"))
    m = measure(t.pid, "copied")
    check(any("copied." in line for line in m.said), f"a copy is not told of: {m.said}")
    t.step()
    equal(json.loads(m.stop())["returned"]["calls"], 1, "calls of the copy")


SQL = ["create table t (a integer primary key, b text)", "insert into t values (1, 'one')",
       "insert into t select a + 100, b from t", "select * from t", "this is no SQL",
       "insert into t values (1, 'again')", "create index i on t (b)", "vacuum"]


@case
def sqlite3_exec():
    """Each call, by what libmtcount.so counted around it."""
    counts = tmp("counts")
    t = Target(target("sql_exec"), env=count_env(counts))
    t.step("select 1")
    m = measure(t.pid, "sqlite3_exec")
    log, before = [], Truth(counts)
    for sql in SQL * 3:
        t.step(sql)
        after = Truth(counts)
        log.append([after.sum(k) - before.sum(k) for k in range(4)] + [0])
        before = after
    f = json.loads(m.stop())
    compare(f, log)
    check(f["per_call"]["blocks"]["max"] > 20, f"hardly anything was allocated: {f}")


@case
def python_function():
    """PyEval_EvalCode, which python3 exports: once for each exec()."""
    t = Target(PYTHON, "-c", """
import sys
code, kept = compile("kept.append(bytearray(100000))", "x", "exec"), []
print("ready", flush=True)
for line in sys.stdin:
    for i in range(int(line)): exec(code, {"kept": kept})
    print("done", flush=True)
""")
    t.step("3")
    m = measure(t.pid, "PyEval_EvalCode")
    t.step("200")
    f = json.loads(m.stop())
    equal((f["returned"]["calls"], f["left"]["calls"]), (200, 0), "calls")
    big = sum(c["Mallocs"] for c in f["classes"] if c["Size"] >= 100000)
    equal(big, 200, "blocks of a bytearray")
    check(f["per_call"]["net_bytes"]["min"] >= 100000, f"net: {f['per_call']['net_bytes']}")
    equal(f["loss"]["lost"], 0, "lost")


@case
def redis_commands():
    r = Redis(None)
    m = measure(r.p.pid, "redis-server:processCommand" if "redis-server" in
                os.readlink(f"/proc/{r.p.pid}/exe") else "processCommand")
    for i in range(50):
        rc, _, err = run([need("redis-cli"), "-p", str(r.port), "set", f"key:{i}", "v" * 5000])
        equal(rc, 0, err)
    f = json.loads(m.stop())
    # redis-cli sends its command and nothing else where it is not interactive
    equal((f["returned"]["calls"], f["left"]["calls"], f["loss"]["lost"]), (50, 0, 0), "calls")
    check(f["per_call"]["net_blocks"]["min"] > 0, f"each key stays: {f['per_call']}")


@case
def nginx_workers():
    """Several processes, summed."""
    n = Nginx(2)
    workers = n.workers()
    m = measure(",".join(map(str, workers)), "ngx_http_process_request")
    for _ in range(30):
        with urllib.request.urlopen(f"http://127.0.0.1:{n.port}/") as answer:
            check(len(answer.read()) > 1000, "nginx's answer")
    f = json.loads(m.stop())
    # the last answer is sent before its call returns
    equal((f["returned"]["calls"] + f["open"]["calls"], f["pids"]), (30, workers), "calls, pids")
    equal(f["loss"]["lost"], 0, "lost")


@case
def go_refused():
    go = need("go")
    src = tmp("main.go")
    with open(src, "w") as f:
        f.write("package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"ready\"); "
                "var s string; fmt.Scanln(&s) }\n")
    env = {**os.environ, "GOCACHE": tmp("cache"), "GO111MODULE": "off", "HOME": tmp("home")}
    rc, _, err = run([go, "build", "-o", tmp("prog"), src], env=env)
    equal(rc, 0, err)
    t = Target(tmp("prog"))
    rc, _, err = memtrace("diff", "-p", t.pid, "--func", "main.main")
    equal(rc, 1, "exit status")
    one_line(err, "Go program", "stacks move")
