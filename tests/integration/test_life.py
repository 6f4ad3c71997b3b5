# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Attaching and detaching, and processes that end when it suits them: nobody
is harmed and nothing is left behind."""

import json
import os
import random
import signal
import subprocess
import time

from harness import (MEMTRACE, Skip, Target, Tracer, Truth, at_exit, attach, case, cases, check,
                     compare, count_env, equal, final, memtrace, need, popen, run, target, tmp)


def libc_text(pid):
    """The executable mappings of libc: (address, length, offset, path)."""
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            w = line.split()
            if len(w) > 5 and w[1] == "r-xp" and "libc.so" in w[5]:
                a, b = (int(x, 16) for x in w[0].split("-"))
                yield a, b - a, int(w[2], 16), w[5]


def probes_in(pid):
    """Bytes of libc's text in memory that are not those of the file."""
    n = 0
    for address, length, offset, path in libc_text(pid):
        with open(path, "rb") as f, open(f"/proc/{pid}/mem", "rb") as m:
            f.seek(offset), m.seek(address)
            n += sum(a != b for a, b in zip(f.read(length), m.read(length)))
    return n


def wait_for(condition, what, timeout=30):
    end = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < end, f"{what}: not within {timeout} s")
        time.sleep(0.01)


def orphans():
    """Our programs that no process holds; others may be tracing, too."""
    text = run(["/usr/sbin/bpftool", "-j", "prog", "show"])[1]
    return [p["name"] for p in json.loads(text or "[]")
            if p.get("name", "").startswith("mt_") and not p.get("pids")]


def no_probe_left(pid):
    wait_for(lambda: probes_in(pid) == 0, "libc's text is as it was")
    wait_for(lambda: not orphans(), "no program is left behind")


def hot_intact(t):
    t.p.stdin.close()
    line = t.lines.next("hot")
    check(line.startswith("intact"), f"the target's own account: {line}")
    equal(t.p.wait(60), 0, "the target's exit status")


@case
def probes_come_and_go():
    t = Target(target("hot"), 1)
    equal(probes_in(t.pid), 0, "changed bytes before")
    tracer, _ = attach(t.pid)
    check(probes_in(t.pid) > 0, "no probe is seen: the check is blind")
    final(tracer)
    no_probe_left(t.pid)
    hot_intact(t)


@case
def attach_25_times():
    t = Target(target("hot"), 8)
    for _ in range(25):
        tracer, _ = attach(t.pid)
        snap = final(tracer)
        equal(snap["loss"]["lost"], 0, "lost")
    no_probe_left(t.pid)
    hot_intact(t)


def leaked():
    """How often the kernel said that it had to leave a probe in a text."""
    return run(["dmesg"])[1].count("leaking uprobe")


@case
def killed_at_any_moment():
    """kill -9, from before the attach to after it."""
    before = leaked()
    t = Target(target("hot"), 8)
    rnd = random.Random(2)
    for i in range(40):
        p = popen([MEMTRACE, "-p", str(t.pid), "10ms"], stdin=subprocess.DEVNULL,
                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rnd.random() * 0.2)
        p.kill()
        p.wait()
    no_probe_left(t.pid)
    equal(leaked(), before, "probes that the kernel could not take away")
    hot_intact(t)


@case
def target_dies_while_attached_to():
    rnd = random.Random(3)
    for i in range(40):
        t = Target(target("quick"), 1000, 100, 0, "wait")
        tracer = Tracer("-p", t.pid, "-f", "json", "-i", "1h")
        time.sleep(rnd.random() * 0.12)
        t.p.stdin.close()
        rest = tracer.lines.rest()
        rc = tracer.p.wait(60)
        t.p.wait(60)
        if rc == 0:
            last = json.loads(rest[-1])
            check(last["final"], "the last snapshot is not the final one")
            check(last["memstats"]["Mallocs"] in (0, 1000),
                  f"{last['memstats']['Mallocs']} Mallocs, expected all 1000 or none")
        else:
            equal(rc, 1, "exit status")
            equal(len(tracer.stderr().strip().splitlines()), 1, "lines on standard error")


@cases(kill=signal.SIGKILL, term=signal.SIGTERM)
def target_dies_during_snapshots(sig):
    rnd = random.Random(4)
    for i in range(15):
        t = Target(target("hot"), 4)
        tracer = Tracer("-p", t.pid, "-f", "json", "1ms")
        tracer.object()
        time.sleep(rnd.random() * 0.05)
        t.p.send_signal(sig)
        last = json.loads(tracer.wait()[-1])
        check(last["final"], "the last snapshot is not the final one")
        if sig == signal.SIGTERM:
            line = t.lines.next("hot")
            check(line.startswith("intact"), f"the target's own account: {line}")
        t.p.wait(60)


@case
def target_dies_right_after():
    """It ends at once when its probes are on: everything it did is counted."""
    for i in range(20):
        t = Target(target("quick"), 1000, 100, 0, "wait")
        tracer, _ = attach(t.pid)
        t.say()
        last = json.loads(tracer.wait()[-1])
        equal(last["memstats"]["Mallocs"], 1000, "Mallocs")
        equal(last["memstats"]["Frees"], 500, "Frees")


