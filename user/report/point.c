/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a report shows of one snapshot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/internal.h"

#define COLUMNS_MAX 160

static uint64_t net_bytes(const struct mt_snapshot *s)
{
	return (uint64_t)mt_snapshot_net_bytes(s);
}

static uint64_t net_objects(const struct mt_snapshot *s)
{
	return (uint64_t)mt_snapshot_net_objects(s);
}

static uint64_t lost(const struct mt_snapshot *s)
{
	return mt_snapshot_lost(s);
}

#define SNAPSHOT(member) offsetof(struct mt_snapshot, member)
#define VM(title, member, text)                                                                    \
	{                                                                                          \
		.group = "Address space", .name = (title), .help = (text), .unit = MT_FIELD_BYTES, \
		.offset = SNAPSHOT(vm.member)                                                      \
	}
#define FLOW(title, which, member, what)                                                           \
	{                                                                                          \
		.group = "System calls", .name = (title), .unit = (what),                          \
		.offset = SNAPSHOT(flows.vm[which].member)                                         \
	}
#define CALLS(call, which)                                                                         \
	FLOW(call " calls", which, calls, MT_FIELD_COUNT),                                         \
		FLOW(call " bytes", which, bytes, MT_FIELD_BYTES)
#define LOSS(title, member, text)                                                                  \
	{                                                                                          \
		.group = "Losses", .name = (title), .help = (text), .unit = MT_FIELD_COUNT,        \
		.offset = SNAPSHOT(member)                                                         \
	}

/* Beside those of MemStats. */
static const struct column others[] = {
	VM("rss", rss, "Resident memory."),
	VM("pss", pss, "Resident, shared pages divided by who shares them."),
	VM("swap", swap, "In swap."),
	VM("shared", shared, "Resident and shared."),
	VM("data", data, "VmData of /proc."),
	VM("stack", stack, "VmStk of /proc."),
	VM("cgroup_current", cgroup_current, "Charged to the process's cgroup."),
	CALLS("mmap", MT_VM_MMAP),
	CALLS("munmap", MT_VM_MUNMAP),
	CALLS("mremap", MT_VM_MREMAP),
	CALLS("brk", MT_VM_BRK),
	CALLS("madvise", MT_VM_MADVISE),
	{.group = "Since the counts began",
	 .name = "net Bytes",
	 .help = "Bytes allocated less those freed, signed.",
	 .unit = MT_FIELD_BYTES,
	 .type = COLUMN_CALL,
	 .get = net_bytes},
	{.group = "Since the counts began",
	 .name = "net Objects",
	 .help = "Blocks allocated less those freed, signed.",
	 .unit = MT_FIELD_COUNT,
	 .type = COLUMN_CALL,
	 .get = net_objects},
	{.group = "Losses",
	 .name = "lost",
	 .help = "All of them: 0 is exact.",
	 .unit = MT_FIELD_COUNT,
	 .type = COLUMN_CALL,
	 .get = lost},
	LOSS("failed_reads", flows.failed_reads, "Block headers that could not be read."),
	LOSS("map_full", flows.map_full, "No room left in the kernel's tables."),
	LOSS("unreturned", flows.unreturned, "Calls whose return was not seen."),
	LOSS("unknown_free", flows.unknown_free, "Frees of blocks that nobody knows."),
	LOSS("failed_storage", flows.failed_storage, "No room for a thread's state."),
	LOSS("inherited", flows.inherited, "Threads that ran while the process forked."),
	LOSS("untraced", flows.untraced, "1: its allocator could not be traced."),
	LOSS("gc_pauses", gc.missed, "Pauses that had gone when they were read."),
};

static struct column columns[COLUMNS_MAX];
static size_t n_columns;

static enum column_type type_of(const struct mt_field *f)
{
	switch (f->type) {
	case MT_FIELD_U32:
		return COLUMN_U32;
	case MT_FIELD_DOUBLE:
		return COLUMN_DOUBLE;
	case MT_FIELD_BOOL:
		return COLUMN_BOOL;
	case MT_FIELD_U64:
		break;
	}
	return COLUMN_U64;
}

