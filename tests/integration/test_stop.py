# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Holding a process still for a census: nobody is inside malloc, nobody runs,
and nobody notices, whatever the process does and however it ends."""

import errno
import json
import os
import signal
import subprocess
import time

from harness import (BUILD, ROOT, Lines, Target, case, cases, check, end, equal, need,
                     popen, run, target, tmp)

TOOL = os.path.join(ROOT, BUILD, "tests/integration/stop_tool")
MS = 1_000_000


def holds(pid, n, *options):
    """Holds it n times; what came of each."""
    rc, out, err = run([TOOL, str(pid), str(n), *map(str, options)], timeout=200)
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    equal((rc, err), (0, ""), f"status and messages ({rows[-1:]})")
    equal(len(rows), n, "holds")
    return rows


def wait_for(condition, what, timeout=30):
    limit = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < limit, f"{what}: not within {timeout} s")
        time.sleep(0.005)


def state(pid, tid=None):
    with open(f"/proc/{pid}/task/{tid or pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def tracers(pid):
    """Who traces any of its threads."""
    found = set()
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/status") as f:
                found |= {line.split()[1] for line in f if line.startswith("TracerPid")}
        except OSError:
            pass  # it has ended
    return found - {"0"}


def flagged(threads, *how):
    """Threads in malloc and free all the time, and where they show it."""
    path = tmp(f"flags-{threads}")
    return Target(target("flagged"), threads, path, *how), path


def rounds(path):
    with open(path, "rb") as f:
        data = f.read()
    return [int.from_bytes(data[i + 8:i + 16], "little") for i in range(0, len(data), 64)]


def goes_on(t, path, threads):
    """Every thread makes progress, and none is traced any more."""
    before = rounds(path)
    wait_for(lambda: all(a > b for a, b in zip(rounds(path)[:threads], before)),
             "each thread makes progress")
    equal(tracers(t.pid), set(), "tracers")
    check(t.p.poll() is None, "the target has ended")


def sound(rows, least):
    """Each hold stood still with nobody inside, or was refused; some must succeed."""
    refused = (-errno.EAGAIN, -errno.ETIME)
    for row in rows:
        if row["result"] or row["check"]:
            check((row["result"] or row["check"]) in refused and row["why"], f"refused: {row}")
            continue
        equal((row["inside"], row["ran"]), (0, 0), f"inside malloc, and rounds while held: {row}")
    good = sum(not row["result"] and not row["check"] for row in rows)
    check(good >= least, f"only {good} of {len(rows)} holds: {rows[-1]}")


def sleeps(t):
    """What the sleepers count."""
    return {k: int(v) for k, v in (w.split("=") for w in t.step(answer=None).split())}


@cases(one=(1, 50), four=(4, 30), sixteen=(16, 1))
def nobody_is_inside(what):
    threads, least = what
    t, path = flagged(threads)
    sound(holds(t.pid, 100, "--flags", path, "--for", MS), least)
    goes_on(t, path, threads)


@case
def hot_threads_keep_their_blocks():
    t = Target(target("hot"), 4)
    rows = holds(t.pid, 100)
    sound(rows, 30)
    t.p.stdin.close()
    line = t.lines.next("hot")
    check(line.startswith("intact"), f"the target's own account: {line}")


@case
def without_a_zone():
    """Where malloc is not known, everybody outside a system call may be in it."""
    t, path = flagged(2)
    rows = holds(t.pid, 3, "--no-zone", "--deadline", 20 * MS)
    check({r["result"] for r in rows} <= {-errno.EAGAIN, -errno.ETIME}, f"results {rows}")
    goes_on(t, path, 2)
    asleep = Target(target("sleepers"), 2)
    equal({r["result"] for r in holds(asleep.pid, 3, "--no-zone")}, {0}, "results")


@case
def anywhere():
    """Threads that are in malloc nearly always are held where they are, at the first look."""
    t, path = flagged(4)
    rows = holds(t.pid, 100, "--anywhere", "--flags", path, "--for", MS)
    good = [r for r in rows if not r["result"] and not r["check"]]
    check(len(good) >= 90, f"only {len(good)} of 100 stood still: "
          f"{[r for r in rows if r not in good][:1]}")
    equal({r["ran"] for r in good}, {0}, "rounds while held")
    check(any(r["inside"] for r in good), "nobody was ever inside malloc")
    goes_on(t, path, 4)


@cases(long=0, often=3)
def no_sleeper_is_interrupted(ms):
    """Four calls that return EINTR from any stop, slept in for long and for a short time."""
    t = Target(target("sleepers"), 4, ms)
    rows = holds(t.pid, 300, "--for", 2 * MS)
    seen = sleeps(t)
    equal((seen["eintr"], seen["wrong"]), (0, 0), f"interrupted calls and wrong ones ({seen})")
    good = [r for r in rows if not r["result"] and not r["check"]]
    check(len(good) >= 150, f"only {len(good)} holds: {rows[-1]}")
    if ms:
        check(seen["woke"] > 0, f"none woke: {seen}")
        check(max(r["held"] for r in good) >= 8, "sleepers that wake too often were never held")
    else:
        equal((seen["woke"], {r["held"] for r in rows}), (0, {0}), "woken and held sleepers")


@case
def a_thousand_sleepers():
    t = Target(target("sleepers"), 250)
    rows = holds(t.pid, 20)
    equal({(r["result"], r["check"], r["threads"]) for r in rows}, {(0, 0, 1001)}, "holds")
    equal(sleeps(t)["eintr"], 0, "interrupted calls")


class Held:
    """A target that is being held, until release."""

    def __init__(self, pid, *options):
        self.p = popen([TOOL, str(pid), "1", "--wait", *map(str, options)],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = Lines(self.p.stdout)
        equal(self.lines.next("stop_tool"), "held", "the tool's line")

    def release(self):
        self.p.stdin.write(b"\n")
        self.p.stdin.flush()
        return json.loads(self.lines.next("stop_tool"))


def some_hold(pid, *options):
    """One of ten attempts holds it; a hot target may not be held at the first."""
    for _ in range(9):
        if not holds(pid, 1, *options)[0]["result"]:
            break
    return Held(pid, *options)


@cases(strace="strace", gdb="gdb")
def traced_by_another(tracer):
    need(tracer)
    t = Target(target("sleepers"), 1)
    argv = {"strace": ["strace", "-f", "-o", "/dev/null", "-p", str(t.pid)],
            "gdb": ["gdb", "-q", "-nx", "-p", str(t.pid)]}[tracer]
    p = popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(tracers(t.pid)) == 1 and str(p.pid) in tracers(t.pid), "it is traced")
    rc, out, _ = run([TOOL, str(t.pid), "1"])
    row = json.loads(out)
    equal((rc, row["result"]), (1, -errno.EBUSY), f"status and result ({row})")
    check(str(p.pid) in row["why"] and tracer in row["why"], f"who traces it: {row['why']}")
    equal(tracers(t.pid), {str(p.pid)}, "tracers after")


@case
def first_thread_has_ended():
    t, path = flagged(2, "orphan")
    wait_for(lambda: state(t.pid) == "Z", "the first thread has ended")
    sound(holds(t.pid, 50, "--flags", path), 20)
    goes_on(t, path, 2)


@case
def parent_waits_in_vfork():
    t, path = flagged(1, "vfork")
    rows = holds(t.pid, 50, "--flags", path, "--gap", MS)
    sound(rows, 20)
    goes_on(t, path, 1)


@case
def child_runs_in_the_memory():
    """It may allocate in what it was lent: refused, and unharmed."""
    t, path = flagged(1, "lent")
    rows = holds(t.pid, 10, "--flags", path, "--gap", MS)
    sound(rows, 0)
    check(any("child" in row["why"] for row in rows if row["result"]), f"never refused: {rows[-1]}")
    goes_on(t, path, 1)


@case
def target_dies_while_held():
    for _ in range(10):
        t, path = flagged(2)
        rows = holds(t.pid, 2, "--kill", "--for", 20 * MS)
        last = [r["result"] or r["check"] for r in rows if r["threads"] or r["result"]][-1]
        equal(t.p.wait(30), -signal.SIGKILL, "the target's status")
        check(last in (-errno.ESRCH, -errno.EAGAIN, -errno.ETIME), f"results {rows}")
        check(rows[1]["result"] in (-errno.ESRCH, 0), f"after the end: {rows[1]}")
        check(rows[0]["result"] or rows[0]["check"] == -errno.ESRCH, f"in the hold: {rows[0]}")


@case
def tool_dies_while_it_holds():
    t, path = flagged(4)
    for _ in range(20):
        rc, _, _ = run([TOOL, str(t.pid), "50", "--die"])
        equal(rc, -signal.SIGKILL, "the tool's status")
        goes_on(t, path, 4)


@case
def tool_dies_at_any_moment():
    t, path = flagged(4)
    for i in range(40):
        p = popen([TOOL, str(t.pid), "1000"], stdout=subprocess.DEVNULL,
                  stderr=subprocess.DEVNULL)
        time.sleep(0.02 + i * 0.001)
        end(p)
        goes_on(t, path, 4)


@case
def stopped_by_job_control():
    """It stays stopped through holds, and goes on when it is told to."""
    t = Target(target("sleepers"), 2)
    t.p.send_signal(signal.SIGSTOP)
    tids = os.listdir(f"/proc/{t.pid}/task")
    wait_for(lambda: all(state(t.pid, i) == "T" for i in tids), "it is stopped")
    rows = holds(t.pid, 20)
    equal({(r["result"], r["check"], r["held"]) for r in rows}, {(0, 0, 0)}, "holds")
    equal({state(t.pid, i) for i in tids}, {"T"}, "states after the holds")
    t.p.send_signal(signal.SIGCONT)
    wait_for(lambda: all(state(t.pid, i) == "S" for i in tids), "it goes on")


@case
def stopped_while_held():
    """SIGSTOP in a hold takes effect after it, and SIGCONT ends it."""
    t, path = flagged(2)
    hold = some_hold(t.pid)
    before = rounds(path)
    t.p.send_signal(signal.SIGSTOP)
    equal(rounds(path), before, "rounds while held")
    hold.release()
    wait_for(lambda: all(state(t.pid, i) == "T" for i in os.listdir(f"/proc/{t.pid}/task")),
             "it is stopped")
    t.p.send_signal(signal.SIGCONT)
    goes_on(t, path, 2)


@cases(handled=(signal.SIGUSR1, "usr1", 100), awaited=(signal.SIGUSR2, "usr2", 0))
def signals_while_held(what):
    """Each comes once: a handler's call gives EINTR, sigtimedwait takes its own."""
    sig, name, most = what
    t = Target(target("sleepers"), 1, 2)
    for i in range(100):
        holds(t.pid, 2, "--for", 2 * MS)
        hold = some_hold(t.pid)
        t.p.send_signal(sig)
        hold.release()
        wait_for(lambda: sleeps(t)[name] == i + 1, f"signal {i + 1}")
    seen = sleeps(t)
    equal((seen["usr1"] + seen["usr2"], seen["wrong"]), (100, 0), f"signals ({seen})")
    check(seen["eintr"] <= most, f"calls interrupted without a handler: {seen}")


