# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The ways of older kernels, forced by the session's options: as exact as the
newest one."""

import json
import os
import subprocess

from harness import (BUILD, Lines, ROOT, Target, Truth, case, cases, check, compare, count_env,
                     equal, popen, run, target, tmp)

TOOL = os.path.join(ROOT, BUILD, "tests/integration/session_tool")
MODES = {"multi": [], "perf": ["--perf"], "perf_plain": ["--perf", "--no-sleepable"],
         "multi_plain": ["--no-sleepable"]}


class Session:
    """A session_tool on a process; its probes are on."""

    def __init__(self, pid, flags):
        self.p = popen([TOOL, *flags, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = Lines(self.p.stdout)
        self.first = json.loads(self.lines.next("session_tool"))

    def snapshot(self):
        self.p.stdin.write(b"\n")
        self.p.stdin.flush()
        return json.loads(self.lines.next("session_tool"))


@cases(**MODES)
def exact(flags):
    counts = tmp("counts")
    t = Target(target("alloc_mix"), 8, 20000, "wait", env=count_env(counts))
    before = Truth(counts)
    s = Session(t.pid, flags)
    t.step()
    compare(s.snapshot(), Truth(counts) - before)


@case
def vm_flows_by_perf():
    """The source of the vm flows does not depend on how the probes are attached."""
    t = Target(target("lose"))
    s = Session(t.pid, ["--perf"])
    equal(s.first["vm"]["source"], "tracepoint", "source")


@case
def emulated_instructions():
    """What place_x86_64.c says that the kernel emulates, this kernel emulates."""
    status, out, err = run([os.path.join(ROOT, BUILD, "tests/integration/emulated")])
    wrong = [x for x in out.splitlines() if x.startswith("not ok")]
    check(status == 0 and not wrong, f"{wrong or err}")
    check(out.count("ok ") > 5, f"too few forms measured: {out!r}")
