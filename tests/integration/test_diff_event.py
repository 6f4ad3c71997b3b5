# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""memtrace diff -p PID EVENT: what changes around a command, a time, a condition, an
Enter, by targets that allocate what they are told, and by real programs."""

import json
import os
import pty
import re
import signal
import subprocess
import termios

from harness import (MEMTRACE, PYTHON, Lines, Skip, Target, Tracer, at_exit, case, cases,
                     check, equal, memtrace, need, one_line, popen, run, target, tmp)
from test_census_programs import Nginx, Redis
from test_go import NEWEST, program
from test_life import wait_for

MIB = 1 << 20


def usable(size):
    """Of glibc's block for a request, below its threshold for mappings."""
    return (size + 8 + 15) // 16 * 16 - 8


class Told(Target):
    """Obeys lines in a FIFO, so that a command can tell it, too."""

    def __init__(self):
        self.fifo = tmp(f"fifo-{os.urandom(4).hex()}")
        for path in (self.fifo, self.fifo + ".done"):
            os.mkfifo(path)
        super().__init__(target("told"), self.fifo)
        self.files = [open(p, "r+b", buffering=0) for p in (self.fifo, self.fifo + ".done")]
        at_exit(lambda: [f.close() for f in self.files])
        self.answers = Lines(self.files[1])

    def tell(self, text, answer="done"):
        self.files[0].write(f"{text}\n".encode())
        if answer:
            equal(self.answers.next("told"), answer, "the target's answer")

    def command(self, *texts):
        """A command that tells it, and ends when it is done; $n is the number of the run."""
        count = tmp(f"count-{os.urandom(4).hex()}")
        lines = "".join(f'echo "{t}" > {self.fifo}; read x < {self.fifo}.done; ' for t in texts)
        return ["sh", "-c", f"n=$(cat {count} 2>/dev/null || echo 0); n=$((n + 1)); "
                            f"echo $n > {count}; {lines}"]


def diff(*args, status=0, **kw):
    """The differences that were printed, and standard error."""
    rc, out, err = memtrace("diff", "-f", "json", *args, **kw)
    equal(rc, status, f"exit status ({err.strip()})")
    return [json.loads(line) for line in out.splitlines()], err


def only(diffs):
    equal(len(diffs), 1, "differences printed")
    equal(len(diffs[0]["processes"]), 1, "processes")
    return diffs[0]["processes"][0]


def row(process, name):
    """A field's change; one that did not change is not listed."""
    nothing = {"old": 0, "new": 0, "change": 0, "median": 0, "min": 0, "max": 0}
    return {**nothing, **process["rows"].get(name, {})}


