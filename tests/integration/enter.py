#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""enter.py [--user] ROOT HOSTNAME [KEY=VALUE...] ARGV... runs ARGV with that root
and environment, as process 1 of mount, pid, ipc, uts (and user) namespaces of its
own. It prints "pid N" first, N as it is outside, or "cannot" and why."""

import ctypes
import os
import signal
import sys

CLONE = {"ns": 0x00020000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000,
         "pid": 0x20000000}
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH, PR_SET_PDEATHSIG = 0x1000, 0x4000, 1 << 18, 2, 1
USER_BASE = 100000  # outside, of the namespace's root: as rootless engines map them


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def call(name, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def end_with_parent():
    call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def enter_root(root):
    root = root.encode()
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    call("mount", root, root, None, MS_BIND | MS_REC, None)
    os.chdir(root)
    call("pivot_root", b".", b".")  # the old one lies over the new one now
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def inside(root, host, command, user, mapped):
    """In a process of its own, whose child is process 1 of the namespace."""
    flags = [k for k in CLONE if user or k != "user"]
    call("unshare", sum(CLONE[k] for k in flags))
    os.write(mapped[1], b"x")
    os.read(mapped[0], 1)
    if user:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    end_with_parent()
    enter_root(root)
    call("sethostname", host.encode(), len(host))
    go = os.pipe()
    pid = os.fork()
    if not pid:
        end_with_parent()
        os.read(go[0], 1)
        words = [i for i, word in enumerate(command) if "=" not in word]
        argv, env = command[words[0]:], dict(w.split("=", 1) for w in command[:words[0]])
        os.execve(argv[0], argv, env)
    os.write(1, f"pid {pid}\n".encode())
    os.write(go[1], b"x")
    return wait(pid)


def enter(root, host, command, user):
    there, back = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os._exit(inside(root, host, command, user, (back[0], there[1])) & 0xff)
        except OSError as e:
            os.write(1, f"cannot {e}\n".encode())
            os._exit(1)
    os.close(there[1])
    if os.read(there[0], 1) and user:
        write(f"/proc/{pid}/gid_map", f"0 {USER_BASE} 65536\n")
        write(f"/proc/{pid}/uid_map", f"0 {USER_BASE} 65536\n")
    os.write(back[1], b"x")
    return wait(pid)


def main(argv):
    user = argv[0] == "--user"
    root, host, *command = argv[user:]
    # What a traced program must not hold: nothing of this one stays open in it.
    os.closerange(3, 64)
    return enter(root, host, command, user)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
