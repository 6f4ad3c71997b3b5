/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live view: snapshots and keys in, a page out. It knows no terminal
 * (screen.h shows pages), no session and no clock: times are the snapshots'.
 */
#ifndef MT_TUI_TUI_H
#define MT_TUI_TUI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/snapshot.h"
#include "tui/page.h"

struct mt_tui; /* opaque */

struct mt_tui_opts {
	uint64_t interval_ns; /* between rounds */
	const char *sort;     /* one of mt_tui_sort_names; NULL: alloc */
	const char *filter;   /* NULL: none; copied, cut to what a user can type */
	bool tree;
};

/* Keys: a character is itself, in Unicode; what has none follows Unicode's last. */
enum mt_key {
	MT_KEY_NONE = 0,
	MT_KEY_UP = 0x110000,
	MT_KEY_DOWN,
	MT_KEY_LEFT,
	MT_KEY_RIGHT,
	MT_KEY_PAGE_UP,
	MT_KEY_PAGE_DOWN,
	MT_KEY_HOME,
	MT_KEY_END,
	MT_KEY_ENTER,
	MT_KEY_ESC,
	MT_KEY_BACKSPACE,
	MT_KEY_TAB,
	MT_KEY_F0, /* F1 is the next one */
	MT_KEY_F10 = MT_KEY_F0 + 10,
};

/* What a key asks of the caller. */
enum mt_tui_action {
	MT_TUI_NOTHING, /* but to paint again */
	MT_TUI_QUIT,
	MT_TUI_SAVE,    /* write a snapshot of those that mt_tui_shows says */
	MT_TUI_REFRESH, /* write the whole screen anew */
};

/* The names of the columns, NULL-terminated. */
const char *const *mt_tui_sort_names(void);

/* 0 or -errno. */
int mt_tui_new(const struct mt_tui_opts *opts, struct mt_tui **ret);
void mt_tui_free(struct mt_tui **t);

/*
 * One round of snapshots, one for each process, which is copied as far as it is
 * kept. A process that is not in it is gone. While the view is paused rounds
 * change nothing. mt_tui_put: 0 or -ENOMEM.
 */
void mt_tui_begin(struct mt_tui *t);
int mt_tui_put(struct mt_tui *t, const struct mt_snapshot *s);
void mt_tui_end(struct mt_tui *t);

enum mt_tui_action mt_tui_key(struct mt_tui *t, uint32_t key);
/* Shows a message in the last line until the next key. */
void mt_tui_say(struct mt_tui *t, const char *msg);
/* Paints all of the page, of any size. */
void mt_tui_paint(struct mt_tui *t, struct mt_page *p);

bool mt_tui_paused(const struct mt_tui *t);
/* The process that is shown by itself, of which more is to be read; 0: none. */
pid_t mt_tui_opened(const struct mt_tui *t);
/* True if the view, scrolled or not, shows the process of this snapshot. */
bool mt_tui_shows(const struct mt_tui *t, const struct mt_snapshot *s);

#endif
