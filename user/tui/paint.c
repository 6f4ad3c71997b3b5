/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The whole screen: title, status, the list or a text that is scrolled, the last line. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "base/writer.h"
#include "tui/number.h"
#include "tui/view.h"

#define NS_PER_MS 1000000

struct hint {
	const char *key, *what;
};

static const struct hint list_hints[] = {
	{"Enter", "open"},  {"<>", "sort"}, {"/", "filter"}, {"t", "tree"}, {"d", "base"},
	{"Space", "pause"}, {"s", "save"},  {"?", "help"},   {"q", "quit"}, {NULL, NULL},
};

static const struct hint process_hints[] = {
	{"Esc", "back"}, {"Tab", "section"}, {"PgDn", "more"}, {"d", "base"}, {"Space", "pause"},
	{"s", "save"},   {"?", "help"},      {"F10", "quit"},  {NULL, NULL},
};

static const struct hint help_hints[] = {
	{"Esc", "back"}, {"PgDn", "more"}, {"F10", "quit"}, {NULL, NULL}};

static void paint_hints(struct mt_page *p, int y, const struct hint *h)
{
	int x = 0;

	for (; h->key; h++) {
		int n = (int)(strlen(h->key) + strlen(h->what));

		if (x + n + 2 > p->cols)
			break;
		x += mt_page_text(p, y, x, p->cols - x, MT_STYLE_KEY, h->key);
		x += 1 + mt_page_text(p, y, x + 1, p->cols - x, MT_STYLE_PLAIN, h->what);
		x += 1;
	}
}

/* The end of what is typed stays in sight. */
static void paint_prompt(const struct mt_tui *t, struct mt_page *p, int y)
{
	int x = mt_page_text(p, y, 0, p->cols, MT_STYLE_BOLD, "Filter: ");
	const char *s = t->filter;

	while (*s && mt_page_columns(p, s, p->cols) > p->cols - x - 1)
		s++;
	x += mt_page_text(p, y, x, p->cols - x, MT_STYLE_PLAIN, s);
	mt_page_text(p, y, x, 1, MT_STYLE_SELECTED, " ");
}

static void paint_last(const struct mt_tui *t, struct mt_page *p, int y)
{
	if (t->prompt)
		paint_prompt(t, p, y);
	else if (t->message[0])
		mt_page_text(p, y, 0, p->cols, MT_STYLE_BOLD, t->message);
	else
		paint_hints(p, y,
			    t->help                      ? help_hints
			    : t->mode == MT_MODE_PROCESS ? process_hints
							 : list_hints);
}

struct totals {
	size_t n, lost;
	int64_t alloc, rate, sys;
};

static int64_t sum(int64_t a, int64_t b)
{
	int64_t v;

	return __builtin_add_overflow(a, b, &v) ? INT64_MAX : v;
}

static struct totals add_up(const struct mt_store *s)
{
	struct totals all = {0};

	for (size_t i = 0; i < s->n; i++) {
		const struct mt_process *p = s->v[i];

		if (p->final)
			continue;
		all.n++;
		all.lost += p->now->lost > 0;
		all.alloc = sum(all.alloc, mt_signed(p->now->alloc));
		all.sys = sum(all.sys, mt_signed(p->now->sys));
		if (p->rated)
			all.rate = sum(all.rate, p->alloc_rate);
	}
	return all;
}

static void paint_title(const struct mt_tui *t, struct mt_page *p, int y)
{
	char time[MT_TIME_SIZE], alloc[MT_NUMBER_SIZE], rate[MT_NUMBER_SIZE], sys[MT_NUMBER_SIZE];
	struct totals all = add_up(&t->store);
	int x;

	mt_format_time(time, sizeof(time), t->store.time_ns);
	x = mt_page_text(p, y, 0, p->cols, MT_STYLE_BOLD, "memtrace top");
	x += mt_page_printf(
		p, y, x, p->cols - x, MT_STYLE_PLAIN, "  %.8sZ  %zu %s  Alloc %s, %s/s  Sys %s",
		time + 11, all.n, all.n == 1 ? "process" : "processes",
		mt_number_bytes(alloc, all.alloc, false), mt_number_bytes(rate, all.rate, false),
		mt_number_bytes(sys, all.sys, false));
	if (all.lost)
		mt_page_printf(p, y, x, p->cols - x, MT_STYLE_WARN, "  %zu inexact", all.lost);
}

