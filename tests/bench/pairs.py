# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ns per malloc+free in a tight loop: every tool in each round, one after the
other in an order that turns, so that the machine's moods hit all alike. Ratios
are medians of the rounds' own ratios."""

import statistics

import tools


class Series:
    """One tool's measurements by round; None where a round left it out."""

    def __init__(self, label):
        self.label = label
        self.wall, self.cpu = [], []
        self.skipped = None

    def add(self, value):
        self.wall.append(value[0] if value else None)
        self.cpu.append(value[1] if value else None)

    def ratios(self, base, which="wall"):
        pairs = zip(getattr(self, which), getattr(base, which))
        return sorted(a / b for a, b in pairs if a and b)


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def quartiles(values):
    if len(values) < 2:
        return None
    q = statistics.quantiles(values, n=4, method="inclusive")
    return [round(q[0], 4), round(q[2], 4)]


def attach_and_measure(loop, tool, ms):
    tool.start(loop.pid)
    try:
        return loop.measure(ms)
    finally:
        tool.stop()


def attempt(series, f):
    """Adds f()'s measurement, or marks the series as skipped from here on."""
    if series.skipped:
        return
    try:
        series.add(f())
    except tools.Unavailable as e:
        series.skipped = str(e)


def one_round(n, loop, attached, wrapped, table, cfg):
    turn = n % len(attached)
    for tool in attached[turn:] + attached[:turn]:
        s = table[tool.name]
        if n % cfg["seldom"] and isinstance(tool, tools.Bpftrace):
            s.add(None)  # a second to start, and it is far off anyway
            continue
        attempt(s, lambda t=tool: attach_and_measure(loop, t, cfg["ms"]))
    for name, own_loop in wrapped.items():
        attempt(table[name], lambda p=own_loop: p.measure(cfg["ms"]))


def open_tools(threads):
    attached = [tools.Untraced(), tools.Floor(), tools.Memtrace()]
    skipped = {}
    if threads == 1:
        attached.append(tools.Memtrace("memtrace -f json", ("-f", "json")))
        try:
            attached.append(tools.Bpftrace())
        except tools.Unavailable as e:
            skipped[tools.Bpftrace.name] = str(e)
    return attached, skipped


def open_wrapped(threads, scratch, skipped):
    wrapped = {}
    for name, *_ in tools.WRAPPED if threads == 1 else ():
        try:
            wrapped[name] = tools.start_wrapped(name, scratch)
        except tools.Unavailable as e:
            skipped[name] = str(e)
    return wrapped


def measure(threads, rounds, cfg, scratch):
    """{name: Series} for the loop with that many threads."""
    attached, skipped = open_tools(threads)
    wrapped = open_wrapped(threads, scratch, skipped)
    table = {t.name: Series(t.label) for t in attached}
    for name in [*wrapped, *skipped]:
        table[name] = Series(name)
        table[name].skipped = skipped.get(name)
    loop = tools.Loop(threads)
    tools.note(f"pairs, {threads} thread{'s' * (threads > 1)}: ")
    for n in range(rounds):
        one_round(n, loop, attached, wrapped, table, cfg)
        tools.note(".")
    tools.note("\n")
    for p in [loop, *wrapped.values()]:
        p.end()
    # without these two there is nothing to say
    for name in ("floor", "memtrace"):
        if table[name].skipped:
            raise tools.Unavailable(f"{name}: {table[name].skipped}")
    return table


def summary(table):
    """The same as plain data."""
    out = {}
    for name, s in table.items():
        if s.skipped:
            out[name] = {"label": s.label, "skipped": s.skipped}
            continue
        floor = s.ratios(table["floor"])
        out[name] = {
            "label": s.label,
            "ns": median(s.wall),
            "cpu_ns": median(s.cpu),
            "to_untraced": median(s.ratios(table["untraced"])),
            "to_floor": median(floor),
            "to_memtrace": median(s.ratios(table["memtrace"])),
            "to_floor_quartiles": quartiles(floor),
            "to_floor_cpu": median(s.ratios(table["floor"], "cpu")),
            "rounds": len([v for v in s.wall if v is not None]),
        }
    return out
