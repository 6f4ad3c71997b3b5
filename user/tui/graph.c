/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/view.h"

#define EIGHTHS 8

/* The highest value of each column of time; -1 in one without a point. */
static void fill_columns(double *v, int w, const struct mt_history *h, uint64_t step_ns, bool sys)
{
	uint64_t per = (MT_HISTORY_POINTS + (uint64_t)w - 1) / (uint64_t)w, newest;

	for (int i = 0; i < w; i++)
		v[i] = -1;
	if (!h->n)
		return;
	/* whole columns of time, so that no point moves from one to another as time goes on */
	newest = mt_history_at(h, h->n - 1)->time_ns / step_ns / per;
	for (unsigned int i = 0; i < h->n; i++) {
		const struct mt_point *p = mt_history_at(h, i);
		uint64_t back = newest - p->time_ns / step_ns / per;
		double value = (double)(sys ? p->sys : p->alloc);

		if (back < (uint64_t)w && value > v[w - 1 - (int)back])
			v[w - 1 - (int)back] = value;
	}
}

static void paint_column(struct mt_page *p, int y, int x, int h, double share, enum mt_style style)
{
	int eighths = (int)(share * h * EIGHTHS + 0.5);

	if (eighths < 1)
		eighths = 1; /* there was a value */
	for (int i = 0; i < h && eighths > 0; i++, eighths -= EIGHTHS) {
		int part = eighths < EIGHTHS ? eighths : EIGHTHS;

		mt_page_char(p, y + h - 1 - i, x, style, 0x2580 + (uint32_t)part,
			     part > EIGHTHS / 2 ? '#'
			     : part > 1         ? ':'
						: '.');
	}
}

void mt_view_paint_graph(struct mt_page *p, int y, int x, int h, int w,
			 const struct mt_history *history, uint64_t step_ns, bool sys)
{
	double v[MT_HISTORY_POINTS], max = 0;

	if (w > MT_HISTORY_POINTS) {
		x += w - MT_HISTORY_POINTS;
		w = MT_HISTORY_POINTS;
	}
	if (w < 1)
		return;
	fill_columns(v, w, history, step_ns, sys);
	for (int i = 0; i < w; i++)
		max = v[i] > max ? v[i] : max;
	for (int i = 0; i < w; i++)
		if (v[i] >= 0)
			paint_column(p, y, x + i, h, max > 0 ? v[i] / max : 0,
				     sys ? MT_STYLE_SYS : MT_STYLE_ALLOC);
}