/* What memtrace itself costs, at the right end. Returns its first column. */
static int paint_tracer(const struct mt_store *s, struct mt_page *p, int y)
{
	char rss[MT_NUMBER_SIZE], text[96];
	int n;

	mt_number_bytes(rss, mt_signed(s->tracer.rss), false);
	if (s->cpu_permille < 0)
		n = snprintf(text, sizeof(text), "memtrace: %s", rss);
	else
		n = snprintf(text, sizeof(text), "memtrace: %" PRId64 ".%" PRId64 "%% CPU, %s",
			     s->cpu_permille / 10, s->cpu_permille % 10, rss);
	if (n + 20 > p->cols)
		return p->cols;
	mt_page_right(p, y, p->cols - n, n, MT_STYLE_DIM, text);
	return p->cols - n - 1;
}

static void paint_status(const struct mt_tui *t, struct mt_page *p, int y)
{
	int end = paint_tracer(&t->store, p, y), x = 0;
	char since[MT_NUMBER_SIZE];

	if (t->paused)
		x += mt_page_text(p, y, x, end - x, MT_STYLE_WARN, "PAUSED  ");
	if (t->mode == MT_MODE_LIST) {
		x += mt_page_printf(p, y, x, end - x, MT_STYLE_PLAIN, "by %s%s%s  ",
				    mt_columns[t->sort].title, t->reverse ? " reversed" : "",
				    t->tree ? ", tree" : "");
		if (t->filter[0]) {
			x += mt_page_text(p, y, x, end - x, MT_STYLE_BOLD, "filter ");
			x += mt_page_text(p, y, x, end - x, MT_STYLE_BOLD, t->filter);
			x += 2;
		}
	}
	if (t->store.based)
		mt_page_printf(p, y, x, end - x, MT_STYLE_BOLD, "differences since %s ago",
			       mt_number_time(since, t->store.uptime_ns - t->store.base_ns));
}

/* A text of which rows y to y + n are seen. */
static void paint_scrolled(struct mt_tui *t, struct mt_page *p, int y, int n,
			   const struct mt_page *text)
{
	t->scroll_max = text->rows > n ? text->rows - n : 0;
	t->scroll_page = n > 1 ? n - 1 : 1;
	if (t->scroll > t->scroll_max)
		t->scroll = t->scroll_max;
	mt_page_copy(p, y, text, t->scroll, n);
}

static void paint_body(struct mt_tui *t, struct mt_page *p, int y, int n)
{
	const struct mt_process *open = mt_view_open(t);
	struct mt_page text = {0};
	int r;

	if (!t->help && !open) {
		mt_view_paint_list(t, p, y, n);
		return;
	}
	r = t->help ? mt_view_make_help(&text, p->cols, p->utf8)
		    : mt_view_make_process(t, open, &text, p->cols, p->utf8);
	if (r)
		mt_page_text(p, y, 0, p->cols, MT_STYLE_WARN, "out of memory");
	else
		paint_scrolled(t, p, y, n, &text);
	mt_page_fini(&text);
}

/*
 * What a small screen goes without, in this order: the status, the last line
 * but for what is typed or said, and, on a single line, the list.
 */
void mt_tui_paint(struct mt_tui *t, struct mt_page *p)
{
	bool said = t->prompt || t->message[0];
	int status = p->rows >= 6, last = p->rows >= 4 || (said && p->rows > 1);
	int body = p->rows - 1 - status - last;

	if (p->rows == 1 && said) {
		paint_last(t, p, 0);
		return;
	}
	paint_title(t, p, 0);
	if (status)
		paint_status(t, p, 1);
	if (body > 0)
		paint_body(t, p, 1 + status, body);
	if (last)
		paint_last(t, p, p->rows - 1);
}
