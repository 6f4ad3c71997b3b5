/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A screen as a grid of characters and styles, without a terminal: what the
 * view paints and the terminal shows. All text goes through mt_page_text, so
 * that no name of a target can act on the terminal or move a column.
 */
#ifndef MT_TUI_PAGE_H
#define MT_TUI_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mt_style {
	MT_STYLE_PLAIN,
	MT_STYLE_BOLD,
	MT_STYLE_DIM,
	MT_STYLE_HEAD,     /* headings of columns */
	MT_STYLE_SORTED,   /* the heading that rows are sorted by */
	MT_STYLE_SELECTED, /* the row that keys act on */
	MT_STYLE_KEY,      /* a key in the last line */
	MT_STYLE_WARN,     /* losses */
	MT_STYLE_MORE,     /* what grew */
	MT_STYLE_LESS,     /* what shrank */
	MT_STYLE_BAR,
	MT_STYLE_ALLOC, /* graphs */
	MT_STYLE_SYS,
	MT_STYLES,
};

struct mt_cell {
	uint32_t ch; /* Unicode; 0: the right half of the wide character before it */
	uint8_t style;
};

struct mt_page {
	int rows, cols;
	bool utf8; /* the terminal shows Unicode; else only ASCII is written */
	struct mt_cell *cells;
};

#define MT_PAGE_MAX 1000 /* of rows and of columns; a larger terminal is used in part */

/* A blank page; sizes are clamped to 1..MT_PAGE_MAX. 0 or -ENOMEM. */
int mt_page_init(struct mt_page *p, int rows, int cols, bool utf8);
void mt_page_fini(struct mt_page *p);

/* Outside of the page: NULL. */
struct mt_cell *mt_page_at(const struct mt_page *p, int y, int x);

/*
 * Writes s at y, x in at most width columns; where it is cut, the last column
 * shows that. Control characters, bytes that are not UTF-8 and characters without a
 * width become \xHH. Widths are wcwidth's, of the caller's locale. Returns the
 * columns written. What lies outside of the page is left out.
 */
int mt_page_text(struct mt_page *p, int y, int x, int width, enum mt_style style, const char *s);
__attribute__((format(printf, 6, 7))) int mt_page_printf(struct mt_page *p, int y, int x, int width,
							 enum mt_style style, const char *fmt, ...);
/* The same at the right end of the columns from x to x + width. */
void mt_page_right(struct mt_page *p, int y, int x, int width, enum mt_style style, const char *s);
/* One character; in ASCII its stand-in. */
void mt_page_char(struct mt_page *p, int y, int x, enum mt_style style, uint32_t ch, char ascii);
/* Sets the style of n cells and leaves their text. */
void mt_page_style(struct mt_page *p, int y, int x, int n, enum mt_style style);
/* Copies n rows of src, from row from on, to row y; both are as wide. */
void mt_page_copy(struct mt_page *p, int y, const struct mt_page *src, int from, int n);
/* Columns that s takes when it is not cut; counting ends above limit. */
int mt_page_columns(const struct mt_page *p, const char *s, int limit);

#endif
