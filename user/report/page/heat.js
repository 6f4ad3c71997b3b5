/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Live bytes by size class over time: a row for each class, large ones above. */
"use strict";

/* Dark to light, of even steps in lightness, and told apart by the colour-blind. */
const COLORS = [[11, 14, 30], [38, 36, 82], [57, 76, 141], [52, 122, 162], [59, 169, 171], [120, 209, 174],
  [190, 235, 200], [243, 252, 240]];
const heat = {row: 0, rows: [], high: 14}; /* high: pixels of a row */

/* 0 to 1 as [r, g, b]; on a light page the most is dark, on a dark one light. */
function shade(f) {
  const at = (isDark() ? f : 1 - f) * (COLORS.length - 1);
  const i = Math.min(Math.floor(at), COLORS.length - 2);
  return COLORS[i].map((c, k) => Math.round(c + (COLORS[i + 1][k] - c) * (at - i)));
}

/* Small classes are to be seen beside large ones, and anything beside nothing. */
function strength(v, most) {
  const least = isDark() ? 0.14 : 0.05;
  return v > 0 && most > 0 ? least + (1 - least) * Math.sqrt(v / most) : 0;
}

/* The most of each column of pixels: what a snapshot says holds until the next one. */
function across(p, values, width, from, to) {
  const out = new Float64Array(width);
  const px = (t) => Math.round((t - from) / (to - from) * width);
  for (let i = 0; i < values.length; i++) {
    if (values[i] <= 0) continue;
    const gap = i + 1 >= values.length || p.flags[i + 1] & TRACE;
    const begin = Math.max(0, px(p.time[i]));
    const end = Math.min(width, gap ? px(p.time[i]) + 1 : Math.max(px(p.time[i + 1]), px(p.time[i]) + 1));
    for (let x = begin; x < end; x++) if (values[i] > out[x]) out[x] = values[i];
  }
  return out;
}

/* The classes in which anything ever lived, the largest first. */
function heatRows(p) {
  return p.live.filter((c) => c.bytes.some((b) => b > 0)).slice().reverse();
}

function drawHeat() {
  const p = state.process;
  const canvas = $("heat");
  const rows = heatRows(p);
  const graph = charts.find((c) => c.id === "memory").graph;
  const area = graph.getArea();
  const scale = window.devicePixelRatio || 1;
  const full = canvas.parentElement.clientWidth;
  const [from, to] = shownSpan();
  $("heat-card").hidden = !rows.length;
  if (!rows.length) return;
  heat.rows = rows;
  heat.area = area;
  heat.high = rows.length > 45 ? 10 : 14;
  heat.most = rows.reduce((m, c) => c.bytes.reduce((k, b) => Math.max(k, b), m), 0);
  canvas.width = full * scale;
  canvas.height = (rows.length * heat.high + 4) * scale;
  canvas.style.height = `${rows.length * heat.high + 4}px`;
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(Math.max(1, Math.round(area.w * scale)), rows.length);
  rows.forEach((c, y) => {
    across(p, c.bytes, image.width, from, to).forEach((v, x) => {
      const rgb = v > 0 ? shade(strength(v, heat.most)) : null;
      image.data.set(rgb ? [...rgb, 255] : [0, 0, 0, 0], (y * image.width + x) * 4);
    });
  });
  const buffer = el("canvas", {width: image.width, height: image.height});
  buffer.getContext("2d").putImageData(image, 0, 0);
  ctx.scale(scale, scale);
  ctx.imageSmoothingEnabled = false;
  ctx.fillStyle = color(isDark() ? "page" : "shade");
  ctx.fillRect(area.x, 2, area.w, rows.length * heat.high);
  ctx.drawImage(buffer, area.x, 2, area.w, rows.length * heat.high);
  drawHeatAxis(ctx, rows, area, from, to);
  drawScale();
  $("heat-most").textContent = bytes(heat.most);
  const top = rows.reduce((m, c) => (c.bytes[state.b] > m.bytes[state.b] ? c : m), rows[0]);
  const text = `${rows.length} size classes; at B most live bytes in blocks up to ` +
    `${className(top.class)}: ${bytes(top.bytes[state.b])}.`;
  $("heat-summary").textContent = text;
  canvas.setAttribute("aria-label", "Live bytes by size class over time. " + text +
    " Arrow keys: left and right move B, up and down choose a class.");
}

function drawHeatAxis(ctx, rows, area, from, to) {
  const p = state.process;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.fillStyle = color("quiet");
  ctx.font = `${heat.high - 3}px system-ui, sans-serif`;
  rows.forEach((c, y) => {
    ctx.fillText(className(c.class), area.x - 8, 2 + (y + 0.5) * heat.high);
  });
  for (const [name, i] of [["a", state.a], ["b", state.b]]) {
    const x = area.x + (p.time[i] - from) / (to - from) * area.w;
    if (x < area.x - 1 || x > area.x + area.w + 1) continue;
    ctx.fillStyle = color(name);
    ctx.fillRect(x - 1, 2, 2, rows.length * heat.high);
  }
  if (document.activeElement === $("heat")) {
    ctx.strokeStyle = color("focus");
    ctx.lineWidth = 1.5;
    ctx.strokeRect(area.x, 2 + heat.row * heat.high, area.w, heat.high);
  }
}

function drawScale() {
  const canvas = $("heat-colors");
  const ctx = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    const f = strength(x / (canvas.width - 1), 1);
    ctx.fillStyle = f ? `rgb(${shade(f).join(",")})` : color(isDark() ? "page" : "shade");
    ctx.fillRect(x, 0, 1, canvas.height);
  }
}

function className(i) {
  const label = data.classes[i];
  if (!/^\d+$/.test(label)) return label;
  return +label % 1024 || !+label ? `${count(+label)} B` : round(+label);
}

function heatReadout(row, i) {
  const p = state.process;
  const c = heat.rows[row];
  $("heat-readout").replaceChildren(moment(p.time[i]), ` · up to ${className(c.class)}: `,
    el("b", {}, bytes(Math.max(0, c.bytes[i]))), ` in ${count(Math.max(0, c.objects[i]))} blocks`);
}

function heatAt(event) {
  const [from, to] = shownSpan();
  const x = (event.offsetX - heat.area.x) / heat.area.w;
  const row = Math.floor((event.offsetY - 2) / heat.high);
  if (!heat.rows || x < 0 || x > 1 || row < 0 || row >= heat.rows.length) return null;
  return {row, time: from + x * (to - from)};
}

function setUpHeat() {
  const canvas = $("heat");
  canvas.addEventListener("mousemove", (e) => {
    const at = heatAt(e);
    if (at) heatReadout(at.row, pointAt(state.process, at.time));
    else $("heat-readout").replaceChildren();
  });
  canvas.addEventListener("mouseleave", () => $("heat-readout").replaceChildren());
  canvas.addEventListener("click", (e) => {
    const at = heatAt(e);
    if (!at) return;
    heat.row = at.row;
    onClick(e, state.process.time[pointAt(state.process, at.time)] / 1000);
  });
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => drawHeat());
  canvas.addEventListener("keydown", (e) => {
    const step = {ArrowUp: -1, ArrowDown: 1}[e.key];
    if (step) {
      heat.row = Math.min(Math.max(heat.row + step, 0), heat.rows.length - 1);
      e.preventDefault();
      drawHeat();
    } else if (!onKey(e)) return;
    heat.row = Math.min(heat.row, heat.rows.length - 1);
    heatReadout(heat.row, state.b);
    $("spoken").textContent = $("heat-readout").textContent;
  });
}
