/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/total.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/names.h"
#include "model/sizeclass.h"

/* Saturates: see snapshot.c. */
static void sum(uint64_t *to, uint64_t v)
{
	if (__builtin_add_overflow(*to, v, to))
		*to = UINT64_MAX;
}

static void most(uint64_t *to, uint64_t v)
{
	if (v > *to)
		*to = v;
}

/* Saturates as well. */
static void sum_signed(int64_t *to, int64_t v)
{
	if (__builtin_add_overflow(*to, v, to))
		*to = v < 0 ? INT64_MIN : INT64_MAX;
}

static void sum_u32(uint32_t *to, uint32_t v)
{
	if (__builtin_add_overflow(*to, v, to))
		*to = UINT32_MAX;
}

/* All of it are counters of 64 bits: none that is added later is forgotten here. */
static void add_counters(void *to, const void *from, size_t size)
{
	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		uint64_t a, b;

		memcpy(&a, (char *)to + at, sizeof(a));
		memcpy(&b, (const char *)from + at, sizeof(b));
		sum(&a, b);
		memcpy((char *)to + at, &a, sizeof(a));
	}
}

_Static_assert(sizeof(struct mt_flows) % sizeof(uint64_t) == 0, "counters of 64 bits");
_Static_assert(sizeof(struct mt_class_counts) % sizeof(uint64_t) == 0, "counters of 64 bits");

static void add_vm(struct mt_vm *to, const struct mt_vm *vm)
{
	sum(&to->data, vm->data);
	sum(&to->stack, vm->stack);
	sum(&to->heap_sys, vm->heap_sys);
	sum(&to->heap_resident, vm->heap_resident);
	sum(&to->heap_brk, vm->heap_brk);
	sum(&to->stack_sys, vm->stack_sys);
	sum(&to->stack_resident, vm->stack_resident);
	sum(&to->rss, vm->rss);
	sum(&to->pss, vm->pss);
	sum(&to->swap, vm->swap);
	sum(&to->shared, vm->shared);
	to->known |= vm->known;
	to->detail |= vm->detail;
}

/* Those of Sys but OtherSys, which is the rest. */
static const size_t parts[] = {
	offsetof(struct memtrace_memstats, heap_sys),
	offsetof(struct memtrace_memstats, stack_sys),
	offsetof(struct memtrace_memstats, mspan_sys),
	offsetof(struct memtrace_memstats, mcache_sys),
	offsetof(struct memtrace_memstats, buck_hash_sys),
	offsetof(struct memtrace_memstats, gc_sys),
};
/* What lies within these, and what is no level. */
static const size_t others[] = {
	offsetof(struct memtrace_memstats, total_alloc),
	offsetof(struct memtrace_memstats, mallocs),
	offsetof(struct memtrace_memstats, frees),
	offsetof(struct memtrace_memstats, lookups),
	offsetof(struct memtrace_memstats, next_gc),
	offsetof(struct memtrace_memstats, pause_total_ns),
	offsetof(struct memtrace_memstats, heap_idle),
	offsetof(struct memtrace_memstats, heap_inuse),
	offsetof(struct memtrace_memstats, heap_released),
	offsetof(struct memtrace_memstats, stack_inuse),
	offsetof(struct memtrace_memstats, mspan_inuse),
	offsetof(struct memtrace_memstats, mcache_inuse),
};
#define N_PARTS  (sizeof(parts) / sizeof(parts[0]))
#define N_OTHERS (sizeof(others) / sizeof(others[0]))

static uint64_t *member(struct memtrace_memstats *m, size_t offset)
{
	return (uint64_t *)(void *)((char *)m + offset);
}

static uint64_t value_of(const struct memtrace_memstats *m, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)m + offset);
}

/*
 * A level that is shown as 0 may be below it: net is then the level. Of one above 0
 * what is shown is the truth.
 */
static int64_t signed_level(uint64_t shown, int64_t net)
{
	if (shown)
		return shown < INT64_MAX ? (int64_t)shown : INT64_MAX;
	return net < 0 ? net : 0;
}

static void add_memstats(struct mt_sums *to, const struct memtrace_memstats *m, int64_t objects,
			 int64_t bytes)
{
	sum(&to->m.sys, m->sys);
	for (size_t i = 0; i < N_PARTS; i++)
		sum(member(&to->m, parts[i]), value_of(m, parts[i]));
	for (size_t i = 0; i < N_OTHERS; i++)
		sum(member(&to->m, others[i]), value_of(m, others[i]));
	for (unsigned int i = 0; i < MT_BYSIZE; i++) {
		sum(&to->m.by_size[i].mallocs, m->by_size[i].mallocs);
		sum(&to->m.by_size[i].frees, m->by_size[i].frees);
	}
	most(&to->m.last_gc, m->last_gc);
	sum_u32(&to->m.num_gc, m->num_gc);
	sum_u32(&to->m.num_forced_gc, m->num_forced_gc);
	to->m.enable_gc |= m->enable_gc;
	sum_signed(&to->objects, signed_level(m->heap_objects, objects));
	sum_signed(&to->bytes, signed_level(m->alloc, bytes));
}

/* The sum of the parts is Sys even where a sum came to its limit. */
static void put_memstats(struct memtrace_memstats *m, const struct mt_sums *sums)
{
	uint64_t left = sums->m.sys;

	*m = sums->m;
	for (size_t i = 0; i < N_PARTS; i++) {
		uint64_t *part = member(m, parts[i]);

		*part = *part < left ? *part : left;
		left -= *part;
	}
	m->other_sys = left;
	for (unsigned int i = 0; i < MT_BYSIZE; i++)
		m->by_size[i].size = (uint32_t)mt_class_size(i);
	m->alloc = mt_level(sums->bytes);
	m->heap_alloc = m->alloc;
	m->heap_objects = mt_level(sums->objects);
}

