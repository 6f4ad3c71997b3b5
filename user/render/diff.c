/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The formats of memtrace diff, and how its numbers are written for a person. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "render/diff_internal.h"

const struct mt_render_diff_ops *const mt_render_diff_all[] = {
	&mt_render_diff_table, &mt_render_diff_line, &mt_render_diff_json, NULL};

const struct mt_render_diff_ops *mt_render_diff_find(const char *name)
{
	for (size_t i = 0; mt_render_diff_all[i]; i++)
		if (!strcmp(mt_render_diff_all[i]->name, name))
			return mt_render_diff_all[i];
	return NULL;
}

static char sign(int64_t v)
{
	return v < 0 ? '-' : '+';
}

static uint64_t magnitude(int64_t v)
{
	return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

const char *mt_diff_format_bytes(char *buf, size_t size, int64_t change, enum mt_unit unit,
				 int columns)
{
	buf[0] = sign(change);
	mt_render_bytes(buf + 1, size - 1, magnitude(change), unit, columns - 1);
	return buf;
}

/* More digits than the column has are a hostile number, or a very large one. */
static const char *format_count(char *buf, size_t size, const char *before, uint64_t v, int columns)
{
	if (snprintf(buf, size, "%s%" PRIu64, before, v) > columns)
		snprintf(buf, size, "%s%.4g", before, (double)v);
	return buf;
}

bool mt_diff_has_change(const struct mt_diff_row *row)
{
	/* No time has passed since what had not been, and no goal is no number. */
	if (row->unit == MT_FIELD_TIME)
		return row->old && row->new;
	if (!strcmp(row->name, "NextGC"))
		return mt_render_has_next(row->old) && mt_render_has_next(row->new);
	return !row->is_bool;
}

const char *mt_diff_format_change(char *buf, size_t size, const struct mt_diff_row *row,
				  int64_t change, enum mt_unit unit, int columns)
{
	const char before[] = {sign(change), '\0'};

	buf[0] = '\0';
	if (!mt_diff_has_change(row))
		return buf;
	if (change == INT64_MAX || change == INT64_MIN) {
		snprintf(buf, size, "beyond %c2^63", before[0]);
		return buf;
	}
	switch (row->unit) {
	case MT_FIELD_BYTES:
		return mt_diff_format_bytes(buf, size, change, unit, columns);
	case MT_FIELD_NS:
	case MT_FIELD_TIME:
		buf[0] = before[0];
		mt_format_duration(buf + 1, size - 1, magnitude(change));
		return buf;
	case MT_FIELD_RATIO:
		snprintf(buf, size, "%+.4g %%", (double)change / 1e7);
		return buf;
	default:
		return format_count(buf, size, before, magnitude(change), columns);
	}
}

const char *mt_diff_format_value(char *buf, size_t size, const struct mt_diff_row *row, uint64_t v,
				 enum mt_unit unit, int columns)
{
	const bool minus = row->is_signed && (int64_t)v < 0;
	char time[MT_TIME_SIZE];

	if (row->is_bool) {
		snprintf(buf, size, "%s", v ? "true" : "false");
		return buf;
	}
	switch (row->unit) {
	case MT_FIELD_BYTES:
		if (minus)
			return mt_diff_format_bytes(buf, size, (int64_t)v, unit, columns);
		if (!strcmp(row->name, "NextGC") && !mt_render_has_next(v))
			snprintf(buf, size, "none");
		else
			mt_render_bytes(buf, size, v, unit, columns);
		return buf;
	case MT_FIELD_NS:
		return mt_format_duration(buf, size, v);
	case MT_FIELD_TIME:
		mt_format_time(time, sizeof(time), v);
		snprintf(buf, size, "%.8sZ", v ? time + strlen("2026-01-02T") : "-");
		if (!v)
			buf[1] = '\0';
		return buf;
	case MT_FIELD_RATIO:
		snprintf(buf, size, "%.4g %%", (double)(int64_t)v / 1e7);
		return buf;
	default:
		return format_count(buf, size, minus ? "-" : "", minus ? magnitude((int64_t)v) : v,
				    columns);
	}
}

const char *mt_diff_format_percent(char *buf, size_t size, const struct mt_diff_row *row)
{
	const double old = row->is_signed ? (double)(int64_t)row->old : (double)row->old;
	const double share = old != 0 ? (double)row->change / (old < 0 ? -old : old) * 100 : 0;

	buf[0] = '\0';
	if (!mt_diff_has_change(row) || row->unit == MT_FIELD_TIME || row->unit == MT_FIELD_RATIO ||
	    row->change == INT64_MAX || row->change == INT64_MIN)
		return buf;
	if (old == 0)
		snprintf(buf, size, "%s", row->change ? "from 0" : "");
	else if (share < 1e4 && share > -1e4)
		snprintf(buf, size, "%+.1f %%", share);
	else
		snprintf(buf, size, "%+.1e %%", share);
	return buf;
}

void mt_diff_write_name(struct mt_writer *w, const struct mt_snapshot *s)
{
	mt_write_escaped(w, s->comm);
	mt_writef(w, "[%d]", s->pid);
}

const struct mt_diff_row *mt_diff_find_row(const struct mt_diff_process *p, const char *name)
{
	for (size_t i = 0; i < p->n_rows; i++)
		if (!strcmp(p->rows[i].name, name))
			return &p->rows[i];
	return NULL;
}
