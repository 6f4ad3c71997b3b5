# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Processes in namespaces with a C library of their own, and the containers that
their cgroups say they are in."""

import json
import os
import shutil
import signal

import namespaces
from census import LOADERS
from harness import (Skip, Tracer, attach, case, cases, check, compare, equal, final, memtrace,
                     target)
from namespaces import Cgroup, Inside, make_root, overlay

ID = "0123456789abcdef" * 4
THREADS = target("census_threads")


def traced(t):
    """Exact, from the attach to the end of it."""
    before = t.truth()
    tracer, _ = attach(t.pid)
    for _ in range(2):
        t.step()
        compare(tracer.snapshot(), t.truth() - before)
    return final(tracer)


@cases(**{libc: libc for libc in LOADERS})
def libc_inside(libc):
    """What is probed is the C library that the process sees, not the machine's."""
    t = Inside(make_root("root", libc, THREADS), THREADS, "exits")
    equal(os.readlink(f"/proc/{t.pid}/root"), "/", "its root, of a mount namespace of its own")
    last = traced(t)
    if LOADERS[libc]:
        equal(last["allocator"], f"glibc {libc}", "allocator")
    equal(last["exe"], "/bin/census_threads", "exe, as it is inside")


@case
def user_namespace():
    """As a rootless engine makes it: its root is nobody outside."""
    t = Inside(make_root("root", libc_of_another(), THREADS), THREADS, "exits", user=True)
    equal(os.stat(f"/proc/{t.pid}").st_uid, 100000, "the process's user outside")
    traced(t)


def libc_of_another():
    """The newest C library that is not the machine's own, or that."""
    return max((v for v in LOADERS if LOADERS[v]), default="own",
               key=lambda v: [int(n) for n in v.split(".")])


@case
def census_inside():
    t = Inside(make_root("root", libc_of_another(), THREADS), THREADS, "exits")
    tracer, first = attach(t.pid, "--max-stop", "10s", census=True)
    equal(first["since"], "census", f"since ({first['heap']})")
    compare_levels(first, t.truth())
    t.step()
    compare_levels(final(tracer), t.truth())


def compare_levels(snap, truth):
    equal(snap["net"]["Objects"], truth.sum(0) - truth.sum(1), "blocks")
    equal(snap["net"]["Bytes"], truth.sum(2) - truth.sum(3), "bytes")
    equal(snap["loss"]["lost"], 0, "lost")


@case
def overlays_of_one_libc():
    """Two containers of one image share libc's inode: each has its own counts."""
    lower = make_root("lower", libc_of_another(), THREADS)
    ts = [Inside(overlay(name, lower), THREADS, "exits") for name in ("a", "b")]
    before = [t.truth() for t in ts]
    tracer = Tracer("-p", f"{ts[0].pid},{ts[1].pid}", "-f", "json", "-i", "1h", "--no-census")
    tracer.object(), tracer.object()
    ts[0].step()
    for t in ts:
        t.step()
    snaps = {s["pid"]: s for s in map(json.loads, tracer.stop())}
    for t, b in zip(ts, before):
        compare(snaps[t.pid], t.truth() - b)


@case
def root_that_is_gone():
    """The image was removed while the process runs on: its library is deleted."""
    root = make_root("root", libc_of_another(), THREADS)
    t = Inside(root, THREADS, "exits")
    for d in ("lib", "lib64", "bin"):
        shutil.rmtree(f"{root}/{d}")
    traced(t)


@case
def namespace_that_ends():
    """Process 1 ends, and with it the namespace: what it did is reported."""
    t = Inside(make_root("root", libc_of_another(), THREADS), THREADS, "exits")
    before = t.truth()
    tracer, _ = attach(t.pid)
    t.step()
    done = t.truth() - before
    t.finish()
    last = json.loads(tracer.wait()[-1])
    check(last["final"], "the last snapshot is not the final one")
    check(last["memstats"]["Mallocs"] >= done.sum(0), "what it did is not in the last snapshot")
    equal(last["loss"]["lost"], 0, "lost")


CGROUPS = {
    "docker": (f"/docker/{ID}", ID),
    "docker-systemd": (f"/mt-test.slice/docker-{ID}.scope", ID),
    "kubernetes": (f"/kubepods/burstable/pod0d5a6f3e-3a4e-4d4b-9d3e-6f0c9d1e2b3a/{ID}", ID),
    "cri-o": (f"/mt-test.slice/crio-{ID}.scope/container", ID),
    "cri-o-monitor": (f"/mt-test.slice/crio-conmon-{ID}.scope", None),
    "podman": (f"/mt-test.slice/libpod-{ID}.scope/container", ID),
    "nspawn": ("/machine.slice/machine-my\\x2dtest.scope/payload", "my-test"),
    "lxc": ("/lxc.payload.mt-test", "mt-test"),
    "none": ("/mt-test.slice/a.scope", None),
}


