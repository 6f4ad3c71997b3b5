/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/page.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/utf8.h"

#define ESCAPED 4 /* columns of \xHH */

static int clamp(int v)
{
	return v < 1 ? 1 : v > MT_PAGE_MAX ? MT_PAGE_MAX : v;
}

int mt_page_init(struct mt_page *p, int rows, int cols, bool utf8)
{
	*p = (struct mt_page){.rows = clamp(rows), .cols = clamp(cols), .utf8 = utf8};
	p->cells = calloc((size_t)p->rows * (size_t)p->cols, sizeof(*p->cells));
	if (!p->cells)
		return -ENOMEM;
	for (size_t i = 0; i < (size_t)p->rows * (size_t)p->cols; i++)
		p->cells[i].ch = ' ';
	return 0;
}

void mt_page_fini(struct mt_page *p)
{
	free(p->cells);
	p->cells = NULL;
}

struct mt_cell *mt_page_at(const struct mt_page *p, int y, int x)
{
	if (y < 0 || x < 0 || y >= p->rows || x >= p->cols)
		return NULL;
	return &p->cells[(size_t)y * (size_t)p->cols + (size_t)x];
}

static void set(struct mt_page *p, int y, int x, enum mt_style style, uint32_t ch)
{
	struct mt_cell *c = mt_page_at(p, y, x);

	if (c)
		*c = (struct mt_cell){.ch = ch, .style = (uint8_t)style};
}

/* One character as it is shown. */
struct glyph {
	uint32_t ch;
	size_t bytes;
	int columns; /* 1, 2, or ESCAPED for each byte */
	bool escaped;
};

static struct glyph next(const struct mt_page *p, const char *s)
{
	struct glyph g = {0};
	size_t len = mt_utf8_decode(s, &g.ch);
	int w = 1;

	g.bytes = len ? len : 1;
	if (len && g.ch >= 0x80)
		w = p->utf8 ? wcwidth((wchar_t)g.ch) : 1;
	g.escaped = !len || mt_utf8_is_control(g.ch) || w < 1 || w > 2;
	g.columns = g.escaped ? ESCAPED * (int)g.bytes : w;
	if (g.ch >= 0x80 && !p->utf8)
		g.ch = '?';
	return g;
}

int mt_page_columns(const struct mt_page *p, const char *s, int limit)
{
	int n = 0;

	while (*s && n <= limit) {
		struct glyph g = next(p, s);

		n += g.columns;
		s += g.bytes;
	}
	return n;
}

static void put_escaped(struct mt_page *p, int y, int x, enum mt_style style, const char *s,
			size_t n)
{
	char hex[ESCAPED + 1];

	for (size_t i = 0; i < n; i++) {
		snprintf(hex, sizeof(hex), "\\x%02x", (unsigned char)s[i]);
		for (int k = 0; k < ESCAPED; k++)
			set(p, y, x++, style, (unsigned char)hex[k]);
	}
}

/* A wide character at the page's edge would be half outside. */
static void put_glyph(struct mt_page *p, int y, int x, enum mt_style style, const struct glyph *g)
{
	if (g->columns == 2 && x + 1 >= p->cols) {
		set(p, y, x, style, ' ');
		return;
	}
	set(p, y, x, style, g->ch);
	if (g->columns == 2)
		set(p, y, x + 1, style, 0);
}

int mt_page_text(struct mt_page *p, int y, int x, int width, enum mt_style style, const char *s)
{
	bool cut;
	int n = 0;

	if (width > p->cols - x)
		width = p->cols - x;
	if (width < 1 || x < 0)
		return 0;
	cut = mt_page_columns(p, s, width) > width;
	while (*s) {
		struct glyph g = next(p, s);

		if (n + g.columns > width - cut)
			break;
		if (g.escaped)
			put_escaped(p, y, x + n, style, s, g.bytes);
		else
			put_glyph(p, y, x + n, style, &g);
		n += g.columns;
		s += g.bytes;
	}
	if (cut)
		mt_page_char(p, y, x + n++, style, 0x2026, '~');
	return n;
}

int mt_page_printf(struct mt_page *p, int y, int x, int width, enum mt_style style, const char *fmt,
		   ...)
{
	char buf[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return mt_page_text(p, y, x, width, style, buf);
}

void mt_page_right(struct mt_page *p, int y, int x, int width, enum mt_style style, const char *s)
{
	int n = mt_page_columns(p, s, width);

	mt_page_text(p, y, n < width ? x + width - n : x, width, style, s);
}

void mt_page_char(struct mt_page *p, int y, int x, enum mt_style style, uint32_t ch, char ascii)
{
	set(p, y, x, style, p->utf8 ? ch : (unsigned char)ascii);
}

void mt_page_style(struct mt_page *p, int y, int x, int n, enum mt_style style)
{
	for (int i = x; i < x + n && i < p->cols; i++) {
		struct mt_cell *c = mt_page_at(p, y, i);

		if (c)
			c->style = (uint8_t)style;
	}
}

void mt_page_copy(struct mt_page *p, int y, const struct mt_page *src, int from, int n)
{
	for (int i = 0; i < n; i++) {
		struct mt_cell *to = mt_page_at(p, y + i, 0), *at = mt_page_at(src, from + i, 0);

		if (to && at && p->cols == src->cols)
			memcpy(to, at, (size_t)p->cols * sizeof(*to));
	}
}
