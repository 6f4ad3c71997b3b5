/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/vm_internal.h"

#include <errno.h>
#include <stdlib.h>

#define SEGS_MAX (1u << 15)

/*
 * Pages looked at in one reading, at 0.9 us each: of what was never seen, the
 * more if it is the first reading, and of what was. One stretch gets half.
 */
#define FRESH_FIRST 12288u
#define FRESH       8192u
#define AGAIN       1024u

int mt_vm_cache_begin(struct mt_vm_cache **cache)
{
	if (!*cache)
		*cache = calloc(1, sizeof(**cache));
	if (!*cache)
		return -ENOMEM;
	(*cache)->fresh = (*cache)->known ? FRESH : FRESH_FIRST;
	(*cache)->again = (*cache)->known ? AGAIN : 0;
	(*cache)->known = true;
	return 0;
}

void mt_vm_cache_free(struct mt_vm_cache **cache)
{
	if (!*cache)
		return;
	free((*cache)->old.v);
	free((*cache)->now.v);
	free(*cache);
	*cache = NULL;
}

static bool grow(struct mt_vm_segs *s)
{
	size_t bigger = s->cap ? s->cap * 2 : 64;
	struct mt_vm_seg *v;

	if (s->n < s->cap)
		return true;
	if (s->n >= SEGS_MAX)
		return false;
	v = realloc(s->v, bigger * sizeof(*v));
	if (!v)
		return false;
	s->v = v;
	s->cap = bigger;
	return true;
}

void mt_vm_cache_note(struct mt_vm_cache *c, uint64_t lo, uint64_t hi, bool items)
{
	struct mt_vm_segs *s = &c->now;

	if (lo >= hi)
		return;
	if (s->n && s->v[s->n - 1].hi == lo && mt_vm_seg_items(&s->v[s->n - 1]) == items)
		s->v[s->n - 1].hi = hi;
	else if (grow(s) && s->v)
		s->v[s->n++] = (struct mt_vm_seg){lo | (items ? MT_VM_SEG_ITEMS : 0), hi};
}

const struct mt_vm_seg *mt_vm_cache_find(struct mt_vm_cache *c, uint64_t addr)
{
	while (c->at < c->old.n && c->old.v[c->at].hi <= addr)
		c->at++;
	return c->at < c->old.n ? &c->old.v[c->at] : NULL;
}

void mt_vm_cache_start(struct mt_vm_cache *c)
{
	c->now.n = 0;
	c->at = 0;
}

void mt_vm_cache_finish(struct mt_vm_cache *c)
{
	struct mt_vm_segs old = c->old;

	c->old = c->now;
	c->now = old;
	/* Everything has been looked at again: from the start next time. */
	if (c->again)
		c->cursor = 0;
}