@cases(**CGROUPS)
def container_id(v):
    path, want = v
    group = Cgroup(path)
    t = Inside(make_root("root", "own", THREADS), THREADS, "exits")
    group.add(t.pid)
    rc, out, err = memtrace("-p", t.pid, "-f", "json", "-c", "1", "--no-census")
    equal(rc, 0, f"exit status ({err})")
    snap = json.loads(out.splitlines()[0])
    equal(snap["cgroup"], path, "cgroup")
    equal(snap["container"], want, "container")
    out = memtrace("-p", t.pid, "-f", "openmetrics", "-c", "1", "--no-census")[1]
    equal(f'container="{want}"' in out, want is not None, "the label of the metrics")


@case
def cgroup_that_vanishes():
    group = Cgroup(f"/docker/{ID}")
    t = Inside(make_root("root", "own", THREADS), THREADS, "exits")
    group.add(t.pid)
    before = t.truth()
    tracer, first = attach(t.pid)
    equal(first["container"], ID, "container")
    with open(f"{namespaces.cgroup_mount()}/cgroup.procs", "w", encoding="ascii") as f:
        f.write(str(t.pid))
    group.remove()
    check(not os.path.exists(group.dir), "the cgroup is still there")
    t.step()
    compare(final(tracer), t.truth() - before)


def trace_all(*args):
    """memtrace -a, which counts from its start on."""
    if "unknown option" in memtrace("-a", "-h")[2]:
        raise Skip("this memtrace has no -a")
    return Tracer("-q", "-a", "-f", "json", "-i", "1h", "--no-census", *args)


def moment(tracer, *targets):
    """The next snapshot of each of them."""
    found = {}
    while len(found) < len(targets):
        snap = tracer.object()
        if snap["pid"] in {t.pid for t in targets}:
            check(snap["pid"] not in found, f"pid {snap['pid']} is told of twice")
            found[snap["pid"]] = snap
    return [found[t.pid] for t in targets]


def steps_of_all(tracer, *targets):
    """Each of them exact, among all others."""
    moment(tracer, *targets)
    before = [t.truth() for t in targets]
    for _ in range(2):
        for t in targets:
            t.step()
        tracer.p.send_signal(signal.SIGUSR1)
        for t, b, snap in zip(targets, before, moment(tracer, *targets)):
            compare(snap, t.truth() - b)


@cases(**{libc: libc for libc in LOADERS})
def all_inside(libc):
    t = Inside(make_root("root", libc, THREADS), THREADS, "exits")
    steps_of_all(trace_all(), t)


@case
def all_overlays():
    """One probed inode under two device numbers: nothing counts twice."""
    lower = make_root("lower", libc_of_another(), THREADS)
    ts = [Inside(overlay(name, lower), THREADS, "exits") for name in ("a", "b")]
    steps_of_all(trace_all(), *ts)


@case
def all_started_later():
    """A container that starts under the trace is counted from its first block. Others
    are not shown: a tracer that waits for its reader follows nobody meanwhile."""
    tracer = Tracer("-v", "-a", "-n", "census_threads", "-f", "json", "-i", "1h", "--no-census")
    while "attached and ready" not in tracer.stderr():
        check(tracer.p.poll() is None, f"it ended: {tracer.stderr()}")
    t = Inside(make_root("root", libc_of_another(), THREADS), THREADS, "exits")
    t.step()
    tracer.p.send_signal(signal.SIGUSR1)
    snap, = moment(tracer, t)
    compare(snap, t.truth())
    equal(snap["since"], "start", "since")


@cases(comm=["-n", "census_threads"], cgroup=["-g", "/mt-test.slice"],
       mounted=["-g", "{mount}/mt-test.slice/"], container=["-C", ID[:12]],
       together=["-n", "sh,census_threads", "-g", "/mt-test.slice", "-C", ID])
def all_narrowed(options):
    """Those of them alone that fit; another process like it is in another container."""
    groups = [Cgroup(f"/mt-test.slice/docker-{i}.scope") for i in (ID, ID[::-1])]
    ts = [Inside(make_root(name, "own", THREADS), THREADS, "exits") for name in ("a", "b")]
    for t, group in zip(ts, groups):
        group.add(t.pid)
    mount = namespaces.cgroup_mount()
    tracer = trace_all(*(o.format(mount=mount) for o in options), "-c", "1")
    seen = sorted(s["pid"] for s in map(json.loads, tracer.wait()) if "processes" not in s)
    both = options[0] in ("-n", "-g") and "-C" not in options
    equal(seen, sorted(t.pid for t in (ts if both else ts[:1])), "pids")
