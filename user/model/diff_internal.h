/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the difference share. */
#ifndef MT_MODEL_DIFF_INTERNAL_H
#define MT_MODEL_DIFF_INTERNAL_H

#include <stdarg.h>

#include "model/diff.h"

/* One process's snapshots: old, new, old, new, of n repetitions. */
struct mt_diff_series {
	const struct mt_snapshot **v;
	size_t n;
	int64_t *changes; /* room for n */
};

/* v less w, saturated. */
int64_t mt_diff_between(uint64_t v, uint64_t w, bool is_signed);
/* True if both are of one trace: their counts began at the same moment. */
bool mt_diff_same_trace(const struct mt_snapshot *a, const struct mt_snapshot *b);
bool mt_diff_same_process(const struct mt_snapshot *a, const struct mt_snapshot *b);
/* change, median, min and max from p->changes, the last one of which is that of the last. */
void mt_diff_spread(const struct mt_diff_series *p, struct mt_diff_row *row);

/* Each fills its part of d. 0 or -ENOMEM. */
int mt_diff_rows(const struct mt_diff_series *p, struct mt_diff_process *d);
int mt_diff_heaps(const struct mt_diff_series *p, const char *what, struct mt_diff_process *d);
int mt_diff_notes(struct mt_diff_process *d);

__attribute__((format(printf, 3, 0))) int mt_diff_add_note(char ***notes, size_t *n,
							   const char *fmt, va_list ap);

#endif