def changed(process, name, each):
    """The median, minimum and maximum over the repetitions."""
    r = row(process, name)
    each = sorted(each)
    equal((r["median"], r["min"], r["max"]), (each[len(each) // 2], each[0], each[-1]),
          f"median, minimum and maximum of {name}")


class Differ(Tracer):
    """A running memtrace diff that has taken its first snapshot."""

    def __init__(self, *args, **kw):
        super().__init__("diff", "-v", "-f", "json", *args, stderr=open(tmp("err"), "w+b"), **kw)
        wait_for(lambda: "waiting for the event" in self.stderr() or self.p.poll() is not None,
                 "the first snapshot")

    def said(self, word, times=1):
        wait_for(lambda: self.stderr().count(word) >= times, f"{word} {times} times")


@case
def command():
    """The same in each run, to the byte."""
    t = Told()
    d, err = diff("-p", t.pid, "--repeat", "6", "--", *t.command("keep 10 4096", "keep 1 1000"))
    p = only(d)
    changed(p, "HeapAlloc", [10 * usable(4096) + usable(1000)] * 6)
    changed(p, "HeapObjects", [11] * 6)
    changed(p, "Mallocs", [11] * 6)
    changed(p, "Frees", [0] * 6)
    # the end of one is the beginning of the next: what one leaves to be freed is no growth
    equal((p["first"]["seq"], p["old"]["seq"], p["new"]["seq"]), (0, 5, 6), "snapshots")
    equal(err, "", "standard error")


@case
def command_varies():
    """Another amount in each run: the median is told from the ends."""
    t = Told()
    d, _ = diff("-p", t.pid, "--repeat", "5", "--", *t.command("keep $((n * n)) 1024"))
    each = [n * n for n in range(1, 6)]
    changed(only(d), "HeapObjects", each)
    changed(only(d), "HeapAlloc", [n * usable(1024) for n in each])


@case
def command_frees():
    t = Told()
    t.tell("keep 100 1024")
    d, _ = diff("-p", t.pid, "--repeat", "3", "--", *t.command("drop 10", "keep 4 1024"))
    changed(only(d), "HeapObjects", [-6] * 3)
    changed(only(d), "HeapAlloc", [-6 * usable(1024)] * 3)
    changed(only(d), "Frees", [10] * 3)


@cases(once=1, thrice=3)
def for_a_time(times):
    """So long from snapshot to snapshot; each begins where the one before ended."""
    t = Told()
    m = Differ("-p", t.pid, "--for", "150ms", "--repeat", str(times))
    t.tell("keep 7 4096")
    p = only([json.loads(line) for line in m.wait()])
    took = p["new"]["uptime_ns"] - p.get("first", p["old"])["uptime_ns"]
    check(took >= times * 150e6, f"{took} ns from the first to the last")
    equal(p["new"]["seq"], times, "snapshots before the last")
    # it came in one of them, or on a slow machine after all
    check(row(p, "HeapObjects")["max"] in (0, 7), f"{row(p, 'HeapObjects')}")


@case
def so_far():
    """SIGUSR1 shows it and SIGINT ends with it."""
    t = Told()
    m = Differ("-p", t.pid, "--when", "HeapObjects >= 1e9", "-i", "20ms")
    t.tell("keep 7 4096")
    m.p.send_signal(signal.SIGUSR1)
    equal(row(only([m.object()]), "HeapObjects")["change"], 7, "so far")
    t.tell("keep 5 4096")
    m.p.send_signal(signal.SIGUSR1)
    equal(row(only([m.object()]), "HeapObjects")["change"], 12, "so far")
    t.tell("drop 2")
    last = only([json.loads(line) for line in m.stop()])
    equal(row(last, "HeapObjects")["change"], 10, "at the end")
    check("SIGINT came before the event" in m.stderr(), m.stderr())


@case
def when():
    t = Told()
    m = Differ("-p", t.pid, "--when", "heapobjects >= 500", "-i", "5ms", "-d", "60s")
    for _ in range(6):
        t.tell("keep 100 1000")
    p = only([json.loads(line) for line in m.wait()])
    new = row(p, "HeapObjects")["new"]
    check(500 <= new <= 610, f"{new} objects when there were to be 500")
    check("holds\n" in m.stderr(), m.stderr())


@case
def when_it_holds_again():
    """A repetition is not over before the condition has ended and come once more."""
    t = Told()
    m = Differ("-p", t.pid, "--when", "HeapObjects > 500", "-i", "5ms", "--repeat", "3")
    for n in range(1, 4):
        t.tell("keep 600 1000")
        m.said(" holds\n", n)
        if n < 3:
            # below for long enough to be seen: until a look has been
            t.tell("drop 600")
            seen = os.stat(f"/proc/{m.p.pid}/stat") and ticks(m.p.pid)
            wait_for(lambda s=seen: ticks(m.p.pid) > s + 2, "memtrace looks on")
    p = only([json.loads(line) for line in m.wait()])
    equal(row(p, "HeapObjects")["max"], 600, "the first")
    equal(row(p, "HeapObjects")["median"], 0, "from one time that it held to the next")


def ticks(pid):
    """How often it has waited."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", f.read(), re.M)[1])


@case
def when_already():
    t = Told()
    d, err = diff("-p", t.pid, "--when", "rss > 1KiB")
    equal(row(only(d), "HeapObjects")["change"], 0, "change")
    one_line(err, "holds already", "rss > 1KiB", str(t.pid))


@case
def when_it_grows():
    t = Told()
    m = Differ("-p", t.pid, "--when", "Alloc grows 1MiB/s", "-i", "50ms", "-d", "60s")
    t.tell("keep 1000 50000")
    p = only([json.loads(line) for line in m.wait()])
    equal(row(p, "HeapAlloc")["change"], 1000 * usable(50000), "change")


def memory_cgroup(limit):
    """A memory cgroup of our own with that limit; what to write a pid into."""
    v1, v2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
    name = f"memtrace-test-{os.getpid()}"
    if os.path.exists(f"{v1}/memory.limit_in_bytes"):
        path, file = f"{v1}/{name}", "memory.limit_in_bytes"
    elif os.path.exists(f"{v2}/cgroup.controllers"):
        path, file = f"{v2}/{name}", "memory.max"
    else:
        raise Skip("no memory cgroups")
    try:
        os.mkdir(path)
        at_exit(lambda: os.rmdir(path))
        with open(f"{path}/{file}", "w") as f:
            f.write(str(limit))
    except OSError as e:
        raise Skip(f"no memory cgroup can be made: {e}")
    return f"{path}/cgroup.procs"


@case
def when_a_share_of_the_limit():
    procs = memory_cgroup(256 * MIB)
    t = Told()
    at_exit(lambda: t.p.kill() or t.p.wait())
    with open(procs, "w") as f:
        f.write(str(t.pid))
    m = Differ("-p", t.pid, "--when", "rss > 25%", "-i", "5ms", "-d", "60s")
    for _ in range(10):
        t.tell("keep 10 1000000")
    p = only([json.loads(line) for line in m.wait()])
    new = row(p, "HeapAlloc")["new"]
    check(60e6 <= new <= 101e6, f"Alloc is {new} when rss was to be 64 MiB")


@case
def when_there_is_no_limit():
    t = Told()
    with open(f"/proc/{t.pid}/cgroup") as f:
        if "memtrace" in f.read():
            raise Skip("we have a limit ourselves")
    rc, out, err = memtrace("diff", "-p", t.pid, "--when", "rss > 80%")
    if rc == 0:
        raise Skip("there is a limit here")
    equal((rc, out), (1, ""), "exit status, output")
    one_line(err, "no memory limit", "give bytes")


class Terminal:
    """memtrace diff on a terminal of its own, its output in a pipe."""

    def __init__(self, *args):
        self.master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        at_exit(lambda: os.close(self.master))
        self.p = popen([MEMTRACE, "diff", "-f", "json", *map(str, args)], stdin=slave,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                       preexec_fn=lambda: os.set_inheritable(0, True))
        os.close(slave)
        self.lines, self.errors = Lines(self.p.stdout), Lines(self.p.stderr)

    def type(self, text):
        os.write(self.master, text.encode())

    def difference(self):
        return only([json.loads(self.lines.next("memtrace"))])

    def end(self, status=0):
        rest = self.lines.rest()
        equal(self.p.wait(60), status, "exit status")
        return [json.loads(line) for line in rest]


@case
def enter():
    """Each shows what has changed since the one before."""
    t = Told()
    m = Terminal("-p", t.pid)
    check("press Enter" in m.errors.next("the hint"), "no hint")
    m.type("\n")
    m.difference()  # the first snapshot is over
    for n in (3, 0, 5):
        t.tell(f"keep {n} 4096")
        m.type("some words\n")
        equal(row(m.difference(), "HeapAlloc")["change"], n * usable(4096), "change")
    m.type("\x04")
    equal(m.end(), [], "after Ctrl-D")


@case
def enter_until_a_signal():
    t = Told()
    m = Terminal("-p", t.pid)
    m.errors.next("the hint")
    m.type("\n")
    m.difference()
    t.tell("keep 2 4096")
    m.p.send_signal(signal.SIGINT)
    equal(row(only(m.end()), "HeapObjects")["change"], 2, "change up to the signal")


@case
def enter_repeated():
    """All of them as one, with what tells noise from a leak."""
    t = Told()
    m = Terminal("-p", t.pid, "--repeat", "3", "-v")
    while "waiting" not in m.errors.next("the first snapshot"):
        pass
    t.tell("keep 4 4096")
    m.type("\n\n")
    m.type("\n")
    p = only(m.end())
    changed(p, "HeapObjects", [4, 0, 0])
    equal(p["repetitions"], 3, "repetitions")


@case
def enter_of_a_target_that_ends():
    t = Told()
    m = Terminal("-p", t.pid)
    m.errors.next("the hint")
    m.type("\n")
    m.difference()
    t.tell("keep 2 4096")
    t.tell("end", None)
    equal(row(only(m.end()), "HeapObjects")["change"], 2, "change up to its end")
    check("ended before the event" in m.errors.next("why it ended"), "nothing said")


@cases(time=(["--for", "1h"], 0), condition=(["--when", "rss > 1TiB"], 1))
def target_ends(how):
    event, status = how
    t = Told()
    m = Differ("-p", t.pid, *event)
    t.tell("keep 1 4096")
    t.tell("end", None)
    p = only([json.loads(line) for line in m.wait(status=status)])
    equal(row(p, "HeapObjects")["change"], 1, "change")
    check("the process ended before the event" in m.stderr(), m.stderr())


@case
def target_ends_under_a_command():
    """The command is waited for, and the next does not start."""
    t = Told()
    flag = tmp("flag")
    script = f"echo end > {t.fifo}; while kill -0 {t.pid} 2>/dev/null; do " \
             f"grep -q '^State:.Z' /proc/{t.pid}/status && break; done; echo x >> {flag}"
    d, err = diff("-p", t.pid, "--repeat", "3", "--", "sh", "-c", script)
    only(d)
    with open(flag) as f:
        equal(f.read(), "x\n", "what the command wrote")
    check("1 of 3 repetitions" in err, err)


@cases(status=("exit 7", 7), signal=("kill -TERM $$", 143), found=("nosuchcommand", 127))
def command_fails(how):
    """The first that fails is the last, and its status is memtrace's."""
    script, status = how
    t = Told()
    d, err = diff("-p", t.pid, "--repeat", "5", "--", "sh", "-c",
                  t.command("keep 1 4096")[2] + script, status=status)
    equal(row(only(d), "HeapObjects")["change"], 1, "change of the run that failed")
    note = f"the command's exit status was {status}: 1 of 5 repetitions"
    equal(d[0]["notes"], [note], "notes")
    check(note in err, err)


@cases(missing=("/nosuch/command", 127, "no such file"), text=("/etc/passwd", 126, "permission"))
def command_cannot_run(how):
    command, status, why = how
    t = Told()
    rc, out, err = memtrace("diff", "-p", t.pid, "--", command)
    equal((rc, out), (status, ""), "exit status and output")
    one_line(err, "cannot run", why)


@cases(term=signal.SIGTERM, int=signal.SIGINT)
def signal_to_the_command(sig):
    """From a process it is passed on; the difference is printed, the command's end is ours."""
    t = Told()
    m = Differ("-p", t.pid, "--repeat", "9", "--", "sh", "-c",
               f"echo 'keep 2 4096' > {t.fifo}; read x < {t.fifo}.done; echo started >&2; "
               "exec sleep 1000")
    m.said("started")
    lines = m.stop(sig, status=128 + sig)
    equal(row(only([json.loads(line) for line in lines]), "HeapObjects")["change"], 2, "change")


@case
def duration():
    t = Told()
    d, err = diff("-p", t.pid, "-d", "100ms", "--when", "rss > 1TiB", status=1)
    only(d)
    equal(d[0]["notes"], ["the event did not come within 100.0 ms: this is the difference so far"],
          "notes")
    one_line(err, "did not come within 100.0 ms")


@case
def duration_over_a_command():
    """What changed so far is shown then; the command is not killed."""
    t = Told()
    flag = tmp("flag")
    m = Differ("-p", t.pid, "-d", "100ms", "--", "sh", "-c",
               f"while ! [ -e {flag} ]; do sleep 0.01; done; exit 5")
    only([m.object()])
    with open(flag, "w"):
        pass
    m.wait(status=5)
    check("did not come within" in m.stderr(), m.stderr())


@case
def several_processes():
    a, b = Told(), Told()
    d, _ = diff("-p", f"{a.pid},{b.pid}", "--repeat", "2", "--", "sh", "-c",
                "".join(c[2] for c in (a.command("keep 3 4096"), b.command("keep 5 4096"))))
    equal(len(d), 1, "differences")
    of = {p["pid"]: p for p in d[0]["processes"]}
    changed(of[a.pid], "HeapObjects", [3, 3])
    changed(of[b.pid], "HeapObjects", [5, 5])


@case
def one_of_several_ends():
    """It is in the repetition in which it ended, and in no later one."""
    a, b = Told(), Told()
    script = a.command("keep 3 4096")[2] + \
        f"[ $n = 2 ] && echo end > {b.fifo}; [ $n = 1 ] || wait_for_end {b.pid}; true"
    wait = "wait_for_end() { while [ -e /proc/$1 ] && ! grep -q '^State:.Z' /proc/$1/status; " \
        "do :; done; }; "
    d, _ = diff("-p", f"{a.pid},{b.pid}", "--repeat", "5", "--", "sh", "-c", wait + script)
    of = {p["pid"]: p for p in d[0]["processes"]}
    equal((of[a.pid]["repetitions"], of[b.pid]["repetitions"]), (5, 2), "repetitions")
    equal(of[b.pid]["new"]["final"], True, "its last snapshot")
    changed(of[a.pid], "HeapObjects", [3] * 5)


@case
def target_runs_something_else():
    """The counts of the new image begin anew, which is said."""
    t = Told()
    d, _ = diff("-p", t.pid, "--", "sh", "-c", f"echo exec > {t.fifo}; "
                f"while ! grep -q exe /proc/{t.pid}/comm; do :; done; "
                f"echo 'keep 3 1000' > {t.fifo}; read x < {t.fifo}.done")
    p = only(d)
    equal((p["old"]["comm"], p["new"]["comm"]), ("told", "exe"), "names")
    equal(row(p, "HeapObjects")["new"], 3, "objects of the new image")
    check(any("another name" in n for n in p["notes"]), f"{p['notes']}")


@cases(time=(["--for", "100ms"], 0), command=(["--", "sh", "-c", "exit 3"], 3))
def nobody_reads(how):
    args, status = how
    t = Told()
    r, w = os.pipe()
    os.close(r)
    p = popen([MEMTRACE, "diff", "-p", str(t.pid), *args], stdin=subprocess.DEVNULL, stdout=w,
              stderr=subprocess.PIPE)
    os.close(w)
    equal(p.communicate(timeout=60)[1], b"", "standard error")
    equal(p.returncode, status, "exit status")


@case
def output_file():
    """It can be written before anything is attached; one record for each difference."""
    t, path = Told(), tmp("out.json")
    rc, out, err = memtrace("diff", "-p", t.pid, "-f", "json", "-o", path, "--for", "1ms")
    equal((rc, out, err), (0, "", ""), "status, output, errors")
    with open(path) as f:
        only([json.loads(line) for line in f])
    rc, out, err = memtrace("diff", "-p", t.pid, "-o", "/nosuch/file", "--for", "1ms")
    equal((rc, out), (1, ""), "status, output")
    one_line(err, "/nosuch/file")
    path = tmp("kept")
    with open(path, "w") as f:
        f.write("old")
    rc, _, _ = memtrace("diff", "-p", t.pid, "-o", path, "--when", "Aloc > 1")
    with open(path) as f:
        equal((rc, f.read()), (2, "old"), "status, a file that there was nothing to write to")


@case
def command_under_sudo():
    """It is the invoking user's, in each repetition."""
    t = Told()
    who = tmp("who")
    with open(who, "w"):
        pass
    os.chmod(who, 0o666)
    env = {**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"}
    diff("-p", t.pid, "--repeat", "3", "--", "sh", "-c", f"id -u >> {who}", env=env)
    with open(who) as f:
        equal(f.read().split(), ["65534"] * 3, "who ran the command")


@case
def gives_up_what_starts_commands():
    """To become another user is kept until the last command is there."""
    t = Told()
    env = {**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"}
    held = []
    for times in (1, 2):
        seen = tmp(f"seen{times}")
        with open(seen, "w"):
            pass
        os.chmod(seen, 0o666)
        diff("-p", t.pid, "--repeat", str(times), "--", "sh", "-c",
             f"grep CapEff /proc/$PPID/status >> {seen}", env=env)
        with open(seen) as f:
            held.append([int(line.split()[1], 16) >> 6 & 3 for line in f])
    equal(held, [[0], [3, 0]], "CAP_SETGID and CAP_SETUID during each run")


@case
def snapshot_signal_at_once():
    """While it attaches there is nothing to show: SIGUSR1 waits."""
    t = Told()
    m = Tracer("diff", "-v", "-f", "json", "-p", t.pid, "--when", "HeapObjects >= 1e9")
    wait_for(lambda: "probes" in m.stderr(), "its probes")
    m.p.send_signal(signal.SIGUSR1)
    only([m.object()])
    equal(len(m.stop()), 1, "differences at the end")


@case
def command_finds_the_signals():
    """Blocked and ignored is what was before memtrace, in each repetition."""
    t = Told()
    masks = tmp("masks")
    diff("-p", t.pid, "--repeat", "3", "--", "sh", "-c",
         f"grep -E '^Sig(Blk|Ign)' /proc/self/status >> {masks}")
    with open(masks) as f:
        lines = f.read().splitlines()
    with open("/proc/self/status") as f:
        own = [line for line in f.read().splitlines() if line.startswith(("SigBlk", "SigIgn"))]
    equal(len(lines), 6, "lines")
    equal(lines[2:4], lines[0:2], "the second run's signals, as the first's")
    equal(lines[4:6], lines[0:2], "the third run's signals, as the first's")
    equal(lines[0], own[0], "blocked")


@case
def command_of_an_odd_name():
    rc, out, err = memtrace("diff", "-p", os.getpid(), "--", "\033[31m")
    equal((rc, out), (127, ""), "exit status, output")
    one_line(err, "cannot run \\x1B[31m: No such file")


@cases(
    condition=(["--when", "Aloc > 1"], "column 1: there is no field 'Aloc': did you mean Alloc?"),
    column=(["--when", "Alloc > 1XB"], "column 10: 'XB' is no unit of Alloc"),
    two=(["--for", "1s", "--when", "rss > 1"], "give one event"),
    no_looks=(["--for", "1s", "-i", "2s"], "--interval is for --when"),
    no_pairs=(["--func", "malloc", "--repeat", "2"], "leave --repeat out"),
    no_census=(["--func", "main", "--no-census"], "takes no census"),
    often=(["--for", "1s", "--repeat", "1001"], "--repeat: at most 1000"),
    none=([], "not a terminal"))
def usage(how):
    args, word = how
    rc, out, err = memtrace("diff", "-p", os.getpid(), *args)
    equal((rc, out), (2, ""), "exit status, output")
    one_line(err, word)


@cases(repeat=["--repeat", "2"], duration=["-d", "1s"], census=["--no-census"],
       stop=["--max-stop", "1s"], freeze=["--no-freeze"])
def not_of_files(args):
    rc, out, err = memtrace("diff", *args, "old.ndjson", "new.ndjson")
    equal((rc, out), (2, ""), "exit status, output")
    one_line(err, "is for -p PID")


@case
def no_such_process():
    rc, out, err = memtrace("diff", "-p", 4194000, "--for", "1s")
    equal((rc, out), (1, ""), "exit status, output")
    one_line(err, "no such process")


@case
def strict():
    t = Target(target("lose"))
    m = Differ("-p", t.pid, "--strict", "--no-census", "--when", "rss > 1TiB")
    t.step("free")
    m.stop(status=3)


@case
def python():
    """Live bytes of a list that grows by a known number of bytes at each signal."""
    t = Target(PYTHON, "-c", """
import signal, sys
keep = []
signal.signal(signal.SIGUSR2, lambda *_: keep.append(bytearray(1 << 20)) or
              open(sys.argv[1], 'w').close())
print('ready', flush=True)
while True:
    signal.pause()
""", tmp("flag"), env={"PYTHONMALLOC": "malloc"})
    script = f"rm -f {tmp('flag')}; kill -USR2 {t.pid}; while ! [ -e {tmp('flag')} ]; do :; done"
    d, _ = diff("-p", t.pid, "--repeat", "7", "--", "sh", "-c", script)
    p = only(d)
    r = row(p, "HeapAlloc")
    check(MIB <= r["median"] <= MIB + 8192, f"{r}")
    equal(p["leak"]["verdict"], "grows", "verdict")


@case
def redis():
    """A value of 100,000 bytes in each run; what its client had is freed before the answer
    to another one."""
    r = Redis(None)
    cli = f"{need('redis-cli')} -p {r.port}"
    script = f"head -c 100000 /dev/zero | {cli} -x set key:$$ > /dev/null; {cli} ping > /dev/null"
    run(["sh", "-c", script])
    d, _ = diff("-p", r.p.pid, "--repeat", "10", "--", "sh", "-c", script)
    p = only(d)
    median = row(p, "HeapAlloc")["median"]
    check(100000 <= median <= 140000, f"{median} bytes for a value of 100000")
    equal(p["leak"]["verdict"], "grows", f"verdict of {p['leak']}")


@case
def nginx():
    """Pools come and go with the request."""
    n = Nginx(0)
    curl = [need("curl"), "-s", "-o", "/dev/null", f"http://127.0.0.1:{n.port}/"]
    run(curl)
    d, _ = diff("-p", n.p.pid, "--repeat", "8", "--", *curl)
    p = only(d)
    check(row(p, "TotalAlloc")["median"] > 1000, "nothing was allocated")
    check(p["leak"]["verdict"] != "grows", f"{p['leak']}")


@case
def go():
    """Its own numbers, of one moment each."""
    t = Target(program(NEWEST[0], "steps"))
    m = Differ("-p", t.pid, "--when", "HeapObjects > 1e9", "-i", "20ms")
    m.p.send_signal(signal.SIGUSR1)
    old = row(only([m.object()]), "HeapObjects")["change"]
    equal(old, 0, "change of a program that waits")
    t.step("small 10000")
    p = only([json.loads(line) for line in m.stop()])
    new = row(p, "HeapObjects")["change"]
    check(10000 <= new - old <= 10100, f"{old} to {new}")
