/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was collected, as one JSON document for the page. Numbers stand in columns,
 * one for each field: a number alone where it never changes; {"d": [...]}, the first
 * and then differences, which are short; {"v": [...]} where a difference could be
 * inexact in a double, as JavaScript has them. The page's reader: page/data.js.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "model/sizeclass.h"
#include "render/render.h"
#include "report/internal.h"

#define EXACT_MAX (INT64_C(1) << 53)

/* The i-th value of a column. */
typedef int64_t (*value_fn)(const struct process *p, size_t i, size_t which);

static bool fits(int64_t v, bool is_signed)
{
	return v <= EXACT_MAX && v >= (is_signed ? -EXACT_MAX : 0);
}

static void write_column(struct mt_json *j, const char *key, const struct process *p, value_fn get,
			 size_t which, bool is_signed)
{
	const size_t n = p->n_points;
	bool same = true, small = true;
	int64_t last = 0;

	for (size_t i = 0; i < n; i++) {
		same = same && get(p, i, which) == get(p, 0, which);
		small = small && fits(get(p, i, which), is_signed);
	}
	if (same) {
		if (is_signed)
			mt_json_i64(j, key, get(p, 0, which));
		else
			mt_json_u64(j, key, (uint64_t)get(p, 0, which));
		return;
	}
	mt_json_object_begin(j, key);
	mt_json_array_begin(j, small ? "d" : "v");
	for (size_t i = 0; i < n; i++) {
		const int64_t v = get(p, i, which);

		if (small)
			mt_json_i64(j, NULL, v - last);
		else if (is_signed)
			mt_json_i64(j, NULL, v);
		else
			mt_json_u64(j, NULL, (uint64_t)v);
		last = v;
	}
	mt_json_array_end(j);
	mt_json_object_end(j);
}

/* Microseconds: what a double holds for 285 years. */
static int64_t get_time(const struct process *p, size_t i, size_t which)
{
	(void)which;
	return (int64_t)(p->points[i]->time_ns / 1000);
}

static int64_t get_dt(const struct process *p, size_t i, size_t which)
{
	(void)which;
	return (int64_t)(p->points[i]->dt_ns / 1000);
}

static int64_t get_seq(const struct process *p, size_t i, size_t which)
{
	(void)which;
	return (int64_t)p->points[i]->seq;
}

static int64_t get_flags(const struct process *p, size_t i, size_t which)
{
	(void)which;
	return p->points[i]->flags;
}

static int64_t get_meta(const struct process *p, size_t i, size_t which)
{
	(void)which;
	return p->points[i]->meta;
}

static int64_t get_difference(const struct process *p, size_t i, size_t which)
{
	return (int64_t)p->points[i]->d.v[which];
}

static int64_t get_sum(const struct process *p, size_t i, size_t which)
{
	return (int64_t)p->points[i]->sum.v[which];
}

static int64_t get_field(const struct process *p, size_t i, size_t which)
{
	return (int64_t)p->points[i]->values[which];
}

static const struct level *level_of(const struct point *pt, size_t class)
{
	for (size_t i = 0; i < pt->n_levels; i++)
		if (pt->levels[i].class == class)
			return &pt->levels[i];
	return NULL;
}

static int64_t get_objects(const struct process *p, size_t i, size_t which)
{
	const struct level *l = level_of(p->points[i], which);

	return l ? l->objects : 0;
}

static int64_t get_bytes(const struct process *p, size_t i, size_t which)
{
	const struct level *l = level_of(p->points[i], which);

	return l ? l->bytes : 0;
}

static void write_doubles(struct mt_json *j, const struct process *p, size_t which)
{
	mt_json_object_begin(j, NULL);
	mt_json_array_begin(j, "v");
	for (size_t i = 0; i < p->n_points; i++) {
		double v;

		memcpy(&v, &p->points[i]->values[which], sizeof(v));
		mt_json_double(j, NULL, v);
	}
	mt_json_array_end(j);
	mt_json_object_end(j);
}

static void write_fields(struct mt_json *j, const struct process *p)
{
	size_t n;
	const struct column *c = mt_report_columns(&n);

	mt_json_array_begin(j, "values");
	for (size_t i = 0; i < n; i++) {
		if (c[i].type == COLUMN_DOUBLE)
			write_doubles(j, p, i);
		else
			write_column(j, NULL, p, get_field, i, c[i].type == COLUMN_CALL);
	}
	mt_json_array_end(j);
}

