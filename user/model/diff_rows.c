/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rows of a difference: each number of a snapshot that is one of a process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/diff_internal.h"

/* One of them: where it stands, or what says it. */
struct number {
	const char *before, *name; /* "native.", "Alloc" */
	size_t offset;             /* in struct mt_snapshot; of a U64, U32, DOUBLE or BOOL */
	int64_t (*level)(const struct mt_snapshot *); /* or this, signed */
	enum mt_field_type type;
	enum mt_field_unit unit;
	enum mt_diff_kind kind;
};

#define VM(member, text)                                                                           \
	{                                                                                          \
		.name = (text), .offset = offsetof(struct mt_snapshot, vm.member),                 \
		.type = MT_FIELD_U64, .unit = MT_FIELD_BYTES, .kind = MT_DIFF_MEMORY               \
	}
#define CALL(i, text, member, of)                                                                  \
	{                                                                                          \
		.before = (text), .name = #member,                                                 \
		.offset = offsetof(struct mt_snapshot, flows.vm[i].member), .type = MT_FIELD_U64,  \
		.unit = MT_FIELD_##of, .kind = MT_DIFF_FLOW                                        \
	}
#define LEVEL(text, fn, of)                                                                        \
	{                                                                                          \
		.before = "net.", .name = (text), .level = (fn), .unit = MT_FIELD_##of,            \
		.kind = MT_DIFF_LIVE                                                               \
	}

static const struct number net[] = {
	LEVEL("Bytes", mt_snapshot_net_bytes, BYTES),
	LEVEL("Objects", mt_snapshot_net_objects, COUNT),
};
static const struct number vm[] = {
	VM(rss, "rss"),
	VM(pss, "pss"),
	VM(swap, "swap"),
	VM(shared, "shared"),
	VM(data, "data"),
	VM(stack, "stack"),
	VM(cgroup_current, "cgroup_current"),
};
static const struct number calls[] = {
	CALL(MT_VM_MMAP, "mmap.", calls, COUNT),
	CALL(MT_VM_MMAP, "mmap.", bytes, BYTES),
	CALL(MT_VM_MUNMAP, "munmap.", calls, COUNT),
	CALL(MT_VM_MUNMAP, "munmap.", bytes, BYTES),
	CALL(MT_VM_MREMAP, "mremap.", calls, COUNT),
	CALL(MT_VM_MREMAP, "mremap.", bytes, BYTES),
	CALL(MT_VM_MREMAP, "mremap.", released, BYTES),
	CALL(MT_VM_BRK, "brk.", calls, COUNT),
	CALL(MT_VM_BRK, "brk.", bytes, BYTES),
	CALL(MT_VM_BRK, "brk.", released, BYTES),
	CALL(MT_VM_MADVISE, "madvise.", calls, COUNT),
	CALL(MT_VM_MADVISE, "madvise.", bytes, BYTES),
};
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static enum mt_diff_kind kind_of(const struct mt_field *f)
{
	static const char *const live[] = {"Alloc", "HeapAlloc", "HeapObjects"};
	static const char *const flows[] = {"TotalAlloc", "Mallocs", "Frees"};

	for (size_t i = 0; i < COUNT_OF(live); i++)
		if (!strcmp(f->name, live[i]))
			return MT_DIFF_LIVE;
	for (size_t i = 0; i < COUNT_OF(flows); i++)
		if (!strcmp(f->name, flows[i]))
			return MT_DIFF_FLOW;
	return f->unit == MT_FIELD_BYTES && f->metric_type == MT_METRIC_GAUGE ? MT_DIFF_MEMORY
									      : MT_DIFF_OTHER;
}

static struct number of_field(const struct mt_field *f, const char *before, size_t memstats)
{
	return (struct number){.before = before,
			       .name = f->name,
			       .offset = memstats + f->offset,
			       .type = f->type,
			       .unit = f->unit,
			       .kind = kind_of(f)};
}

/* A ratio of any size, in billionths; of what is no number none. */
static uint64_t billionths(double v)
{
	const double limit = 9.2e18;

	v *= 1e9;
	v += v < 0 ? -0.5 : 0.5;
	return (uint64_t)(v >= limit    ? INT64_MAX
			  : v <= -limit ? INT64_MIN
			  : v == v      ? (int64_t)v
					: 0);
}

