/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The view's state, which its keys change and its painters read. */
#ifndef MT_TUI_VIEW_H
#define MT_TUI_VIEW_H

#include "tui/rows.h"
#include "tui/store.h"
#include "tui/tui.h"

#define MT_FILTER_SIZE  64
#define MT_MESSAGE_SIZE 256
#define MT_SECTIONS     5 /* of the page of one process */

enum mt_tui_mode { MT_MODE_LIST, MT_MODE_PROCESS };

struct mt_who {
	pid_t pid; /* 0: none */
	uint64_t start_time;
};

struct mt_tui {
	struct mt_store store;
	struct mt_rows rows;
	enum mt_tui_mode mode;
	bool help, prompt, paused, tree, reverse;
	bool by_bytes; /* size classes: those that hold most come first */
	int sort;      /* index in mt_columns */
	char filter[MT_FILTER_SIZE];
	char message[MT_MESSAGE_SIZE];
	/*
	 * The row that keys act on. Once a key has moved it, it stays with its
	 * process; before, it is the first row.
	 */
	struct mt_who cursor;
	size_t at;          /* its index in the rows */
	size_t top;         /* index of the first row on the screen */
	size_t page_rows;   /* of the list on the screen when it was last painted */
	struct mt_who open; /* in MT_MODE_PROCESS */
	int scroll;         /* lines of the process's page, or of help, above the screen */
	int scroll_max, scroll_page;
	int sections[MT_SECTIONS], n_sections; /* the lines where they begin */
};

/* The process that is open, or NULL. */
struct mt_process *mt_view_open(const struct mt_tui *t);
/* Makes the rows anew after a change, and finds the cursor's. */
void mt_view_update(struct mt_tui *t);

/* Painters: each of rows y to y + n of the page. */
void mt_view_paint_list(struct mt_tui *t, struct mt_page *p, int y, int n);
/* Lines of a page that is as tall as it needs; made by the painter, owned by the caller. */
int mt_view_make_process(struct mt_tui *t, const struct mt_process *of, struct mt_page *made,
			 int cols, bool utf8);
int mt_view_make_help(struct mt_page *made, int cols, bool utf8);
/*
 * Alloc, or Sys, of the history as bars of h rows and w columns, the newest at
 * the right; buckets of time without a point are left blank.
 */
void mt_view_paint_graph(struct mt_page *p, int y, int x, int h, int w,
			 const struct mt_history *history, uint64_t step_ns, bool sys);

#endif
