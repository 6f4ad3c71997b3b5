/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/diff.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/diff_internal.h"

void mt_moment_fini(struct mt_moment *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i]);
	free(m->v);
	*m = (struct mt_moment){0};
}

int mt_moment_add(struct mt_moment *m, struct mt_snapshot **s)
{
	/* Room doubles, at the sizes 0, 4, 8, 16, ... */
	if (!m->n || (m->n >= 4 && !(m->n & (m->n - 1)))) {
		struct mt_snapshot **v =
			reallocarray(m->v, m->n ? 2 * m->n : 4, sizeof(struct mt_snapshot *));

		if (!v)
			return -ENOMEM;
		m->v = v;
	}
	m->v[m->n++] = TAKE_PTR(*s);
	return 0;
}

static int by_process(const void *a, const void *b)
{
	const struct mt_snapshot *x = *(const struct mt_snapshot *const *)a;
	const struct mt_snapshot *y = *(const struct mt_snapshot *const *)b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return (x->start_time > y->start_time) - (x->start_time < y->start_time);
}

static const struct mt_snapshot *find(const struct mt_moment *m, const struct mt_snapshot *s)
{
	struct mt_snapshot **at =
		m->n ? bsearch(&s, m->v, m->n, sizeof(struct mt_snapshot *), by_process) : NULL;

	return at ? *at : NULL;
}

/* What is compared, and how it is told apart. */
struct build {
	const struct mt_moment *m;
	size_t repetitions;
	bool single; /* one process in each moment: that is the one */
	struct mt_diff_series pairs;
	struct mt_diff *d;
};

static const struct mt_snapshot *match(const struct build *b, const struct mt_moment *m,
				       const struct mt_snapshot *s)
{
	return b->single ? m->v[0] : find(m, s);
}

static bool is_in(const struct build *b, const struct mt_moment *m, const struct mt_snapshot *s)
{
	return b->single || find(m, s);
}

static int set_process(struct build *b, const struct mt_snapshot *s)
{
	struct mt_diff_process *p;
	int r;

	b->pairs.n = 0;
	for (size_t i = 0; i < b->repetitions; i++) {
		const struct mt_snapshot *old = match(b, &b->m[2 * i], s);
		const struct mt_snapshot *new = match(b, &b->m[2 * i + 1], s);

		/* one that ended in an earlier repetition is not in this one */
		if (old && new && !(old->final && b->pairs.n)) {
			b->pairs.v[2 * b->pairs.n] = old;
			b->pairs.v[2 * b->pairs.n++ + 1] = new;
		}
	}
	if (!b->pairs.n)
		return 0; /* it is at least in the last pair */
	p = &b->d->v[b->d->n++];
	p->first = b->pairs.v[0];
	p->old = b->pairs.v[2 * b->pairs.n - 2];
	p->new = b->pairs.v[2 * b->pairs.n - 1];
	p->repetitions = b->pairs.n;
	p->rebased = p->first->since != p->new->since ||
		     (p->new->since == MT_SINCE_ATTACH && !mt_diff_same_trace(p->first, p->new));
	r = mt_diff_rows(&b->pairs, p);
	if (!r)
		r = mt_diff_heaps(&b->pairs, b->d->what, p);
	return r ? r : mt_diff_notes(p);
}

static int fill(struct build *b)
{
	const struct mt_moment *old = &b->m[2 * b->repetitions - 2];
	const struct mt_moment *new = &b->m[2 * b->repetitions - 1];
	struct mt_diff *d = b->d;
	int r = 0;

	d->v = calloc(new->n + 1, sizeof(*d->v));
	d->came = calloc(new->n + 1, sizeof(struct mt_snapshot *));
	d->went = calloc(old->n + 1, sizeof(struct mt_snapshot *));
	b->pairs.v = calloc(2 * b->repetitions + 1, sizeof(struct mt_snapshot *));
	b->pairs.changes = calloc(b->repetitions + 1, sizeof(int64_t));
	if (!d->v || !d->came || !d->went || !b->pairs.v || !b->pairs.changes)
		return -ENOMEM;
	/* Totals are the sum of the others. */
	for (size_t i = 0; i < new->n && !r; i++) {
		if (!new->v[i]->processes && is_in(b, old, new->v[i]))
			r = set_process(b, new->v[i]);
		else if (!new->v[i]->processes)
			d->came[d->n_came++] = new->v[i];
	}
	for (size_t i = 0; i < old->n; i++)
		if (!old->v[i]->processes && !is_in(b, new, old->v[i]))
			d->went[d->n_went++] = old->v[i];
	return r;
}

