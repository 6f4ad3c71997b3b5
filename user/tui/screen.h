/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The terminal, by ncurses: shows pages, reads keys, and is left as it was
 * found, also by a crash. One at a time. The caller has set LC_CTYPE.
 */
#ifndef MT_TUI_SCREEN_H
#define MT_TUI_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "tui/page.h"

struct mt_screen; /* opaque */

/*
 * Takes over standard input and output, which are terminals. color false: none
 * is used, as where the terminal has none. 0 or -errno, with one line logged.
 */
int mt_screen_open(bool color, struct mt_screen **ret);
/* Puts the terminal back. */
void mt_screen_close(struct mt_screen **s);
/* Its size, read from the terminal anew. */
void mt_screen_size(struct mt_screen *s, int *rows, int *cols);
/* True if it shows Unicode: LC_CTYPE says so. */
bool mt_screen_utf8(const struct mt_screen *s);
/* Shows the page, of the terminal's size; anew: whatever is thought to be on it. */
void mt_screen_show(struct mt_screen *s, const struct mt_page *p, bool anew);
/* The next key that has been typed, MT_KEY_NONE if there is none. Never waits. */
uint32_t mt_screen_key(struct mt_screen *s);

#endif
