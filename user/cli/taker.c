/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Taking snapshots of what a trace has, and handing them out. */
#include "cli/taker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"

/* The snapshots of one moment. */
struct moment {
	struct mt_snapshot **v;
	const struct mt_snapshot **shown; /* the same, in the order of output */
	size_t n;
};

static void moment_fini(struct moment *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i]);
	free(m->v);
	free(m->shown);
}

static int moment_init(struct moment *m, size_t n)
{
	m->v = calloc(n + 1, sizeof(struct mt_snapshot *));
	m->shown = calloc(n + 1, sizeof(struct mt_snapshot *));
	return m->v && m->shown ? 0 : -ENOMEM;
}

#define _cleanup_moment_ __attribute__((cleanup(moment_fini)))

/* An audit that was asked for and could not be made proves nothing. */
static void check_audit(struct mt_taker *t, const struct mt_snapshot *s)
{
	if (s->audit.done != MT_BASELINE_UNKNOWN)
		return;
	mt_warn("pid %d: no audit: %s", s->pid, s->audit.why);
	t->unaudited = t->unaudited || !t->launched;
}

/* True if others may come that were not named: then there is a total. */
static bool many(const struct mt_taker *t)
{
	return t->follows || t->all;
}

/* What is shown: with -a not what has no allocator, and what was not asked for. */
static bool is_shown(const struct mt_taker *t, const struct mt_snapshot *s)
{
	if (!t->all)
		return true;
	return s->allocator[0] && mt_select_matches(t->select, s->comm, s->cgroup, s->container);
}

static int take_one(struct mt_taker *t, size_t i, enum mt_vm_depth depth, bool final, bool audit,
		    struct moment *m)
{
	struct mt_snapshot *s;
	int r = audit && t->audit ? mt_session_audit(t->session, i) : 0;

	if (!r)
		r = mt_session_snapshot(t->session, i, depth, &s);
	if (r)
		return r;
	if (!is_shown(t, s)) {
		free(s);
		return 0;
	}
	m->v[m->n++] = s;
	snprintf(s->event, sizeof(s->event), "%s", t->event);
	snprintf(s->label, sizeof(s->label), "%s", t->label ? t->label : "");
	s->final = s->final || final;
	if (s->final && many(t))
		mt_total_add(&t->total, s);
	t->lost = t->lost || mt_snapshot_lost(s);
	t->drifted = t->drifted || mt_audit_drifted(&s->audit);
	check_audit(t, s);
	return 0;
}

static int put(struct mt_taker *t, struct mt_output *out, struct moment *m)
{
	for (size_t i = 0; i < m->n; i++)
		m->shown[i] = m->v[i];
	if (t->all)
		mt_snapshot_sort(m->shown, m->n);
	if (many(t) && mt_session_count(t->session) > 1)
		t->crowd = true;
	if (t->crowd)
		mt_output_prefix(out);
	return mt_output_put(out, m->shown, m->n);
}

struct place {
	uint64_t ended; /* when */
	size_t i;       /* which target */
};

static int by_end(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->ended != y->ended)
		return x->ended < y->ended ? -1 : 1;
	return (x->i > y->i) - (x->i < y->i);
}

/* Those that have ended in the order in which they did, then, if wanted, those that live. */
static int list_targets(const struct mt_taker *t, bool living, struct place **ret, size_t *n)
{
	const size_t all = mt_session_count(t->session);
	struct place *v = calloc(all + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	*n = 0;
	for (size_t i = 0; i < all; i++) {
		uint64_t ended = mt_session_ended(t->session, i);

		if (ended || living)
			v[(*n)++] = (struct place){ended ? ended : UINT64_MAX, i};
	}
	qsort(v, *n, sizeof(*v), by_end);
	*ret = v;
	return 0;
}

int mt_take(struct mt_taker *t, bool final, bool audit)
{
	enum mt_vm_depth depth = t->all                   ? MT_VM_STATUS
				 : final || !t->taken     ? MT_VM_FULL
				 : t->format->totals_only ? MT_VM_STATUS
							  : MT_VM_PARTS;
	_cleanup_moment_ struct moment m = {0};
	_cleanup_free_ struct place *v = NULL;
	size_t n = 0;
	int r = list_targets(t, true, &v, &n);

	if (!r)
		r = moment_init(&m, n);
	for (size_t k = 0; k < n && !r; k++)
		r = take_one(t, v[k].i, depth, final, audit, &m);
	if (!r && m.n)
		r = put(t, t->out, &m);
	if (!r && m.n && final && t->table && t->total.sum.processes <= 1)
		r = put(t, t->table, &m);
	if (!final)
		mt_session_forget_ended(t->session);
	t->event[0] = '\0';
	t->taken++;
	return r;
}

static int take_ended_once(struct mt_taker *t)
{
	_cleanup_moment_ struct moment m = {0};
	_cleanup_free_ struct place *v = NULL;
	size_t n = 0;
	int r = list_targets(t, false, &v, &n);

	if (!r)
		r = moment_init(&m, n);
	for (size_t k = 0; k < n && !r; k++)
		r = take_one(t, v[k].i, MT_VM_STATUS, true, false, &m);
	if (!r && m.n)
		r = put(t, t->out, &m);
	mt_session_forget_ended(t->session);
	return r;
}

int mt_take_ended(struct mt_taker *t)
{
	int r = 0;

	/* meanwhile others may end */
	while (!r && !t->format->document &&
	       mt_session_count(t->session) != mt_session_alive(t->session))
		r = take_ended_once(t);
	return r;
}

int mt_take_total(struct mt_taker *t)
{
	_cleanup_free_ struct mt_snapshot *s = calloc(1, sizeof(*s));
	const struct mt_snapshot *v[] = {s};
	int r = 0;

	if (!s)
		return -ENOMEM;
	if (t->total.sum.processes <= 1 || t->format->document)
		return 0;
	mt_total_snapshot(&t->total, s);
	r = mt_output_put(t->out, v, 1);
	if (!r && t->table)
		r = mt_output_put(t->table, v, 1);
	return r;
}