@cases(exit=("exit 7", 7), signal=("kill -TERM $$", 143), true=("exit 0", 0))
def launched_status(what):
    script, status = what
    rc, _, err = memtrace("-o", tmp("o"), "--", "sh", "-c", script)
    equal(rc, status, f"exit status ({err})")


@case
def launch_not_found():
    rc, _, err = memtrace("--", "/nowhere/nothing")
    equal(rc, 127, "exit status")
    check("/nowhere/nothing" in err and err.count("\n") == 1, f"message {err!r}")


@case
def launch_not_executable():
    rc, _, err = memtrace("--", "/etc/passwd")
    equal(rc, 126, f"exit status ({err})")


@case
def launch_keeps_streams():
    out = tmp("o")
    p = popen([MEMTRACE, "-f", "json", "-o", out, "--", "cat"], stdin=subprocess.PIPE,
              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    got = p.communicate(b"through\n", timeout=60)
    equal((p.returncode, got), (0, (b"through\n", b"")), "status and streams")


@case
def launch_as_invoking_user():
    env = {**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534", "SUDO_USER": "nobody"}
    rc, text, err = memtrace("-q", "-o", tmp("o"), "--", "sh", "-c", "id -u; id -g", env=env)
    equal((rc, text), (0, "65534\n65534\n"), f"status and ids ({err})")


@case
def launch_without_sudo_is_root():
    env = {k: v for k, v in os.environ.items() if not k.startswith("SUDO_")}
    rc, text, err = memtrace("-q", "-o", tmp("o"), "--", "id", "-u", env=env)
    equal((rc, text), (0, "0\n"), f"status and ids ({err})")


@case
def interrupted_launch():
    """SIGTERM to memtrace ends the command too, and the last snapshot comes."""
    t = Tracer("-f", "json", "-i", "1h", "--", target("hot"), "1")
    while not (line := t.line()).startswith("{"):
        pass
    t.p.send_signal(signal.SIGTERM)
    rest = [x for x in t.lines.rest() if x.startswith("{")]
    t.p.wait(60)
    check(json.loads(rest[-1])["final"], "no final snapshot")


@case
def deleted_library():
    """The libc that a process runs may be gone from its path."""
    libc = next(libc_text(os.getpid()))[3]
    lib = tmp("lib")
    os.mkdir(lib)
    copy = os.path.join(lib, "libc.so.6")
    with open(libc, "rb") as a, open(copy, "wb") as b:
        b.write(a.read())
    t = Target(target("libc_calls"), env={"LD_LIBRARY_PATH": lib})
    check(any(path == copy for *_, path in libc_text(t.pid)), "it runs another libc")
    os.unlink(copy)
    tracer, _ = attach(t.pid)
    t.step(answer=None)
    equal(final(tracer)["memstats"]["Mallocs"], 1500, "Mallocs")


def overlay_root(name, lower):
    """A mount of an overlay over lower; unmounted at the case's end."""
    dirs = [tmp(f"{name}-{d}") for d in ("upper", "work", "root")]
    for d in dirs:
        os.mkdir(d)
    options = f"lowerdir={lower},upperdir={dirs[0]},workdir={dirs[1]}"
    rc, _, err = run(["mount", "-t", "overlay", "overlay", "-o", options, dirs[2]])
    if rc:
        raise Skip(f"no overlay mount here: {err.strip()}")
    at_exit(lambda: run(["umount", "-l", dirs[2]]))
    return dirs[2]


def minimal_root():
    """A directory with one target and what it needs to run."""
    lower = tmp("lower")
    text = run(["ldd", target("libc_calls")])[1]
    files = [w for line in text.splitlines() for w in line.split() if w.startswith("/")]
    for path in files:
        copy = lower + path
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        with open(path, "rb") as a, open(copy, "wb") as b:
            b.write(a.read())
        os.chmod(copy, 0o755)
    with open(target("libc_calls"), "rb") as a, open(lower + "/calls", "wb") as b:
        b.write(a.read())
    os.chmod(lower + "/calls", 0o755)
    return lower


@case
def two_overlays_of_one_libc():
    """Two containers of one image share libc's inode: nothing counts twice."""
    need("mount")
    lower = minimal_root()
    ts = [Target("chroot", overlay_root(n, lower), "/calls") for n in ("a", "b")]
    tracer = Tracer("-p", f"{ts[0].pid},{ts[1].pid}", "-f", "json", "-i", "1h")
    tracer.object(), tracer.object()
    ts[0].step(answer=None)
    ts[1].step(answer=None), ts[1].step(answer=None)
    snaps = {s["pid"]: s["memstats"]["Mallocs"] for s in map(json.loads, tracer.stop())}
    equal(snaps, {ts[0].pid: 1500, ts[1].pid: 3000}, "Mallocs")


@case
def mapped_library_of_attached():
    """An attached target that runs another program afterwards is a new image."""
    t = Target("sh", "-c", "echo ready; read x; exec " + target("quick") + " 300 100")
    tracer, _ = attach(t.pid)
    t.say()
    last = json.loads(tracer.wait()[-1])
    equal(last["memstats"]["Mallocs"], 300, "Mallocs")
    equal(last["comm"], "quick", "comm")