@cases(ends=False, killed=True)
def signals_at_any_moment(killed):
    """None is lost or comes twice, and who runs a handler on top of malloc counts as inside."""
    t, path = flagged(4, "signals")
    sent = 0
    for _ in range(10):
        tool = popen([TOOL, str(t.pid), "10", "--flags", path], stdout=subprocess.PIPE)
        for _ in range(100):
            t.p.send_signal(signal.SIGRTMIN)
            sent += 1
            time.sleep(0.0003)
        if killed:
            end(tool)
            continue
        rows = [json.loads(line) for line in tool.communicate(timeout=60)[0].splitlines()]
        sound(rows, 0)
    goes_on(t, path, 4)
    wait_for(lambda: rounds(path)[127] >= sent, f"{sent} signals, {rounds(path)[127]} came")
    equal(rounds(path)[127], sent, "signals")


@case
def a_handler_on_top_of_malloc():
    """Who got its signal inside malloc is inside until the handler is over."""
    t, path = flagged(2, "signals")
    over = good = 0
    for _ in range(8):
        tool = popen([TOOL, str(t.pid), "40", "--flags", path], stdout=subprocess.PIPE)
        while tool.poll() is None:
            t.p.send_signal(signal.SIGRTMIN)
            time.sleep(0.0001)
        rows = [json.loads(line) for line in tool.stdout.read().splitlines()]
        sound(rows, 0)
        good += sum(not r["result"] and not r["check"] for r in rows)
        over += sum(r["over"] for r in rows if not r["result"])
    check(good >= 50, f"only {good} holds")
    # One that was in its handler before it was first looked at cannot be told.
    check(over * 50 <= good, f"{over} threads in a handler on top of malloc in {good} holds")


