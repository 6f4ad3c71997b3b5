/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a census found, for a person. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "render/render.h"

#define ARENAS_SHOWN 16
#define CELL         10 /* columns of a byte count among others; "1023.9 KiB" */

const char *mt_render_bytes(char *buf, size_t size, uint64_t bytes, enum mt_unit unit, int n)
{
	mt_format_bytes(buf, size, bytes, unit);
	return strlen(buf) <= (size_t)n ? buf : mt_format_bytes(buf, size, bytes, MT_UNIT_AUTO);
}

static void write_arena(struct mt_writer *w, const char *label, const struct mt_heap_arena *a,
			enum mt_unit unit)
{
	const uint64_t cells[] = {a->system, a->in_use, a->free, a->top, a->cached, a->fast};
	char buf[32];

	mt_writef(w, "%4s", label);
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		mt_writef(w, " %*s", CELL, mt_render_bytes(buf, sizeof(buf), cells[i], unit, CELL));
	/* Nine columns are left: more blocks than that are a hostile number, or a very large heap.
	 */
	if (a->objects < 1000000000)
		mt_writef(w, " %9" PRIu64 "\n", a->objects);
	else
		mt_writef(w, " %9.3g\n", (double)a->objects);
}

/* Fills best with the indices of the largest, the largest first. Returns how many. */
static size_t largest(const struct mt_heap *h, size_t best[ARENAS_SHOWN])
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_arenas; i++) {
		size_t k = n < ARENAS_SHOWN ? n++ : ARENAS_SHOWN;

		/* best[k] is free, or one past the end: what is smaller moves up by one. */
		while (k && h->arenas[best[k - 1]].system < h->arenas[i].system) {
			if (k < ARENAS_SHOWN)
				best[k] = best[k - 1];
			k--;
		}
		if (k < ARENAS_SHOWN)
			best[k] = i;
	}
	return n;
}

/* sign: 1, or -1 to take it away again. */
static void add(struct mt_heap_arena *sum, const struct mt_heap_arena *a, int sign)
{
	uint64_t times = (uint64_t)(int64_t)sign;

	sum->system += times * a->system;
	sum->in_use += times * a->in_use;
	sum->free += times * a->free;
	sum->top += times * a->top;
	sum->cached += times * a->cached;
	sum->fast += times * a->fast;
	sum->other += times * a->other;
	sum->objects += times * a->objects;
}

static void write_beside(struct mt_writer *w, const struct mt_heap *h, uint64_t other,
			 enum mt_unit unit)
{
	char a[32], b[32], c[32];

	mt_writef(w, "mapped blocks %" PRIu64 " (%s), idle pages %s (%s resident)\n",
		  h->mapped_objects, mt_format_bytes(a, sizeof(a), h->mapped_system, unit),
		  mt_format_bytes(b, sizeof(b), h->idle, unit),
		  mt_format_bytes(c, sizeof(c), h->idle_resident, unit));
	mt_writef(w, "the allocator's own %s: arenas' headers %s, threads' caches %s\n",
		  mt_format_bytes(a, sizeof(a), other, unit),
		  mt_format_bytes(b, sizeof(b), h->span_bytes, unit),
		  mt_format_bytes(c, sizeof(c), h->cache_bytes, unit));
}

void mt_render_arenas(struct mt_writer *w, const struct mt_heap *h, const struct mt_render_opts *o)
{
	struct mt_heap_arena all = {0}, rest;
	size_t best[ARENAS_SHOWN], n = largest(h, best);
	char text[96];

	for (size_t i = 0; i < h->n_arenas; i++)
		add(&all, &h->arenas[i], 1);
	rest = all;
	snprintf(text, sizeof(text), "%4s %10s %10s %10s %10s %10s %10s %9s", "#", "System",
		 "In use", "Free", "Top", "Cached", "Fast", "Objects");
	mt_render_heading(w, o, text);
	for (size_t i = 0; i < n; i++) {
		const struct mt_heap_arena *a = &h->arenas[best[i]];

		snprintf(text, sizeof(text), "%zu", best[i] + 1);
		write_arena(w, text, a, o->unit);
		add(&rest, a, -1);
	}
	if (n < h->n_arenas) {
		write_arena(w, "rest", &rest, o->unit);
		mt_writef(w, "these are the %zu largest arenas of %zu; rest: the others' sum\n", n,
			  h->n_arenas);
	}
	write_beside(w, h, all.other, o->unit);
}

