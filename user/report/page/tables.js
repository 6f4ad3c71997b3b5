/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tables, and what is said in words. */
"use strict";

function value(v, unit, exact) {
  if (v === null || v === undefined) return "–";
  if (unit === "bool") return v ? "yes" : "no";
  if (unit === "time") return v ? `${day(v / 1000)} ${clock(v / 1000)}` : "–";
  if (unit === "ratio") return (v * 100).toFixed(3) + " %";
  if (exact) return (v < 0 ? "−" : "") + Math.abs(v).toLocaleString("en-US");
  return unit === "bytes" ? bytes(v) : unit === "ns" ? duration(v) : count(v);
}

function difference(v, unit, exact) {
  if (!v) return "0";
  if (unit === "time") return (v < 0 ? "−" : "+") + span(Math.abs(v) / 1000);
  return (v > 0 ? "+" : "") + value(v, unit, exact);
}

function percent(a, b) {
  if (a === b) return "";
  if (!a) return "new";
  const p = (b - a) / Math.abs(a) * 100;
  const n = Math.abs(p);
  if (n >= 1000 && b / a > 0) return "×" + count(Math.round(b / a));
  return (p < 0 ? "−" : "+") + n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0) + " %";
}

function fieldRow(c, a, b, exact) {
  const numeric = c.unit !== "bool" && (c.unit !== "time" || (a && b)); /* 0: it never was */
  const cell = (cls, text, raw) => el("td", {class: "num " + cls, "data-value": raw}, text);
  return el("tr", {"data-group": c.group, "data-field": c.name},
    el("th", {scope: "row"}, c.name),
    cell("a", value(a, c.unit, exact), a), cell("b", value(b, c.unit, exact), b),
    cell("d" + (a === b ? " none" : ""), numeric ? difference(b - a, c.unit, exact) : "", numeric ? b - a : null),
    cell("p", numeric && c.unit !== "time" ? percent(a, b) : ""),
    el("td", {class: "help"}, (state.process.metas.some((m) => m.gc) && c.go) || c.help || ""));
}

/* Groups that say nothing of this process. */
function isIdle(p, group) {
  if (group === "C memory") return !p.metas.some((m) => m.native);
  return false;
}

function drawFields() {
  const p = state.process;
  const exact = $("exact").checked;
  const only = $("only-changed").checked;
  const table = $("fields");
  const bodies = [];
  let body = null;
  let group = null;
  data.columns.forEach((c, k) => {
    const a = p.values[k][state.a];
    const b = p.values[k][state.b];
    if (isIdle(p, c.group) || (only && a === b)) return;
    if (c.group !== group) {
      group = c.group;
      body = el("tbody", {}, el("tr", {class: "group"}, el("th", {scope: "rowgroup", colspan: 6}, group)));
      bodies.push(body);
    }
    body.append(fieldRow(c, a, b, exact));
  });
  for (const t of [...table.tBodies]) t.remove();
  table.append(...bodies);
  table.caption.textContent = `A: ${moment(p.time[state.a])} (snapshot ${p.seq[state.a]}), ` +
    `B: ${moment(p.time[state.b])} (snapshot ${p.seq[state.b]}), ${span(Math.abs(p.time[state.b] - p.time[state.a]))} apart` +
    (bodies.length ? "" : "; nothing changed");
}

function drawClasses() {
  const p = state.process;
  const {a, b} = state;
  const live = p.live.filter((c) => c.bytes[b] || c.objects[b] || c.bytes[a] || c.objects[a]);
  const most = live.reduce((m, c) => Math.max(m, c.bytes[b]), 0);
  $("classes").caption.textContent = `${moment(p.time[b])} (snapshot ${p.seq[b]}), against A: ${moment(p.time[a])}`;
  $("classes").tBodies[0].replaceChildren(...live.map((c) => {
    const bar = el("div", {class: "meter"});
    bar.style.width = most > 0 ? `${Math.max(0, c.bytes[b]) / most * 100}%` : "0";
    const num = (cls, text, raw) => el("td", {class: "num " + cls, "data-value": raw}, text);
    return el("tr", {"data-class": data.classes[c.class]},
      el("th", {scope: "row"}, className(c.class)), el("td", {class: "wide"}, bar),
      num("bytes", bytes(c.bytes[b]), c.bytes[b]), num("dbytes", difference(c.bytes[b] - c.bytes[a], "bytes"), c.bytes[b] - c.bytes[a]),
      num("objects", count(c.objects[b]), c.objects[b]),
      num("dobjects", difference(c.objects[b] - c.objects[a], "count"), c.objects[b] - c.objects[a]));
  }));
}

function processName(p) {
  if (p.total) return `total${data.files.length > 1 ? ` of ${data.files[p.file] || "a file"}` : ""}`;
  if (p.pid === 0) return "total at the end";
  return `${p.comm || "?"} [${p.pid}]`;
}

