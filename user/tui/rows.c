/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mt_rows_match(const struct mt_process *p, const char *filter)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", p->pid);
	return !*filter || strcasestr(p->comm, filter) || strcasestr(p->container, filter) ||
	       !strcmp(pid, filter);
}

int mt_rows_reserve(struct mt_rows *r, size_t n)
{
	size_t cap = n < 64 ? 64 : n + n / 2;
	struct mt_process **order;
	struct mt_row *v;

	if (n <= r->cap)
		return 0;
	v = reallocarray(r->v, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	r->v = v;
	order = reallocarray(r->order, cap, sizeof(struct mt_process *));
	if (!order)
		return -ENOMEM;
	r->order = order;
	r->cap = cap;
	return 0;
}

void mt_rows_fini(struct mt_rows *r)
{
	free(r->v);
	free(r->order);
	*r = (struct mt_rows){0};
}

static int compare(const void *a, const void *b, void *ctx)
{
	const struct mt_rows_by *by = ctx;
	int r = mt_column_compare(by->column, *(struct mt_process *const *)a,
				  *(struct mt_process *const *)b, by->diff);

	return by->reverse ? -r : r;
}

/* Ancestors of what matches are shown with it; a loop of them ends at what is shown already. */
static void show_ancestors(const struct mt_store *s, struct mt_process *p)
{
	for (p = mt_store_parent(s, p); p && !p->shown; p = mt_store_parent(s, p))
		p->shown = true;
}

/* The processes that are shown, sorted; their number. */
static size_t choose(struct mt_rows *r, const struct mt_store *s, const struct mt_rows_by *by)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct mt_process *p = s->v[i];

		p->matches = mt_rows_match(p, by->filter);
		p->shown = p->matches;
		p->placed = false;
		p->parent = p->child = p->sibling = NULL;
	}
	/* an ancestor that matches itself was begun from, or will be */
	for (size_t i = 0; by->tree && *by->filter && i < s->n; i++)
		if (s->v[i]->matches)
			show_ancestors(s, s->v[i]);
	for (size_t i = 0; i < s->n && n < r->cap; i++)
		if (s->v[i]->shown)
			r->order[n++] = s->v[i];
	/* before qsort_r gets it, which takes no NULL */
	if (n)
		qsort_r(r->order, n, sizeof(struct mt_process *), compare, (void *)(uintptr_t)by);
	return n;
}

/* From the last in the order to the first, so that children stand in the order. */
static void link_children(const struct mt_rows *r, const struct mt_store *s, size_t n)
{
	for (size_t i = n; i-- > 0;) {
		struct mt_process *p = r->order[i], *parent = mt_store_parent(s, p);

		if (!parent || !parent->shown)
			continue;
		p->parent = parent;
		p->sibling = parent->child;
		parent->child = p;
	}
}

static void add(struct mt_rows *r, struct mt_process *p, unsigned int depth, uint32_t rails)
{
	p->placed = true;
	r->v[r->n++] = (struct mt_row){
		.p = p, .depth = depth, .rails = rails, .last = !depth || !p->sibling};
}

/* Bit d says whether the line at depth d + 1 runs on, below a row of that depth. */
static uint32_t rail(uint32_t rails, unsigned int depth, bool on)
{
	uint32_t bit;

	if (!depth || depth > MT_RAILS_MAX)
		return rails;
	bit = UINT32_C(1) << (depth - 1);
	return on ? rails | bit : rails & ~bit;
}

/* The root and all below it, without recursion: trees can be deep. */
static void add_tree(struct mt_rows *r, struct mt_process *root)
{
	struct mt_process *p = root;
	unsigned int depth = 0;
	uint32_t rails = 0;

	while (p) {
		add(r, p, depth, rails);
		if (p->child) {
			rails = rail(rails, depth, depth && p->sibling);
			depth++;
			p = p->child;
			continue;
		}
		while (p != root && !p->sibling) {
			p = p->parent;
			depth--;
		}
		p = p == root ? NULL : p->sibling;
	}
}

void mt_rows_make(struct mt_rows *r, const struct mt_store *s, const struct mt_rows_by *by)
{
	size_t n = choose(r, s, by);

	r->n = 0;
	if (by->tree)
		link_children(r, s, n);
	for (size_t i = 0; i < n; i++) {
		struct mt_process *p = r->order[i];

		if (!by->tree)
			add(r, p, 0, 0);
		else if (!p->parent)
			add_tree(r, p);
	}
	/* parents in a loop, of pids that were reused while they were read, hang on no root */
	for (size_t i = 0; by->tree && i < n; i++)
		if (!r->order[i]->placed)
			add(r, r->order[i], 0, 0);
}
