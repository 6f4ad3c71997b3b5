/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The census alone, as memtrace census shows it: a bar for each class, or JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "render/render.h"

#define BYTES_COLUMNS 14
#define BAR_COLUMNS   29 /* what the columns in front of it leave of 80 */

static void write_header(struct mt_writer *w, const struct mt_snapshot *s,
			 const struct mt_render_opts *o)
{
	const struct mt_heap *h = &s->census.heap;
	char time[MT_TIME_SIZE], bytes[32], mapped[32];

	mt_write_str(w, o->color ? "\033[1m" : "");
	mt_write_escaped(w, s->comm);
	mt_writef(w, "[%d]", s->pid);
	mt_write_str(w, o->color ? "\033[0m" : "");
	mt_writef(w, "  %.19sZ  ", mt_format_time(time, sizeof(time), s->census.time_ns));
	mt_write_escaped(w, s->allocator[0] ? s->allocator : "unknown allocator");
	mt_writef(w, "\n%" PRIu64 " live blocks, %s", h->objects,
		  mt_format_bytes(bytes, sizeof(bytes), h->bytes, o->unit));
	if (h->mapped_objects)
		mt_writef(w, "; %" PRIu64 " of them in mappings of their own, %s",
			  h->mapped_objects,
			  mt_format_bytes(mapped, sizeof(mapped), h->mapped_system, o->unit));
	mt_write_str(w, "\n\n");
}

/* At least one mark for whatever is there. */
static int bar_length(uint64_t bytes, uint64_t most)
{
	int n = most ? (int)((double)bytes / (double)most * BAR_COLUMNS + 0.5) : 0;

	return bytes && !n ? 1 : n;
}

static void write_class(struct mt_writer *w, const struct mt_heap *h, unsigned int class,
			uint64_t most, enum mt_unit unit)
{
	static const char bar[BAR_COLUMNS + 1] = "#############################";
	const struct mt_heap_class *c = &h->cls[class];
	char label[24], bytes[32];

	mt_render_class_label(label, sizeof(label), class);
	mt_writef(w, "%15s %11" PRIu64 " %*s %5.1f%%  %.*s\n", label, c->objects, BYTES_COLUMNS,
		  mt_render_bytes(bytes, sizeof(bytes), c->bytes, unit, BYTES_COLUMNS),
		  h->bytes ? (double)c->bytes / (double)h->bytes * 100 : 0.0,
		  bar_length(c->bytes, most), bar);
}

static void write_classes(struct mt_writer *w, const struct mt_heap *h,
			  const struct mt_render_opts *o)
{
	char head[96];
	uint64_t most = 0;

	for (unsigned int i = 0; i < MT_CLASSES; i++)
		most = h->cls[i].bytes > most ? h->cls[i].bytes : most;
	snprintf(head, sizeof(head), "%15s %11s %*s %6s", "Size <=", "Objects", BYTES_COLUMNS,
		 "Bytes", "Share");
	mt_render_heading(w, o, head);
	for (unsigned int i = 0; i < MT_CLASSES; i++)
		if (h->cls[i].objects)
			write_class(w, h, i, most, o->unit);
	mt_write_str(w, "\n");
}

static void tables(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		   const struct mt_render_opts *o)
{
	for (size_t i = 0; i < n; i++) {
		mt_write_str(w, i ? "\n" : "");
		write_header(w, s[i], o);
		write_classes(w, &s[i]->census.heap, o);
		mt_render_arenas(w, &s[i]->census.heap, o);
		mt_render_held(w, &s[i]->census);
	}
}

static int64_t capped(uint64_t v)
{
	return v < INT64_MAX ? (int64_t)v : INT64_MAX;
}

static void write_object(struct mt_json *j, const struct mt_snapshot *s)
{
	const struct mt_heap *h = &s->census.heap;
	char time[MT_TIME_SIZE];

	mt_json_object_begin(j, NULL);
	mt_json_string(j, "schema", "memtrace-census/1");
	mt_json_string(j, "time", mt_format_time(time, sizeof(time), s->census.time_ns));
	mt_json_i64(j, "pid", s->pid);
	mt_json_u64(j, "start_time", s->start_time);
	mt_json_string(j, "comm", s->comm);
	mt_json_string(j, "exe", s->exe);
	mt_json_string(j, "allocator", s->allocator);
	mt_json_u64(j, "objects", h->objects);
	mt_json_u64(j, "bytes", h->bytes);
	mt_json_array_begin(j, "live");
	for (unsigned int i = 0; i < MT_CLASSES; i++)
		if (h->cls[i].objects)
			mt_render_class_object(j, i, capped(h->cls[i].objects),
					       capped(h->cls[i].bytes));
	mt_json_array_end(j);
	mt_render_heap_object(j, "heap", &s->census);
	mt_json_object_end(j);
}

static void objects(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		    const struct mt_render_opts *o)
{
	(void)o;
	for (size_t i = 0; i < n; i++) {
		struct mt_json j = {.w = w};

		write_object(&j, s[i]);
		mt_write_str(w, "\n");
	}
}

const struct mt_render_ops mt_render_census_table = {
	.name = "table", .document = true, .snapshots = tables};
const struct mt_render_ops mt_render_census_json = {
	.name = "json", .document = true, .snapshots = objects};
