/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the formats of a difference share. */
#ifndef MT_RENDER_DIFF_INTERNAL_H
#define MT_RENDER_DIFF_INTERNAL_H

#include "render/diff.h"

/* "+1.2 MiB", of at most columns where another unit makes it so. buf is filled and returned. */
const char *mt_diff_format_bytes(char *buf, size_t size, int64_t change, enum mt_unit unit,
				 int columns);
/* False if new less old says nothing: of true and false, of what had not been. */
bool mt_diff_has_change(const struct mt_diff_row *row);
/* A change of row's kind: "+12", "-1.5 ms", "+0.0001 %". */
const char *mt_diff_format_change(char *buf, size_t size, const struct mt_diff_row *row,
				  int64_t change, enum mt_unit unit, int columns);
/* One of its values: "1.2 MiB", "true", "03:04:05Z". */
const char *mt_diff_format_value(char *buf, size_t size, const struct mt_diff_row *row, uint64_t v,
				 enum mt_unit unit, int columns);
/* "+12.3 %"; "from 0" if it was, empty where a share says nothing. */
const char *mt_diff_format_percent(char *buf, size_t size, const struct mt_diff_row *row);

/* "comm[pid]", escaped. */
void mt_diff_write_name(struct mt_writer *w, const struct mt_snapshot *s);

/* The row of that name, or NULL: it did not change. */
const struct mt_diff_row *mt_diff_find_row(const struct mt_diff_process *p, const char *name);

#endif
