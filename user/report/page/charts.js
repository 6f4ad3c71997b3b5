/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Charts over time, by dygraphs; all of them show the same span. */
"use strict";

const AXIS_WIDTH = 78; /* pixels, so that all of them and the heat map align */
const charts = [];
let syncing = false;

/* Shows the span [from, to] of microseconds everywhere; null: all of it. */
function showSpan(from, to) {
  state.span = from === null ? null : [from, to];
  syncing = true;
  for (const c of charts) c.graph.updateOptions({dateWindow: window_()});
  syncing = false;
  placeCursors();
  drawHeat();
}

/* What is to be seen, in dygraphs' milliseconds. */
function window_() {
  const [from, to] = shownSpan();
  return [from / 1000, to / 1000];
}

/* In microseconds. A process of one snapshot has a second around it. */
function shownSpan() {
  const t = state.process.time;
  if (state.span) return state.span;
  const from = t[0];
  const to = t[t.length - 1];
  return to > from ? [from, to] : [from - 5e5, to + 5e5];
}

function zoom(factor) {
  const [from, to] = shownSpan();
  const mid = Math.min(Math.max(state.process.time[state.b], from), to);
  const half = Math.max((to - from) * factor / 2, 1000);
  const [first, last] = [state.process.time[0], state.process.time[state.process.time.length - 1]];
  if (mid - half <= first && mid + half >= last) showSpan(null);
  else showSpan(mid - half, mid + half);
}

/* Marks stand behind the lines of every chart. */
function drawMarks(ctx, area, graph) {
  ctx.save();
  ctx.strokeStyle = color("mark");
  ctx.setLineDash([3, 3]);
  let last = -Infinity;
  for (const m of state.marks) {
    const x = Math.round(graph.toDomXCoord(m.time / 1000)) + 0.5;
    if (x - last < 5) continue; /* many would hide what they mark */
    last = x;
    ctx.beginPath();
    ctx.moveTo(x, area.y);
    ctx.lineTo(x, area.y + area.h);
    ctx.stroke();
  }
  ctx.restore();
}

/* Above the first chart, what they say, or as much as there is room for; the list has all. */
function placeMarks() {
  const {graph, strip} = charts.find((c) => c.id === "memory");
  const area = graph.getArea();
  const ctx = $("heat-colors").getContext("2d");
  const out = [];
  let free = -Infinity;
  ctx.font = "11px system-ui, sans-serif";
  for (const m of state.marks) {
    const x = graph.toDomXCoord(m.time / 1000);
    if (x < area.x - 1 || x > area.x + area.w + 1) continue;
    const text = `${m.number} ${m.title.length > 28 ? m.title.slice(0, 27) + "…" : m.title}`;
    const wide = Math.ceil(ctx.measureText(text).width) + 9;
    const back = x + wide > area.x + area.w + 2;
    const left = back ? x - wide : x;
    if (left < free) continue;
    const e = el("span", {class: back ? "back" : ""}, text);
    e.style.left = `${left}px`;
    out.push(e);
    free = left + wide + 4;
  }
  strip.replaceChildren(...out);
}

/* A stem from the axis to each point. */
function plotStems(e) {
  const ctx = e.drawingContext;
  const bottom = e.plotArea.y + e.plotArea.h;
  ctx.strokeStyle = ctx.fillStyle = e.color;
  ctx.lineWidth = 1.5;
  for (const p of e.points) {
    if (p.yval === null || isNaN(p.canvasy)) continue;
    ctx.beginPath();
    ctx.moveTo(p.canvasx, bottom);
    ctx.lineTo(p.canvasx, p.canvasy);
    ctx.stroke();
    ctx.beginPath();
    ctx.arc(p.canvasx, p.canvasy, 2.2, 0, 2 * Math.PI);
    ctx.fill();
  }
}

/* The value of each line at a row, as elements of the readout. */
function readout(chart, row) {
  const out = $(chart.id + "-readout");
  if (row === null) {
    out.replaceChildren();
    return;
  }
  const parts = [el("span", {}, moment(chart.rows[row][0] * 1000))];
  [...chart.lines.keys()].reverse().forEach((k) => {
    const v = chart.rows[row][k + 1];
    if (v !== null && chart.shown[k]) parts.push(` · ${chart.lines[k].name} `, el("b", {}, chart.format(v)));
  });
  out.replaceChildren(...parts);
}

function onClick(event, time) {
  const i = nearest(state.process, time * 1000);
  if (event.shiftKey) setMoments(i, state.b);
  else setMoments(state.a, i);
}

