/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a snapshot has of a Go program beside its MemStats, for a person. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "render/render.h"

#define PAUSES_SHOWN 10

void mt_render_consistency(struct mt_writer *w, const struct mt_gc *gc,
			   const struct mt_render_opts *o)
{
	_cleanup_writer_ struct mt_writer text = {0};
	char held[MT_DURATION_SIZE];

	if (gc->consistent)
		mt_write_str(&text, "consistent: all numbers are of one moment");
	else
		mt_writef(&text, "approximate: %s", gc->why[0] ? gc->why : "no reason known");
	if (gc->consistent && gc->stop_ns)
		mt_writef(&text, "; held for %s",
			  mt_format_duration(held, sizeof(held), gc->stop_ns));
	if (text.err || !text.buf)
		return;
	mt_write_str(w, o->color && !gc->consistent ? "\033[1m" : "");
	mt_write_wrapped(w, 0, MT_RENDER_COLUMNS, text.buf);
	mt_write_str(w, o->color && !gc->consistent ? "\033[0m" : "");
}

static int by_length(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void write_spread(struct mt_writer *w, const struct mt_snapshot *s)
{
	uint64_t ns[256];
	char min[MT_DURATION_SIZE], median[MT_DURATION_SIZE], max[MT_DURATION_SIZE];
	size_t n = mt_render_pauses(s);

	for (size_t i = 0; i < n; i++)
		ns[i] = mt_render_pause(s, i).ns;
	qsort(ns, n, sizeof(ns[0]), by_length);
	mt_writef(w, "%zu pause%s since the snapshot before, %s", n, n == 1 ? "" : "s",
		  mt_format_duration(min, sizeof(min), ns[0]));
	if (n > 1)
		mt_writef(w, " to %s, median %s", mt_format_duration(max, sizeof(max), ns[n - 1]),
			  mt_format_duration(median, sizeof(median), ns[(n - 1) / 2]));
	mt_write_str(w, n > PAUSES_SHOWN ? "\nthe newest ten of them:\n" : "\n");
}

static void write_pauses(struct mt_writer *w, const struct mt_snapshot *s)
{
	size_t n = mt_render_pauses(s);

	if (!n) {
		/* the first snapshot has none before it, nor has a total */
		if (s->seq && !s->processes)
			mt_write_str(w, "no pause since the snapshot before\n");
		return;
	}
	write_spread(w, s);
	for (size_t i = n > PAUSES_SHOWN ? n - PAUSES_SHOWN : 0; i < n; i++) {
		struct mt_render_pause p = mt_render_pause(s, i);
		char end[MT_TIME_SIZE], ns[MT_DURATION_SIZE];

		mt_writef(w, "  %s %14s\n", mt_format_time(end, sizeof(end), p.end_ns),
			  mt_format_duration(ns, sizeof(ns), p.ns));
	}
}

/* Whatever a target claims, it has an end. */
static void write_fraction(struct mt_writer *w, double v)
{
	if (v >= 0 && v <= 1)
		mt_writef(w, "%.4f %%", v * 100);
	else
		mt_writef(w, "%g %%", v * 100);
	mt_write_str(w, " of the CPU time that the program could have had since its start\n");
}

void mt_render_collector(struct mt_writer *w, const struct mt_snapshot *s,
			 const struct mt_render_opts *o)
{
	const struct memtrace_memstats *m = &s->memstats;
	char time[MT_TIME_SIZE], ns[MT_DURATION_SIZE], bytes[32];

	if (!s->gc.present)
		return;
	mt_write_str(w, "\n");
	mt_render_heading(w, o, "Garbage collector");
	mt_writef(w, "NumGC %" PRIu32 ", %" PRIu32 " of them forced; paused for %s in all\n",
		  m->num_gc, m->num_forced_gc,
		  mt_format_duration(ns, sizeof(ns), m->pause_total_ns));
	if (!s->processes)
		write_fraction(w, m->gc_cpu_fraction);
	mt_writef(w, "last: %s\n",
		  m->last_gc ? mt_format_time(time, sizeof(time), m->last_gc) : "none yet");
	if (mt_render_has_next(m->next_gc))
		mt_writef(w, "next: at a heap of %s\n",
			  mt_format_bytes(bytes, sizeof(bytes), m->next_gc, o->unit));
	else
		mt_write_str(w, "next: at no size of the heap\n");
	write_pauses(w, s);
	if (s->gc.missed)
		mt_writef(w,
			  "LOST %" PRIu64 " pauses between snapshots: the runtime keeps only 256\n",
			  s->gc.missed);
}

static void write_title(struct mt_writer *w, const struct mt_native *n,
			const struct mt_render_opts *o)
{
	_cleanup_writer_ struct mt_writer title = {0};

	mt_write_str(&title, "C memory (");
	mt_write_str(&title, n->allocator[0] ? n->allocator : "unknown allocator");
	mt_write_str(&title, "), not in the numbers above");
	mt_write_str(w, o->color ? "\033[1m" : "");
	mt_write_wrapped(w, 0, MT_RENDER_COLUMNS, title.buf ? title.buf : "");
	mt_write_str(w, o->color ? "\033[0m" : "");
}

void mt_render_native(struct mt_writer *w, const struct mt_snapshot *s,
		      const struct mt_render_opts *o)
{
	const struct mt_native *n = &s->native;

	if (!n->present)
		return;
	mt_write_str(w, "\n");
	write_title(w, n, o);
	mt_writef(w, "%s sizes, ", n->sizes ? n->sizes : "unknown");
	mt_render_since(w, n->since);
	for (size_t i = 0; i < mt_fields_count; i++)
		if (mt_fields[i].of_heap)
			mt_render_field(w, &mt_fields[i], &n->memstats, mt_fields[i].help, o->unit);
	mt_render_class_table(w, n->cls, NULL, o);
	mt_render_net(w, n->since, mt_classes_net_objects(n->cls), mt_classes_net_bytes(n->cls));
}
