/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/diff_pairs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

/* Adds a snapshot of each target. */
static int fill(struct mt_diff_pairs *p, enum mt_vm_depth depth, const char *event,
		struct mt_moment *m)
{
	for (size_t i = 0; i < mt_session_count(p->session); i++) {
		_cleanup_free_ struct mt_snapshot *s = NULL;
		int r = mt_session_snapshot(p->session, i, depth, &s);

		if (r)
			return mt_err_r(r, "cannot take a snapshot: %s", strerror(-r));
		snprintf(s->event, sizeof(s->event), "%s", event);
		p->lost = p->lost || mt_snapshot_lost(s);
		r = mt_moment_add(m, &s);
		if (r)
			return mt_err_r(r, "out of memory");
	}
	return 0;
}

static int take(struct mt_diff_pairs *p, enum mt_vm_depth depth, const char *event,
		struct mt_moment *ret)
{
	struct mt_moment m = {0};
	int r = fill(p, depth, event, &m);

	if (r)
		mt_moment_fini(&m);
	else
		*ret = m;
	return r;
}

int mt_diff_pairs_look(struct mt_diff_pairs *p, enum mt_vm_depth depth, struct mt_moment *ret)
{
	return take(p, depth, "", ret);
}

/* All that can be read of them, at one moment each. */
static int take_whole(struct mt_diff_pairs *p, const char *event, struct mt_moment *ret)
{
	int r;

	mt_session_freeze(p->session, p->freeze);
	r = take(p, MT_VM_FULL, event, ret);
	mt_session_freeze(p->session, false);
	return r;
}

static int keep(struct mt_diff_pairs *p, const char *event)
{
	struct mt_moment *v = reallocarray(p->v, p->n + 1, sizeof(*v));
	int r;

	if (!v)
		return mt_err_r(-ENOMEM, "out of memory");
	p->v = v;
	r = take_whole(p, event, &v[p->n]);
	if (!r)
		p->n++;
	return r;
}

bool mt_diff_pairs_begun(const struct mt_diff_pairs *p)
{
	return p->old < p->n;
}

int mt_diff_pairs_begin(struct mt_diff_pairs *p)
{
	while (!p->joined && mt_diff_pairs_begun(p))
		mt_moment_fini(&p->v[--p->n]);
	p->old = p->n;
	return keep(p, "before");
}

int mt_diff_pairs_end(struct mt_diff_pairs *p)
{
	struct mt_moment *pairs;
	int r = keep(p, "after");

	if (r)
		return r;
	pairs = reallocarray(p->pairs, p->done + 1, 2 * sizeof(*pairs));
	if (!pairs)
		return mt_err_r(-ENOMEM, "out of memory");
	p->pairs = pairs;
	pairs[2 * p->done] = p->v[p->old];
	pairs[2 * p->done + 1] = p->v[p->n - 1];
	p->old = p->joined ? p->n - 1 : p->n;
	p->done++;
	return 0;
}

int mt_diff_pairs_so_far(struct mt_diff_pairs *p, struct mt_moment ret[2])
{
	ret[0] = p->v[p->old];
	return take_whole(p, "SIGUSR1", &ret[1]);
}

void mt_diff_pairs_forget(struct mt_diff_pairs *p)
{
	for (size_t i = 0; i < p->old; i++)
		mt_moment_fini(&p->v[i]);
	p->n -= p->old;
	memmove(p->v, p->v + p->old, p->n * sizeof(*p->v));
	p->old = 0;
	p->done = 0;
}

void mt_diff_pairs_fini(struct mt_diff_pairs *p)
{
	for (size_t i = 0; i < p->n; i++)
		mt_moment_fini(&p->v[i]);
	free(p->v);
	free(p->pairs);
	*p = (struct mt_diff_pairs){0};
}
