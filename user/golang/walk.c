/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads the globals, the Ps, their mcaches, and the spans cached there, and the
 * globals once more: what is flushed from a cache shows in them, so where they are
 * the same before and after, all is of one moment. No P that is at work is
 * waited for.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "golang/snapshot.h"

#define MARKS_LEN (MT_GO_ELEMS / 8)
#define P_DEAD    4 /* _Pdead of runtime/runtime2.go */

int mt_go_walk_new(const struct mt_go_source *src, struct mt_go_walk **ret)
{
	const struct mt_go_layout *l = src->layout;
	MT_CLEANUP(mt_go_walk_free) struct mt_go_walk *w = NULL;

	if (!mt_go_layout_sound(l))
		return -ENOTSUP;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->src = *src;
	w->memstats = malloc((size_t)l->mstats_size);
	w->gc = malloc((size_t)l->gc_size);
	w->spans = malloc((size_t)l->mspan_size * MT_GO_BATCH);
	if (!w->memstats || !w->gc || !w->spans)
		return -ENOMEM;
	*ret = TAKE_PTR(w);
	return 0;
}

void mt_go_walk_free(struct mt_go_walk **w)
{
	if (!*w)
		return;
	free((*w)->memstats);
	free((*w)->gc);
	free((*w)->spans);
	free((*w)->mcaches);
	free(*w);
	*w = NULL;
}

void mt_go_moved(struct mt_go_walk *w, const char *fmt, ...)
{
	va_list ap;

	if (w->result)
		return;
	w->result = -EAGAIN;
	va_start(ap, fmt);
	vsnprintf(w->why, MT_WHY_SIZE, fmt, ap);
	va_end(ap);
}

void mt_go_wrong(struct mt_go_walk *w, const char *fmt, ...)
{
	va_list ap;

	if (w->wrong)
		return;
	w->wrong = true;
	w->result = -EAGAIN;
	va_start(ap, fmt);
	vsnprintf(w->why, MT_WHY_SIZE, fmt, ap);
	va_end(ap);
}

static int read_globals(struct mt_go_walk *w, struct mt_go_globals *g)
{
	const struct mt_go_layout *l = w->src.layout;
	const struct mt_go_vars *v = w->src.vars;
	uint64_t spans, caches;
	uint32_t sweepgen, phase;
	struct mt_go_want want[] = {
		{v->memstats, w->memstats, (uint32_t)l->mstats_size, false},
		{v->gc_controller, w->gc, (uint32_t)l->gc_size, false},
		{v->mheap + (uint64_t)l->mheap_sweepgen, &sweepgen, sizeof(sweepgen), false},
		{v->mheap + (uint64_t)l->mheap_spanalloc_inuse, &spans, sizeof(spans), false},
		{v->mheap + (uint64_t)l->mheap_cachealloc_inuse, &caches, sizeof(caches), false},
		{v->gcphase, &phase, sizeof(phase), false},
	};

	if (mt_go_fetch(w->src.mem, want, sizeof(want) / sizeof(want[0])))
		return -EFAULT;
	mt_go_decode_globals(l, w->memstats, w->gc, g);
	g->sweepgen = sweepgen;
	g->gcphase = phase;
	g->span_inuse = spans;
	g->cache_inuse = caches;
	return 0;
}

/* The slice: its array and length. */
static int read_allp(struct mt_go_walk *w, uint64_t *allp)
{
	const struct mt_mem *mem = w->src.mem;
	uint64_t slice[2];

	if (mem->read(mem, w->src.vars->allp, slice, sizeof(slice)))
		return -EFAULT;
	if (!slice[1])
		return -ENODATA;
	if (slice[1] > MT_GO_PS) {
		snprintf(w->why, MT_WHY_SIZE, "it has more than %u Ps", MT_GO_PS);
		return -ERANGE;
	}
	w->n_ps = slice[1];
	if (mem->read(mem, slice[0], allp, w->n_ps * sizeof(allp[0]))) {
		mt_go_wrong(w, "the list of its Ps cannot be read");
		w->n_ps = 0;
	}
	return 0;
}

/* Which of the Ps have an mcache, and whether one is at writing statistics. */
static int read_ps(struct mt_go_walk *w)
{
	const struct mt_go_layout *l = w->src.layout;
	uint64_t allp[MT_GO_PS], mcache[MT_GO_PS] = {0};
	uint32_t id[MT_GO_PS] = {0}, status[MT_GO_PS] = {0}, seq[MT_GO_PS] = {0};
	int r = read_allp(w, allp);

	w->n_mcaches = 0;
	if (r)
		return r;
	for (size_t i = 0; i < w->n_ps; i++) {
		struct mt_go_want *want = &w->want[4 * i];

		want[0] = (struct mt_go_want){allp[i] + (uint64_t)l->p_id, &id[i], 4, false};
		want[1] =
			(struct mt_go_want){allp[i] + (uint64_t)l->p_status, &status[i], 4, false};
		want[2] =
			(struct mt_go_want){allp[i] + (uint64_t)l->p_mcache, &mcache[i], 8, false};
		want[3] =
			(struct mt_go_want){allp[i] + (uint64_t)l->p_stats_seq, &seq[i], 4, false};
	}
	if (mt_go_fetch(w->src.mem, w->want, 4 * w->n_ps))
		mt_go_wrong(w, "a P cannot be read");
	for (size_t i = 0; i < w->n_ps; i++) {
		if (id[i] != i)
			mt_go_wrong(w, "P %zu says that it is %u", i, id[i]);
		else if (seq[i] % 2)
			mt_go_moved(w, "P %zu is writing statistics", i);
		/* As of a wrong layout: a P has one until its death, runtime.procresize. */
		if (!mcache[i] && status[i] != P_DEAD)
			mt_go_wrong(w, "P %zu has no mcache", i);
		if (mcache[i])
			w->mcache_at[w->n_mcaches++] = mcache[i];
	}
	return 0;
}

