/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One row per scalar field of MemStats, in Go's order: formats and the diff
 * walk this table, so a new field is a struct member and a row.
 */
#ifndef MT_MODEL_FIELD_H
#define MT_MODEL_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "model/snapshot.h"

enum mt_field_type { MT_FIELD_U64, MT_FIELD_U32, MT_FIELD_DOUBLE, MT_FIELD_BOOL };
enum mt_field_unit { MT_FIELD_BYTES, MT_FIELD_COUNT, MT_FIELD_NS, MT_FIELD_TIME, MT_FIELD_RATIO };
enum mt_field_metric { MT_METRIC_NONE, MT_METRIC_GAUGE, MT_METRIC_COUNTER };

struct mt_field {
	const char *name; /* as Go spells it: "HeapAlloc" */
	size_t offset;    /* in struct memtrace_memstats */
	enum mt_field_type type;
	enum mt_field_unit unit;
	enum mt_field_metric metric_type;
	const char *metric;  /* OpenMetrics name without the memtrace_ prefix, or NULL */
	const char *help;    /* one sentence, for the metrics' HELP and the table */
	const char *go_help; /* the same where Go's runtime means another thing; else NULL */
	bool of_heap;        /* says something of C's heap alone, without the rest of the process */
};

extern const struct mt_field mt_fields[];
extern const size_t mt_fields_count;

/* The value of a U64 or U32 field. */
uint64_t mt_field_u64(const struct mt_field *f, const struct memtrace_memstats *m);
/* The value of a DOUBLE and of a BOOL field. */
double mt_field_double(const struct mt_field *f, const struct memtrace_memstats *m);
bool mt_field_bool(const struct mt_field *f, const struct memtrace_memstats *m);

#endif
