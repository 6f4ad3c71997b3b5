# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""memtrace top in a real terminal, which is tmux's: screens of made-up
snapshots against tests/golden/top/ (UPDATE_GOLDEN=1 writes them anew; look at
the difference), and real processes."""

import difflib
import glob
import json
import os
import re
import shlex
import signal
import subprocess
import time

from harness import (BUILD, MEMTRACE, PYTHON, ROOT, Failure, Target, at_exit, case, cases, check,
                     equal, memtrace, need, one_line, popen, run, tmp)

TOOL = os.path.join(ROOT, BUILD, "tests/integration/top_tool")
GOLDEN = os.path.join(ROOT, "tests/golden/top")
WAIT = 60
UTF8 = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def wait_for(what, f, timeout=WAIT):
    """f's first value that is not false; what it was last is in the failure."""
    limit = time.monotonic() + timeout
    while True:
        v = f()
        if v:
            return v
        if time.monotonic() > limit:
            raise Failure(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.02)  # between two looks


class Terminal:
    """A terminal of our own, with a shell command in it."""

    def __init__(self, command, cols=80, rows=24, env=None, term="screen"):
        self.tmux = need("tmux")
        self.socket = tmp("tmux")
        names = {"TERM": term, **UTF8, **(env or {})}
        sets = " ".join(f"{k}={shlex.quote(v)}" for k, v in names.items())
        keep = {k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR")}
        # The command's end is not the terminal's, so that what it left can be looked at.
        full = f"trap : INT; cd {shlex.quote(tmp('.'))}; env {sets} {command}; echo \"ended: $?\"; exec cat"
        at_exit(self.end)
        run([self.tmux, "-S", self.socket, "-f", "/dev/null", "-u", "new-session", "-d",
             "-x", str(cols), "-y", str(rows), "sh", "-c", full], env={**keep, **UTF8})
        self.do("set-option", "-g", "status", "off")
        self.do("set-option", "-g", "window-size", "manual")
        self.resize(cols, rows)

    def do(self, *args):
        rc, out, err = run([self.tmux, "-S", self.socket, "-u", *map(str, args)],
                           env={**os.environ, **UTF8})
        check(rc == 0, f"tmux {args[0]}: {err.strip()}")
        return out

    def end(self):
        subprocess.run([self.tmux, "-S", self.socket, "kill-server"], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def keys(self, *keys):
        self.do("send-keys", *keys)

    def text(self, *text):
        self.do("send-keys", "-l", *text)

    def resize(self, cols, rows):
        self.do("resize-window", "-x", cols, "-y", rows)

    def screen(self, *how):
        return self.do("capture-pane", "-p", *how)

    def ask(self, what):
        return self.do("display-message", "-p", f"#{{{what}}}").strip()

    def wait(self, *words):
        """Until all the words are on the screen; the screen."""
        def look():
            s = self.screen()
            return s if all(w in s for w in words) else None
        return wait_for(lambda: f"{words} on\n{self.screen()}", look)

    def wait_gone(self, word):
        wait_for(lambda: f"no {word!r} on\n{self.screen()}", lambda: word not in self.screen())

    def pid(self, program):
        """The process of that program in this terminal; the first is the oldest."""
        shell = self.ask("pane_pid")

        def find():
            with open(f"/proc/{shell}/task/{shell}/children") as f:
                return [p for p in f.read().split()
                        if os.path.basename(os.readlink(f"/proc/{p}/exe")) == program]
        return int(wait_for(f"{program} runs", find)[0])

    def left(self, status):
        """The program is over: the terminal is as it was."""
        self.wait(f"ended: {status}")
        equal(self.ask("alternate_on"), "0", "the alternate screen")
        equal(self.ask("cursor_flag"), "1", "the cursor is shown")
        rc, out, _ = run(["stty", "-a", "-F", self.ask("pane_tty")])
        equal(rc, 0, "stty")
        for mode in ("icanon", "echo", "icrnl", "opost", "isig"):
            check(re.search(rf"(?<!-)\b{mode}\b", out), f"the terminal's {mode} is off: {out}")


class Made(Terminal):
    """The view of the made-up snapshots."""

    def __init__(self, *args, **kw):
        self.sync, self.sent = tmp("sync"), 0
        super().__init__(shlex.join([TOOL, *args, self.sync]), **kw)
        self.handled()

    def handled(self):
        def look():
            try:
                with open(self.sync) as f:
                    return f.read().strip() == str(self.sent)
            except FileNotFoundError:
                return False
        wait_for(lambda: f"{self.sent} keys handled; the screen\n{self.screen()}", look)

    def press(self, *keys):
        self.sent += len(keys)
        self.keys(*keys)
        self.handled()

    def type(self, text):
        self.sent += len(text)
        self.text(text)
        self.handled()

    def golden(self, name, *how):
        """The screen comes to be as that file says."""
        path = os.path.join(GOLDEN, name + ".txt")
        if os.environ.get("UPDATE_GOLDEN"):
            last = [None]

            def still():
                before, last[0] = last[0], self.screen(*how)
                time.sleep(0.3)  # of no consequence: the file is looked at
                return before == last[0]
            wait_for("the screen stands still", still)
            os.makedirs(GOLDEN, exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(last[0])
            return
        with open(path, encoding="utf-8") as f:
            want = f.read()

        def differs():
            have = self.screen(*how)
            return f"{name} as in its file\n" + "\n".join(
                difflib.unified_diff(want.splitlines(), have.splitlines(), "golden", "now",
                                     lineterm=""))
        wait_for(differs, lambda: self.screen(*how) == want, timeout=20)


@case
def list_and_tree():
    t = Made()
    t.press(".", ".")
    t.golden("list")
    t.press(",", "t")
    t.golden("tree")
    t.press("t", "G")
    t.golden("growth")
    t.press("I")
    t.golden("growth-reversed")
    t.press("<")
    t.golden("rss")
    t.press("Right", "Right", "C")
    t.golden("command")


@case
def cursor_and_colours():
    """The styles, too: the selected row, signs, headings."""
    t = Made()
    t.press(".", "Down", "Down")
    t.golden("cursor", "-e")
    # it stays with its process, wherever that goes
    t.press("M", "N")
    t.golden("cursor-by-pid", "-e")
    t.press("End")
    t.golden("cursor-end", "-e")


@cases(option=dict(args=["--no-color"]), terminal=dict(term="vt100"))
def no_colour(how):
    """Bold and reverse alone: no escape sets a colour."""
    t = Made(*how.get("args", []), term=how.get("term", "screen"))
    t.press(".", "d", ".", "Down")
    screen = t.screen("-e")
    numbers = [int(n) for c in re.findall(r"\033\[([0-9;]*)m", screen) for n in c.split(";") if n]
    # 39 and 49 are the terminal's own
    colours = [n for n in numbers if 30 <= n <= 48 and n != 39 or n >= 90]
    equal(colours, [], "colours on the screen")
    check("\033[7m" in screen, "nothing is reversed")
    t.golden("no-colour", "-e")


@case
def filter_rows():
    t = Made()
    t.press(".", "/")
    t.type("work")
    t.golden("filter-typed")
    t.press("Enter", "t")
    t.golden("filter-tree")
    t.press("/", "BSpace", "BSpace", "BSpace", "BSpace")
    t.type("日本")
    t.golden("filter-wide")
    t.type("none such")
    t.golden("filter-none")
    t.press("Escape")
    t.golden("filter-dropped")


@case
def one_process():
    t = Made()
    t.press(",", "Down", "Enter")
    t.golden("process")
    t.press("Tab", "Tab")
    t.golden("process-classes")
    t.press("b")
    t.golden("process-largest")
    t.press("Home", "d", ",")
    t.golden("process-differences")
    t.press("End")
    t.golden("process-differences-end")


@case
def differences():
    t = Made()
    t.press(",", "t", "d", ".", ".")
    t.golden("differences")  # one process is newer than the base
    t.press("/")
    t.type("short")
    t.press("Enter", "Enter")
    t.golden("process-newer")
    t.press("Escape", "Escape", "D")
    t.golden("differences-dropped")
    t.press(".", ".")
    t.golden("process-ended")


@case
def paused():
    t = Made()
    t.press(".", "Space", ",")
    t.golden("paused")
    t.press("Space", ".")
    t.golden("resumed")


@case
def no_process():
    """All have ended; the one that is open stays."""
    t = Made()
    t.press(".", "Enter", "0")
    t.golden("ended-open")
    t.press("q", "0")
    t.golden("ended")


@case
def help_and_messages():
    t = Made()
    t.press("?")
    t.golden("help")
    t.press("NPage")
    t.golden("help-end")
    t.press("q", "s")
    t.golden("message")


@cases(**{f"{c}x{r}": (c, r) for c, r in
          [(80, 1), (80, 2), (80, 3), (80, 5), (40, 10), (12, 6), (160, 40), (1, 1)]})
def sizes(size):
    """Shrunk and grown while it runs; both ways to the same screen."""
    cols, rows = size
    t = Made()
    t.press(",", "t", "Down")
    t.resize(cols, rows)
    t.golden(f"size-{cols}x{rows}")
    t.press("Enter")
    t.golden(f"size-{cols}x{rows}-process")
    t.press("Escape")
    t.resize(80, 24)
    t.golden("size-back")


@case
def ascii_only():
    """Where the locale is not UTF-8 nothing else is sent to the terminal."""
    t = Made(env={"LANG": "C", "LC_ALL": "C"})
    t.press(",", "t")
    t.golden("ascii")
    t.press("Down", "Enter")
    t.golden("ascii-process")
    check(all(ord(c) < 0x80 for c in t.screen()), "other than ASCII on the screen")


@cases(quit=["q"], f10=["F10"], from_help=["?", "F10"], from_process=["Enter", "F10"])
def quits(keys):
    t = Made()
    t.press(*keys[:-1])
    t.keys(keys[-1])
    t.left(0)


@case
def crash():
    t = Made()
    t.keys("!")
    t.left(128 + signal.SIGSEGV)


def python_target():
    """A python process that holds 64 MiB in blocks of 1 MiB and allocates when it is told."""
    return Target(PYTHON, "-c", """if True:
        import ctypes, sys
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        for i in range(64):
            libc.malloc(1 << 20)
        print("ready", flush=True)
        for line in sys.stdin:
            for i in range(int(line)):
                libc.malloc(1 << 20)
            print("done", flush=True)
        """)


def real(target, *args, **kw):
    argv = [MEMTRACE, "top", "-p", str(target.pid), "-i", "200ms", *args]
    t = Terminal(shlex.join(argv), **kw)
    t.wait("COMMAND", str(target.pid), "python3")
    return t


def number(screen, pattern):
    m = re.search(pattern, screen)
    check(m, f"no {pattern} on\n{screen}")
    return int(m.group(1))


@case
def real_process():
    """Attached, opened, resized, saved, and the terminal given back."""
    target = python_target()
    t = real(target)
    t.wait(" 65.1M ")  # by the census
    t.keys("Enter")
    s = t.wait("MemStats", f"python3[{target.pid}]", "nothing lost")
    before = number(s, r"\nTotalAlloc +(\d+)")
    target.step("16")
    wait_for(lambda: f"16 MiB more than {before} on\n{t.screen()}",
             lambda: number(t.screen(), r"\nTotalAlloc +(\d+)") >= before + (16 << 20))
    t.keys("d")
    t.wait("differences from the base")
    target.step("3")
    t.wait("+3.0M")
    t.resize(100, 50)
    t.wait("Size <=", "2097152")
    t.resize(80, 1)
    wait_for(lambda: f"one line:\n{t.screen()}", lambda: len(t.screen().splitlines()) == 1)
    t.resize(80, 24)
    t.wait("MemStats")
    t.keys("Escape")
    t.wait("COMMAND")
    t.keys("s")
    name = t.wait("saved memtrace-").split("saved ")[1].split(":")[0]
    with open(tmp(name)) as f:
        objects = [json.loads(line) for line in f]
    equal([o["pid"] for o in objects], [target.pid], "processes in the file")
    equal(objects[0]["schema"], "memtrace/1", "schema")
    check(objects[0]["memstats"]["Alloc"] >= 83 << 20, "Alloc in the file")
    equal(glob.glob(tmp("*.tmp")), [], "files left aside")
    t.keys("q")
    t.left(0)
    check(target.p.poll() is None, "the target has ended")


@cases(int=signal.SIGINT, term=signal.SIGTERM)
def real_signal(sig):
    target = python_target()
    t = real(target)
    os.kill(t.pid("memtrace"), sig)
    t.left(0)


@case
def real_interrupt_key():
    t = real(python_target())
    t.keys("C-c")
    t.left(0)


@case
def real_crash():
    t = real(python_target())
    os.kill(t.pid("memtrace"), signal.SIGSEGV)
    t.left(128 + signal.SIGSEGV)


@case
def real_end():
    """A process that ends stays, with its last numbers; another one goes on."""
    first, second = python_target(), python_target()
    t = real(first, "-p", str(second.pid), "--sort", "pid")
    first.finish()
    s = t.wait(f"{first.pid}x", "1 process ")
    check(f"{second.pid} " in s, f"the other is not on\n{s}")
    t.keys("q")
    t.left(0)


@case
def real_follow():
    """The children of a process, under it."""
    target = Target(PYTHON, "-c", """if True:
        import os, sys, time
        print("ready", flush=True)
        sys.stdin.readline()
        child = os.fork()
        if not child:
            open("/proc/self/comm", "w").write("mt-top-child")
        else:
            print(child, flush=True)
        sys.stdin.readline()
        """)
    t = real(target, "--follow", "--tree", "--no-census")
    child = int(target.step(answer=None))
    s = t.wait("└─mt-top-child")
    check(re.search(rf"^ *{child}\S? .*└─mt-top-child$", s, re.M), f"the child's row on\n{s}")
    os.kill(child, signal.SIGKILL)
    t.wait_gone("mt-top-child")
    t.keys("q")
    t.left(0)


@case
def real_all():
    """Every process; those that come later come, and those that end go."""
    name = f"mt-top-{os.getpid() % 100000}"
    t = Terminal(shlex.join([MEMTRACE, "top", "-a", "-n", name, "-i", "200ms", "--no-census"]))
    t.wait("COMMAND", "no process is traced")
    target = Target(PYTHON, "-c", f"""if True:
        import sys
        open("/proc/self/comm", "w").write("{name}")
        print("ready", flush=True)
        sys.stdin.readline()
        """)
    t.wait(f"{target.pid} ", name)
    target.finish()
    t.wait("no process is traced")
    t.keys("q")
    t.left(0)


@case
def not_a_terminal():
    target = python_target()
    rc, out, err = memtrace("top", "-p", target.pid)
    equal(rc, 1, "exit status")
    equal(out, "", "standard output")
    one_line(err, "not a terminal", "memtrace -a")


@cases(unknown="no-such-terminal", dumb="dumb", none="")
def bad_terminal(term):
    t = Terminal(shlex.join([MEMTRACE, "top", "-p", str(python_target().pid)]), term=term)
    s = t.wait("ended: 1")
    check("cannot draw on a terminal" in s and f"TERM='{term}'" in s, f"what it said:\n{s}")


@cases(sort=(["--sort", "size"], "--sort"), operand=(["17"], "-p 17"),
       color=(["--color", "maybe"], "--color"), all=(["-a"], "not both"),
       chosen=(["-n", "sh"], "not both"))
def bad_usage(how):
    args, word = how
    rc, _, err = memtrace("top", "-p", 1, *args)
    equal(rc, 2, "exit status")
    one_line(err, word)


@case
def help_text():
    rc, out, err = memtrace("top", "--help")
    equal((rc, err), (0, ""), "exit status and errors")
    check(all(len(line) <= 80 for line in out.splitlines()), "wider than 80 columns")
    check("--sort" in out and "rate" in out, out)
