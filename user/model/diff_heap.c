/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Size classes of a difference, and what they and their sum say of a leak. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "model/diff_internal.h"
#include "model/sizeclass.h"

/* Below it Go's collector does not set its goal. */
#define GO_GOAL_MIN ((uint64_t)4 << 20)
/* No heap is that large: mt_render_has_next has the reason. */
#define GO_GOAL_MAX (UINT64_C(1) << 60)

/* What a heap's numbers are read from. */
struct heap_of {
	bool native;
};

static const struct mt_class_counts *counts(const struct heap_of *h, const struct mt_snapshot *s,
					    unsigned int class)
{
	if (class < MT_CLASSES)
		return h->native ? &s->native.cls[class] : &s->flows.cls[class];
	return h->native ? NULL : &s->unsized;
}

static int64_t live_bytes(const struct heap_of *h, const struct mt_snapshot *s)
{
	return h->native ? mt_classes_net_bytes(s->native.cls) : mt_snapshot_net_bytes(s);
}

static int64_t live_objects(const struct heap_of *h, const struct mt_snapshot *s)
{
	return h->native ? mt_classes_net_objects(s->native.cls) : mt_snapshot_net_objects(s);
}

static uint64_t since(uint64_t new, uint64_t old)
{
	return new > old ? new - old : 0;
}

static bool any_change(const struct mt_diff_series *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->changes[i])
			return true;
	return false;
}

/* One level of a class as a row. True if it changed. */
static bool set_row(const struct heap_of *h, const struct mt_diff_series *p, unsigned int class,
		    int64_t (*level)(const struct mt_class_counts *), struct mt_diff_row *row)
{
	for (size_t i = 0; i < p->n; i++) {
		row->is_signed = true;
		row->kind = MT_DIFF_LIVE;
		row->old = (uint64_t)level(counts(h, p->v[2 * i], class));
		row->new = (uint64_t)level(counts(h, p->v[2 * i + 1], class));
		p->changes[i] = mt_diff_between(row->new, row->old, true);
	}
	return any_change(p);
}

/* True if anything happened in it. */
static bool set_class(const struct heap_of *h, const struct mt_diff_series *p, unsigned int class,
		      struct mt_diff_class *c)
{
	const struct mt_class_counts *old = counts(h, p->v[2 * p->n - 2], class);
	const struct mt_class_counts *new = counts(h, p->v[2 * p->n - 1], class);
	bool changed;

	*c = (struct mt_diff_class){.class = class,
				    .mallocs = since(new->mallocs, old->mallocs),
				    .frees = since(new->frees, old->frees)};
	changed = set_row(h, p, class, mt_class_net_objects, &c->objects);
	mt_diff_spread(p, &c->objects);
	snprintf(c->objects.name, sizeof(c->objects.name), "Objects");
	c->objects.unit = MT_FIELD_COUNT;
	changed = set_row(h, p, class, mt_class_net_bytes, &c->bytes) || changed;
	mt_diff_spread(p, &c->bytes);
	snprintf(c->bytes.name, sizeof(c->bytes.name), "Bytes");
	return changed || c->mallocs || c->frees;
}

static int by_growth(const void *a, const void *b)
{
	const struct mt_diff_class *x = a, *y = b;

	if (x->bytes.median != y->bytes.median)
		return x->bytes.median > y->bytes.median ? -1 : 1;
	if (x->bytes.change != y->bytes.change)
		return x->bytes.change > y->bytes.change ? -1 : 1;
	return (x->class > y->class) - (x->class < y->class);
}

static int set_classes(const struct heap_of *h, const struct mt_diff_series *p,
		       struct mt_diff_heap *d)
{
	d->classes = calloc(MT_CLASSES + 1, sizeof(*d->classes));
	if (!d->classes)
		return -ENOMEM;
	for (unsigned int i = 0; i <= MT_CLASSES; i++)
		if (counts(h, p->v[0], i) && set_class(h, p, i, &d->classes[d->n]))
			d->n++;
	qsort(d->classes, d->n, sizeof(*d->classes), by_growth);
	return 0;
}

/* Each class whose level changed, judged as one of as many. */
static void judge_classes(const struct heap_of *h, const struct mt_diff_series *p,
			  struct mt_diff_heap *d)
{
	size_t tests = 0;

