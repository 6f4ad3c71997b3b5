# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The command line: formats, files, exit statuses, and errors in one line with
the remedy."""

import json
import os
import re
import signal
import subprocess

from harness import (MEMTRACE, ROOT, Skip, Target, Tracer, attach, case, cases, check, equal, memtrace,
                     final, need, one_line, popen, run, target, tmp)

LINE = re.compile(r"Alloc = \d+ MiB\tTotalAlloc = \d+ MiB\tSys = \d+ MiB\tNumGC = 0"
                  r"(\tLost = \d+)?(\t\(since attach\))?")
MEMSTATS = """Alloc TotalAlloc Sys Lookups Mallocs Frees HeapAlloc HeapSys HeapIdle HeapInuse
HeapReleased HeapObjects StackInuse StackSys MSpanInuse MSpanSys MCacheInuse MCacheSys BuckHashSys
GCSys OtherSys NextGC LastGC PauseTotalNs PauseNs PauseEnd NumGC NumForcedGC GCCPUFraction EnableGC
DebugGC BySize""".split()


def hot():
    return Target(target("hot"), 2)


@case
def line_then_table():
    t = hot()
    rc, out, err = memtrace("-p", t.pid, "20ms", 3)
    equal((rc, err), (0, ""), "exit status and standard error")
    lines = out.splitlines()
    for x in lines[:3]:
        check(LINE.fullmatch(x), f"line {x!r}")
        check("(since attach)" not in x, f"no census was taken for {x!r}")
    table = "\n".join(lines[3:])
    for field in ("TotalAlloc", "HeapObjects", "StackSys", "Mallocs"):
        check(field in table, f"{field} is not in the table at the end")


@case
def unit_and_prefix():
    ts = [hot(), hot()]
    rc, out, _ = memtrace("-p", ts[0].pid, "-p", ts[1].pid, "-u", "B", "-c", 1)
    equal(rc, 0, "exit status")
    for t, x in zip(ts, out.splitlines()):
        check(re.match(rf"hot\[{t.pid}\]\tAlloc = \d+ B\t", x), f"line {x!r}")


@case
def label_and_signals():
    t = hot()
    tracer, first = attach(t.pid, "--label", "before deploy", "--snapshot-on", "hup")
    asked = tracer.snapshot()
    tracer.p.send_signal(signal.SIGHUP)
    hung_up = tracer.object()
    last = final(tracer)
    equal([s["event"] for s in (first, asked, hung_up, last)], [None, "SIGUSR1", "SIGHUP", None],
          "events")
    for s in (first, asked, hung_up, last):
        equal((s["label"], s["host"]), ("before deploy", os.uname().nodename), "label and host")
    rc, out, _ = memtrace("-p", t.pid, "-f", "json", "-c", 1)
    equal((rc, json.loads(out)["label"]), (0, None), "exit status and label of none")


@case
def bad_label_and_signal():
    for args, want in ((("--snapshot-on", "SIGTERM"), "SIGTERM"), (("--snapshot-on", "x\ny"), "x"),
                       (("--label", 128 * "x"), "127"), (("--label", ""), "empty")):
        rc, out, err = memtrace("-p", 1, *args)
        equal((rc, out), (2, ""), f"exit status and output of {args}")
        one_line(err, want)


@case
def memstats_fields():
    t = hot()
    rc, out, _ = memtrace("-p", t.pid, "-f", "memstats", "-i", "10ms", "-c", 2)
    equal(rc, 0, "exit status")
    objects = [json.loads(x) for x in out.splitlines()]
    check(len(objects) >= 2, f"{len(objects)} objects")
    for m in objects:
        equal(list(m), MEMSTATS, "fields")
        equal((len(m["BySize"]), len(m["PauseNs"]), len(m["PauseEnd"])), (61, 256, 256), "lengths")


@case
def memstats_by_go():
    """Go's own decoder takes it, unknown fields refused."""
    go, source = need("go"), os.path.join(ROOT, "tests/golden/decode/main.go")
    env = {**os.environ, "GOCACHE": tmp("cache"), "GO111MODULE": "off", "HOME": tmp("home"),
           "GOFLAGS": "", "CGO_ENABLED": "0"}
    rc, _, err = run([go, "build", "-o", tmp("decode"), source], env=env, timeout=280)
    equal(rc, 0, f"go build: {err}")
    t = hot()
    out = tmp("memstats.json")
    equal(memtrace("-p", t.pid, "-f", "memstats", "-o", out, "-c", 1)[0], 0, "exit status")
    with open(out, "rb") as f:
        rc, text, err = run([tmp("decode")], stdin=f)
    equal(rc, 0, f"the decoder: {text}{err}")