/* Arrows and the like, the same on charts and on the heat map. True if it was one of them. */
function onKey(event) {
  const last = state.process.time.length - 1;
  const step = {ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25, Home: -last, End: last}[event.key];
  if (event.ctrlKey || event.altKey || event.metaKey) return false;
  if (step !== undefined) {
    if (event.shiftKey) setMoments(state.a + step, state.b);
    else setMoments(state.a, state.b + step);
    speak();
  } else if (event.key === "+" || event.key === "=") zoom(0.5);
  else if (event.key === "-") zoom(2);
  else if (event.key === "0") showSpan(null);
  else return false;
  event.preventDefault();
  return true;
}

/* What depends on the light. */
function colorsOf(lines, how) {
  return {
    series: Object.fromEntries(lines.map((l) => [l.name, {
      color: color(l.color), strokePattern: l.dash ? [7, 4] : null, strokeWidth: l.width || 1.6,
      ...(how.stems ? {plotter: plotStems} : {})}])),
    gridLineColor: color("grid"), axisLineColor: color("line")};
}

/* The same charts in the size and the light of now. New ones would not be printed. */
function refreshCharts() {
  syncing = true;
  for (const c of charts) {
    c.graph.resize();
    c.graph.updateOptions(colorsOf(c.lines, c.how));
    if ($(c.id + "-legend")) makeLegend(c);
  }
  syncing = false;
}

/*
 * A chart in the element of that id. lines: [{name, color, dash}]; rows: as dygraphs
 * takes them, times in milliseconds; format and axis: how a value is written.
 */
function makeChart(id, lines, rows, how) {
  const box = $(id);
  const old = charts.findIndex((c) => c.id === id);
  const hidden = (old >= 0 && charts[old].hidden) || new Set(); /* what the user switched off */
  if (old >= 0) charts.splice(old, 1)[0].graph.destroy();
  const plot = el("div", {class: "plot"});
  const strip = el("div", {class: "strip", "aria-hidden": "true"});
  box.replaceChildren(plot, strip, el("div", {class: "cursor a"}), el("div", {class: "cursor b"}));
  box.tabIndex = 0;
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", how.summary);
  box.onkeydown = (e) => void onKey(e); /* false would swallow the key */
  $(id + "-summary").textContent = how.summary;
  const chart = {id, strip, lines, rows, how, format: how.format, hidden, shown: lines.map((l) => !hidden.has(l.name))};
  chart.graph = new Dygraph(plot, rows.length ? rows : [[state.process.time[0] / 1000, ...lines.map(() => null)]], {
    labels: ["Time", ...lines.map((l) => l.name)],
    ...colorsOf(lines, how),
    axes: {
      x: {
        axisLabelFormatter: Dygraph.dateAxisLabelFormatter, ticker: Dygraph.dateTicker,
        valueParser: Number, drawGrid: false, axisLabelWidth: 80},
      y: {axisLabelFormatter: (v) => how.axis(v), axisLabelWidth: AXIS_WIDTH, pixelsPerLabel: 34}},
    title: " ", titleHeight: id === "memory" ? 34 : 18, /* room for marks' texts, and A and B */
    labelsUTC: true, labelsKMG2: !!how.binary, includeZero: true, legend: "never", stepPlot: !!how.step,
    highlightCircleSize: how.stems ? 4 : 3,  visibility: chart.shown.slice(),
    dateWindow: window_(), rightGap: 8,
    highlightCallback: (_e, _x, _p, row) => readout(chart, row),
    unhighlightCallback: () => readout(chart, null),
    clickCallback: onClick,
    underlayCallback: drawMarks,
    zoomCallback: (from, to) => showSpan(from * 1000, to * 1000),
    drawCallback: (g, initial) => {
      if (initial || syncing) return;
      const [from, to] = g.xAxisRange();
      const [a, b] = shownSpan();
      if (from * 1000 !== a || to * 1000 !== b) queueMicrotask(() => showSpan(from * 1000, to * 1000));
    },
  });
  plot.addEventListener("dblclick", () => queueMicrotask(() => showSpan(null)));
  charts.push(chart);
  return chart;
}

/* Switches for each line. */
function makeLegend(chart) {
  $(chart.id + "-legend").replaceChildren(...chart.lines.map((l, k) => {
    const box = el("input", {type: "checkbox"});
    const swatch = el("i", {class: l.dash ? "dash" : "", "aria-hidden": "true"});
    box.checked = chart.shown[k];
    swatch.style.borderColor = color(l.color);
    box.addEventListener("change", () => {
      chart.shown[k] = box.checked;
      if (box.checked) chart.hidden.delete(l.name);
      else chart.hidden.add(l.name);
      chart.graph.setVisibility(k, box.checked);
      placeCursors();
    });
    return el("label", {title: l.help}, box, swatch, l.name);
  }).reverse());
}