	for (size_t i = 0; i < d->n; i++)
		tests += d->classes[i].bytes.min || d->classes[i].bytes.max;
	for (size_t i = 0; i < d->n; i++) {
		struct mt_diff_class *c = &d->classes[i];
		struct mt_diff_row unused;

		set_row(h, p, c->class, mt_class_net_bytes, &unused);
		mt_leak_judge(p->changes, p->n, tests, &c->leak);
	}
}

/* "grows 4.0 KiB per request", of which there may be less than one byte. */
static void say_growth(char *buf, size_t size, int64_t per, const char *what)
{
	char bytes[32];

	if (per > 0)
		snprintf(buf, size, "%s per %s",
			 mt_format_bytes(bytes, sizeof(bytes), (uint64_t)per, MT_UNIT_AUTO), what);
	else
		snprintf(buf, size, "less than 1 B per %s", what);
}

static void say_class(char *buf, size_t size, unsigned int class)
{
	if (class == MT_CLASSES)
		snprintf(buf, size, "above 32 KiB");
	else if (class < MT_CLASSES - 1)
		snprintf(buf, size, "of up to %llu bytes",
			 (unsigned long long)mt_class_size(class));
	else
		snprintf(buf, size, "of the largest sizes");
}

static void say(struct mt_diff_leak *l, const char *what)
{
	const struct mt_leak *b = &l->bytes;
	char text[64], noise[32];

	switch (b->verdict) {
	case MT_VERDICT_NONE:
		break;
	case MT_VERDICT_GROWS:
		say_growth(text, sizeof(text), b->per, what);
		snprintf(l->text, sizeof(l->text), "grows %s (%u of %u repetitions)", text, b->grew,
			 b->of);
		break;
	case MT_VERDICT_STEADY:
		if (b->still)
			snprintf(l->text, sizeof(l->text), "steady (%u of %u repetitions grew)",
				 b->grew, b->of);
		else
			snprintf(l->text, sizeof(l->text),
				 "steady within noise of %s per %s (%u of %u repetitions grew)",
				 mt_format_bytes(noise, sizeof(noise), (uint64_t)b->noise,
						 MT_UNIT_AUTO),
				 what, b->grew, b->of);
		break;
	case MT_VERDICT_UNCLEAR:
		snprintf(l->text, sizeof(l->text), "unclear: %u of %u repetitions grew, %s",
			 b->grew, b->of,
			 b->of < 8 ? "too few to tell noise from a leak: 8 are enough"
				   : "which may be noise: repeat more often");
		break;
	}
}

/*
 * A small leak may hide behind the noise of other sizes. Where the whole did not
 * move at all, what one class gained another lost: that is none.
 */
static void find_in_classes(struct mt_diff_heap *d, const char *what)
{
	const struct mt_diff_class *most = NULL;
	struct mt_diff_leak *l = &d->leak;
	char text[64], sizes[48];

	if (l->bytes.verdict == MT_VERDICT_GROWS || l->bytes.still)
		return;
	for (size_t i = 0; i < d->n; i++) {
		const struct mt_leak *k = &d->classes[i].leak;

		if (k->verdict == MT_VERDICT_GROWS && (!most || k->per > most->leak.per))
			most = &d->classes[i];
	}
	if (!most)
		return;
	l->bytes = most->leak;
	l->objects = most->objects.median;
	l->by_class = true;
	say_growth(text, sizeof(text), most->leak.per, what);
	say_class(sizes, sizeof(sizes), most->class);
	snprintf(l->text, sizeof(l->text), "grows in blocks %s: %s (%u of %u repetitions)", sizes,
		 text, most->leak.grew, most->leak.of);
}

static void judge(const struct heap_of *h, const struct mt_diff_series *p, const char *what,
		  struct mt_diff_heap *d)
{
	judge_classes(h, p, d);
	for (size_t i = 0; i < p->n; i++)
		p->changes[i] = mt_diff_between((uint64_t)live_bytes(h, p->v[2 * i + 1]),
						(uint64_t)live_bytes(h, p->v[2 * i]), true);
	mt_leak_judge(p->changes, p->n, 1, &d->leak.bytes);
	say(&d->leak, what);
	if (d->leak.bytes.verdict == MT_VERDICT_GROWS) {
		for (size_t i = 0; i < p->n; i++)
			p->changes[i] =
				mt_diff_between((uint64_t)live_objects(h, p->v[2 * i + 1]),
						(uint64_t)live_objects(h, p->v[2 * i]), true);
		d->leak.objects = mt_median(p->changes, p->n);
	} else if (p->n > 1) {
		find_in_classes(d, what);
	}
}

