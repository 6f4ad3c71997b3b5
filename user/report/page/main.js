/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is chosen, and what happens when it changes. */
"use strict";

const state = {process: null, a: 0, b: 0, span: null, marks: []};
const dark = window.matchMedia("(prefers-color-scheme: dark)");
let frame = 0;

function isDark() {
  return dark.matches && !document.documentElement.classList.contains("paper");
}

function clamp(i) {
  return Math.min(Math.max(i, 0), state.process.time.length - 1);
}

/* Redraws what depends on the moments, once a frame at most. */
function setMoments(a, b) {
  state.a = clamp(a);
  state.b = clamp(b);
  if (!frame)
    frame = requestAnimationFrame(() => {
      frame = 0;
      drawMoments();
    });
}

function drawMoments() {
  const p = state.process;
  for (const name of ["a", "b"]) {
    const slider = $("moment-" + name);
    slider.max = p.time.length - 1;
    slider.value = state[name];
    slider.setAttribute("aria-valuetext", moment(p.time[state[name]]));
    $("time-" + name).textContent = moment(p.time[state[name]]);
  }
  placeCursors();
  drawHeat();
  drawNotices();
  drawWho();
  drawClasses();
  drawFields();
}

/* For those who do not see the cursor move. */
function speak() {
  const p = state.process;
  $("spoken").textContent = `A ${moment(p.time[state.a])}, B ${moment(p.time[state.b])}: Alloc ` +
    bytes(field(p, "MemStats", "Alloc")[state.b]) + ", resident " + bytes(field(p, "Address space", "rss")[state.b]);
}

function drawCharts() {
  drawMemory();
  drawPauses();
  drawRates("bytes", ["free", "alloc"], ["freed", "allocated"], bytes, round, true);
  drawRates("blocks", ["frees", "mallocs"], ["freed", "allocated"], count, short, false);
}

function choose(i) {
  const p = unpack(data.processes[i]);
  state.process = p;
  state.span = null;
  state.marks = p.marks.map((m, k) => ({...m, number: k + 1, title: markTitle(m)}));
  state.a = 0;
  state.b = p.time.length - 1;
  $("process").value = i;
  for (const row of document.querySelectorAll("[data-process]"))
    row.classList.toggle("chosen", +row.dataset.process === i);
  drawMarkList();
  drawCharts();
  drawMoments();
}

function refresh() {
  refreshCharts();
  drawMoments();
}

/* Paper is white, and narrower than a screen. */
function paper(on) {
  document.documentElement.classList.toggle("paper", on);
  document.body.style.width = on ? "690px" : "";
  refresh();
}

function start() {
  const files = data.files.join(", ") + (data.all_files > data.files.length ? ` and ${data.all_files - data.files.length} more` : "");
  $("source").textContent = `${count(data.snapshots)} snapshots from ${files}; ${day(data.first)} ${clock(data.first)} to ` +
    `${day(data.first) === day(data.last) ? "" : day(data.last) + " "}${clock(data.last)} UTC (${span(data.last - data.first)}); ` +
    `made by memtrace ${data.version}`;
  drawProcessList();
  setUpHeat();
  $("process").addEventListener("change", (e) => choose(+e.target.value));
  $("moment-a").addEventListener("input", (e) => setMoments(+e.target.value, state.b));
  $("moment-b").addEventListener("input", (e) => setMoments(state.a, +e.target.value));
  $("zoom-all").addEventListener("click", () => showSpan(null));
  $("zoom-ab").addEventListener("click", () => {
    const [from, to] = [state.process.time[state.a], state.process.time[state.b]].sort((x, y) => x - y);
    if (to > from) showSpan(from, to);
  });
  for (const id of ["only-changed", "exact"]) $(id).addEventListener("change", drawFields);
  dark.addEventListener("change", refresh);
  window.addEventListener("resize", refresh);
  window.addEventListener("beforeprint", () => paper(true));
  window.addEventListener("afterprint", () => paper(false));
  const names = data.processes.slice(0, 3).map(processName).join(", ");
  document.title = `memtrace report: ${names}`;
  choose(0);
}

start();