function drawProcessList() {
  const many = data.processes.length > 1;
  $("processes").hidden = !many && !data.others.processes;
  $("process").replaceChildren(...data.processes.map((p, i) => el("option", {value: i}, processName(p) + (p.host ? ` on ${p.host}` : ""))));
  $("pick").hidden = !many;
  $("pick").parentElement.classList.toggle("single", !many);
  const head = ["Process", "Host", "Container", "Peak Alloc", "Snapshots", "Lost"];
  const num = new Set([3, 4, 5]);
  $("process-list").replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((h, k) => el("th", {scope: "col", class: num.has(k) ? "num" : ""}, h)))),
    el("tbody", {}, ...data.processes.map((p, i) => el("tr", {"data-process": i},
      el("td", {class: "name"}, el("button", {type: "button", class: "link", onclick: () => choose(i)}, processName(p))),
      el("td", {class: "name"}, p.host), el("td", {class: "name"}, p.metas.length ? p.metas[p.metas.length - 1].container.slice(0, 12) : ""),
      el("td", {class: "num"}, bytes(p.peak)), el("td", {class: "num"}, count(p.snapshots)),
      el("td", {class: "num" + (p.lost ? " some-lost" : "")}, count(p.lost)))))));
  const o = data.others;
  const parts = [];
  if (o.processes)
    parts.push(`${count(o.processes)} smaller processes are not shown: together ${bytes(o.alloc)} of Alloc at their ` +
      `last snapshot, none above ${bytes(o.peak)}${o.lossy ? `; ${count(o.lossy)} of them had losses` : ""}.`);
  if (o.untold) parts.push(`${count(o.untold)} snapshots of further processes were not looked at.`);
  if (data.processes.some((p) => p.pid === 0 || p.total))
    parts.push("A total's resident memory counts a shared page once for each process.");
  $("others").textContent = parts.join(" ");
}

const SINCE = {start: "since the start", census: "since the attach, with the heap before it (census)",
  attach: "since the attach alone"};

function identity(p, m) {
  const rows = [["Host", p.host], ["Pid", p.pid || ""], ["Command", m.comm], ["File", m.exe], ["Container", m.container],
    ["Cgroup", m.cgroup], ["Runtime", m.runtime], ["Allocator", m.allocator]];
  if (p.processes) rows.push(["Processes", `at most ${count(p.processes)} at a time`]);
  return rows.filter((r) => r[1] !== "" && r[1] !== null).flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, String(v))]);
}

function drawWho() {
  const p = state.process;
  const m = p.metas[p.meta[state.b]];
  $("who-title").textContent = processName(p);
  $("identity").replaceChildren(...identity(p, m));
  const parts = [p.points < p.snapshots
    ? `Of ${count(p.snapshots)} snapshots ${count(p.points)} are on this page: those at which one of the numbers drawn is at its ` +
      "highest or lowest for its part of the time, those with a mark, the first and the last. Each stands as it was taken."
    : `All ${count(p.snapshots)} snapshots are on this page.`];
  if (p.late) parts.push("Its beginning was not kept: others were larger then.");
  if (p.metas_dropped) parts.push("It changed its name or file more often than is shown.");
  $("kept").textContent = parts.join(" ");
}

function lossText(p) {
  const last = (name) => p.values[fieldIndex("Losses", name)].reduce((a, b) => Math.max(a, b), 0);
  const parts = data.columns.filter((c) => c.group === "Losses" && c.name !== "lost" && last(c.name))
    .map((c) => `${c.name} ${count(last(c.name))}`);
  return `Numbers of ${processName(p)} are inexact: ${count(p.lost)} lost${parts.length ? ` (${parts.join(", ")})` : ""}.`;
}

/* What a reader has to know before any number. */
function drawNotices() {
  const p = state.process;
  const m = p.metas[p.meta[state.b]];
  const out = [];
  const add = (cls, text) => out.push(el("p", {class: "notice " + cls}, text));
  if (p.lost) add("bad", lossText(p));
  const others = data.processes.filter((q) => q.lost && q !== p);
  if (others.length)
    add("bad", `Inexact, too: ${others.slice(0, 8).map((q) => `${processName(q)} (${count(q.lost)} lost)`).join(", ")}` +
      (others.length > 8 ? ` and ${others.length - 8} more` : "") + ".");
  if (m.since === "attach")
    add("warn", `Levels count from the attach: what lived before is not in them${m.why ? ` (${m.why})` : ""}.`);
  if (m.sizes === "requested") add("warn", "Sizes are those requested: the allocator's own are not known.");
  if (p.approximate)
    add("warn", `${count(p.approximate)} of ${count(p.snapshots)} snapshots are approximate: the runtime ran on while they were read.`);
  const fact = (cls, text) => el("span", {class: "fact " + cls}, text);
  out.push(el("div", {class: "facts"},
    p.lost ? fact("bad", `${count(p.lost)} lost`) : fact("good", "nothing lost"),
    fact("", `mode ${m.mode || "not said"}`), fact(m.since === "attach" ? "warn" : "", `levels ${SINCE[m.since] || m.since}`),
    fact("", `sizes ${m.sizes || "not said"}`)));
  $("notices").replaceChildren(...out);
}

const KINDS = {event: "snapshot asked for", label: "label", exec: "exec", name: "now called", trace: "a trace begins anew",
  restart: "counts begin anew", end: "end"};

/* What a mark is called on the axis and in the list. */
function markTitle(m) {
  if (m.kind === "event") return m.text;
  if (m.kind === "label") return m.text || "label ends";
  return m.text ? `${KINDS[m.kind]} ${m.text}` : KINDS[m.kind];
}

function drawMarkList() {
  const p = state.process;
  $("marks-box").hidden = !state.marks.length;
  $("marks-box").open = state.marks.length > 0 && state.marks.length <= 12;
  $("marks-title").textContent = `Marks (${state.marks.length})`;
  $("marks").replaceChildren(...state.marks.map((m) => el("li", {},
    el("button", {type: "button", class: "link", title: "Set B there", onclick: () => setMoments(state.a, nearest(p, m.time))}, moment(m.time)),
    ` ${m.kind === "event" ? `${KINDS.event}: ${m.text}` : m.kind === "label" ? `label: ${m.text || "(none)"}` : markTitle(m)}`)));
  $("marks-dropped").textContent = p.marks_dropped ? `${count(p.marks_dropped)} more marks are not listed.` : "";
}
