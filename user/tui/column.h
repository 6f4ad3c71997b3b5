/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The columns of the list, which are also its sort keys: one row each. */
#ifndef MT_TUI_COLUMN_H
#define MT_TUI_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tui/store.h"

enum mt_column_kind { MT_COLUMN_PLAIN, MT_COLUMN_BYTES, MT_COLUMN_COUNT, MT_COLUMN_TEXT };

struct mt_column {
	const char *name;  /* as --sort takes it */
	const char *title; /* the heading */
	char key;          /* sorts by it; 0: only < and > do */
	int width;         /* 0: what is left of the line */
	int min_cols;      /* shown on screens as wide as this */
	enum mt_column_kind kind;
	bool ascending; /* the natural order */
	bool level;     /* can be shown as a difference from the base */
	/*
	 * A number's value, or false where it is not known: the level now, or with
	 * diff how much it is above the base.
	 */
	bool (*value)(const struct mt_process *p, bool diff, int64_t *v);
	/* A text's. */
	const char *(*text)(const struct mt_process *p);
	const char *help; /* one line */
};

extern const struct mt_column mt_columns[];
extern const size_t mt_columns_count;
#define MT_COLUMNS_MAX 16

/* The column of that name or of that key, or -1. */
int mt_column_named(const char *name);
int mt_column_keyed(uint32_t key);
/* Below 0 if a comes before b in the column's natural order; never 0 for two processes. */
int mt_column_compare(const struct mt_column *c, const struct mt_process *a,
		      const struct mt_process *b, bool diff);
/* "12.5M", "-" for what is not known; of a number's column. Fills buf of MT_NUMBER_SIZE. */
const char *mt_column_format(const struct mt_column *c, const struct mt_process *p, bool diff,
			     char *buf);

#endif
