/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A difference as one JSON object: everything that is known of it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "model/sizeclass.h"
#include "render/diff_internal.h"

static const char *const since_names[] = {
	[MT_SINCE_START] = "start", [MT_SINCE_CENSUS] = "census", [MT_SINCE_ATTACH] = "attach"};
static const char *const kind_names[] = {
	[MT_DIFF_LIVE] = "live",
	[MT_DIFF_MEMORY] = "memory",
	[MT_DIFF_FLOW] = "flow",
	[MT_DIFF_OTHER] = "other",
};
static const char *const unit_names[] = {
	[MT_FIELD_BYTES] = "bytes", [MT_FIELD_COUNT] = "count", [MT_FIELD_NS] = "ns",
	[MT_FIELD_TIME] = "time",   [MT_FIELD_RATIO] = "ratio",
};
static const char *const verdict_names[] = {
	[MT_VERDICT_NONE] = "none",
	[MT_VERDICT_STEADY] = "steady",
	[MT_VERDICT_GROWS] = "grows",
	[MT_VERDICT_UNCLEAR] = "unclear",
};

static const char *or_null(const char *s)
{
	return s && s[0] ? s : NULL;
}

static void write_snapshot(struct mt_json *j, const char *key, const struct mt_snapshot *s)
{
	char time[MT_TIME_SIZE];

	mt_json_object_begin(j, key);
	mt_json_string(j, "time", mt_format_time(time, sizeof(time), s->time_ns));
	mt_json_u64(j, "uptime_ns", s->uptime_ns);
	mt_json_u64(j, "seq", s->seq);
	mt_json_bool(j, "final", s->final);
	mt_json_string(j, "event", or_null(s->event));
	mt_json_string(j, "label", or_null(s->label));
	mt_json_string(j, "host", or_null(s->host));
	mt_json_i64(j, "pid", s->pid);
	mt_json_u64(j, "start_time", s->start_time);
	mt_json_string(j, "comm", s->comm);
	mt_json_string(j, "exe", s->exe);
	mt_json_string(j, "cgroup", s->cgroup);
	mt_json_string(j, "container", or_null(s->container));
	mt_json_string(j, "runtime", s->runtime);
	mt_json_string(j, "allocator", s->allocator);
	mt_json_string(j, "mode", s->mode);
	mt_json_string(j, "sizes", s->sizes);
	mt_json_string(j, "since", since_names[s->since]);
	mt_json_u64(j, "alloc", s->memstats.alloc);
	mt_json_u64(j, "objects", s->memstats.heap_objects);
	mt_json_u64(j, "rss", s->vm.rss);
	mt_json_u64(j, "lost", mt_snapshot_lost(s));
	mt_json_object_end(j);
}

static void write_number(struct mt_json *j, const char *key, const struct mt_diff_row *row,
			 uint64_t v)
{
	if (row->is_bool)
		mt_json_bool(j, key, v != 0);
	else if (row->unit == MT_FIELD_RATIO)
		mt_json_double(j, key, (double)(int64_t)v / 1e9);
	else if (row->is_signed)
		mt_json_i64(j, key, (int64_t)v);
	else
		mt_json_u64(j, key, v);
}

static void write_change(struct mt_json *j, const char *key, const struct mt_diff_row *row,
			 int64_t v)
{
	/* At its limit it may be any number beyond. */
	if (!mt_diff_has_change(row) || v == INT64_MAX || v == INT64_MIN)
		mt_json_null(j, key);
	else if (row->unit == MT_FIELD_RATIO)
		mt_json_double(j, key, (double)v / 1e9);
	else
		mt_json_i64(j, key, v);
}

/* Its share of what was there before; null where there was nothing. */
static void write_percent(struct mt_json *j, const struct mt_diff_row *row)
{
	const double old = row->is_signed ? (double)(int64_t)row->old : (double)row->old;

	if (old == 0 || !mt_diff_has_change(row) || row->unit == MT_FIELD_TIME ||
	    row->change == INT64_MAX || row->change == INT64_MIN)
		mt_json_null(j, "percent");
	else
		mt_json_double(j, "percent", (double)row->change / (old < 0 ? -old : old) * 100);
}

static void write_row(struct mt_json *j, const struct mt_diff_row *row, bool repeated)
{
	mt_json_object_begin(j, row->name);
	mt_json_string(j, "kind", kind_names[row->kind]);
	mt_json_string(j, "unit", unit_names[row->unit]);
	write_number(j, "old", row, row->old);
	write_number(j, "new", row, row->new);
	write_change(j, "change", row, row->change);
	write_percent(j, row);
	if (repeated) {
		write_change(j, "median", row, row->median);
		write_change(j, "min", row, row->min);
		write_change(j, "max", row, row->max);
	}
	mt_json_object_end(j);
}

