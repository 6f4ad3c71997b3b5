# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The table, the goals and the JSON of a benchmark's run."""

import os
import platform
import time

import tools

GROWTH_NOISE = 0.05  # two medians of the same thing differ by that much here


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "cpu": model,
        "cpus": os.cpu_count(),
        "libc": " ".join(platform.libc_ver()),
        "load": list(os.getloadavg()),
        "versions": {
            "memtrace": tools.first_line([tools.MEMTRACE, "-V"]),
            "commit": tools.first_line(["git", "-C", tools.ROOT, "describe", "--always",
                                        "--dirty"]),
            "bpftrace": tools.first_line(["bpftrace", "--version"]),
            "heaptrack": tools.first_line(["heaptrack", "--version"]),
            "valgrind": tools.first_line(["valgrind", "--version"]),
        },
    }


def show_machine(m):
    print(f"{m['date']}  {m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}, {m['libc']}")
    print("load " + " ".join(f"{v:.2f}" for v in m["load"]) + "  " +
          "  ".join(v for v in m["versions"].values() if v))


def show_pairs(by_threads):
    print(f"\n{'malloc(64) + free, median':<50} {'ns':>10} {'×untraced':>10} {'×floor':>7}"
          f" {'by CPU':>7}  quartiles")
    for threads, table in by_threads.items():
        print(f"{threads} thread{'s' * (int(threads) > 1)}")
        for row in table.values():
            if "skipped" in row:
                print(f"  {row['label']:<48} skipped: {row['skipped']}")
                continue
            q = row["to_floor_quartiles"]
            print(f"  {row['label']:<48} {row['ns']:>10,.1f} {row['to_untraced']:>10,.1f} "
                  f"{row['to_floor']:>7.2f} {row['to_floor_cpu']:>7.2f}" +
                  (f"  {q[0]:.2f}–{q[1]:.2f}" if q else ""))
    print("ns and ratios are of wall time, 'by CPU' of the loop's CPU time, which a busy machine\n"
          "disturbs less. Ratios are medians of each round's own; quartiles are of ×floor.")


def show_commands(rows):
    print(f"\n{'command':<46} {'untraced':>9} {'traced':>8} {'ratio':>6} {'mallocs/s':>11} "
          f"{'ns/malloc':>10}")
    for r in rows:
        if "skipped" in r:
            print(f"{r['name']:<46} skipped: {r['skipped']}")
            continue
        line = f"{r['name']:<46} {r['untraced_s']:>7.3f} s {r['traced_s']:>6.2f} s "
        if "extra_ns_per_malloc" in r:
            line += (f"{r['ratio']:>6.2f} {r['mallocs_per_s']:>11,.0f} "
                     f"{r['extra_ns_per_malloc']:>10,.0f}")
        print(line)


def show_own(own):
    t = own["times"]
    print("\nmemtrace itself")
    for name, what in (("busy", "tracing the hot loop"), ("idle", "tracing an idle process")):
        r = own[name]
        print(f"  {what + ', 1 snapshot/s':<48} {r['rss_kib'] / 1024:.1f} MiB resident "
              f"(peak {r['hwm_kib'] / 1024:.1f}), {r['cpu_percent']:.2f} % of a CPU")
    print(f"  {'attached and ready, as -v says it':<48} {t['attach_said_ms']} ms "
          f"(worst of {t['rounds']}: {t['attach_said_max_ms']})")
    print(f"  {'start of the program to its first line':<48} {t['attach_to_first_line_ms']:.0f} ms")
    print(f"  {'SIGINT to its end':<48} {t['detach_to_exit_ms']:.0f} ms")
    print(f"  {'memory of its maps':<48} {t['map_bytes'] / 1024:.0f} KiB")


def ms(ns):
    return f"{ns / 1e6:>7.2f}"