static uint64_t value_of(const struct number *n, const struct mt_snapshot *s)
{
	const void *p = (const char *)s + n->offset;

	if (n->level)
		return (uint64_t)n->level(s);
	switch (n->type) {
	case MT_FIELD_U32:
		return *(const uint32_t *)p;
	case MT_FIELD_DOUBLE:
		return billionths(*(const double *)p);
	case MT_FIELD_BOOL:
		return *(const bool *)p;
	default:
		return *(const uint64_t *)p;
	}
}

static bool may_be_negative(const struct number *n)
{
	return n->level || n->type == MT_FIELD_DOUBLE;
}

int64_t mt_diff_between(uint64_t v, uint64_t w, bool is_signed)
{
	const __int128 d = is_signed ? (__int128)(int64_t)v - (int64_t)w : (__int128)v - w;

	return d > INT64_MAX ? INT64_MAX : d < INT64_MIN ? INT64_MIN : (int64_t)d;
}

void mt_diff_spread(const struct mt_diff_series *p, struct mt_diff_row *row)
{
	row->change = p->changes[p->n - 1];
	row->median = mt_median(p->changes, p->n); /* which sorts them */
	row->min = p->changes[0];
	row->max = p->changes[p->n - 1];
}

/* Adds a row if the number changed at all. */
static void add(const struct number *n, const struct mt_diff_series *p, struct mt_diff_process *d)
{
	struct mt_diff_row *row = &d->rows[d->n_rows];
	bool any = false;

	*row = (struct mt_diff_row){.kind = n->kind,
				    .unit = n->unit,
				    .is_bool = !n->level && n->type == MT_FIELD_BOOL,
				    .is_signed = may_be_negative(n),
				    .old = value_of(n, d->old),
				    .new = value_of(n, d->new)};
	snprintf(row->name, sizeof(row->name), "%s%s", n->before ? n->before : "", n->name);
	for (size_t i = 0; i < p->n; i++) {
		const struct mt_snapshot *const *pair = &p->v[2 * i];

		p->changes[i] =
			mt_diff_between(value_of(n, pair[1]), value_of(n, pair[0]), row->is_signed);
		any = any || p->changes[i];
	}
	if (!any)
		return;
	mt_diff_spread(p, row);
	d->n_rows++;
}

static void add_all(const struct number *v, size_t n, const struct mt_diff_series *p,
		    struct mt_diff_process *d)
{
	for (size_t i = 0; i < n; i++)
		add(&v[i], p, d);
}

/* By kind, bytes in front, growth in front. */
static int by_weight(const void *a, const void *b)
{
	const struct mt_diff_row *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->unit != y->unit)
		return x->unit < y->unit ? -1 : 1;
	if (x->median != y->median)
		return x->median > y->median ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* True if a level since an attach is not what Alloc and HeapObjects say: these stop at 0. */
static bool tells_more(const struct mt_diff_series *p)
{
	for (size_t i = 0; i < 2 * p->n; i++) {
		const struct mt_snapshot *s = p->v[i];

		if (s->since == MT_SINCE_ATTACH &&
		    ((int64_t)s->memstats.alloc != mt_snapshot_net_bytes(s) ||
		     (int64_t)s->memstats.heap_objects != mt_snapshot_net_objects(s)))
			return true;
	}
	return false;
}

int mt_diff_rows(const struct mt_diff_series *p, struct mt_diff_process *d)
{
	const struct mt_snapshot *old = d->old, *new = d->new;
	const size_t native = offsetof(struct mt_snapshot, native.memstats);

	d->rows = calloc(2 * mt_fields_count + COUNT_OF(net) + COUNT_OF(vm) + COUNT_OF(calls),
			 sizeof(*d->rows));
	if (!d->rows)
		return -ENOMEM;
	for (size_t i = 0; i < mt_fields_count; i++) {
		const struct number n =
			of_field(&mt_fields[i], NULL, offsetof(struct mt_snapshot, memstats));

		add(&n, p, d);
	}
	for (size_t i = 0; i < mt_fields_count; i++) {
		const struct number n = of_field(&mt_fields[i], "native.", native);

		if (mt_fields[i].of_heap && (old->native.present || new->native.present))
			add(&n, p, d);
	}
	if (tells_more(p))
		add_all(net, COUNT_OF(net), p, d);
	add_all(vm, COUNT_OF(vm), p, d);
	if (mt_diff_same_trace(old, new))
		add_all(calls, COUNT_OF(calls), p, d);
	qsort(d->rows, d->n_rows, sizeof(*d->rows), by_weight);
	return 0;
}
