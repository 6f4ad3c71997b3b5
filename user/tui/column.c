/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/column.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tui/number.h"

static bool level(uint64_t now, uint64_t base, bool diff, int64_t *v)
{
	*v = diff ? mt_difference(now, base) : mt_signed(now);
	return true;
}

/* A process that started after the base differs from nothing. */
#define LEVEL(member)                                                                              \
	static bool value_##member(const struct mt_process *p, bool diff, int64_t *v)              \
	{                                                                                          \
		return level(p->now->member, p->base ? p->base->member : 0, diff, v);              \
	}

LEVEL(alloc)
LEVEL(total_alloc)
LEVEL(objects)

static bool value_pid(const struct mt_process *p, bool diff, int64_t *v)
{
	(void)diff;
	*v = p->pid;
	return true;
}

static bool value_sys(const struct mt_process *p, bool diff, int64_t *v)
{
	return p->now->vm.known && level(p->now->sys, p->base ? p->base->sys : 0, diff, v);
}

static bool value_rss(const struct mt_process *p, bool diff, int64_t *v)
{
	return p->now->vm.known && level(p->now->vm.rss, p->base ? p->base->vm.rss : 0, diff, v);
}

static bool value_rate(const struct mt_process *p, bool diff, int64_t *v)
{
	(void)diff;
	*v = p->alloc_rate;
	return p->rated;
}

static bool value_mallocs(const struct mt_process *p, bool diff, int64_t *v)
{
	(void)diff;
	*v = p->mallocs_rate;
	return p->rated;
}

static bool value_growth(const struct mt_process *p, bool diff, int64_t *v)
{
	(void)diff;
	return mt_history_growth(&p->history, v);
}

static const char *text_allocator(const struct mt_process *p)
{
	return p->allocator;
}

static const char *text_container(const struct mt_process *p)
{
	return p->container;
}

static const char *text_comm(const struct mt_process *p)
{
	return p->comm;
}

const struct mt_column mt_columns[] = {
	{"pid", "PID", 'N', 7, 0, MT_COLUMN_PLAIN, true, false, value_pid, NULL, "process id"},
	{"alloc", "ALLOC", 'A', 8, 20, MT_COLUMN_BYTES, false, true, value_alloc, NULL,
	 "usable bytes in live blocks"},
	{"rate", "ALLOC/s", 'R', 8, 40, MT_COLUMN_BYTES, false, false, value_rate, NULL,
	 "bytes allocated a second, freed or not"},
	{"objects", "OBJECTS", 'O', 9, 48, MT_COLUMN_COUNT, false, true, value_objects, NULL,
	 "live blocks"},
	{"sys", "SYS", 'S', 8, 56, MT_COLUMN_BYTES, false, true, value_sys, NULL,
	 "private writable address space"},
	{"rss", "RES", 'M', 8, 64, MT_COLUMN_BYTES, false, true, value_rss, NULL,
	 "resident memory"},
	{"growth", "GROWTH/m", 'G', 9, 72, MT_COLUMN_BYTES, false, false, value_growth, NULL,
	 "growth of Alloc a minute, over the last minute"},
	{"total", "TOTAL", 'T', 8, 90, MT_COLUMN_BYTES, false, true, value_total_alloc, NULL,
	 "bytes ever allocated"},
	{"mallocs", "MALLOCS/s", 'L', 10, 100, MT_COLUMN_COUNT, false, false, value_mallocs, NULL,
	 "blocks allocated a second"},
	{"allocator", "ALLOCATOR", 0, 15, 116, MT_COLUMN_TEXT, true, false, NULL, text_allocator,
	 "whose blocks are counted"},
	{"container", "CONTAINER", 0, 13, 140, MT_COLUMN_TEXT, true, false, NULL, text_container,
	 "the container that it runs in"},
	{"comm", "COMMAND", 'C', 0, 0, MT_COLUMN_TEXT, true, false, NULL, text_comm,
	 "the command's name"},
};

const size_t mt_columns_count = sizeof(mt_columns) / sizeof(mt_columns[0]);
_Static_assert(sizeof(mt_columns) / sizeof(mt_columns[0]) < MT_COLUMNS_MAX, "room in help's list");

int mt_column_named(const char *name)
{
	for (size_t i = 0; i < mt_columns_count; i++)
		if (!strcmp(mt_columns[i].name, name))
			return (int)i;
	return -1;
}

int mt_column_keyed(uint32_t key)
{
	for (size_t i = 0; key && i < mt_columns_count; i++)
		if ((unsigned char)mt_columns[i].key == key)
			return (int)i;
	return -1;
}

/* What is not known comes last. */
static int compare_numbers(const struct mt_column *c, const struct mt_process *a,
			   const struct mt_process *b, bool diff)
{
	int64_t va = 0, vb = 0;
	bool ka = c->value(a, diff, &va), kb = c->value(b, diff, &vb);

	if (ka != kb)
		return ka ? -1 : 1;
	if (va == vb)
		return 0;
	return (va < vb) == c->ascending ? -1 : 1;
}

int mt_column_compare(const struct mt_column *c, const struct mt_process *a,
		      const struct mt_process *b, bool diff)
{
	int r = c->text ? strcasecmp(c->text(a), c->text(b)) : compare_numbers(c, a, b, diff);

	if (!r)
		r = a->pid < b->pid ? -1 : a->pid > b->pid;
	if (!r)
		r = a->start_time < b->start_time ? -1 : a->start_time > b->start_time;
	return r;
}

const char *mt_column_format(const struct mt_column *c, const struct mt_process *p, bool diff,
			     char *buf)
{
	bool plus = (diff && c->level) || c->value == value_growth;
	int64_t v;

	if (!c->value(p, diff, &v))
		snprintf(buf, MT_NUMBER_SIZE, "-");
	else if (c->kind == MT_COLUMN_BYTES)
		mt_number_bytes(buf, v, plus);
	else if (c->kind == MT_COLUMN_COUNT)
		mt_number_count(buf, v, plus);
	else
		snprintf(buf, MT_NUMBER_SIZE, "%" PRId64, v);
	return buf;
}