@case
def threads_come_and_go():
    p = popen([target("thread_churn"), "60000"], stdout=subprocess.PIPE)
    lines = Lines(p.stdout)
    wait_for(lambda: len(os.listdir(f"/proc/{p.pid}/task")) > 5, "it has threads")
    rows = holds(p.pid, 100)
    check(any(not r["result"] and not r["check"] for r in rows), f"no hold at all: {rows[-1]}")
    check({r["result"] for r in rows} <= {0, -errno.EAGAIN, -errno.ETIME, -errno.ESRCH},
          f"results {rows}")
    equal(lines.next("thread_churn", 120), "threads=60000 blocks=420000", "its account")
    equal(p.wait(60), 0, "its status")


@case
def exec_meets_a_hold():
    """A thread calls exec, which waits for the end of the others, who are being held."""
    t, path = flagged(16, "exec")
    for _ in range(20):
        tool = popen([TOOL, str(t.pid), "30", "--gap", "100000"], stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL)
        check(tool.wait(60) in (0, 1), "the tool's status")
        before = rounds(path)[127]
        wait_for(lambda: rounds(path)[127] > before, "it goes on", 60)
    check(t.p.poll() is None, "the target has ended")


@case
def no_such_process():
    p = popen(["true"])
    p.wait()
    rc, out, _ = run([TOOL, str(p.pid), "1"])
    equal(rc, 1, "status")


@case
def without_permission():
    t = Target(target("sleepers"), 1)
    rc, out, err = run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", TOOL,
                        str(t.pid), "1", "--no-zone"])
    equal(rc, 1, f"status ({err})")
    check("permission" in out + err or "-13" in out or "-1," in out, f"the message {out} {err}")


@case
def nothing_is_left():
    """No tracer, no thread, no descriptor: 200 holds in one process."""
    t, path = flagged(1)
    sound(holds(t.pid, 200), 50)
    equal(tracers(t.pid), set(), "tracers")
    goes_on(t, path, 1)