/* The lines of A and B, in every chart. */
function placeCursors() {
  placeMarks();
  for (const c of charts) {
    const area = c.graph.getArea();
    for (const [name, i] of [["a", state.a], ["b", state.b]]) {
      const line = $(c.id).querySelector(".cursor." + name);
      const x = c.graph.toDomXCoord(state.process.time[i] / 1000);
      line.hidden = !(x >= area.x - 1 && x <= area.x + area.w + 1);
      line.style.left = `${x - 1}px`;
      line.style.top = `${area.y}px`;
      line.style.height = `${area.h}px`;
    }
  }
}

/* "Alloc 1.0 MiB to 2.0 MiB, at most 3.0 MiB at 12:00:03": what the eye takes from a line. */
function summarize(name, times, values, format) {
  let most = -1;
  const some = values.filter((v) => v !== null);
  values.forEach((v, i) => {
    if (v !== null && (most < 0 || v > values[most])) most = i;
  });
  if (most < 0) return `${name}: nothing known`;
  return `${name} ${format(some[0])} → ${format(some[some.length - 1])}, ` +
    `at most ${format(values[most])} at ${moment(times[most])}`;
}

/* The last one is drawn above the others, and named first. */
function memoryLines(p) {
  const lines = [
    {name: "Sys", group: "MemStats", color: "sys", dash: true, help: "address space from the system"},
    {name: "resident", group: "Address space", key: "rss", color: "resident", help: "what the process has in memory (vm.rss)"},
    {name: "HeapInuse", group: "MemStats", color: "inuse", width: 3.4, help: "the heap's pages in use"},
    {name: "Alloc", group: "MemStats", color: "alloc", help: "bytes in live blocks"}];
  if (p.metas.some((m) => m.native))
    lines.splice(2, 0, {name: "C Alloc", group: "C memory", key: "Alloc", color: "native", help: "live blocks of C code"});
  return lines;
}

function drawMemory() {
  const p = state.process;
  const lines = memoryLines(p);
  const values = lines.map((l) => field(p, l.group, l.key || l.name));
  const rows = [];
  p.time.forEach((t, i) => {
    if (i && p.flags[i] & TRACE) rows.push([t / 1000 - 0.001, ...lines.map(() => null)]);
    rows.push([t / 1000, ...values.map((v) => v[i])]);
  });
  makeLegend(makeChart("memory", lines, rows, {
    format: bytes, axis: round, binary: true,
    summary: lines.map((l, k) => summarize(l.name, p.time, values[k], bytes)).reverse().join("; ") + "."}));
}

function drawRates(id, keys, names, format, axis, binary) {
  const p = state.process;
  const rows = rates(p, keys);
  const lines = names.map((name, k) => ({name, color: k ? "alloc" : "resident", help: `${name} per second`}));
  const per = (v) => `${format(v)}/s`;
  const parts = [...names.keys()].reverse().map((k) => {
    const name = names[k];
    const most = rows.reduce((m, r) => (r[k + 1] !== null && r[k + 1] > m[1] ? [r[0], r[k + 1]] : m), [0, -1]);
    return most[1] < 0 ? `${name}: nothing known` : `${name} at most ${per(most[1])} from ${moment(most[0])}`;
  });
  makeLegend(makeChart(id, lines, rows.map((r) => [r[0] / 1000, ...r.slice(1)]), {
    format: per, axis, binary, step: true, summary: parts.join("; ") + "."}));
}

function drawPauses() {
  const p = state.process;
  const has = p.metas.some((m) => m.gc) && !p.total;
  $("gc-card").hidden = !has;
  if (!has) {
    const old = charts.findIndex((c) => c.id === "gc");
    if (old >= 0) charts.splice(old, 1)[0].graph.destroy();
    $("gc").replaceChildren();
    return;
  }
  const longest = p.pauses.reduce((m, q) => (q[1] > m[1] ? q : m), [0, 0]);
  const gcs = field(p, "MemStats", "NumGC");
  const total = field(p, "MemStats", "PauseTotalNs");
  const last = p.time.length - 1;
  const text = p.all_pauses
    ? `${count(p.all_pauses)} pauses seen, the longest ${duration(longest[1])} at ${moment(longest[0])}; ` +
      `${count(gcs[last] - gcs[0])} collections, ${duration(total[last] - total[0])} of pauses in all.`
    : "No pause in this time.";
  const left = p.all_pauses - p.pauses.length;
  makeChart("gc", [{name: "pause", color: "alloc"}], p.pauses.map((q) => [q[0] / 1000, q[1]]), {
    format: duration, axis: roundDuration, stems: true,
    summary: text + (left ? ` ${count(left)} shorter ones beside them are not drawn.` : "")});
}
