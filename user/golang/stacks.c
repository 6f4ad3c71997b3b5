/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Each mcache keeps free stacks, in a list for each size, that it has from spans
 * which it shares with others. ReadMemStats gives them back, and a span that has
 * no stack any more becomes free heap: runtime/stack.go, stackcache_clear and
 * stackpoolfree.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "golang/snapshot.h"

#define LIST_MAX    64 /* an mcache keeps 32 KiB of stacks, of 2 KiB at least */
#define GC_OFF      0
#define ARENA_BASE  0xffff800000000000ull
#define ARENA_SHIFT 26
#define ARENAS      (1ull << 22)
#define PAGES       (1u << 13) /* of an arena */
#define PAGE_SHIFT  13
#define STACK_PAGES 4 /* _StackCacheSize */

struct list {
	uint64_t *v; /* addresses */
	size_t n, cap;
};

static bool add(struct list *l, uint64_t v)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;
		uint64_t *p = reallocarray(l->v, cap, sizeof(*p));

		if (!p)
			return false;
		l->v = p;
		l->cap = cap;
	}
	l->v[l->n++] = v;
	return true;
}

/* Reads a word at each address in v, in batches; those that cannot be read become 0. */
static void read_words(struct mt_go_walk *w, uint64_t *v, size_t n)
{
	for (size_t i = 0, part; i < n; i += part) {
		uint64_t word[MT_GO_BATCH];

		part = n - i < MT_GO_BATCH ? n - i : MT_GO_BATCH;
		for (size_t k = 0; k < part; k++)
			w->want[k] =
				(struct mt_go_want){v[i + k], &word[k], sizeof(word[k]), false};
		if (mt_go_fetch(w->src.mem, w->want, part))
			mt_go_wrong(w, "a list of cached stacks cannot be read");
		memcpy(v + i, word, part * sizeof(word[0]));
	}
}

static void add_heads(struct mt_go_walk *w, struct list *stacks)
{
	const struct mt_go_layout *l = w->src.layout;

	for (size_t c = 0; c < w->n_mcaches; c++) {
		const uint8_t *at = w->mcaches + c * (size_t)l->mcache_size + l->mcache_stackcache;

		for (int i = 0; i < MT_GO_ORDERS; i++) {
			uint64_t head;

			memcpy(&head, at + 16ul * i, sizeof(head));
			if (head && !add(stacks, head))
				mt_go_moved(w, "there is no memory");
		}
	}
}

/* A stack begins with the next one's address. All of one depth are read at once. */
static void follow(struct mt_go_walk *w, struct list *stacks)
{
	size_t from = 0;

	for (int depth = 0; from < stacks->n; depth++) {
		_cleanup_free_ uint64_t *next = NULL;
		size_t n = stacks->n - from;

		next = depth < LIST_MAX ? reallocarray(NULL, n, sizeof(*next)) : NULL;
		if (!next) {
			mt_go_wrong(w, "a list of cached stacks has no end");
			return;
		}
		memcpy(next, stacks->v + from, n * sizeof(*next));
		read_words(w, next, n);
		from = stacks->n;
		for (size_t i = 0; i < n; i++)
			if (next[i] && !add(stacks, next[i]))
				mt_go_moved(w, "there is no memory");
	}
}

/* runtime.spanOf: the addresses of stacks become those of their spans' mspans. */
static void find_spans(struct mt_go_walk *w, struct list *stacks)
{
	const struct mt_go_layout *l = w->src.layout;
	_cleanup_free_ uint64_t *page = reallocarray(NULL, stacks->n, sizeof(*page));
	uint64_t arenas;
	size_t n = 0;

	if (!page || w->src.mem->read(w->src.mem, w->src.vars->mheap + (uint64_t)l->mheap_arenas,
				      &arenas, sizeof(arenas))) {
		mt_go_wrong(w, "the heap's map cannot be read");
		stacks->n = 0;
		return;
	}
	for (size_t i = 0; i < stacks->n; i++) {
		uint64_t index = (stacks->v[i] - ARENA_BASE) >> ARENA_SHIFT;

		if (index >= ARENAS)
			continue;
		page[n] = (stacks->v[i] >> PAGE_SHIFT) % PAGES;
		stacks->v[n++] = arenas + 8 * index;
	}
	stacks->n = n;
	read_words(w, stacks->v, n);
	for (size_t i = 0; i < n; i++)
		stacks->v[i] += (uint64_t)l->arena_spans + 8 * page[i];
	read_words(w, stacks->v, n);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

struct run {
	uint64_t span;
	size_t n; /* of its stacks, so many are cached */
};

static void count_batch(struct mt_go_walk *w, const struct run *v, size_t n)
{
	size_t size = (size_t)w->src.layout->mspan_size;

	for (size_t i = 0; i < n; i++)
		w->want[i] =
			(struct mt_go_want){v[i].span, w->spans + i * size, (uint32_t)size, false};
	if (mt_go_fetch(w->src.mem, w->want, n))
		mt_go_wrong(w, "a stack's span cannot be read");
	for (size_t i = 0; i < n; i++) {
		struct mt_go_span s;

		mt_go_decode_span(w->src.layout, w->spans + i * size, &s);
		if (s.allocated != v[i].n)
			continue;
		if (s.npages == STACK_PAGES)
			w->flush.stack_bytes += s.npages * MT_GO_PAGE;
		else
			mt_go_wrong(w, "a cached stack is in no span of stacks");
	}
}

static void count_spans(struct mt_go_walk *w, struct list *spans)
{
	struct run batch[MT_GO_BATCH];
	size_t n = 0;

	qsort(spans->v, spans->n, sizeof(spans->v[0]), by_value);
	for (size_t i = 0, k; i < spans->n; i = k) {
		for (k = i + 1; k < spans->n && spans->v[k] == spans->v[i];)
			k++;
		batch[n++] = (struct run){spans->v[i], k - i};
		if (n == MT_GO_BATCH) {
			count_batch(w, batch, n);
			n = 0;
		}
	}
	count_batch(w, batch, n);
}

void mt_go_walk_stacks(struct mt_go_walk *w)
{
	struct list stacks = {0};

	/* During a collection no stack span is given back. */
	if (w->globals.gcphase == GC_OFF)
		add_heads(w, &stacks);
	follow(w, &stacks);
	if (stacks.n) {
		find_spans(w, &stacks);
		count_spans(w, &stacks);
	}
	free(stacks.v);
}
