/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The list of processes: a heading and a row for each. */
#include <string.h>

#include "tui/number.h"
#include "tui/view.h"

#define INDENT_MAX 12 /* levels of the tree that are drawn */

/* One sign for what is to be known of a row's numbers; the help explains them. */
static char mark_of(const struct mt_tui *t, const struct mt_process *p)
{
	if (p->final)
		return 'x';
	if (p->now->lost)
		return '!';
	if (t->store.based && !p->base)
		return 'n';
	return p->since == MT_SINCE_ATTACH ? '*' : ' ';
}

static enum mt_style mark_style(char mark)
{
	return mark == '!' ? MT_STYLE_WARN : mark == 'n' ? MT_STYLE_MORE : MT_STYLE_DIM;
}

/*
 * Numbers stand at the right of their columns, texts one column off the left.
 * Fills x with where each column begins, -1 where the screen is too narrow.
 */
static void place_columns(const struct mt_page *p, int x[MT_COLUMNS_MAX])
{
	int at = 0;

	for (size_t i = 0; i < mt_columns_count; i++) {
		const struct mt_column *c = &mt_columns[i];

		x[i] = p->cols >= c->min_cols ? at : -1;
		if (x[i] >= 0)
			at += c->width + (i == 0); /* the mark */
	}
}

static int text_width(const struct mt_column *c, const struct mt_page *p, int x)
{
	return c->width ? c->width - 1 : p->cols - x - 1;
}

static void paint_heading(const struct mt_tui *t, struct mt_page *p, int y)
{
	int x[MT_COLUMNS_MAX];

	place_columns(p, x);
	mt_page_style(p, y, 0, p->cols, MT_STYLE_HEAD);
	for (size_t i = 0; i < mt_columns_count; i++) {
		const struct mt_column *c = &mt_columns[i];
		enum mt_style style = (int)i == t->sort ? MT_STYLE_SORTED : MT_STYLE_HEAD;

		if (x[i] >= 0 && c->text)
			mt_page_text(p, y, x[i] + 1, text_width(c, p, x[i]), style, c->title);
		else if (x[i] >= 0)
			mt_page_right(p, y, x[i], c->width, style, c->title);
	}
}

/* The lines of the tree in front of a name; their columns. */
static int paint_rails(struct mt_page *p, int y, int x, const struct mt_row *row)
{
	unsigned int depth = row->depth < INDENT_MAX ? row->depth : INDENT_MAX;

	for (unsigned int d = 1; d < depth; d++)
		if (row->rails >> (d - 1) & 1)
			mt_page_char(p, y, x + 2 * (int)(d - 1), MT_STYLE_DIM, 0x2502, '|');
	if (!depth)
		return 0;
	mt_page_char(p, y, x + 2 * (int)(depth - 1), MT_STYLE_DIM, row->last ? 0x2514 : 0x251c,
		     row->last ? '`' : '|');
	mt_page_char(p, y, x + 2 * (int)(depth - 1) + 1, MT_STYLE_DIM, 0x2500, '-');
	return 2 * (int)depth;
}

static enum mt_style number_style(const struct mt_tui *t, const struct mt_column *c,
				  const struct mt_process *p)
{
	bool signs = (t->store.based && c->level) || !strcmp(c->name, "growth");
	int64_t v;

	if (!signs || !c->value(p, t->store.based, &v) || !v)
		return MT_STYLE_PLAIN;
	return v > 0 ? MT_STYLE_MORE : MT_STYLE_LESS;
}

static void paint_row(const struct mt_tui *t, struct mt_page *p, int y, const struct mt_row *row,
		      const int x[MT_COLUMNS_MAX])
{
	const struct mt_process *of = row->p;
	enum mt_style plain = of->matches && !of->final ? MT_STYLE_PLAIN : MT_STYLE_DIM;
	char buf[MT_NUMBER_SIZE], mark[2] = {mark_of(t, of), '\0'};

	for (size_t i = 0; i < mt_columns_count; i++) {
		const struct mt_column *c = &mt_columns[i];
		int indent = 0;

		if (x[i] < 0)
			continue;
		if (!c->text) {
			mt_page_right(p, y, x[i], c->width, number_style(t, c, of),
				      mt_column_format(c, of, t->store.based, buf));
			continue;
		}
		if (!c->width)
			indent = paint_rails(p, y, x[i] + 1, row);
		mt_page_text(p, y, x[i] + 1 + indent, text_width(c, p, x[i]) - indent, plain,
			     c->text(of));
	}
	mt_page_text(p, y, mt_columns[0].width, 1, mark_style(mark[0]), mark);
}

/* The cursor is on the screen, and no line below the last row is left unused. */
static void scroll_rows(struct mt_tui *t, size_t n)
{
	size_t rows = t->rows.n;

	if (t->at < t->top)
		t->top = t->at;
	if (t->at >= t->top + n)
		t->top = t->at - n + 1;
	if (t->top + n > rows)
		t->top = rows > n ? rows - n : 0;
}

static void paint_none(const struct mt_tui *t, struct mt_page *p, int y)
{
	const char *what =
		t->store.n ? "no process matches the filter; Esc drops it" : "no process is traced";

	mt_page_text(p, y, 1, p->cols - 1, MT_STYLE_DIM, what);
}

void mt_view_paint_list(struct mt_tui *t, struct mt_page *p, int y, int n)
{
	int x[MT_COLUMNS_MAX], heading = n >= 2;

	if (heading)
		paint_heading(t, p, y);
	y += heading;
	n -= heading;
	t->page_rows = (size_t)n;
	scroll_rows(t, (size_t)n);
	place_columns(p, x);
	for (int i = 0; i < n && t->top + (size_t)i < t->rows.n; i++) {
		size_t at = t->top + (size_t)i;

		paint_row(t, p, y + i, &t->rows.v[at], x);
		if (at == t->at)
			mt_page_style(p, y + i, 0, p->cols, MT_STYLE_SELECTED);
	}
	if (!t->rows.n)
		paint_none(t, p, y);
}
