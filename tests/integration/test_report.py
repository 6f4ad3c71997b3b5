# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""memtrace report: its command line, and its page in a browser."""

import copy
import json
import os
import subprocess
from datetime import datetime, timedelta, timezone

from browser import Page
from harness import (MEMTRACE, PYTHON, ROOT, Target, attach, case, check, equal, memtrace,
                     one_line, run, tmp)

BEGIN = datetime(2026, 3, 1, 23, 59, 50, tzinfo=timezone.utc)
EVIL = "</script><img src=x onerror=evil=1><b>&amp;\"'"
VM = ["rss", "pss", "swap", "shared", "data", "stack", "cgroup_current"]


def template(name):
    with open(os.path.join(ROOT, "tests/golden", name)) as f:
        return json.loads(f.readline())


def at(second):
    return (BEGIN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def made(base, i, **changes):
    """The i-th snapshot of a process: a second later than the one before, a bit more of all."""
    s = copy.deepcopy(base)
    s.update(time=at(i), seq=i, uptime_ns=i * 10**9 + 1, final=False)
    m = s["memstats"]
    for k in ("Alloc", "HeapAlloc", "TotalAlloc"):
        m[k] += 4096 * i
    m["Mallocs"] += 30 * i
    m["Frees"] += 10 * i
    s["vm"]["rss"] += 1000 * i
    s.update(changes)
    return s


def save(name, snaps):
    with open(tmp(name), "w") as f:
        f.writelines(json.dumps(s) + "\n" for s in snaps)
    return tmp(name)


def report(*files, warning=False):
    """Makes the page; its path."""
    out = tmp("report.html")
    rc, text, err = memtrace("report", *files, "-o", out)
    equal(rc, 0, f"exit status ({err.strip()})")
    equal(text, "", "standard output")
    if not warning:
        equal(err, "", "standard error")
    return out


def is_shown(page, column, snap):
    """Every number of the snapshot in that column of the table, to the last digit."""
    want = {("MemStats", k): v for k, v in snap["memstats"].items() if not isinstance(v, list)}
    want.update({("Address space", k): snap["vm"][k] for k in VM})
    want["Losses", "lost"] = snap["loss"]["lost"]
    cells = page.js("return [...document.querySelectorAll('#fields tr[data-field]')].map(r => "
                    "[r.dataset.group, r.dataset.field, r.querySelector(arguments[0]).textContent])",
                    f"td.{column}")
    shown = {(g, f): text for g, f, text in cells}
    for key, v in want.items():
        check(key in shown, f"{key} is not in the table")
        if key[1] in ("LastGC", "GCCPUFraction"):
            continue  # a time, a percentage
        text = {True: "yes", False: "no"}[v] if isinstance(v, bool) else f"{v:,}"
        equal(shown[key], text, f"{key} in column {column}")


def click_exact(page):
    page.one("#exact").click()


def moments(page, a, b):
    """Waits until these are shown."""
    page.until("document.querySelector('#fields caption').textContent.includes('(snapshot "
               f"{a}), B') && document.querySelector('#fields caption').textContent.includes("
               f"'(snapshot {b}),')", f"snapshots {a} and {b}")


def ten(base="json.ndjson"):
    return [made(template(base), i) for i in range(10)]


@case
def the_page_shows_what_the_file_says():
    from selenium.webdriver.common.keys import Keys
    snaps = ten()
    page = Page(report(save("demo.ndjson", snaps)))
    click_exact(page)
    moments(page, 0, 9)
    is_shown(page, "a", snaps[0])
    is_shown(page, "b", snaps[9])
    equal(page.text("#fields tr[data-field=TotalAlloc] .d"), "+36,864", "the difference")
    page.keys("#moment-a", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    page.keys("#memory", Keys.ARROW_LEFT)
    moments(page, 2, 8)
    is_shown(page, "a", snaps[2])
    is_shown(page, "b", snaps[8])
    live = {str(c["Size"]): c for c in snaps[8]["live"]}
    rows = page.all("#classes tbody tr")
    equal(len(rows), len(live), "classes")
    for r in rows:
        c = live[r.get_attribute("data-class")]
        equal(r.find_element("css selector", ".bytes").get_attribute("data-value"),
              str(c["Bytes"]), f"bytes of class {c['Size']}")
        equal(r.find_element("css selector", ".objects").get_attribute("data-value"),
              str(c["Objects"]), f"blocks of class {c['Size']}")
    page.one("#only-changed").click()
    equal(len(page.all("#fields tr[data-field=Sys]")), 0, "rows of what did not change")
    equal(page.js("return rates(state.process, ['alloc', 'mallocs']).slice(0, -1)"
                  ".map(r => r.slice(1))"), [[4096, 30]] * 9, "rates a second")
    page.is_quiet()


@case
def processes_are_chosen_by_mouse_and_keyboard():
    from selenium.webdriver.common.keys import Keys
    base = template("json.ndjson")
    two = [made(dict(base, pid=17, comm="worker", host="node2", start_time=5), i) for i in range(6)]
    one = ten() + [made(base, 10, event="SIGUSR1", label="after"), made(base, 11, label="after"),
                   made(base, 12, final=True)]
    page = Page(report(save("one.ndjson", one), save("two.ndjson", two)))
    names = page.js("return [...document.querySelectorAll('#process option')].map(o => o.textContent)")
    equal(names, ["demo [4242] on node1", "worker [17] on node2"], "processes")
    equal(page.text("#who-title"), "demo [4242]", "the first shown")
    marks = page.js("return [...document.querySelectorAll('#marks li')].map(e => e.textContent)")
    equal([m.split(" ", 2)[2] for m in marks],
          ["snapshot asked for: SIGUSR1", "label: after", "label: (none)", "end"], "marks")
    page.all("#marks button")[0].click()
    moments(page, 0, 10)
    page.keys("#process", Keys.ARROW_DOWN)
    page.until("$('who-title').textContent === 'worker [17]'", "the other process")
    click_exact(page)
    moments(page, 0, 5)
    is_shown(page, "b", two[5])
    page.js("$('memory').scrollIntoView()")
    page.keys("#process-list button:not(tr.chosen button)", Keys.ENTER)
    page.until("$('who-title').textContent === 'demo [4242]'", "the first process")
    moments(page, 0, 12)
    is_shown(page, "b", one[12])
    page.is_quiet()


@case
def charts_zoom_and_move_by_keyboard():
    from selenium.webdriver.common.keys import Keys
    page = Page(report(save("demo.ndjson", ten())))
    equal(page.js("return [...document.querySelectorAll('[role=img]')].filter("
                  "e => !e.getAttribute('aria-label')).map(e => e.id)"), [], "graphics without a name")
    page.keys("#bytes", Keys.HOME)
    moments(page, 0, 0)
    page.keys("#bytes", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, "+")
    moments(page, 0, 2)
    page.until("shownSpan()[1] - shownSpan()[0] === 4.5e6", "half of the time")
    spans = page.js("return charts.map(c => c.graph.xAxisRange().map(t => Math.round(t * 1000)))")
    equal(spans, [page.js("return shownSpan()")] * len(spans), "what the charts show")
    page.keys("#bytes", "0")
    page.until("shownSpan()[1] - shownSpan()[0] === 9e6", "all of the time")
    page.keys("#heat", Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    moments(page, 0, 1)
    check("up to" in page.text("#spoken"), f"spoken: {page.text('#spoken')!r}")
    ids = []
    page.js("document.activeElement.blur(); window.scrollTo(0, 0)")
    for _ in range(40):
        page.press(Keys.TAB)
        ids.append(page.active())
    for name in ("moment-a", "moment-b", "zoom-all", "memory", "heat", "exact"):
        check(name in ids, f"Tab does not reach {name}: {ids}")
    page.is_quiet()


@case
def hostile_names_show_as_text():
    base = template("json.ndjson")
    snaps = [made(base, i, comm=EVIL, exe=EVIL, host=EVIL, label=EVIL + str(i), event=EVIL[:31],
                  container=EVIL, cgroup=EVIL, runtime=EVIL, allocator=EVIL) for i in range(5)]
    snaps.append(template("hostile.ndjson"))
    page = Page(report(save("a<b>.ndjson", snaps)))
    title = page.text("#who-title")
    texts = page.js("return document.body.textContent")
    check(EVIL in texts, "the name is not shown as it is")
    for i in range(len(page.all("#process option"))):
        page.js("choose(arguments[0])", i)
        page.until("!frame", "drawn")
    equal(page.js("return [document.querySelectorAll('img').length, "
                  "document.querySelectorAll('b b').length, typeof evil]"), [0, 0, "undefined"],
          f"what {title} made")
    page.is_quiet()


@case
def losses_cannot_be_missed():
    snaps = ten()
    snaps[9]["loss"].update(failed_reads=7, lost=7)
    other = [dict(made(template("json.ndjson"), i, since="attach"), pid=5) for i in range(3)]
    page = Page(report(save("lost.ndjson", snaps), save("attach.ndjson", other)))
    bad = [e.text for e in page.all(".notice.bad")]
    equal(bad, ["Numbers of demo [4242] are inexact: 7 lost (failed_reads 7)."], "the notice")
    check(page.one(".notice.bad").location["y"] < 300, "it is not at the top")
    page.js("choose(1)")
    page.until("document.querySelectorAll('.notice.warn').length === 1", "the note on the base")
    equal([e.text for e in page.all(".notice.bad")], ["Inexact, too: demo [4242] (7 lost)."],
          "the notice on the other")
    page.is_quiet()


@case
def go_has_pauses_and_native_has_none():
    page = Page(report(save("go.ndjson", [template("go.ndjson")])))
    check(page.one("#gc-card").is_displayed(), "no chart of pauses")
    pauses = template("go.ndjson")["gc"]["pauses"]
    equal(page.js("return state.process.pauses.map(p => p[1])"), [p["ns"] for p in pauses], "pauses")
    page.is_quiet()
    page = Page(report(save("demo.ndjson", ten())))
    check(not page.one("#gc-card").is_displayed(), "a chart of pauses without a collector")


@case
def dark_and_on_paper():
    path = report(save("demo.ndjson", ten()))
    page = Page(path, dark=True)
    back = "return getComputedStyle(document.body).backgroundColor"
    equal(page.js(back), "rgb(18, 22, 28)", "the dark page")
    page.media(False)
    page.until("getComputedStyle(document.body).backgroundColor === 'rgb(246, 247, 249)'", "light")
    pdf = page.pdf()
    check(pdf.startswith(b"%PDF") and len(pdf) > 20000, f"a PDF of {len(pdf)} bytes")
    page.is_quiet()


@case
def peaks_of_many_snapshots_are_shown():
    base = template("json.ndjson")
    snaps = [made(base, i) for i in range(5000)]
    snaps[3333]["memstats"]["Alloc"] = 987654321
    page = Page(report(save("many.ndjson", snaps)))
    n = page.js("return state.process.points")
    check(n <= 4096, f"{n} points")
    check("Of 5,000 snapshots" in page.text("#kept"), "it is not said that some are left out")
    check("at most 941.9 MiB" in page.text("#memory-summary"), "the peak is not there")
    page.js("setMoments(0, field(state.process, 'MemStats', 'Alloc').indexOf(987654321))")
    moments(page, 0, 3333)
    click_exact(page)
    is_shown(page, "b", snaps[3333])
    page.is_quiet()


@case
def a_real_trace():
    t = Target(PYTHON, "-uc", "print('ready')\nx = []\n"
               "while input() or 1: x.append('a' * 100000); print('done')")
    tracer, first = attach(t.pid, census=True)
    t.step()
    middle = tracer.snapshot()
    t.step()
    last = json.loads(tracer.stop()[-1])
    page = Page(report(save("real.ndjson", [first, middle, last])))
    click_exact(page)
    moments(page, first["seq"], last["seq"])
    is_shown(page, "a", first)
    is_shown(page, "b", last)
    page.is_quiet()


@case
def errors_are_one_line():
    good = save("good.ndjson", ten())
    cases = [((), 2, "files of snapshots"), ((tmp("none"), "-o", tmp("o")), 1, "none"),
             ((save("empty", []), "-o", tmp("o")), 1, "no snapshot"),
             ((good, "-o", tmp("no/such/dir/o")), 1, "cannot write"),
             ((good, "-o", ""), 2, "-o"), ((good, "--bogus"), 2, "bogus")]
    for args, status, word in cases:
        rc, out, err = memtrace("report", *args)
        equal((rc, out), (status, ""), f"report {args}")
        one_line(err, word)
    check(not os.path.exists(tmp("o")), "a page was written")
    left, right = os.openpty()
    p = subprocess.run([MEMTRACE, "report", good], stdout=right, stderr=subprocess.PIPE, timeout=60)
    os.close(left)
    os.close(right)
    equal(p.returncode, 2, "a page for a terminal")
    one_line(p.stderr.decode(), "-o report.html")


@case
def a_cut_file_and_standard_output():
    snaps = ten()
    path = save("cut.ndjson", snaps)
    with open(path, "r+") as f:
        f.truncate(os.path.getsize(path) - 100)
    rc, out, err = memtrace("report", path)
    equal(rc, 0, "exit status")
    one_line(err, "cut.ndjson:10")
    check(out.startswith("<!DOCTYPE html>") and out.endswith("</html>\n"), "not a page")
    rc, same, err = run([MEMTRACE, "report", "-o", "-", "-"], stdin=open(path))
    equal(rc, 0, "exit status from standard input")
    check('"standard input"' in same, "it is not said where it comes from")
