/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The data of the page, as write.c lays them out, and how numbers are written. */
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const TRACE = 1; /* flags of a point: see report/internal.h */

/* A column of n numbers: one that never changes, differences, or values. */
function column(c, n) {
  if (c === null || typeof c === "number") return new Array(n).fill(c);
  if (c.v) return c.v;
  let sum = 0;
  return c.d.map((d) => (sum += d));
}

/* Columns of one process, taken apart when it is first looked at. */
function unpack(p) {
  if (p.unpacked) return p;
  const n = p.points;
  p.unpacked = true;
  for (const key of ["time", "seq", "flags", "meta", "dt"]) p[key] = column(p[key], n);
  p.values = p.values.map((c) => column(c, n));
  for (const key of Object.keys(p.sum)) {
    p.sum[key] = column(p.sum[key], n);
    p.difference[key] = column(p.difference[key], n);
  }
  for (const c of p.live) {
    c.bytes = column(c.bytes, n);
    c.objects = column(c.objects, n);
  }
  return p;
}

function fieldIndex(group, name) {
  return data.columns.findIndex((c) => c.group === group && c.name === name);
}

function field(p, group, name) {
  return unpack(p).values[fieldIndex(group, name)];
}

/* The point at or before a time, in microseconds; 0 where all are later. */
function pointAt(p, time) {
  let lo = 0;
  let hi = p.time.length - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (p.time[mid] <= time) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

function nearest(p, time) {
  const i = pointAt(p, time);
  return i + 1 < p.time.length && p.time[i + 1] - time < time - p.time[i] ? i + 1 : i;
}

/*
 * What happened in between, per second: of each snapshot that is kept the rate up to
 * it, and of those that are not, the mean from the one before it; so the area below is
 * what was counted. [[time, rate of each key...]...]; null where nothing is known.
 */
function rates(p, keys) {
  const rows = [];
  const none = keys.map(() => null);
  const add = (time, values) => rows.push([time, ...values]);
  for (let i = 1; i < p.time.length; i++) {
    const from = p.time[i - 1];
    const begin = p.time[i] - p.dt[i];
    if (p.flags[i] & TRACE || !p.dt[i]) {
      add(from, none);
      continue;
    }
    if (begin - from > 5) /* times are rounded */
      add(from, keys.map((k) => Math.max(0,
        (p.sum[k][i] - p.difference[k][i] - p.sum[k][i - 1]) / (begin - from) * 1e6)));
    add(Math.max(begin, from), keys.map((k) => p.difference[k][i] / p.dt[i] * 1e6));
  }
  if (rows.length) add(p.time[p.time.length - 1], rows[rows.length - 1].slice(1));
  return rows;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

function bytes(v) {
  if (v === null || v === undefined) return "–";
  let n = Math.abs(v);
  let u = 0;
  while (n >= 1024 && u < UNITS.length - 1) {
    n /= 1024;
    u++;
  }
  return (v < 0 ? "−" : "") + (u ? n.toFixed(1) : Math.round(n)) + " " + UNITS[u];
}

/* On an axis: 16 MiB. */
function round(v) {
  return bytes(v).replace(".0 ", " ");
}

function count(v) {
  if (v === null || v === undefined) return "–";
  const n = Math.abs(v);
  const digits = Number.isInteger(n) ? 0 : n < 10 ? 2 : n < 100 ? 1 : 0;
  return (v < 0 ? "−" : "") + n.toLocaleString("en-US", {
    minimumFractionDigits: digits, maximumFractionDigits: digits});
}

function roundDuration(ns) {
  return ns ? duration(ns).replace(/\.?0+ /, " ") : "0";
}

/* Large counts on an axis: 1.5M. */
function short(v) {
  const n = Math.abs(v);
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]])
    if (n >= size) return +(v / size).toFixed(2) + unit;
  return String(+v.toFixed(3));
}

function duration(ns) {
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]])
    if (Math.abs(ns) >= size) return (ns / size).toFixed(ns / size < 10 ? 2 : 1) + " " + unit;
  return Math.round(ns) + " ns";
}

function pad(n, digits) {
  return String(n).padStart(digits, "0");
}

/* Microseconds since the epoch, in UTC. */
function clock(time) {
  const d = new Date(time / 1000);
  if (isNaN(d)) return "–";
  return `${pad(d.getUTCHours(), 2)}:${pad(d.getUTCMinutes(), 2)}:${pad(d.getUTCSeconds(), 2)}.` +
    pad(d.getUTCMilliseconds(), 3);
}

function day(time) {
  const d = new Date(time / 1000);
  return isNaN(d) ? "–" : d.toISOString().slice(0, 10);
}

/* The date only where there is more than one. */
function moment(time) {
  return day(data.first) === day(data.last) ? clock(time) : `${day(time)} ${clock(time)}`;
}

function span(us) {
  const s = us / 1e6;
  if (s < 120) return `${+s.toFixed(1)} s`;
  if (s < 7200) return `${+(s / 60).toFixed(1)} min`;
  return s < 172800 ? `${+(s / 3600).toFixed(1)} h` : `${+(s / 86400).toFixed(1)} days`;
}

/* An element; children that are text stay text, whatever they hold. */
function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (k === "class") e.className = v;
    else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v !== undefined && v !== null) e.setAttribute(k, v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

function $(id) {
  return document.getElementById(id);
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}