static void write_levels(struct mt_json *j, const struct process *p)
{
	bool has[MT_CLASSES + 1] = {false};

	for (size_t i = 0; i < p->n_points; i++)
		for (size_t k = 0; k < p->points[i]->n_levels; k++)
			has[p->points[i]->levels[k].class] = true;
	mt_json_array_begin(j, "live");
	for (unsigned int i = 0; i <= MT_CLASSES; i++) {
		if (!has[i])
			continue;
		mt_json_object_begin(j, NULL);
		mt_json_u64(j, "class", i);
		write_column(j, "bytes", p, get_bytes, i, true);
		write_column(j, "objects", p, get_objects, i, true);
		mt_json_object_end(j);
	}
	mt_json_array_end(j);
}

static const char *const mark_names[] = {
	[MARK_EVENT] = "event", [MARK_LABEL] = "label", [MARK_EXEC] = "exec",
	[MARK_NAME] = "name",   [MARK_TRACE] = "trace", [MARK_RESTART] = "restart",
	[MARK_END] = "end",
};

static void write_marks(struct mt_json *j, const struct process *p)
{
	mt_json_array_begin(j, "marks");
	for (size_t i = 0; i < p->n_marks; i++) {
		mt_json_object_begin(j, NULL);
		mt_json_u64(j, "time", p->marks[i].time_ns / 1000);
		mt_json_string(j, "kind", mark_names[p->marks[i].kind]);
		mt_json_string(j, "text", p->marks[i].text);
		mt_json_object_end(j);
	}
	mt_json_array_end(j);
	mt_json_u64(j, "marks_dropped", p->marks_dropped);
}