void mt_render_held(struct mt_writer *w, const struct mt_census *c)
{
	if (c->held)
		mt_writef(w, "held for %.2f ms (%u of %u threads", (double)c->stop_ns / 1e6,
			  c->held, c->threads);
	else
		mt_writef(w, "not held, all its threads slept (%u", c->threads);
	if (c->attempts > 1)
		mt_writef(w, "; %u attempts, %.2f ms in all", c->attempts,
			  (double)c->held_ns / 1e6);
	mt_writef(w, "), walk %.2f ms\n", (double)c->walk_ns / 1e6);
}

static void write_unknown(struct mt_writer *w, const char *what, const char *why)
{
	_cleanup_writer_ struct mt_writer text = {0};

	mt_writef(&text, "%s: %s", what, why[0] ? why : "no reason known");
	mt_write_wrapped(w, 0, MT_RENDER_COLUMNS, text.len ? text.buf : what);
}

static void write_census(struct mt_writer *w, const struct mt_census *c,
			 const struct mt_render_opts *o)
{
	char time[MT_TIME_SIZE], bytes[32];

	mt_writef(w, "census at %.19sZ: %" PRIu64 " blocks, %s\n",
		  mt_format_time(time, sizeof(time), c->time_ns), c->heap.objects,
		  mt_format_bytes(bytes, sizeof(bytes), c->heap.bytes, o->unit));
	mt_render_held(w, c);
	mt_render_arenas(w, &c->heap, o);
}

static void write_audit(struct mt_writer *w, const struct mt_snapshot *s,
			const struct mt_render_opts *o)
{
	const struct mt_audit *a = &s->audit;
	char text[96];

	if (!mt_audit_drifted(a)) {
		mt_writef(w, "audit: no drift: %" PRId64 " objects, %" PRId64 " bytes as counted\n",
			  mt_snapshot_net_objects(s), mt_snapshot_net_bytes(s));
		return;
	}
	mt_writef(w, "audit: DRIFT of %+" PRId64 " objects, %+" PRId64 " bytes: heap less count\n",
		  a->objects, a->bytes);
	snprintf(text, sizeof(text), "%15s %20s %20s", "Size <=", "Drift: objects", "bytes");
	mt_render_heading(w, o, text);
	for (unsigned int i = 0; i < MT_CLASSES; i++) {
		if (!a->cls[i].objects && !a->cls[i].bytes)
			continue;
		mt_render_class_label(text, sizeof(text), i);
		mt_writef(w, "%15s %+20" PRId64 " %+20" PRId64 "\n", text, a->cls[i].objects,
			  a->cls[i].bytes);
	}
}

void mt_render_heap(struct mt_writer *w, const struct mt_snapshot *s,
		    const struct mt_render_opts *o)
{
	if (s->census.baseline == MT_BASELINE_NONE && s->audit.done == MT_BASELINE_NONE)
		return;
	mt_write_str(w, "\n");
	mt_render_heading(w, o, "Heap");
	if (s->census.baseline == MT_BASELINE_CENSUS)
		write_census(w, &s->census, o);
	else if (s->census.baseline == MT_BASELINE_UNKNOWN)
		write_unknown(w, "what it held before is unknown", s->census.why);
	if (s->audit.done == MT_BASELINE_CENSUS)
		write_audit(w, s, o);
	else if (s->audit.done == MT_BASELINE_UNKNOWN)
		write_unknown(w, "audit: none was made", s->audit.why);
}
