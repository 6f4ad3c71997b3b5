#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""HeapSys and StackSys against what glibc says of itself, on live processes.

usage: vm_truth.py VM_TARGET VMREAD [VM_TARGET_STATIC]

Prints `ok NAME` or `not ok NAME: reason` and exits 1 if anything failed. Needs
to run as root. The truth: malloc_info's address space of every arena (what is
accessible, which is more than `system current` after a heap shrank) plus its
mapped blocks; each thread's own word for its stack.
"""
import json
import os
import re
import subprocess
import sys

PAGE = 4096
HUGE2 = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}
HUGE1 = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# name, words for vm_target, environment
CASES = [
    ("idle", "", {}),
    ("brk", "brk", {}),
    ("blocks", "blocks", {}),
    ("memalign", "memalign", {}),
    ("mremap", "mremap", {}),
    ("foreign below blocks", "blocks foreign blocks foreign", {}),
    ("interleave", "interleave", {}),
    ("stacks", "stacks", {}),
    ("unguarded stacks", "unguarded stacks", {}),
    ("arenas", "stacks arenas", {}),
    ("big arenas", "stacks bigarenas", {}),
    ("thread blocks", "stacks threadblocks", {}),
    ("stack in a mapped block", "blocks stack-malloc stacks", {}),
    ("stack in the brk heap", "stack-brk stacks", {}),
    ("stack in our mapping", "stack-mmap stacks", {}),
    ("cached stacks", "cached blocks", {}),
    ("cached stacks and arenas", "cached blocks stacks arenas", {}),
    ("arenas, hugetlb=2", "stacks arenas", HUGE2),
    ("big arenas, hugetlb=2", "stacks bigarenas", HUGE2),
    ("blocks, hugetlb=1", "blocks mremap foreign blocks", HUGE1),
    ("blocks, per thread", "blocks memalign mremap interleave stacks threadblocks", {}),
    ("all", "brk blocks memalign mremap cached foreign interleave stack-malloc stack-brk "
            "stack-mmap unguarded stacks arenas", {}),
]
failed = 0


def report(name, problems):
    global failed
    if problems:
        failed += 1
        print(f"not ok {name}: {'; '.join(problems)}", flush=True)
    else:
        print(f"ok {name}", flush=True)


def read_truth(out, main_is_mapped):
    """The target's JSON line, then malloc_info up to its last tag."""
    own = json.loads(out.readline())
    xml = ""
    while "</malloc>" not in xml:
        line = out.readline()
        if not line:
            raise RuntimeError("target ended early")
        xml += line
    tail = xml[xml.rindex("</heap>"):]
    if main_is_mapped:
        # The main arena is then mapped, not in the brk heap: such regions are not recognised.
        main = re.search(r'<heap nr="0">.*?aspace type="mprotect" size="(\d+)"', xml, re.S)[1]
    else:
        main = 0
    spaces = int(re.search(r'aspace type="mprotect" size="(\d+)"', tail)[1])
    mapped = int(re.search(r'total type="mmap" count="\d+" size="(\d+)"', tail)[1])
    return own["stacks"], spaces + mapped - int(main)


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        rows = dict(line.split(":", 1) for line in f)
    return {k: int(rows[k].split()[0]) * 1024 for k in ("VmData", "VmStk", "VmRSS")}


def with_target(target, words, env, check):
    p = subprocess.Popen([target, *words.split()], stdin=subprocess.PIPE, text=True,
                         stdout=subprocess.PIPE, env={**os.environ, **env})
    try:
        return check(p, *read_truth(p.stdout, env is HUGE2))
    finally:
        p.stdin.close()
        p.wait(timeout=60)


def vmread(tool, pid):
    return json.loads(subprocess.run([tool, str(pid)], check=True, text=True,
                                     stdout=subprocess.PIPE).stdout)


def compare(tool, slack):
    def check(p, stacks, heap):
        before = status(p.pid)
        vm = vmread(tool, p.pid)
        problems = []

        def same(what, got, want, most=0):
            if not 0 <= got - want <= most:
                problems.append(f"{what} {got} is not {want} ({got - want:+d})")

        same("data", vm["data"], before["VmData"])
        same("stack", vm["stack"], before["VmStk"])
        same("heap_sys", vm["heap_sys"], heap, slack)
        same("stack_sys", vm["stack_sys"], stacks + before["VmStk"])
        if vm["heap_sys"] + vm["stack_sys"] > vm["data"] + vm["stack"]:
            problems.append("parts exceed Sys")
        for part in ("heap", "stack"):
            if vm[f"{part}_resident"] > vm[f"{part}_sys"]:
                problems.append(f"{part}_resident exceeds {part}_sys")
        if vm["heap_resident"] + vm["stack_resident"] > vm["rss"]:
            problems.append("resident parts exceed rss")
        after = status(p.pid)
        # Looking must not make the target bigger.
        same("VmRSS after the reading", after["VmRSS"], before["VmRSS"])
        if "-v" in sys.argv:
            print(f"# quick {vm['quick_ns'] // 1000} us, full {vm['full_ns'] // 1000} us, {vm}")
        return problems
    return check


def main():
    args = [a for a in sys.argv[1:] if a != "-v"]
    if len(args) < 2:
        sys.exit(__doc__)
    for name, words, env in CASES:
        report(name, with_target(args[0], words, env, compare(args[1], 0)))
    for name, words, env in CASES if len(args) > 2 else []:
        # A static program's start takes its TLS block from the program break, before malloc.
        report(f"static {name}", with_target(args[2], words, env, compare(args[1], PAGE)))
    sys.exit(1 if failed else 0)


main()