static uint64_t sum_of(const struct mt_moment *m, uint64_t (*of)(const struct mt_snapshot *))
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->n; i++)
		if (!m->v[i]->processes && __builtin_add_overflow(sum, of(m->v[i]), &sum))
			return UINT64_MAX;
	return sum;
}

static uint64_t alloc_of(const struct mt_snapshot *s)
{
	return s->memstats.alloc;
}

static uint64_t rss_of(const struct mt_snapshot *s)
{
	return s->vm.rss;
}

static struct mt_diff_row total(const struct mt_moment *pair, const char *name,
				uint64_t (*of)(const struct mt_snapshot *))
{
	struct mt_diff_row row = {.unit = MT_FIELD_BYTES};

	snprintf(row.name, sizeof(row.name), "%s", name);
	row.old = sum_of(&pair[0], of);
	row.new = sum_of(&pair[1], of);
	row.change = mt_diff_between(row.new, row.old, false);
	row.median = row.min = row.max = row.change;
	return row;
}

/* Growth of live bytes, C's in a Go program too. */
static __int128 growth(const struct mt_diff_process *p)
{
	__int128 sum = 0;

	sum += (__int128)mt_snapshot_net_bytes(p->new) - mt_snapshot_net_bytes(p->old);
	sum += (__int128)mt_classes_net_bytes(p->new->native.cls) -
	       mt_classes_net_bytes(p->old->native.cls);
	return sum;
}

static int by_growth(const void *a, const void *b)
{
	const struct mt_diff_process *x = a, *y = b;
	const __int128 g = growth(x), h = growth(y);

	if (x->rebased != y->rebased)
		return x->rebased ? 1 : -1;
	if (g != h)
		return g > h ? -1 : 1;
	return by_process(&x->new, &y->new);
}

static int by_live(const void *a, const void *b)
{
	const struct mt_snapshot *x = *(const struct mt_snapshot *const *)a;
	const struct mt_snapshot *y = *(const struct mt_snapshot *const *)b;

	if (x->memstats.alloc != y->memstats.alloc)
		return x->memstats.alloc > y->memstats.alloc ? -1 : 1;
	return by_process(a, b);
}

static void sort(struct mt_diff *d)
{
	qsort(d->v, d->n, sizeof(*d->v), by_growth);
	qsort(d->came, d->n_came, sizeof(struct mt_snapshot *), by_live);
	qsort(d->went, d->n_went, sizeof(struct mt_snapshot *), by_live);
}

int mt_diff_new(const struct mt_moment *m, size_t repetitions, const char *what,
		struct mt_diff **ret)
{
	struct build b = {.m = m, .repetitions = repetitions, .single = true};
	int r;

	b.d = calloc(1, sizeof(*b.d));
	if (!b.d)
		return -ENOMEM;
	b.d->repetitions = repetitions;
	b.d->what = what ? what : "repetition";
	for (size_t i = 0; i < 2 * repetitions; i++) {
		b.single = b.single && m[i].n == 1;
		if (m[i].n)
			qsort(m[i].v, m[i].n, sizeof(struct mt_snapshot *), by_process);
	}
	r = fill(&b);
	free(b.pairs.v);
	free(b.pairs.changes);
	if (r) {
		mt_diff_free(&b.d);
		return r;
	}
	sort(b.d);
	if (repetitions) {
		b.d->alloc = total(&m[2 * repetitions - 2], "Alloc", alloc_of);
		b.d->rss = total(&m[2 * repetitions - 2], "rss", rss_of);
	}
	*ret = b.d;
	return 0;
}

static void free_notes(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

void mt_diff_free(struct mt_diff **d)
{
	if (!*d)
		return;
	for (size_t i = 0; i < (*d)->n; i++) {
		struct mt_diff_process *p = &(*d)->v[i];

		free(p->rows);
		free(p->heap.classes);
		free(p->native.classes);
		free_notes(p->notes, p->n_notes);
	}
	free((*d)->v);
	free((*d)->came);
	free((*d)->went);
	free_notes((*d)->notes, (*d)->n_notes);
	free(*d);
	*d = NULL;
}

int mt_diff_note(struct mt_diff *d, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = mt_diff_add_note(&d->notes, &d->n_notes, fmt, ap);
	va_end(ap);
	return r;
}

bool mt_diff_lost(const struct mt_diff *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (mt_snapshot_lost(d->v[i].old) || mt_snapshot_lost(d->v[i].new))
			return true;
	for (size_t i = 0; i < d->n_came; i++)
		if (mt_snapshot_lost(d->came[i]))
			return true;
	for (size_t i = 0; i < d->n_went; i++)
		if (mt_snapshot_lost(d->went[i]))
			return true;
	return false;
}