static void write_leak(struct mt_json *j, const struct mt_leak *l, int64_t objects,
		       const char *text, bool by_class)
{
	if (l->verdict == MT_VERDICT_NONE) {
		mt_json_null(j, "leak");
		return;
	}
	mt_json_object_begin(j, "leak");
	mt_json_string(j, "verdict", verdict_names[l->verdict]);
	mt_json_u64(j, "grew", l->grew);
	mt_json_u64(j, "of", l->of);
	mt_json_i64(j, "bytes", l->per);
	mt_json_i64(j, "noise", l->noise);
	if (text) {
		mt_json_i64(j, "objects", objects);
		mt_json_bool(j, "by_class", by_class);
		mt_json_string(j, "text", text);
	}
	mt_json_object_end(j);
}

static void write_class(struct mt_json *j, const struct mt_diff_class *c, bool repeated)
{
	const uint64_t size = c->class < MT_CLASSES ? mt_class_size(c->class) : 0;

	mt_json_object_begin(j, NULL);
	if (c->class < MT_CLASSES)
		mt_json_u64(j, "Size", size < INT64_MAX ? size : INT64_MAX);
	else
		mt_json_null(j, "Size");
	write_row(j, &c->bytes, repeated);
	write_row(j, &c->objects, repeated);
	mt_json_u64(j, "Mallocs", c->mallocs);
	mt_json_u64(j, "Frees", c->frees);
	if (repeated)
		write_leak(j, &c->leak, 0, NULL, false);
	mt_json_object_end(j);
}

static void write_heap(struct mt_json *j, const struct mt_diff_heap *h, bool repeated)
{
	mt_json_array_begin(j, "classes");
	for (size_t i = 0; i < h->n; i++)
		write_class(j, &h->classes[i], repeated);
	mt_json_array_end(j);
	write_leak(j, &h->leak.bytes, h->leak.objects, h->leak.text, h->leak.by_class);
}

static void write_notes(struct mt_json *j, char *const *v, size_t n)
{
	mt_json_array_begin(j, "notes");
	for (size_t i = 0; i < n; i++)
		mt_json_string(j, NULL, v[i]);
	mt_json_array_end(j);
}

static void write_process(struct mt_json *j, const struct mt_diff_process *p, bool repeated)
{
	mt_json_object_begin(j, NULL);
	mt_json_i64(j, "pid", p->new->pid);
	mt_json_string(j, "comm", p->new->comm);
	mt_json_u64(j, "repetitions", p->repetitions);
	mt_json_bool(j, "rebased", p->rebased);
	if (repeated)
		write_snapshot(j, "first", p->first);
	write_snapshot(j, "old", p->old);
	write_snapshot(j, "new", p->new);
	write_notes(j, p->notes, p->n_notes);
	mt_json_object_begin(j, "rows");
	for (size_t i = 0; i < p->n_rows; i++)
		write_row(j, &p->rows[i], repeated);
	mt_json_object_end(j);
	write_heap(j, &p->heap, repeated);
	if (p->native.classes) {
		mt_json_object_begin(j, "native");
		write_heap(j, &p->native, repeated);
		mt_json_object_end(j);
	} else {
		mt_json_null(j, "native");
	}
	mt_json_object_end(j);
}

static void write_others(struct mt_json *j, const char *key, const struct mt_snapshot *const *v,
			 size_t n)
{
	mt_json_array_begin(j, key);
	for (size_t i = 0; i < n; i++)
		write_snapshot(j, NULL, v[i]);
	mt_json_array_end(j);
}

static void object(struct mt_writer *w, const struct mt_diff *d, const struct mt_render_opts *o)
{
	struct mt_json j = {.w = w};

	(void)o;
	mt_json_object_begin(&j, NULL);
	mt_json_string(&j, "schema", "memtrace-diff/1");
	mt_json_u64(&j, "repetitions", d->repetitions);
	mt_json_string(&j, "what", d->what);
	write_notes(&j, d->notes, d->n_notes);
	mt_json_array_begin(&j, "processes");
	for (size_t i = 0; i < d->n; i++)
		write_process(&j, &d->v[i], d->repetitions > 1);
	mt_json_array_end(&j);
	mt_json_object_begin(&j, "total");
	write_row(&j, &d->alloc, false);
	write_row(&j, &d->rss, false);
	mt_json_object_end(&j);
	write_others(&j, "came", d->came, d->n_came);
	write_others(&j, "went", d->went, d->n_went);
	mt_json_object_end(&j);
	mt_write_str(w, "\n");
}

const struct mt_render_diff_ops mt_render_diff_json = {.name = "json", .diff = object};
