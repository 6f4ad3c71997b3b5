# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Containers without an engine: programs in namespaces of their own, with a root
of a few files and another C library in it, in cgroups that are named as the
engines name them, over overlays of one lower directory."""

import errno
import os
import select
import shutil
import signal
import time

import census
from harness import PRELOAD, PYTHON, Skip, Target, Truth, at_exit, equal, run, tmp

ENTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "enter.py")
LIBDIR = "lib/x86_64-linux-gnu"
LIBRARIES = ("libc.so.6", "libpthread.so.0", "libdl.so.2")


def copy(source, to):
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copy(source, to)
    os.chmod(to, 0o755)


def make_root(name, libc, *programs):
    """A directory that programs run in, with that C library of census.LOADERS."""
    loader = census.LOADERS[libc]
    if loader == "":
        raise Skip(census.read(f"{census.LIBCS}/{libc}.why") or
                   f"no {census.LIBCS}/{libc}: scripts/libcs gets it")
    libraries = os.path.dirname(loader) if loader else "/" + LIBDIR
    root = tmp(name)
    copy(loader or "/lib64/ld-linux-x86-64.so.2", f"{root}/lib64/ld-linux-x86-64.so.2")
    for library in LIBRARIES:
        copy(f"{libraries}/{library}", f"{root}/{LIBDIR}/{library}")
    copy(PRELOAD, f"{root}/mtcount.so")
    for program in programs:
        copy(program, f"{root}/bin/{os.path.basename(program)}")
    os.chmod(root, 0o777)  # the count is written by whoever is root inside
    return root


class Inside(Target):
    """A program of a root, in namespaces of its own and under the preload."""

    def __init__(self, root, program, *args, user=False, host="inside", count=True):
        self.counts = f"{root}/counts"
        env = ["LD_PRELOAD=/mtcount.so", "MTCOUNT_FILE=/counts"] if count else []
        super().__init__(PYTHON, ENTER, *(["--user"] if user else []), root, host, *env,
                         f"/bin/{os.path.basename(program)}", *args, ready=None)
        word, _, what = self.lines.next("the namespace").partition(" ")
        if word == "cannot":
            raise Skip(f"no such namespace here: {what}")
        equal(word, "pid", "what the namespace says first")
        self.pid = int(what)
        self.pidfd = os.pidfd_open(self.pid)
        at_exit(self.end)
        equal(self.lines.next(program).split()[0], "ready", "what the target says first")

    def end(self):
        """Until it has gone: its cgroup is busy that long."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        select.select([self.pidfd], [], [], 60)
        os.close(self.pidfd)

    def truth(self):
        return Truth(self.counts)


def overlay(name, lower):
    """An overlay over lower, unmounted at the case's end; its merged directory."""
    upper, work, merged = (tmp(f"{name}-{d}") for d in ("upper", "work", "merged"))
    for d in (upper, work, merged):
        os.mkdir(d)
    os.chmod(upper, 0o777)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    rc, _, err = run(["mount", "-t", "overlay", "overlay", "-o", options, merged])
    if rc:
        raise Skip(f"no overlay mount here: {err.strip()}")
    at_exit(lambda: run(["umount", "-l", merged]))
    return merged


def cgroup_mount():
    """Where the hierarchy is mounted that memory is charged in."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()[:3]
            if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
                found.setdefault(kind, left.split()[4])
    if not found:
        raise Skip("no cgroup hierarchy is mounted")
    return found.get("cgroup") or found["cgroup2"]


class Cgroup:
    """A cgroup for the case, made before what is put into it; path as in
    /proc/PID/cgroup. One that an interrupted run left is taken over."""

    def __init__(self, path):
        self.path = path
        self.dir = cgroup_mount() + path
        self.made = []
        at_exit(self.remove)
        try:
            self.make(os.path.dirname(self.dir))
            os.makedirs(self.dir, exist_ok=True)
            self.made.append(self.dir)
        except OSError as e:
            raise Skip(f"no cgroup can be made: {e}") from e

    def make(self, path):
        if not os.path.isdir(path):
            self.make(os.path.dirname(path))
            os.mkdir(path)
            self.made.append(path)

    def add(self, pid):
        with open(f"{self.dir}/cgroup.procs", "w", encoding="ascii") as f:
            f.write(str(pid))

    def remove(self):
        deadline = time.monotonic() + 30
        while self.made:
            try:
                os.rmdir(self.made[-1])
                self.made.pop()
            except OSError as e:  # until the last process in it is reaped
                if e.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