def show_speed(rows):
    print(f"\n{'census: the walk':<42} {'ns a block':>10} {'GB/s':>6} {'walk ms':>8} "
          f"{'median':>7} {'worst':>7} {'heap MB':>8} {'peak MiB':>8}")
    for r in rows.values():
        if "skipped" in r:
            print(f"  {r['label']:<40} skipped: {r['skipped']}")
            continue
        w = r["walk_ns"]
        print(f"  {r['label']:<40} {r['ns_per_block_best']:>10.1f} {r['gb_per_s_best']:>6.1f} "
              f"{ms(w['best']):>8} {ms(w['median'])} {ms(w['worst'])} {r['system'] / 1e6:>8,.0f} "
              f"{r['peak_kib'] / 1024:>8.1f}")
    print("ns a block and GB/s are the best of the censuses; GB/s is of the whole heap, though\n"
          "bodies of large blocks are not read. One thread, asleep: nobody is held.")


def show_held(rows):
    print(f"\n{'census: how long it holds, ms':<42} {'median':>7} {'worst':>7} {'walk':>7} "
          f"{'held':>5} {'attempts':>9} {'refused':>8}")
    for r in rows:
        if "skipped" in r:
            print(f"  {r['label']:<40} skipped: {r['skipped']}")
            continue
        print(f"  {r['label']:<40} {ms(r['stop_ns']['median'])} {ms(r['stop_ns']['worst'])} "
              f"{ms(r['walk_ns']['median'])} {r['held']:>5.0f} "
              f"{'up to ' + str(r['attempts']['worst']):>9} {r['refused']:>5}/{r['censuses']}" +
              (f"  {r['why_refused']}" if r["refused"] else ""))
    print("10^5 blocks; threads asleep are not held, and must sleep on through the walk.")


def show_gaps(rows):
    print(f"\n{'census: what the target notices, ms':<42} {'median':>7} {'worst':>7} "
          f"{'stop':>7} {'worst':>7} {'beyond':>7} {'elsewhere':>9}")
    for r in rows:
        if "skipped" in r:
            print(f"  {r['label']:<40} skipped: {r['skipped']}")
            continue
        gap, stop = r["gap_ns"], r["stop_ns"]
        print(f"  {r['label']:<40} {ms(gap['median'])} {ms(gap['worst'])} {ms(stop['median'])} "
              f"{ms(stop['worst'])} {ms(r['gap_less_stop_ns'])} "
              f"{ms(r['gap_else_ns']['median']):>9}")
    print("The longest time between two looks at the clock. stop: as memtrace has it; beyond: how\n"
          "much longer the gap is; elsewhere: the gap while another process is read.")


def show_census(census):
    show_speed(census["speed"])
    show_held(census["held"])
    show_gaps(census["gaps"])


def show_whole(whole):
    print(f"\n{'memtrace -a: mixed load':<46} {'untraced':>9} {'traced':>8} {'ratio':>6} "
          f"{'by CPU':>7}")
    if "skipped" in whole:
        print(f"  skipped: {whole['skipped']}")
        return
    for r in whole["load"]:
        print(f"  {r['name']:<44} {r['untraced_s']:>7.3f} s {r['traced_s']:>6.2f} s "
              f"{r['ratio']:>6.2f} " + (f"{r['cpu_ratio']:>7.2f}" if r["cpu_ratio"] else f"{'-':>7}"))
    m, t = whole["memory"], whole["times"]
    big = m["many"]
    print(f"  {'memory with ' + str(big['processes']) + ' processes asleep':<48} "
          f"{big['map_bytes'] / 2**20:.1f} MiB of maps, {big['pss'] / 2**20:.1f} MiB resident")
    print(f"  {'a process, of all of it':<48} {m['bytes_per_process'] / 1024:.1f} KiB; "
          f"{m['growth_per_process'] / 1024:.1f} KiB for each that is added")
    said = "" if t["attach_said_ms"] is None else f" (as -v says it: {t['attach_said_ms']:.0f})"
    print(f"  {'start of the program to its last first line':<48} {t['attach_ms']:.0f} ms{said}")
    print(f"  {'snapshot of ' + str(t['processes']) + ' processes':<48} {t['snapshot_ms']:.0f} ms, "
          f"{t['snapshot_worst_ms']:.0f} at worst of {t['snapshots']}")