/*
 * The repetitions in which something was collected. In between garbage only grows;
 * from one collection to another it is noise like any other.
 */
static struct mt_diff_series collected(const struct mt_diff_series *p,
				       const struct mt_snapshot **room)
{
	struct mt_diff_series ret = {.v = room, .changes = p->changes};

	for (size_t i = 0; i < p->n; i++) {
		const struct mt_snapshot *const *pair = &p->v[2 * i];

		if (pair[1]->memstats.num_gc <= pair[0]->memstats.num_gc)
			continue;
		room[2 * ret.n] = pair[0];
		room[2 * ret.n++ + 1] = pair[1];
	}
	return ret;
}

/*
 * What a collection left shows in the goal that it set: that grows with the heap, by
 * GOGC percent more. False if there is no such goal, or it is the least there is.
 */
static bool judge_goals(const struct mt_diff_series *p, struct mt_leak *ret)
{
	bool tells = false;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const uint64_t old = p->v[2 * i]->memstats.next_gc;
		const uint64_t new = p->v[2 * i + 1]->memstats.next_gc;

		if (old >= GO_GOAL_MAX || new >= GO_GOAL_MAX)
			continue;
		tells = tells || new > GO_GOAL_MIN;
		p->changes[n++] = mt_diff_between(new, old, false);
	}
	mt_leak_judge(p->changes, n, 1, ret);
	return tells && n > 1;
}

static void judge_collections(const struct heap_of *h, const struct mt_diff_series *p,
			      const char *what, struct mt_diff_heap *d)
{
	struct mt_diff_leak *l = &d->leak;
	char text[64];

	judge_classes(h, p, d);
	if (p->n < 2) {
		l->bytes = (struct mt_leak){.verdict = MT_VERDICT_UNCLEAR};
		snprintf(l->text, sizeof(l->text),
			 "unclear: too few collections: what lives is not told from garbage");
		return;
	}
	if (judge_goals(p, &l->bytes)) {
		say(l, what);
	} else {
		l->bytes = (struct mt_leak){.verdict = MT_VERDICT_UNCLEAR};
		snprintf(l->text, sizeof(l->text),
			 "unclear: NextGC, 4 MiB at least, does not follow so small a heap");
	}
	if (l->bytes.verdict == MT_VERDICT_GROWS) {
		say_growth(text, sizeof(text), l->bytes.per, what);
		snprintf(l->text, sizeof(l->text),
			 "grows: NextGC, which follows what a collection leaves, by %s (%u of %u "
			 "repetitions)",
			 text, l->bytes.grew, l->bytes.of);
		return;
	}
	l->bytes.still = false; /* a goal that stands still says less than a class that grows */
	find_in_classes(d, what);
}

static int judge_collected(const struct heap_of *h, const struct mt_diff_series *p,
			   const char *what, struct mt_diff_heap *d)
{
	_cleanup_free_ const struct mt_snapshot **room =
		calloc(2 * p->n, sizeof(struct mt_snapshot *));
	struct mt_diff_series with;

	if (!room)
		return -ENOMEM;
	if (p->n < 2)
		return 0;
	with = collected(p, room);
	judge_collections(h, &with, what, d);
	return 0;
}

int mt_diff_heaps(const struct mt_diff_series *p, const char *what, struct mt_diff_process *d)
{
	const struct heap_of own = {.native = false}, native = {.native = true};
	int r = set_classes(&own, p, &d->heap);

	if (r)
		return r;
	if (!d->new->gc.present)
		judge(&own, p, what, &d->heap);
	else
		r = judge_collected(&own, p, what, &d->heap);
	if (r || (!d->old->native.present && !d->new->native.present))
		return r;
	r = set_classes(&native, p, &d->native);
	if (!r)
		judge(&native, p, what, &d->native);
	return r;
}
