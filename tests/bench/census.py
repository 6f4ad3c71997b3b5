# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a census takes: the time of the walk, how long the target is held, the
memory of memtrace meanwhile, and what the target notices. By memtrace census,
so without probes; each heap is made once and read several times."""

import json
import os
import signal
import subprocess

import pairs
import tools

MAX_STOP = "5s"  # what is measured is how long it takes, not whether it is refused
SMALL = 40  # bytes and up to 32 more: chunks of 48, 64 and 80
LARGE = 64 << 10
MAPPED = 256 << 10
HUGE_BLOCKS = 10 ** 7
NEEDED = 2 << 30  # bytes free for the largest heap


class Heap(tools.Process):
    """tests/bench/heap, once its heap is made and its threads have begun."""

    def __init__(self, blocks, size=SMALL, keep=100, sleepers=0, hot=0, spin=0):
        super().__init__([os.path.join(tools.BENCH, "heap"),
                          *(str(v) for v in (blocks, size, keep, sleepers, hot, spin))])
        self.live = int(self.wait_line("ready").split()[1])

    def reset(self):
        self.say("reset")
        self.wait_line("ok")

    def gap_ns(self):
        self.say("gap")
        return int(self.wait_line("gap").split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)


def available():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0


def take(pid):
    """One census: its figures, or why it was refused."""
    p = subprocess.run([os.path.join(tools.BENCH, "peak"), tools.MEMTRACE, "census", "-f", "json",
                        "--max-stop", MAX_STOP, "-p", str(pid)],
                       capture_output=True, text=True, timeout=tools.TIMEOUT, check=False)
    said = p.stderr.strip().split("\n")
    if p.returncode:
        return {"refused": said[0][:300]}
    doc = json.loads(p.stdout)
    heap = doc["heap"]
    return {"objects": doc["objects"], "stop_ns": heap["stop_ns"], "walk_ns": heap["walk_ns"],
            # sleepers are not held, but must sleep on as long as the walk takes
            "window_ns": max(heap["stop_ns"], heap["walk_ns"]), "attempts": heap["attempts"],
            "threads": heap["threads"], "held": heap["held"],
            "system": sum(a["system"] for a in heap["arenas"]) + heap["mapped"]["system"],
            "peak_kib": int(said[-1].split()[1])}


def summary(label, rows):
    """The figures of several censuses of one process; those refused are counted."""
    good = [r for r in rows if "refused" not in r]
    out = {"label": label, "censuses": len(rows), "refused": len(rows) - len(good)}
    if out["refused"]:
        out["why_refused"] = next(r["refused"] for r in rows if "refused" in r)
    if not good:
        return {**out, "skipped": f"every census was refused: {out['why_refused']}"}
    for key in ("stop_ns", "walk_ns", "window_ns", "attempts"):
        values = sorted(r[key] for r in good)
        out[key] = {"best": values[0], "median": pairs.median(values), "worst": values[-1]}
    out["threads"] = max(r["threads"] for r in good)
    out["held"] = pairs.median([r["held"] for r in good])
    out["peak_kib"] = max(r["peak_kib"] for r in good)
    out["objects"], out["system"] = good[-1]["objects"], good[-1]["system"]
    return out


def measure_heap(label, rounds, **heap):
    try:
        if heap["blocks"] >= HUGE_BLOCKS and available() < NEEDED:
            raise tools.Unavailable(f"less than {NEEDED >> 30} GiB of memory are free")
        with Heap(**heap) as h:
            out = summary(label, [take(h.pid) for _ in range(rounds)])
    except (tools.Unavailable, subprocess.TimeoutExpired) as e:
        out = {"label": label, "skipped": str(e)}
    tools.note(".")
    return out


def add_speed(row):
    if "skipped" not in row:
        for key in ("best", "median"):
            ns = row["walk_ns"][key]
            row[f"ns_per_block_{key}"] = ns / row["objects"]
            row[f"gb_per_s_{key}"] = row["system"] / ns
    return row


def speed(quick, rounds):
    """{name: row}; the chunks of the largest heaps are all live, so that blocks are chunks."""
    heaps = {
        "10^7": ("10^7 blocks of 40 to 72 bytes", {"blocks": HUGE_BLOCKS}),
        "10^6": ("10^6 blocks of 40 to 72 bytes", {"blocks": 10 ** 6}),
        "10^5": ("10^5 blocks of 40 to 72 bytes", {"blocks": 10 ** 5}),
        "half": ("10^6 such, half of them freed at random", {"blocks": 10 ** 6, "keep": 50}),
        "large": ("10^5 blocks of 64 KiB", {"blocks": 10 ** 5, "size": LARGE}),
        "mapped": ("10^4 blocks of 256 KiB, each mapped", {"blocks": 10 ** 4, "size": MAPPED}),
    }
    if quick:
        del heaps["10^7"]
    return {name: add_speed(measure_heap(label, rounds, **heap))
            for name, (label, heap) in heaps.items()}


def held(rounds):
    """How long processes with 10^5 blocks and many threads are held."""
    rows = [measure_heap(f"{n} threads asleep", rounds, blocks=10 ** 5, sleepers=n)
            for n in (10, 100, 1000)]
    return rows + [measure_heap(f"{n} hot thread{'s' * (n > 1)}", rounds, blocks=10 ** 5, hot=n)
                   for n in (1, 4, 16)]


def measure_gap(blocks, rounds):
    """What a thread that never sleeps sees of a census, beside one of another process."""
    seen, else_seen, rows = [], [], []
    with Heap(blocks, spin=1) as h, Heap(blocks) as other:
        for _ in range(rounds):
            for pid, gaps in ((h.pid, seen), (other.pid, else_seen)):
                h.reset()
                row = take(pid)
                gap = h.gap_ns()
                if "refused" not in row:
                    gaps.append(gap)
                if pid == h.pid:
                    rows.append({**row, "gap_ns": gap})
    tools.note(".")
    out = summary(f"10^{len(str(blocks)) - 1} blocks, a thread that spins", rows)
    if "skipped" not in out:
        out["gap_ns"] = {"median": pairs.median(seen), "worst": max(seen)}
        out["gap_less_stop_ns"] = pairs.median([r["gap_ns"] - r["stop_ns"] for r in rows
                                                if "refused" not in r])
        out["gap_else_ns"] = {"median": pairs.median(else_seen), "worst": max(else_seen)}
    return out


def measure(quick, rounds):
    tools.note("census: ")
    out = {"speed": speed(quick, rounds), "held": held(rounds),
           "gaps": [measure_gap(n, rounds) for n in (10 ** 5, 10 ** 6)]}
    tools.note("\n")
    return out