static void add_fields(bool native)
{
	const size_t base = native ? SNAPSHOT(native.memstats) : SNAPSHOT(memstats);

	for (size_t i = 0; i < mt_fields_count && n_columns < COLUMNS_MAX; i++) {
		const struct mt_field *f = &mt_fields[i];

		if (native && !f->of_heap)
			continue;
		columns[n_columns++] = (struct column){
			.group = native ? "C memory" : "MemStats",
			.name = f->name,
			.help = f->help,
			.go_help = native ? NULL : f->go_help,
			.unit = f->unit,
			.type = type_of(f),
			.native = native,
			.offset = base + f->offset,
		};
	}
}

const struct column *mt_report_columns(size_t *n)
{
	if (!n_columns) {
		add_fields(false);
		add_fields(true);
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			if (n_columns < COLUMNS_MAX)
				columns[n_columns++] = others[i];
	}
	*n = n_columns;
	return columns;
}

/* Doubles as their bits. */
uint64_t mt_report_value(const struct column *c, const struct mt_snapshot *s)
{
	const char *at = (const char *)s + c->offset;
	uint64_t v = 0;

	if (c->native && !s->native.present)
		return 0;
	switch (c->type) {
	case COLUMN_U64:
	case COLUMN_DOUBLE:
		memcpy(&v, at, sizeof(v));
		break;
	case COLUMN_U32: {
		uint32_t u;

		memcpy(&u, at, sizeof(u));
		v = u;
		break;
	}
	case COLUMN_BOOL:
		v = *at != 0;
		break;
	case COLUMN_CALL:
		v = c->get(s);
		break;
	}
	return v;
}

static uint64_t less(uint64_t a, int64_t b)
{
	uint64_t v;

	if (b < 0)
		return __builtin_add_overflow(a, -(uint64_t)b, &v) ? UINT64_MAX : v;
	return a > (uint64_t)b ? a - (uint64_t)b : 0;
}

/* What was freed is what was allocated and does not live; without a base the level is signed. */
void mt_report_counters(const struct mt_snapshot *s, struct counters *ret)
{
	const struct memtrace_memstats *m = &s->memstats;
	int64_t live = m->alloc < INT64_MAX ? (int64_t)m->alloc : INT64_MAX;

	if (s->since == MT_SINCE_ATTACH)
		live = mt_snapshot_net_bytes(s);
	ret->v[RATE_ALLOC] = m->total_alloc;
	ret->v[RATE_FREE] = less(m->total_alloc, live);
	ret->v[RATE_MALLOCS] = m->mallocs;
	ret->v[RATE_FREES] = m->frees;
}

static const struct mt_class_counts *class_of(const struct mt_snapshot *s, unsigned int i)
{
	return i < MT_CLASSES ? &s->flows.cls[i] : &s->unsized;
}

static bool lives(const struct mt_class_counts *c)
{
	return c->mallocs != c->frees || c->alloc_bytes != c->free_bytes;
}

static void fill_levels(struct point *pt, const struct mt_snapshot *s)
{
	for (unsigned int i = 0; i <= MT_CLASSES; i++) {
		const struct mt_class_counts *c = class_of(s, i);

		if (lives(c))
			pt->levels[pt->n_levels++] =
				(struct level){i, mt_class_net_objects(c), mt_class_net_bytes(c)};
	}
}

int mt_report_point_new(const struct mt_snapshot *s, struct point **ret)
{
	size_t n, n_levels = 0;
	const struct column *c = mt_report_columns(&n);
	struct point *pt = calloc(1, sizeof(*pt));

	for (unsigned int i = 0; i <= MT_CLASSES; i++)
		n_levels += lives(class_of(s, i));
	if (pt)
		pt->values = calloc(1, n * sizeof(*pt->values) + n_levels * sizeof(*pt->levels));
	if (!pt || !pt->values) {
		mt_report_point_free(&pt);
		return -ENOMEM;
	}
	pt->levels = (struct level *)(void *)(pt->values + n);
	for (size_t i = 0; i < n; i++)
		pt->values[i] = mt_report_value(&c[i], s);
	fill_levels(pt, s);
	pt->time_ns = s->time_ns;
	pt->seq = s->seq;
	pt->processes = s->processes;
	pt->track[0] = s->memstats.alloc;
	pt->track[1] = s->memstats.sys;
	pt->track[2] = s->memstats.heap_inuse;
	pt->track[3] = s->vm.rss;
	pt->track[4] = s->native.present ? s->native.memstats.alloc : 0;
	*ret = pt;
	return 0;
}

void mt_report_point_free(struct point **p)
{
	if (*p)
		free((*p)->values);
	free(*p);
	*p = NULL;
}
