# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What can befall memtrace while it has launched a command, and what a new
image does to the counts."""

import json
import os
import signal
import subprocess

from harness import (MEMTRACE, Skip, Target, Tracer, attach, case, cases, check, equal, final, memtrace,
                     popen, run, target, tmp)

JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"


def last(path):
    with open(path) as f:
        return json.loads(f.readlines()[-1])


@case
def exec_into_another_allocator():
    """The new image has an allocator that nobody has seen yet, from its first call."""
    if not os.path.exists(JEMALLOC):
        raise Skip("libjemalloc2 is not installed")
    out = tmp("o")
    status, _, err = memtrace("--strict", "-f", "json", "-o", out, "--", "env",
                              f"LD_PRELOAD={JEMALLOC}", target("thread_churn"))
    equal(status, 0, f"exit status ({err})")
    snap = last(out)
    equal(snap["since"], "start", "since")
    check("jemalloc" in snap["allocator"], f"allocator {snap['allocator']}")
    check(snap["memstats"]["Frees"] >= 7000, f"{snap['memstats']['Frees']} frees")


@case
def exec_into_stripped_static():
    out = tmp("o")
    status, _, _ = memtrace("--strict", "-f", "json", "-o", out, "--", "env",
                            target("quick-static"))
    equal(status, 3, "exit status")
    equal(last(out)["loss"]["untraced"], 1, "untraced")


@cases(followed=[], alone=["--no-follow"])
def exec_by_another_thread(how):
    """The filter of a single process holds the thread that is gone: the probes are
    made anew, while the new image waits for them."""
    tracer = Tracer("-f", "json", "-i", "20ms", *how, "--", target("thread_exec"), "/bin/sleep",
                    "600")
    first = tracer.object()
    equal(first["since"], "start", "since before the exec")
    snap = first
    while snap["comm"] != "sleep" or not snap["memstats"]["Mallocs"]:
        snap = tracer.object()
    equal(snap["since"], "start", "since after the exec")
    equal(snap["loss"]["lost"], 0, "lost")
    os.kill(first["pid"], signal.SIGKILL)
    tracer.wait(status=128 + signal.SIGKILL)


@case
def left_frame_at_the_end():
    """A function that was left by a signal handler, and no call after it."""
    t = Target(target("lose"))
    tracer, _ = attach(t.pid, "--strict")
    t.step("return")
    equal(t.finish(), 0, "the target's exit status")
    check(json.loads(tracer.wait(status=3)[-1])["loss"]["unreturned"] >= 1, "nothing unreturned")


@case
def reader_gone_before_the_first_line():
    done = tmp("done")
    read, write = os.pipe()
    os.close(read)
    p = popen([MEMTRACE, "--", "sh", "-c", f"echo ran >{done}"], stdout=write,
              stderr=subprocess.DEVNULL)
    os.close(write)
    equal(p.wait(30), 0, "exit status")
    check(os.path.exists(done), "the command did not run")


@case
def reader_gone_ends_at_once():
    """Not only at the next line, which may be an hour away."""
    t = Target(target("lose"))
    tracer = Tracer("-p", t.pid, "-i", "1h")
    tracer.line()
    tracer.p.stdout.close()
    equal(tracer.p.wait(30), 0, "exit status")


@case
def output_fails_command_lives():
    full = tmp("full")
    os.mkdir(full)
    status, _, err = run(["unshare", "-m", "sh", "-c",
                          f"mount -t tmpfs -o size=16k t {full} && exec {MEMTRACE} -i 20ms -f json "
                          f"-o {full}/x -- sh -c 'sleep 1; echo done >{tmp('done')}; exit 7'"])
    equal(status, 7, f"exit status ({err})")
    check("No space" in err, f"no word of the full disk: {err!r}")
    check(os.path.exists(tmp("done")), "the command was killed")


@case
def signals_after_the_trace():
    """With -d over, a signal is still passed on to the command."""
    tracer = Tracer("-f", "json", "-d", "50ms", "--", "sleep", "600")
    while not json.loads(tracer.line())["final"]:
        pass
    tracer.p.send_signal(signal.SIGTERM)
    equal(tracer.p.wait(30), 128 + signal.SIGTERM, "exit status")


@case
def ignored_sigchld():
    out = tmp("o")
    p = popen([MEMTRACE, "-o", out, "--", "sh", "-c", "exit 7"], stdout=subprocess.DEVNULL,
              preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    equal(p.wait(30), 7, "exit status")


@case
def no_standard_output():
    t = Target(target("lose"))
    p = popen([MEMTRACE, "-c", "1", "-p", str(t.pid)], stderr=subprocess.PIPE,
              preexec_fn=lambda: os.close(1))
    equal(p.wait(30), 0, f"exit status ({p.stderr.read()!r})")


@case
def loader_by_hand():
    loader = "/lib64/ld-linux-x86-64.so.2"
    if not os.path.exists(loader):
        raise Skip(f"no {loader}")
    out = tmp("o")
    equal(memtrace("-f", "json", "-o", out, "--", loader, target("quick"))[0], 0, "exit status")
    check(last(out)["memstats"]["Mallocs"] > 0, "nothing was counted")


@case
def nested_pid_namespace():
    """From within a namespace, of one below it."""
    script = f"""
        unshare -fp --kill-child sleep 600 & outer=$!
        until inner=$(pgrep -P $outer sleep); do :; done
        {MEMTRACE} -c 1 -p $inner; echo status $?
        kill -9 $outer"""
    _, out, err = run(["unshare", "-fp", "--mount-proc", "--kill-child", "sh", "-c", script])
    check("status 0" in out and "glibc" in out, f"it said {out!r} {err!r}")
