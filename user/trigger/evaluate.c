/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a condition holds. */
#include "trigger/condition.h"

static double memstats_value(const struct mt_field *f, const struct memtrace_memstats *m)
{
	switch (f->type) {
	case MT_FIELD_DOUBLE:
		return mt_field_double(f, m);
	case MT_FIELD_BOOL:
		return mt_field_bool(f, m);
	case MT_FIELD_U64:
	case MT_FIELD_U32:
		break;
	}
	return (double)mt_field_u64(f, m);
}

bool mt_condition_value(const struct mt_condition *c, const struct mt_snapshot *s, double *v)
{
	const char *vm = (const char *)&s->vm;

	if (!c->field) {
		*v = (double)*(const uint64_t *)(const void *)(vm + c->vm_offset);
		return s->vm.known;
	}
	*v = memstats_value(c->field, &s->memstats);
	if (c->unit != MT_FIELD_TIME)
		return true;
	/* 0: it never was */
	if (*v <= 0)
		return false;
	*v = (double)s->time_ns - *v;
	return true;
}

static double amount_of(const struct mt_condition *c, uint64_t limit)
{
	return c->percent ? c->amount * (double)limit : c->amount;
}

bool mt_condition_holds(const struct mt_condition *c, double v, uint64_t limit)
{
	const double amount = amount_of(c, limit);

	switch (c->op) {
	case MT_OP_ABOVE:
		return v > amount;
	case MT_OP_FROM:
		return v >= amount;
	case MT_OP_BELOW:
		return v < amount;
	case MT_OP_TO:
		return v <= amount;
	case MT_OP_GROWS:
		break;
	}
	return false;
}

#define SLOTS (sizeof(((struct mt_growth *)0)->at) / sizeof(((struct mt_growth *)0)->at[0]))

static unsigned int slot(const struct mt_growth *g, unsigned int i)
{
	return (unsigned int)((g->first + i) % SLOTS);
}

bool mt_condition_grew(const struct mt_condition *c, struct mt_growth *g, uint64_t ns, double v,
		       uint64_t limit)
{
	const uint64_t step = c->window_ns / MT_GROWTH_STEPS;
	double over;

	/* the first that stays is the newest that is a whole window old */
	while (g->n > 1 && ns - g->at[slot(g, 1)].ns >= c->window_ns) {
		g->first = slot(g, 1);
		g->n--;
	}
	if (g->n < SLOTS && (!g->n || ns - g->at[slot(g, g->n - 1)].ns >= step)) {
		g->at[slot(g, g->n)].ns = ns;
		g->at[slot(g, g->n)].v = v;
		g->n++;
	}
	over = (double)(ns - g->at[g->first].ns);
	return over >= (double)c->window_ns &&
	       (v - g->at[g->first].v) * (double)c->window_ns >= amount_of(c, limit) * over;
}