static int read_mcaches(struct mt_go_walk *w)
{
	size_t size = (size_t)w->src.layout->mcache_size;

	if (w->n_mcaches > w->cap_mcaches) {
		uint8_t *p = reallocarray(w->mcaches, w->n_mcaches, size);

		if (!p)
			return -ENOMEM;
		w->mcaches = p;
		w->cap_mcaches = w->n_mcaches;
	}
	for (size_t i = 0; i < w->n_mcaches; i++)
		w->want[i] = (struct mt_go_want){w->mcache_at[i], w->mcaches + i * size,
						 (uint32_t)size, false};
	if (mt_go_fetch(w->src.mem, w->want, w->n_mcaches))
		mt_go_wrong(w, "an mcache cannot be read");
	return 0;
}

/* A span of before the collection: what of it is marked lives on. */
static void flush_stale(struct mt_go_walk *w, const struct mt_go_span *s, unsigned int i)
{
	const struct mt_mem *mem = w->src.mem;
	uint8_t marks[MARKS_LEN] = {0}, more[MARKS_LEN];
	uint64_t at;
	size_t n = mt_go_inline_marks(s, w->src.green_tea, &at);

	if (mem->read(mem, s->mark_bits, marks, (s->nelems + 7u) / 8))
		mt_go_wrong(w, "a span's marks cannot be read");
	if (n && mem->read(mem, at, more, n))
		mt_go_wrong(w, "a span's marks cannot be read");
	else
		for (size_t k = 0; k < n; k++)
			marks[k] |= more[k];
	mt_go_flush_span(&w->flush, s, i, marks);
	/* An object that has a finalizer lives on, too, which shows elsewhere. */
	mt_go_moved(w, "a collection has ended and its sweep has not begun");
}

static void flush_span(struct mt_go_walk *w, const uint8_t *span, unsigned int i)
{
	struct mt_go_span s;

	mt_go_decode_span(w->src.layout, span, &s);
	switch (mt_go_span_kind(&s, i, w->globals.sweepgen)) {
	case MT_GO_SPAN_NONE:
		break;
	case MT_GO_SPAN_CACHED:
		mt_go_flush_span(&w->flush, &s, i, NULL);
		break;
	case MT_GO_SPAN_STALE:
		flush_stale(w, &s, i);
		break;
	case MT_GO_SPAN_MOVING:
		mt_go_moved(w, "a span is on its way into a cache or out of it");
		break;
	case MT_GO_SPAN_WRONG:
		mt_go_wrong(w, "the span at %u of an mcache is of another class", i);
		break;
	}
}

struct cached {
	uint64_t at;
	unsigned int i;
};

static void read_spans(struct mt_go_walk *w, const struct cached *v, size_t n)
{
	size_t size = (size_t)w->src.layout->mspan_size;

	for (size_t k = 0; k < n; k++)
		w->want[k] =
			(struct mt_go_want){v[k].at, w->spans + k * size, (uint32_t)size, false};
	if (mt_go_fetch(w->src.mem, w->want, n))
		mt_go_wrong(w, "a cached span cannot be read");
	for (size_t k = 0; k < n; k++)
		flush_span(w, w->spans + k * size, v[k].i);
}

static void walk_mcaches(struct mt_go_walk *w)
{
	const struct mt_go_layout *l = w->src.layout;
	struct cached v[MT_GO_BATCH];
	size_t n = 0;

	for (size_t c = 0; c < w->n_mcaches; c++) {
		const uint8_t *mcache = w->mcaches + c * (size_t)l->mcache_size;
		uint64_t tiny;

		memcpy(&tiny, mcache + l->mcache_tiny_allocs, sizeof(tiny));
		w->flush.tiny_allocs += tiny;
		for (unsigned int i = 0; i < MT_GO_CACHED; i++) {
			memcpy(&v[n].at, mcache + l->mcache_alloc + 8ul * i, sizeof(v[n].at));
			v[n].i = i;
			/* allocmcache() puts emptymspan where there is none */
			if (!v[n].at)
				mt_go_wrong(w, "an mcache has nothing at %u", i);
			n += v[n].at != 0;
			if (n < MT_GO_BATCH)
				continue;
			read_spans(w, v, n);
			n = 0;
		}
	}
	read_spans(w, v, n);
}

/* 0 also where what is read is not sound. */
static int walk(struct mt_go_walk *w)
{
	struct mt_go_globals after;
	int r = read_globals(w, &w->globals);

	if (!r)
		r = read_ps(w);
	if (!r && !w->globals.sys.enabled && !mt_go_identities(&w->globals, w->why))
		r = -ENODATA;
	if (!r)
		r = read_mcaches(w);
	if (r)
		return r;
	walk_mcaches(w);
	mt_go_walk_stacks(w);
	r = read_globals(w, &after);
	if (r)
		return r;
	/* goes before what comes of it */
	if (mt_go_identities(&after, w->why)) {
		w->wrong = true;
		w->result = -EAGAIN;
	}
	if (!mt_go_same(&w->globals, &after))
		mt_go_moved(w, "it was at work while it was read");
	w->globals = after;
	return 0;
}

int mt_go_walk(struct mt_go_walk *w, char *why)
{
	int r;

	w->result = 0;
	w->wrong = false;
	w->why = why;
	why[0] = '\0';
	w->flush = (struct mt_go_flush){0};
	r = walk(w);
	return r ? r : w->result;
}
