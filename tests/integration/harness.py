# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the integration cases share: registering them, driving memtrace and its
targets, and comparing a snapshot with the count that libmtcount.so made inside
the target. Python's standard library only."""

import json
import os
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", "build")
MEMTRACE = os.path.join(ROOT, BUILD, "memtrace")
TARGETS = os.path.join(ROOT, BUILD, "tests/targets")
PRELOAD = os.path.join(TARGETS, "libmtcount.so")
# Not a wrapper script: what is launched must be the program itself.
PYTHON = "/usr/bin/python3"

BYSIZE = [
    0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320,
    352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792,
    2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472,
    9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432]
CLASSES = 96

CASES = []
_cleanups = []
_state = {"dir": None}


class Skip(Exception):
    """The case cannot run here; the reason is shown."""


class Failure(Exception):
    """What the case found wrong."""


def case(f):
    """Registers a case; its name is its module's and its own."""
    module = f.__module__.removeprefix("test_")
    CASES.append((f"{module}.{f.__name__}", f))
    return f


def cases(**variants):
    """Registers one case per keyword; its value is handed to the function."""
    def register(f):
        module = f.__module__.removeprefix("test_")
        for name, value in variants.items():
            CASES.append((f"{module}.{f.__name__}[{name}]", lambda v=value: f(v)))
        return f
    return register


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(have, want, what):
    if have != want:
        raise Failure(f"{what}: {have!r}, expected {want!r}")


def at_exit(f):
    """Runs f when the current case is over, last one first."""
    _cleanups.append(f)


def finish_case():
    while _cleanups:
        try:
            _cleanups.pop()()
        except Exception as e:  # a later cleanup still has to run
            print(f"    cleanup: {e}")
    if _state["dir"]:
        shutil.rmtree(_state["dir"], ignore_errors=True)
        _state["dir"] = None


def tmp(name):
    """A path in the current case's own directory."""
    if not _state["dir"]:
        _state["dir"] = tempfile.mkdtemp(prefix="memtrace-test-")
        os.chmod(_state["dir"], 0o755)
    return os.path.join(_state["dir"], name)


def target(name):
    return os.path.join(TARGETS, name)


def need(program):
    path = shutil.which(program)
    if not path:
        raise Skip(f"{program} is not installed")
    return path


def end(process):
    """Ends a process that we started and reaps it."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for f in (process.stdin, process.stdout, process.stderr):
        if f:
            try:
                f.close()
            except BrokenPipeError:
                pass


def popen(argv, **kw):
    p = subprocess.Popen(argv, **kw)
    at_exit(lambda: end(p))
    return p


def run(argv, timeout=120, **kw):
    """Runs to its end; status, out and err as text."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    p = popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
    try:
        out, err = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        raise Failure(f"no end within {timeout} s: {' '.join(argv)}\n{err.decode()}")
    return p.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def memtrace(*args, **kw):
    return run([MEMTRACE, *map(str, args)], **kw)


class Lines:
    """Lines of a pipe, each waited for with a deadline."""

    def __init__(self, f):
        self.fd = f.fileno()
        self.buf = b""

    def next(self, what, timeout=60):
        end_time = time.monotonic() + timeout
        while b"\n" not in self.buf:
            left = end_time - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise Failure(f"{what}: no line within {timeout} s")
            data = os.read(self.fd, 1 << 16)
            if not data:
                raise Failure(f"{what}: ended, expected a line; had {self.buf!r}")
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        return line.decode(errors="replace")

    def rest(self):
        while True:
            data = os.read(self.fd, 1 << 16)
            if not data:
                break
            self.buf += data
        lines = self.buf.decode(errors="replace").splitlines()
        self.buf = b""
        return lines


class Target:
    """A program of tests/targets that takes turns with the test by lines."""

    def __init__(self, *argv, env=None, ready="ready"):
        self.p = popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                       env={**os.environ, **(env or {})})
        self.pid = self.p.pid
        self.lines = Lines(self.p.stdout)
        if ready:
            equal(self.lines.next(argv[0]), ready, f"first line of {argv[0]}")

    def say(self, text=""):
        self.p.stdin.write(f"{text}\n".encode())
        self.p.stdin.flush()

    def step(self, text="", answer="done"):
        """One turn: the target does it and blocks again."""
        self.say(text)
        line = self.lines.next("target")
        if answer is not None:
            equal(line, answer, "the target's answer")
        return line

    def finish(self, timeout=60):
        """Closes its input; its exit status."""
        self.p.stdin.close()
        return self.p.wait(timeout)


class Tracer:
    """A running memtrace whose standard output is read line by line."""

    def __init__(self, *args, stderr=None, **kw):
        self.errors = stderr or open(tmp(f"stderr-{len(_cleanups)}"), "w+b")
        self.p = popen([MEMTRACE, *map(str, args)], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=self.errors, **kw)
        self.lines = Lines(self.p.stdout)

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def line(self):
        try:
            return self.lines.next("memtrace")
        except Failure as e:
            raise Failure(f"{e}; it said: {self.stderr().strip()}")

    def object(self):
        return json.loads(self.line())

    def snapshot(self):
        """One more snapshot, asked for now."""
        self.p.send_signal(signal.SIGUSR1)
        return self.object()

    def stop(self, sig=signal.SIGINT, status=0):
        """Ends it by a signal; the remaining lines, the final snapshot last."""
        self.p.send_signal(sig)
        return self.wait(status)

    def wait(self, status=0, timeout=60):
        lines = self.lines.rest()
        equal(self.p.wait(timeout), status, f"exit status ({self.stderr().strip()})")
        return lines


