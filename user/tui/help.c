/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/view.h"

struct line {
	const char *key, *what;
};

static const struct line keys[] = {
	{"Up Down PgUp PgDn", "move; also k j ^B ^F"},
	{"Home", "the first row, whichever process it comes to be"},
	{"End", "the last row"},
	{"Enter", "open the process: last minutes, MemStats, size classes"},
	{"Tab", "in it: the next section; Esc, q: back to the list"},
	{"b", "in it: size classes by size, or the largest first"},
	{"< > Left Right F6", "sort by the column before or after; letters below"},
	{"r I", "reverse the order"},
	{"t F5", "tree: processes under their parents"},
	{"/ F3 F4", "filter by name, container or pid; Esc drops it"},
	{"d", "mark a base, and show differences from this moment on"},
	{"D", "drop the base: show levels again"},
	{"Space p", "pause and go on; counting never pauses"},
	{"s", "save a snapshot of what is shown, taken now, as JSON"},
	{"^L", "draw the screen anew"},
	{"q F10 ^C", "quit"},
	{NULL, NULL},
};

static const struct line marks[] = {
	{"!", "something was lost: the numbers are inexact"},
	{"*", "levels count from the attach: older blocks are not in them"},
	{"n", "started after the base: all of it is difference"},
	{"x", "has ended"},
	{NULL, NULL},
};

#define KEY_COLS 19

static int paint_lines(struct mt_page *p, int y, const struct line *v)
{
	for (; v->key; v++, y++) {
		mt_page_text(p, y, 1, KEY_COLS - 1, MT_STYLE_BOLD, v->key);
		mt_page_text(p, y, KEY_COLS + 1, p->cols - KEY_COLS - 1, MT_STYLE_PLAIN, v->what);
	}
	return y;
}

static int paint_heading(struct mt_page *p, int y, const char *text)
{
	mt_page_style(p, y, 0, p->cols, MT_STYLE_HEAD);
	mt_page_text(p, y, 0, p->cols, MT_STYLE_HEAD, text);
	return y + 1;
}

#define ROWS_MAX 64

int mt_view_make_help(struct mt_page *made, int cols, bool utf8)
{
	int y, r = mt_page_init(made, ROWS_MAX, cols, utf8);

	if (r)
		return r;
	y = paint_heading(made, 0, "Keys");
	y = paint_lines(made, y, keys);
	y = paint_heading(made, y, "Columns, of which wide screens have more; the letter sorts");
	for (size_t i = 0; i < mt_columns_count; i++, y++) {
		const struct mt_column *c = &mt_columns[i];
		const char letter[] = {c->key ? c->key : ' ', '\0'};

		mt_page_text(made, y, 1, 2, MT_STYLE_BOLD, letter);
		mt_page_text(made, y, 3, KEY_COLS - 3, MT_STYLE_PLAIN, c->title);
		mt_page_text(made, y, KEY_COLS + 1, cols - KEY_COLS - 1, MT_STYLE_PLAIN, c->help);
	}
	y = paint_heading(made, y, "Signs after the pid");
	y = paint_lines(made, y, marks);
	mt_page_text(made, y++, 1, cols - 1, MT_STYLE_DIM,
		     "K, M, G: units of 1024 bytes; rounded down.");
	made->rows = y;
	return 0;
}
