#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the integration cases as root: run.py [-l] [-q] [WORD...] runs those
whose names contain a WORD. One line each: `ok NAME`, `not ok NAME: why`,
`skip NAME: why`."""

import glob
import importlib
import os
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import harness  # noqa: E402

CASE_LIMIT = 300  # seconds


class Overdue(BaseException):
    """No `except Exception` on the way may swallow it."""


def on_alarm(_sig, _frame):
    raise Overdue()


def run_case(name, f):
    """(result, why, detail)"""
    signal.alarm(CASE_LIMIT)
    try:
        f()
        return "ok", "", ""
    except harness.Skip as e:
        return "skip", str(e), ""
    except harness.Failure as e:
        why, _, detail = str(e).partition("\n")
        return "not ok", why, detail
    except Overdue:
        return "not ok", f"no end within {CASE_LIMIT} s", traceback.format_exc()
    except Exception as e:
        return "not ok", f"{type(e).__name__}: {e}".replace("\n", " "), traceback.format_exc()
    finally:
        signal.alarm(0)
        harness.finish_case()


def main(argv):
    words = [a for a in argv if not a.startswith("-")]
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    chosen = [c for c in harness.CASES if not words or any(w in c[0] for w in words)]
    if "-l" in argv:
        print("\n".join(name for name, _ in chosen))
        return 0
    signal.signal(signal.SIGALRM, on_alarm)
    # An interrupted run still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        print("not ok integration: needs root")
        return 1
    failed = 0
    for name, f in chosen:
        start = time.monotonic()
        result, why, detail = run_case(name, f)
        failed += result == "not ok"
        print(f"{result} {name}" + (f": {why}" if why else ""), flush=True)
        for line in detail.splitlines():
            print(f"    {line}")
        if os.environ.get("TIMES"):
            print(f"    {time.monotonic() - start:.1f} s", flush=True)
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