def us(ns):
    return f"{ns / 1e3:>7.0f}"


def show_go(go):
    print(f"\n{'a Go program read, µs':<38} {'median':>7} {'p99':>7} {'worst':>7}   "
          f"{'held':>7} {'p99':>7} {'worst':>7}  consistent")
    if "skipped" in go:
        print(f"  skipped: {go['skipped']}")
        return
    for r in go["snapshots"]:
        print(f"  {r['label']:<36} " + " ".join(us(v) for v in r["ns"].values()) + "   " +
              " ".join(us(v) for v in r["stop_ns"].values()) +
              f"  {r['consistent']:.1%}, held {r['consistent_held']:.1%}")
    for r in go["watched"]:
        q = r["quartiles"]
        print(f"  {r['label']:<36} the program takes {r['cpu_ratio']:.4f} of the CPU time for an "
              f"object, {r['ratio']:.4f} of the time" + (f"; {q[0]:.4f}–{q[1]:.4f}" if q else ""))
    print("held: how long it stands still for one reading; 0 where all its threads slept anyway.")


def verdict(met):
    return "met" if met else "missed"


def growth_goals(by_threads):
    """memtrace may grow with threads as the floor does: their ratio then stays.
    By CPU time: with more threads than CPUs wall time is the scheduler's."""
    one = by_threads["1"]["memtrace"]["to_floor_cpu"]
    for threads, table in by_threads.items():
        if threads == "1":
            continue
        now = table["memtrace"]["to_floor_cpu"]
        yield {"goal": f"{threads} threads grow no more than the floor "
                       f"({GROWTH_NOISE:.0%} for noise)",
               "value": f"memtrace/floor {now:.3f} of CPU time per pair, {one:.3f} with 1 thread",
               "met": now <= one * (1 + GROWTH_NOISE)}


def census_goals(speed):
    """What issue 3 asks for."""
    row = speed.get("10^7", {"skipped": "not measured"})
    texts = ("census: ≤ 20 ns a chunk for 10^7 live blocks",
             "census: 10^7 blocks within the default --max-stop, 250 ms",
             "census: memtrace ≤ 1/64 of the heap + 20 MB for 10^7 blocks")
    if "skipped" in row:
        return [{"goal": text, "value": row["skipped"], "met": None} for text in texts]
    peak, limit = row["peak_kib"] * 1024, row["system"] / 64 + 20e6
    worst = row["window_ns"]["worst"]
    best, median = row["ns_per_block_best"], row["ns_per_block_median"]
    values = ((f"{best:.1f} ns at best, {median:.1f} median", best <= 20),
              (f"{worst / 1e6:.0f} ms at worst", worst <= 250e6),
              (f"{peak / 1e6:.1f} MB of {limit / 1e6:.1f}", peak <= limit))
    return [{"goal": text, "value": value, "met": met}
            for text, (value, met) in zip(texts, values)]


def whole_goals(whole):
    """What issue 4 asks for, of 1,000 processes on 2 CPUs."""
    texts = ("-a: ≤ 64 KiB of memory for a traced process on 2 CPUs",
             "-a: snapshot of 1,000 processes ≤ 200 ms", "-a: attach to 1,000 processes ≤ 2 s")
    if "skipped" in whole or whole["times"]["processes"] < 1000:
        why = whole.get("skipped", "measured with fewer processes: not with --quick")
        return [{"goal": text, "value": why, "met": None} for text in texts]
    each, t = whole["memory"]["bytes_per_process"], whole["times"]
    values = ((f"{each / 1024:.1f} KiB", each <= 64 << 10 if os.cpu_count() <= 2 else None),
              (f"{t['snapshot_ms']:.0f} ms", t["snapshot_ms"] <= 200),
              (f"{t['attach_ms']:.0f} ms", t["attach_ms"] <= 2000))
    return [{"goal": text, "value": value, "met": met}
            for text, (value, met) in zip(texts, values)]