@case
def openmetrics():
    promtool = need("promtool")
    ts = [hot(), hot()]
    out = tmp("metrics")
    rc, _, err = memtrace("-p", f"{ts[0].pid},{ts[1].pid}", "-f", "openmetrics", "-o", out, "-c", 1)
    equal((rc, err), (0, ""), "exit status and standard error")
    with open(out, "rb") as f:
        rc, text, err = run([promtool, "check", "metrics"], stdin=f)
    equal((rc, text + err), (0, ""), "promtool's status and remarks")
    with open(out) as f:
        text = f.read()
    for t in ts:
        check(re.search(rf'memtrace_memstats_mallocs_total{{[^}}]*pid="{t.pid}"', text),
              f"no mallocs of {t.pid}")


@case
def table():
    t = hot()
    rc, out, _ = memtrace("-p", t.pid, "-f", "table", "-c", 1, "--color", "always")
    equal(rc, 0, "exit status")
    for field in MEMSTATS:
        check(field in out or field in ("PauseNs", "PauseEnd", "DebugGC", "EnableGC", "BySize",
                                        "GCCPUFraction"), f"{field} is not in the table")


@case
def output_stream():
    t = hot()
    out = tmp("stream")
    rc, text, err = memtrace("-p", t.pid, "-f", "json", "-o", out, "10ms", 5)
    equal((rc, text, err), (0, "", ""), "exit status, standard output and error")
    with open(out) as f:
        seqs = [json.loads(x)["seq"] for x in f]
    equal(seqs[:5], [0, 1, 2, 3, 4], "seq")


@case
def output_patterns():
    ts = [hot(), hot()]
    rc, _, err = memtrace("-p", f"{ts[0].pid},{ts[1].pid}", "-f", "json", "-o", tmp("s-%p.json"),
                          "10ms", 2)
    equal((rc, err), (0, ""), "exit status and standard error")
    for t in ts:
        with open(tmp(f"s-{t.pid}.json")) as f:
            equal({json.loads(x)["pid"] for x in f}, {t.pid}, "pids")
    rc, _, _ = memtrace("-p", ts[0].pid, "-f", "openmetrics", "-o", tmp("m-%n"), "10ms", 2)
    check(os.path.exists(tmp("m-0")) and os.path.exists(tmp("m-1")), "no file per snapshot")


@case
def duration():
    t = hot()
    rc, out, _ = memtrace("-p", t.pid, "-f", "json", "-i", "20ms", "-d", "200ms")
    equal(rc, 0, "exit status")
    check(len(out.splitlines()) >= 2, "fewer than two snapshots")