static const char *same_text(const char *a, const char *b)
{
	return a && b && !strcmp(a, b) ? a : "mixed";
}

static void add_identity(struct mt_snapshot *to, const struct mt_snapshot *s)
{
	if (!to->processes) {
		snprintf(to->comm, sizeof(to->comm), "total");
		memcpy(to->host, s->host, sizeof(to->host));
		memcpy(to->event, s->event, sizeof(to->event));
		memcpy(to->label, s->label, sizeof(to->label));
		memcpy(to->cgroup, s->cgroup, sizeof(to->cgroup));
		memcpy(to->container, s->container, sizeof(to->container));
		memcpy(to->runtime, s->runtime, sizeof(to->runtime));
		to->mode = s->mode;
		to->sizes = s->sizes;
		to->vm_source = s->vm_source;
		to->final = true;
	}
	if (strcmp(to->host, s->host) != 0)
		to->host[0] = '\0';
	if (strcmp(to->event, s->event) != 0)
		to->event[0] = '\0';
	if (strcmp(to->label, s->label) != 0)
		to->label[0] = '\0';
	if (strcmp(to->cgroup, s->cgroup) != 0)
		to->cgroup[0] = '\0';
	if (strcmp(to->container, s->container) != 0)
		to->container[0] = '\0';
	to->vm.cgroup_current = to->cgroup[0] ? s->vm.cgroup_current : 0;
	if (strcmp(to->runtime, s->runtime) != 0)
		snprintf(to->runtime, sizeof(to->runtime), "mixed");
	mt_names_add(to->runtimes, sizeof(to->runtimes), s->processes ? s->runtimes : s->runtime);
	if (s->native.present)
		mt_names_add(to->runtimes, sizeof(to->runtimes), "native");
	to->mode = same_text(to->mode, s->mode);
	to->sizes = same_text(to->sizes, s->sizes);
	mt_names_add(to->allocator, sizeof(to->allocator), s->allocator);
	to->final &= s->final;
	if (s->since > to->since) /* they stand in the order of what they miss */
		to->since = s->since;
	if (s->vm_source == MT_VM_NONE)
		to->vm_source = MT_VM_NONE;
}

static void add_gc(struct mt_gc *to, const struct mt_gc *gc)
{
	if (!gc->present)
		return;
	if (!gc->consistent && (!to->present || to->consistent))
		memcpy(to->why, gc->why, sizeof(to->why));
	to->consistent = gc->consistent && (!to->present || to->consistent);
	to->present = true;
	most(&to->stop_ns, gc->stop_ns);
	sum(&to->missed, gc->missed);
}

static void add_native(struct mt_total *t, const struct mt_native *n)
{
	struct mt_native *to = &t->sum.native;

	if (!n->present)
		return;
	to->sizes = to->present ? same_text(to->sizes, n->sizes) : n->sizes;
	to->present = true;
	if (n->since > to->since)
		to->since = n->since;
	mt_names_add(to->allocator, sizeof(to->allocator), n->allocator);
	add_counters(to->cls, n->cls, sizeof(to->cls));
	add_memstats(&t->native, &n->memstats, mt_classes_net_objects(n->cls),
		     mt_classes_net_bytes(n->cls));
}

void mt_total_add(struct mt_total *t, const struct mt_snapshot *s)
{
	struct mt_snapshot *to = &t->sum;

	add_identity(to, s);
	add_counters(&to->flows, &s->flows, sizeof(to->flows));
	add_counters(&to->unsized, &s->unsized, sizeof(to->unsized));
	add_vm(&to->vm, &s->vm);
	add_memstats(&t->memstats, &s->memstats, mt_snapshot_net_objects(s),
		     mt_snapshot_net_bytes(s));
	add_gc(&to->gc, &s->gc);
	add_native(t, &s->native);
	if (s->uptime_ns >= to->uptime_ns)
		to->tracer = s->tracer; /* one for all of them */
	most(&to->time_ns, s->time_ns);
	most(&to->uptime_ns, s->uptime_ns);
	most(&to->seq, s->seq);
	most(&to->parts_age_ns, s->parts_age_ns);
	sum(&to->processes, s->processes ? s->processes : 1);
}

void mt_total_snapshot(const struct mt_total *t, struct mt_snapshot *ret)
{
	*ret = t->sum;
	if (!ret->processes)
		snprintf(ret->comm, sizeof(ret->comm), "total");
	put_memstats(&ret->memstats, &t->memstats);
	if (ret->native.present)
		put_memstats(&ret->native.memstats, &t->native);
}

void mt_snapshot_total(const struct mt_snapshot *const *v, size_t n, struct mt_snapshot *ret)
{
	struct mt_total t = {0};

	for (size_t i = 0; i < n; i++)
		mt_total_add(&t, v[i]);
	mt_total_snapshot(&t, ret);
}

static int by_alloc(const void *a, const void *b)
{
	const struct mt_snapshot *x = *(const struct mt_snapshot *const *)a;
	const struct mt_snapshot *y = *(const struct mt_snapshot *const *)b;

	if (!x->processes != !y->processes)
		return x->processes ? 1 : -1;
	if (x->memstats.alloc != y->memstats.alloc)
		return x->memstats.alloc < y->memstats.alloc ? 1 : -1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

void mt_snapshot_sort(const struct mt_snapshot **v, size_t n)
{
	if (n)
		qsort(v, n, sizeof(const struct mt_snapshot *), by_alloc);
}
