/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/history.h"

#include "base/clock.h"
#include "tui/number.h"

#define STEP_MIN_NS UINT64_C(2000000000)
#define MINUTE_NS   UINT64_C(60000000000)
#define GROWTH_MIN  UINT64_C(5000000000)

uint64_t mt_history_step(uint64_t interval_ns)
{
	uint64_t step = interval_ns > UINT64_MAX / 2 ? UINT64_MAX : 2 * interval_ns;

	return step < STEP_MIN_NS ? STEP_MIN_NS : step;
}

const struct mt_point *mt_history_at(const struct mt_history *h, unsigned int i)
{
	return &h->v[(h->first + i) % MT_HISTORY_POINTS];
}

void mt_history_clear(struct mt_history *h)
{
	h->first = 0;
	h->n = 0;
}

void mt_history_add(struct mt_history *h, const struct mt_point *p, uint64_t step_ns)
{
	unsigned int last;

	if (h->n) {
		last = (h->first + h->n - 1) % MT_HISTORY_POINTS;
		if (h->v[last].time_ns / step_ns >= p->time_ns / step_ns) {
			h->v[last] = *p;
			return;
		}
	}
	if (h->n == MT_HISTORY_POINTS)
		h->first = (h->first + 1) % MT_HISTORY_POINTS;
	else
		h->n++;
	h->v[(h->first + h->n - 1) % MT_HISTORY_POINTS] = *p;
}

static int64_t per_minute(int64_t bytes, uint64_t ns)
{
	double v = (double)bytes * ((double)MINUTE_NS / (double)ns);

	return v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? -INT64_MAX : (int64_t)v;
}

bool mt_history_growth(const struct mt_history *h, int64_t *bytes)
{
	const struct mt_point *now, *then;
	unsigned int i = h->n;

	if (!h->n)
		return false;
	now = mt_history_at(h, h->n - 1);
	do {
		then = mt_history_at(h, --i);
	} while (i && now->time_ns - then->time_ns < MINUTE_NS);
	if (now->time_ns - then->time_ns < GROWTH_MIN)
		return false;
	*bytes = per_minute(mt_difference(now->alloc, then->alloc), now->time_ns - then->time_ns);
	return true;
}