@case
def reader_gone():
    """A closed pipe ends memtrace quietly, as it ends others."""
    t = hot()
    p = popen([MEMTRACE, "-p", str(t.pid), "1ms"], stdin=subprocess.DEVNULL,
              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.readline()
    p.stdout.close()
    err = p.stderr.read()
    p.wait(60)
    equal(err, b"", "standard error")


@cases(int=signal.SIGINT, term=signal.SIGTERM)
def stopped_by(sig):
    t = hot()
    tracer = Tracer("-p", t.pid, "-f", "json", "-i", "1h")
    tracer.object()
    last = json.loads(tracer.stop(sig)[-1])
    check(last["final"], "the last snapshot is not the final one")


@case
def help_and_version():
    rc, out, err = memtrace("--help")
    equal((rc, err), (0, ""), "exit status and standard error")
    for word in ("--pid", "--format", "--strict", "--no-census", "doctor"):
        check(word in out, f"{word} is not in the help")
    with open(os.path.join(ROOT, "VERSION")) as f:
        version = f.read().strip()
    check(version in memtrace("-V")[1], "the version is not said")


@case
def doctor():
    rc, out, _ = memtrace("doctor")
    equal(rc, 0, "exit status")
    for word in ("uprobe", "BTF", "tracepoint", "lockdown", "perf_event_paranoid", "memlock"):
        check(word.lower() in out.lower(), f"{word} is not in doctor's report")


@case
def doctor_of_pid():
    t = hot()
    rc, out, err = memtrace("doctor", "-p", t.pid)
    equal(rc, 0, f"exit status ({err})")
    for word in ("libc", "glibc", "malloc", "free", "realloc", "posix_memalign"):
        check(word in out, f"{word} is not in doctor's report")
    check("emulated" in out or "single" in out, "it does not say how the probes are run")
    check(re.search(r"0x[0-9a-f]+", out), "no probe's address")


@cases(interval=["-i", "soon"], operand=["abc"], zero=["0"], negative=["-i", "-1"],
       count=["1", "many"], unit=["-u", "miles"], format=["-f", "xml"])
def usage(args):
    rc, _, err = memtrace("-p", os.getpid(), *args)
    equal(rc, 2, f"exit status ({err})")
    one_line(err, args[-1].lstrip("-"))


@case
def unknown_option():
    rc, _, err = memtrace("--formatt", "line", "-p", "1")
    equal(rc, 2, f"exit status ({err})")
    one_line(err, "formatt", "--format")


@cases(spaces=["-p", "12 34"], letters=["-p", "12,x"], zero=["-p", "0"], empty=["-p", ""])
def bad_pids(args):
    rc, _, err = memtrace(*args)
    equal(rc, 2, f"exit status ({err})")
    one_line(err)


@case
def nothing_to_trace():
    rc, _, err = memtrace()
    equal(rc, 2, "exit status")
    one_line(err, "-p")


@cases(operand=(["soon"], "soon"), command=(["--"], "COMMAND"), both=(["-p", "1", "--"], "COMMAND"))
def nothing_to_trace_and_wrong(given):
    args, word = given
    rc, _, err = memtrace(*args)
    equal(rc, 2, f"exit status ({err})")
    one_line(err, word)


def fails(pid, *words, args=(), **kw):
    rc, out, err = memtrace("-p", pid, "-c", 1, *args, **kw)
    equal((rc, out), (1, ""), f"exit status and output ({err.strip()})")
    one_line(err, *words)


@case
def no_such_pid():
    with open("/proc/sys/kernel/pid_max") as f:
        fails(int(f.read()) - 1, "no such process")


@case
def kernel_thread():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/stat") as f:
            if int(f.read().rsplit(")", 1)[1].split()[6]) & 0x200000:  # PF_KTHREAD
                return fails(int(pid), "kernel thread")
    raise Skip("no kernel thread is visible here")


@case
def zombie():
    p = popen(["true"])
    os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
    fails(p.pid, "zombie")


@case
def not_root():
    t = hot()
    setpriv = need("setpriv")
    rc, out, err = run([setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
                        readable_memtrace(), "-p", str(t.pid), "-c", "1"])
    equal((rc, out), (1, ""), f"exit status and output ({err})")
    check("sudo" in err or "root" in err, f"no remedy in {err!r}")
    one_line(err)


def readable_memtrace():
    """Others may not enter the directories that the program was built in."""
    copy = tmp("memtrace")
    with open(MEMTRACE, "rb") as a, open(copy, "wb") as b:
        b.write(a.read())
    os.chmod(copy, 0o755)
    return copy


@case
def no_allocator():
    t = Target(target("bare64"))
    fails(t.pid, "malloc")


@case
def static_without_symbols():
    t = Target(target("quick-static"), 10, 10, 0, "wait")
    fails(t.pid, "static")


@case
def thirty_two_bits():
    try:
        t = Target(target("bare32"))
    except OSError as e:
        raise Skip(f"32-bit programs do not run here: {e}")
    fails(t.pid, "32-bit")


@case
def unwritable_output():
    t = hot()
    fails(t.pid, "/nowhere/out", args=["-o", "/nowhere/out"])


def masked(path, *args):
    """memtrace where path is hidden by an empty directory."""
    script = f'mount -t tmpfs none {path} && exec "$0" "$@"'
    return run([need("unshare"), "-m", "sh", "-c", script, MEMTRACE, *map(str, args)])


@case
def no_proc():
    rc, _, err = masked("/proc", "-p", os.getpid(), "-c", 1)
    equal(rc, 1, f"exit status ({err})")
    one_line(err, "/proc")


@case
def no_btf():
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        raise Skip("this kernel has no BTF to hide")
    t = hot()
    rc, _, err = masked("/sys/kernel/btf", "-p", t.pid, "-c", 1)
    equal(rc, 1, f"exit status ({err})")
    one_line(err, "BTF")


@case
def no_memlock():
    """Kernels since 5.11 need no locked memory for maps."""
    t = hot()
    rc, out, err = run([need("prlimit"), "--memlock=0:0", MEMTRACE, "-p", str(t.pid), "-c", "1"])
    equal(rc, 0, f"exit status ({err})")


@case
def demo():
    """scripts/demo: at each step memtrace's line says what the program says."""
    rc, out, err = run([os.path.join(ROOT, "scripts/demo")], timeout=280)
    equal(rc, 0, f"exit status ({err[-500:]})")
    number = re.compile(r"Alloc = (\d+) MiB\tTotalAlloc = (\d+) MiB\tSys = (\d+) MiB\tNumGC = 0")
    seen = [(x.startswith("  memtrace:"), number.search(x).groups())
            for x in out.splitlines() if number.search(x)]
    steps = [i for i, (traced, _) in enumerate(seen) if not traced]
    equal(len(steps), 9, "steps")
    for i in steps:
        check(seen[i + 1][0], f"no line of memtrace's after step {i}")
        equal(seen[i + 1][1], seen[i][1], "memtrace's Alloc, TotalAlloc, Sys after the step")


@case
def least_privilege():
    """Once attached, memtrace holds only what it goes on needing."""
    t = Target(target("lose"))
    tracer, _ = attach(t.pid)
    with open(f"/proc/{tracer.p.pid}/status") as f:
        held = int(next(x for x in f if x.startswith("CapEff")).split()[1], 16)
    # DAC_READ_SEARCH, KILL, SYS_PTRACE, PERFMON, BPF, CHECKPOINT_RESTORE
    equal(held & ~(1 << 2 | 1 << 5 | 1 << 19 | 1 << 38 | 1 << 39 | 1 << 40), 0, "CapEff beyond")
    t.step("malloc")
    equal(final(tracer)["memstats"]["Mallocs"], 1, "Mallocs counted without the rest")
