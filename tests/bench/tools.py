# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The processes that the benchmark drives: the loop, and what is attached to
it. Each is started, waited for by what it says, and stopped; nothing sleeps."""

import os
import select
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", "build")
MEMTRACE = os.path.join(ROOT, BUILD, "memtrace")
BENCH = os.path.join(ROOT, BUILD, "tests/bench")
SCRIPT = os.path.join(ROOT, "tests/bench/memleak.bt")
TIMEOUT = 60  # s, for whatever should have answered long before

_live = []


class Unavailable(Exception):
    """This tool cannot be measured here; the message says why."""


def note(text):
    print(text, end="", flush=True)


class Process:
    """A child with line-buffered pipes; killed at the end whatever happens."""

    def __init__(self, argv, env=None, cwd=None):
        self.name = os.path.basename(argv[0])
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.buffer = b""
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=self.errors, cwd=cwd, env={**os.environ, **(env or {})})
        self.pid = self.p.pid
        _live.append(self)

    def line(self):
        deadline = time.monotonic() + TIMEOUT
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.p.stdout], [], [], left)[0]:
                raise Unavailable(f"{self.name} did not answer in {TIMEOUT} s")
            data = os.read(self.p.stdout.fileno(), 65536)
            if not data:
                raise Unavailable(f"{self.name} ended: {self.why()}")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode(errors="replace")

    def wait_line(self, start):
        line = self.line()
        while not line.startswith(start):
            line = self.line()
        return line

    def say(self, text):
        self.p.stdin.write(text.encode() + b"\n")
        self.p.stdin.flush()

    def why(self):
        self.errors.seek(0)
        text = self.errors.read().strip()
        return text.split("\n")[-1][:200] if text else "it said nothing"

    def end(self, sig=None):
        """Closes its standard input, signals it if asked to, and reaps it."""
        if sig:
            self.p.send_signal(sig)
        try:
            self.p.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.communicate()
        self.errors.close()
        if self in _live:
            _live.remove(self)


def kill_all():
    for p in list(_live):
        p.end(signal.SIGKILL)


class Loop(Process):
    """tests/bench/loop, bare or under a tool that wraps it."""

    def __init__(self, threads=1, wrapper=(), env=None, cwd=None):
        super().__init__([*wrapper, os.path.join(BENCH, "loop"), str(threads)], env, cwd)
        self.wait_line("ready")

    def run(self, pairs):
        """(wall ns, CPU ns) of one malloc and free as a thread sees it."""
        self.say(f"run {pairs}")
        words = self.wait_line("ns ").split()
        return float(words[1]), float(words[3])

    def measure(self, ms):
        """(wall, CPU): medians of three runs of ms / 3 milliseconds, after a warm-up."""
        self.run(2000)
        wall, _ = self.run(4000)
        pairs = max(4000, int(ms * 1e6 / 3 / max(wall, 1.0)))
        runs = [self.run(pairs) for _ in range(3)]
        return tuple(statistics.median(v) for v in zip(*runs))


class Untraced:
    name, label = "untraced", "untraced"

    def start(self, pid):
        pass

    def stop(self):
        pass


class Floor:
    name, label = "floor", "empty programs at memtrace's probes (the floor)"

    def start(self, pid):
        self.p = Process([os.path.join(BENCH, "floor"), str(pid)])
        self.p.wait_line("ready")

    def stop(self):
        self.p.end()


class Memtrace:
    """build/memtrace -p PID; its first line comes when the probes are on."""
    name, label = "memtrace", "memtrace"

    def __init__(self, name=None, options=()):
        self.options = options
        if name:
            self.name = self.label = name

    def start(self, pid):
        start = time.monotonic()
        self.p = Process([MEMTRACE, *self.options, "-p", str(pid)])
        self.p.line()
        self.attach_ms = (time.monotonic() - start) * 1e3

    def stop(self):
        start = time.monotonic()
        self.p.end(signal.SIGINT)
        self.detach_ms = (time.monotonic() - start) * 1e3


class Bpftrace:
    name, label = "bpftrace memleak", "bpftrace, memleak's accounting"

    def __init__(self):
        if not shutil.which("bpftrace"):
            raise Unavailable("bpftrace is not installed")

    def start(self, pid):
        self.p = Process(["bpftrace", "-B", "none", "-p", str(pid), SCRIPT],
                         {"BPFTRACE_MAP_KEYS_MAX": "1000000"})
        self.p.wait_line("ready")

    def stop(self):
        self.p.end(signal.SIGINT)


# What runs the loop in a process of its own: label, program, arguments, environment.
WRAPPED = (
    ("heaptrack", "heaptrack", ("heaptrack", "-o", "heaptrack.out"), None),
    ("valgrind massif", "valgrind",
     ("valgrind", "--tool=massif", "--massif-out-file=/dev/null"), None),
    ("valgrind dhat", "valgrind",
     ("valgrind", "--tool=dhat", "--dhat-out-file=/dev/null"), None),
    ("thread-local counters, preloaded", None, (), {"LD_PRELOAD": f"{BENCH}/tlscount.so"}),
)


def start_wrapped(name, scratch):
    for label, program, wrapper, env in WRAPPED:
        if label == name:
            if program and not shutil.which(program):
                raise Unavailable(f"{program} is not installed")
            return Loop(1, wrapper, env, cwd=scratch)
    raise KeyError(name)


def first_line(argv):
    try:
        p = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except OSError:
        return None
    lines = (p.stdout or p.stderr).strip().split("\n")
    return lines[0] if p.returncode == 0 and lines[0] else None