def go_goals(go):
    """What issue 5 asks for."""
    text = "Go: ≤ 0.5 % slower while watched once a second"
    if "skipped" in go:
        return [{"goal": text, "value": go["skipped"], "met": None}]
    return [{"goal": text + (", --freeze" if "--freeze" in r["label"] else ""),
             "value": f"{(r['cpu_ratio'] - 1) / r['often']:+.3%} of CPU time, "
                      f"{(r['ratio'] - 1) / r['often']:+.3%} of time, from {r['label']}",
             "met": max(r["cpu_ratio"], r["ratio"]) - 1 <= 0.005 * r["often"]}
            for r in go["watched"]]


def goals(result):
    """What the issues ask for, each with what was measured."""
    out = tracing_goals(result) if "pairs" in result else []
    if "census" in result:
        out += census_goals(result["census"]["speed"])
    if "whole" in result:
        out += whole_goals(result["whole"])
    if "go" in result:
        out += go_goals(result["go"])
    return out


def tracing_goals(result):
    """What issue 2 asks for."""
    one, own = result["pairs"]["1"], result["own"]
    # what memtrace adds runs in the loop's own threads, so CPU time has all of it
    ratio, wall = one["memtrace"]["to_floor_cpu"], one["memtrace"]["to_floor"]
    bt = one.get("bpftrace memleak", {"skipped": "not measured"})
    value = f"{ratio:.3f} by CPU time, {wall:.3f} by wall time"
    out = [{"goal": f"memtrace/floor ≤ {limit}", "value": value, "met": ratio <= limit}
           for limit in (1.25, 1.15)]
    if "skipped" in bt:
        out.append({"goal": "5 times cheaper than bpftrace", "value": "not measured", "met": None})
    else:
        times = bt["to_memtrace"]
        out.append({"goal": "5 times cheaper than bpftrace", "value": f"{times:.1f} times",
                    "met": times >= 5})
    out.extend(growth_goals(result["pairs"]))
    rss = max(own[k]["hwm_kib"] for k in ("busy", "idle")) / 1024
    cpu = max(own[k]["cpu_percent"] for k in ("busy", "idle"))
    ready = own["times"]["attach_said_ms"]
    out.append({"goal": "memtrace ≤ 20 MB resident", "value": f"{rss:.1f} MiB at most",
                "met": rss * 1.048576 <= 20})
    out.append({"goal": "memtrace ≤ 1 % of a CPU at one snapshot a second",
                "value": f"{cpu:.2f} %", "met": cpu <= 1})
    out.append({"goal": "attached and ready within 100 ms", "value": f"{ready} ms",
                "met": ready is not None and ready <= 100})
    return out


def show_goals(rows):
    print()
    for g in rows:
        state = "not measured" if g["met"] is None else verdict(g["met"])
        print(f"goal: {g['goal']}: {state} ({g['value']})")


def show(result):
    show_machine(result["machine"])
    busy = max(result["machine"]["load_after"][0], result["machine"]["load"][0])
    if busy > result["machine"]["cpus"]:
        print(f"load {busy:.1f} on {result['machine']['cpus']} CPUs: wall times here mean little")
    if "pairs" in result:
        show_pairs(result["pairs"])
        show_commands(result["commands"])
        show_own(result["own"])
    if "census" in result:
        show_census(result["census"])
    if "whole" in result:
        show_whole(result["whole"])
    if "go" in result:
        show_go(result["go"])
    show_goals(result["goals"])
