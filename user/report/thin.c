/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which snapshots a report keeps when there are more than it has room for. They are
 * taken in strides of as many snapshots, and of each stride those stay in which any
 * of the numbers that are drawn is at its highest, or a level at its lowest; the
 * first and the last snapshot, and those with a mark, stay always. When there is no
 * room again the stride doubles: what is highest of two strides was highest of its
 * own, so that no peak is ever lost.
 */
#include <string.h>

#include "report/internal.h"

/* Marks in keep which of the n points are extremes. */
static void choose(struct point *const *v, size_t n, bool *keep)
{
	for (size_t k = 0; k < TRACKED; k++) {
		size_t lowest = 0, highest = 0;

		for (size_t i = 1; i < n; i++) {
			if (v[i]->track[k] > v[highest]->track[k])
				highest = i;
			if (v[i]->track[k] < v[lowest]->track[k])
				lowest = i;
		}
		keep[highest] = true;
		if (k < LEVELS)
			keep[lowest] = true;
	}
	for (size_t i = 0; i < n; i++)
		keep[i] = keep[i] || (v[i]->flags & POINT_PINNED);
}

static void thin_once(struct process *p)
{
	bool keep[POINTS_MAX + 1] = {false};
	size_t n = 0;

	for (size_t i = 0, end; i < p->n_points; i = end) {
		const uint64_t stride = p->points[i]->ordinal / p->stride;

		for (end = i + 1; end < p->n_points; end++)
			if (p->points[end]->ordinal / p->stride != stride)
				break;
		choose(p->points + i, end - i, keep + i);
	}
	keep[0] = true;
	keep[p->n_points - 1] = true;
	for (size_t i = 0; i < p->n_points; i++) {
		if (keep[i])
			p->points[n++] = p->points[i];
		else
			mt_report_point_free(&p->points[i]);
	}
	p->n_points = n;
}

void mt_report_thin(struct process *p, size_t most)
{
	/* those that came since the last time have not been thinned yet */
	thin_once(p);
	while (p->n_points > most && p->stride <= p->snapshots) {
		p->stride *= 2;
		thin_once(p);
	}
}

/* The longest of each stride of pauses. */
static void thin_pauses(struct process *p)
{
	size_t n = 0;

	p->pause_stride *= 2;
	for (size_t i = 0; i < p->n_pauses; i++) {
		struct pause *to = n ? &p->pauses[n - 1] : NULL;
		const struct pause *from = &p->pauses[i];

		if (!to || to->ordinal / p->pause_stride != from->ordinal / p->pause_stride)
			p->pauses[n++] = *from;
		else if (from->ns > to->ns)
			*to = *from;
	}
	p->n_pauses = n;
}

void mt_report_pause_add(struct process *p, uint64_t end_ns, uint64_t ns)
{
	while (p->n_pauses >= PAUSES_MAX)
		thin_pauses(p);
	p->pauses[p->n_pauses++] = (struct pause){end_ns, ns, p->all_pauses++};
}