static int by_end(const void *a, const void *b)
{
	const struct pause *x = a, *y = b;

	if (x->end_ns != y->end_ns)
		return x->end_ns < y->end_ns ? -1 : 1;
	return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static void write_pauses(struct mt_json *j, const struct process *p)
{
	if (p->n_pauses)
		qsort(p->pauses, p->n_pauses, sizeof(*p->pauses), by_end);
	mt_json_u64(j, "all_pauses", p->all_pauses);
	mt_json_array_begin(j, "pauses");
	for (size_t i = 0; i < p->n_pauses; i++) {
		mt_json_array_begin(j, NULL);
		mt_json_u64(j, NULL, p->pauses[i].end_ns / 1000);
		mt_json_u64(j, NULL, p->pauses[i].ns);
		mt_json_array_end(j);
	}
	mt_json_array_end(j);
}

static void write_metas(struct mt_json *j, const struct process *p)
{
	mt_json_array_begin(j, "metas");
	for (size_t i = 0; i < p->n_metas; i++) {
		mt_write_str(j->w, i ? "," : "");
		mt_write_str(j->w, p->metas[i]);
	}
	mt_json_array_end(j);
	mt_json_u64(j, "metas_dropped", p->metas_dropped);
}

static const char *const rate_names[] = {
	[RATE_ALLOC] = "alloc",
	[RATE_FREE] = "free",
	[RATE_MALLOCS] = "mallocs",
	[RATE_FREES] = "frees",
};

static void write_rates(struct mt_json *j, const struct process *p)
{
	write_column(j, "dt", p, get_dt, 0, false);
	mt_json_object_begin(j, "difference");
	for (size_t i = 0; i < RATES; i++)
		write_column(j, rate_names[i], p, get_difference, i, false);
	mt_json_object_end(j);
	mt_json_object_begin(j, "sum");
	for (size_t i = 0; i < RATES; i++)
		write_column(j, rate_names[i], p, get_sum, i, false);
	mt_json_object_end(j);
}

static uint64_t most_processes(const struct process *p)
{
	uint64_t most = 0;

	for (size_t i = 0; i < p->n_points; i++)
		if (p->points[i]->processes > most)
			most = p->points[i]->processes;
	return most;
}

static void write_process(struct mt_json *j, const struct process *p)
{
	mt_json_object_begin(j, NULL);
	mt_json_string(j, "host", p->host);
	mt_json_i64(j, "pid", p->pid);
	mt_json_u64(j, "start_time", p->start_time);
	mt_json_string(j, "comm", p->comm);
	mt_json_bool(j, "total", p->is_total);
	mt_json_u64(j, "file", p->file);
	mt_json_u64(j, "processes", most_processes(p));
	mt_json_u64(j, "snapshots", p->snapshots);
	mt_json_u64(j, "points", p->n_points);
	mt_json_u64(j, "peak", p->peak);
	mt_json_u64(j, "lost", p->lost);
	mt_json_u64(j, "approximate", p->approximate);
	mt_json_bool(j, "late", p->late);
	write_metas(j, p);
	write_column(j, "time", p, get_time, 0, false);
	write_column(j, "seq", p, get_seq, 0, false);
	write_column(j, "flags", p, get_flags, 0, false);
	write_column(j, "meta", p, get_meta, 0, false);
	write_rates(j, p);
	write_fields(j, p);
	write_levels(j, p);
	write_marks(j, p);
	write_pauses(j, p);
	mt_json_object_end(j);
}

static const char *const unit_names[] = {
	[MT_FIELD_BYTES] = "bytes", [MT_FIELD_COUNT] = "count", [MT_FIELD_NS] = "ns",
	[MT_FIELD_TIME] = "time",   [MT_FIELD_RATIO] = "ratio",
};

static void write_columns(struct mt_json *j)
{
	size_t n;
	const struct column *c = mt_report_columns(&n);

	mt_json_array_begin(j, "columns");
	for (size_t i = 0; i < n; i++) {
		mt_json_object_begin(j, NULL);
		mt_json_string(j, "group", c[i].group);
		mt_json_string(j, "name", c[i].name);
		mt_json_string(j, "help", c[i].help);
		if (c[i].go_help)
			mt_json_string(j, "go", c[i].go_help);
		mt_json_string(j, "unit",
			       c[i].type == COLUMN_BOOL ? "bool" : unit_names[c[i].unit]);
		mt_json_object_end(j);
	}
	mt_json_array_end(j);
	mt_json_array_begin(j, "classes");
	for (unsigned int i = 0; i <= MT_CLASSES; i++) {
		char label[32];

		mt_render_class_label(label, sizeof(label), i);
		mt_json_string(j, NULL, label);
	}
	mt_json_array_end(j);
}

/* Those that there was no room for. */
static void write_others(struct mt_json *j, const struct mt_report *r)
{
	uint64_t n = 0, lost = 0, alloc = 0, peak = 0;

	for (size_t i = 0; i < r->seen_size; i++) {
		const struct seen *e = &r->seen[i];

		if (!e->key || e->p)
			continue;
		n++;
		lost += e->lost;
		if (__builtin_add_overflow(alloc, e->alloc, &alloc))
			alloc = UINT64_MAX;
		if (e->peak > peak)
			peak = e->peak;
	}
	mt_json_object_begin(j, "others");
	mt_json_u64(j, "processes", n);
	mt_json_u64(j, "alloc", alloc);
	mt_json_u64(j, "peak", peak);
	mt_json_u64(j, "lossy", lost);
	mt_json_u64(j, "untold", r->untold);
	mt_json_object_end(j);
}

static int by_time(const void *a, const void *b)
{
	const struct point *x = *(struct point *const *)a, *y = *(struct point *const *)b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* Totals first, then the largest. */
static int by_peak(const void *a, const void *b)
{
	const struct process *x = *(struct process *const *)a, *y = *(struct process *const *)b;

	if (x->is_total != y->is_total)
		return x->is_total ? -1 : 1;
	if (x->peak != y->peak)
		return x->peak > y->peak ? -1 : 1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

void mt_report_write_data(struct mt_report *r, struct mt_writer *w)
{
	struct mt_json j = {.w = w};
	char time[MT_TIME_SIZE];

	qsort(r->processes, r->n_processes, sizeof(struct process *), by_peak);
	for (size_t i = 0; i < r->n_processes; i++)
		qsort(r->processes[i]->points, r->processes[i]->n_points, sizeof(struct point *),
		      by_time);
	mt_json_object_begin(&j, NULL);
	mt_json_string(&j, "version", MT_VERSION);
	mt_json_string(&j, "made", mt_format_time(time, sizeof(time), mt_clock_ns(CLOCK_REALTIME)));
	mt_json_u64(&j, "snapshots", r->snapshots);
	mt_json_u64(&j, "first", r->first_ns / 1000);
	mt_json_u64(&j, "last", r->last_ns / 1000);
	mt_json_array_begin(&j, "files");
	for (size_t i = 0; i < r->n_files && i < FILES_MAX; i++)
		mt_json_string(&j, NULL, r->files[i]);
	mt_json_array_end(&j);
	mt_json_u64(&j, "all_files", r->n_files);
	write_others(&j, r);
	write_columns(&j);
	mt_json_array_begin(&j, "processes");
	for (size_t i = 0; i < r->n_processes; i++)
		write_process(&j, r->processes[i]);
	mt_json_array_end(&j);
	mt_json_object_end(&j);
}