def attach(pid, *args, census=False):
    """A tracer in JSON that has printed its first snapshot: the probes are on.
    Without a census it counts from there."""
    how = [] if census else ["--no-census"]
    t = Tracer("-p", pid, "-f", "json", "-i", "1h", *how, *args)
    return t, t.object()


def final(tracer, status=0):
    """Stops the tracer; its last snapshot."""
    return json.loads(tracer.stop(status=status)[-1])


class Truth:
    """What libmtcount.so counted, in classes as memtrace has them."""

    HEAD = struct.Struct("<QII")

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        check(len(data) == self.HEAD.size + CLASSES * 32 + 16, f"{path}: wrong size {len(data)}")
        magic, self.owner, self.images = self.HEAD.unpack_from(data)
        equal(magic, 0x314E54434D544D4D, "magic of the preload's file")
        v = struct.unpack_from(f"<{CLASSES * 4 + 2}Q", data, self.HEAD.size)
        self.cls = [v[4 * i:4 * i + 4] for i in range(CLASSES)]
        self.failed, self.nested = v[-2], v[-1]

    def __sub__(self, old):
        self.cls = [tuple(a - b for a, b in zip(n, o)) for n, o in zip(self.cls, old.cls)]
        self.failed -= old.failed
        self.nested -= old.nested
        return self

    def sum(self, column):
        return sum(c[column] for c in self.cls)


def class_size(i):
    return BYSIZE[i] if i < 61 else min(1 << (15 + i - 61), (1 << 63) - 1)


def seen_classes(snap):
    """(mallocs, frees, live objects, live bytes) per class, by its size."""
    seen = {size: [0, 0, 0, 0] for size in map(class_size, range(CLASSES))}
    for c in snap["memstats"]["BySize"] + snap["large"]:
        seen[c["Size"]][0:2] = c["Mallocs"], c["Frees"]
    for c in snap["net"]["live"]:
        seen[c["Size"]][2:4] = c["Objects"], c["Bytes"]
    return seen


def compare(snap, truth):
    """Every count of the snapshot against the truth, to the last block and byte."""
    wrong = []

    def same(what, have, want):
        if have != want:
            wrong.append(f"{what} {have} != {want} ({have - want:+d})")

    m = snap["memstats"]
    objects = truth.sum(0) - truth.sum(1)
    alloc = truth.sum(2) - truth.sum(3)
    same("Mallocs", m["Mallocs"], truth.sum(0))
    same("Frees", m["Frees"], truth.sum(1))
    same("TotalAlloc", m["TotalAlloc"], truth.sum(2))
    same("Alloc", m["Alloc"], max(alloc, 0))
    same("HeapAlloc", m["HeapAlloc"], max(alloc, 0))
    same("HeapObjects", m["HeapObjects"], max(objects, 0))
    same("net.Objects", snap["net"]["Objects"], objects)
    same("net.Bytes", snap["net"]["Bytes"], alloc)
    seen = seen_classes(snap)
    for i, (mallocs, frees, got, gone) in enumerate(truth.cls):
        want = [mallocs, frees, mallocs - frees, got - gone]
        for what, a, b in zip(("Mallocs", "Frees", "objects", "bytes"), seen[class_size(i)], want):
            same(f"class {class_size(i)} {what}", a, b)
    same("failed", snap["loss"]["failed"], truth.failed)
    same("lost", snap["loss"]["lost"], 0)
    check(not wrong, f"not as counted inside {snap['comm']}: " + "; ".join(wrong[:12]))
    check(truth.sum(0) > 0, "the truth counted nothing")


def last_of_first(path):
    """The last snapshot of the process that the file begins with: its children and
    the total are in it, too."""
    with open(path) as f:
        snaps = [json.loads(line) for line in f]
    return [s for s in snaps if s["pid"] == snaps[0]["pid"]][-1]


def allocators(snap):
    """Their names: the JSON has one as it is, several in a list."""
    names = snap["allocator"]
    return names if isinstance(names, list) else [names]


def count_env(path):
    return {"LD_PRELOAD": PRELOAD, "MTCOUNT_FILE": path}


def launch_counted(argv, env=None, cwd=None, stdin=None, status=0, timeout=300):
    """Launches argv under memtrace and the preload, compares both counts."""
    counts, out = tmp("counts"), tmp("out.json")
    if os.path.exists(counts):
        os.unlink(counts)  # it belongs to the process of a launch before
    sets = [f"{k}={v}" for k, v in {**count_env(counts), **(env or {})}.items()]
    rc, text, err = memtrace("-f", "json", "-o", out, "-i", "1h", "--", "env", *sets,
                             *map(str, argv), cwd=cwd, stdin=stdin or subprocess.DEVNULL,
                             timeout=timeout)
    equal(rc, status, f"exit status of {argv[0]} ({err.strip()[-500:]})")
    snap = last_of_first(out)
    compare(snap, Truth(counts))
    equal(snap["since"], "start", "since")
    return snap, text


def status_kib(pid, key):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise Failure(f"/proc/{pid}/status has no {key}")


def one_line(err, *words):
    """An error is one line that says what is wrong, and what to do."""
    lines = err.strip().splitlines()
    equal(len(lines), 1, f"lines of the message {err!r}")
    for w in words:
        check(w.lower() in lines[0].lower(), f"{w!r} is not in the message {lines[0]!r}")
