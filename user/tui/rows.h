/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which processes the list shows, in which order, and as which tree. */
#ifndef MT_TUI_ROWS_H
#define MT_TUI_ROWS_H

#include "tui/column.h"
#include "tui/store.h"

#define MT_RAILS_MAX 32 /* deeper levels of the tree are drawn as this one */

struct mt_row {
	struct mt_process *p;
	unsigned int depth; /* 0: a root, or no tree */
	bool last;          /* among its siblings */
	/* Bit d: at depth d + 1 a line runs on to a sibling below. */
	uint32_t rails;
};

struct mt_rows {
	struct mt_row *v; /* owned; the processes are the store's */
	size_t n, cap;
	struct mt_process **order; /* owned, scratch */
};

struct mt_rows_by {
	const struct mt_column *column;
	bool reverse, tree, diff;
	const char *filter; /* "": all */
};

/* True if the process has the text in its name, container or pid, in any case. */
bool mt_rows_match(const struct mt_process *p, const char *filter);

/* Room for n rows, so that making them cannot fail. 0 or -ENOMEM. */
int mt_rows_reserve(struct mt_rows *r, size_t n);
/*
 * Makes the rows of all processes of the store that match; a tree also shows
 * their ancestors, without `matches`. Room for all must have been reserved.
 */
void mt_rows_make(struct mt_rows *r, const struct mt_store *s, const struct mt_rows_by *by);
void mt_rows_fini(struct mt_rows *r);

#endif
