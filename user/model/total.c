/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/total.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* All of it are counters of 64 bits: none that is added later is forgotten here. */
static void add_flows(struct mt_flows *to, const struct mt_flows *f)
{
	_Static_assert(sizeof(*f) % sizeof(uint64_t) == 0, "counters of 64 bits");
	for (size_t at = 0; at < sizeof(*f); at += sizeof(uint64_t)) {
		uint64_t a, b;

		memcpy(&a, (char *)to + at, sizeof(a));
		memcpy(&b, (const char *)f + at, sizeof(b));
		sum(&a, b);
		memcpy((char *)to + at, &a, sizeof(a));
	}
}

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
/* And what lies within these. */
static const size_t inner[] = {
	offsetof(struct memtrace_memstats, heap_idle),
	offsetof(struct memtrace_memstats, heap_inuse),
	offsetof(struct memtrace_memstats, heap_released),
	offsetof(struct memtrace_memstats, stack_inuse),
	offsetof(struct memtrace_memstats, mspan_inuse),
	offsetof(struct memtrace_memstats, mcache_inuse),
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))
#define N_INNER (sizeof(inner) / sizeof(inner[0]))

static uint64_t *level(struct memtrace_memstats *m, size_t offset)
{
	return (uint64_t *)(void *)((char *)m + offset);
}

static uint64_t level_of(const struct memtrace_memstats *m, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)m + offset);
}

static void add_levels(struct memtrace_memstats *to, const struct memtrace_memstats *m)
{
	sum(&to->sys, m->sys);
	for (size_t i = 0; i < N_PARTS; i++)
		sum(level(to, parts[i]), level_of(m, parts[i]));
	for (size_t i = 0; i < N_INNER; i++)
		sum(level(to, inner[i]), level_of(m, inner[i]));
}

/* The sum of the parts is Sys even where a sum came to its limit. */
static void put_levels(struct memtrace_memstats *m, const struct memtrace_memstats *levels)
{
	uint64_t left = levels->sys;

	m->sys = levels->sys;
	for (size_t i = 0; i < N_PARTS; i++) {
		uint64_t v = level_of(levels, parts[i]);

		*level(m, parts[i]) = v < left ? v : left;
		left -= v < left ? v : left;
	}
	for (size_t i = 0; i < N_INNER; i++)
		*level(m, inner[i]) = level_of(levels, inner[i]);
	m->other_sys = left;
}

static bool lists(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; (p = strstr(p, name)); p += n) {
		bool begins = p == list || (p > list + 1 && p[-1] == ' ' && p[-2] == ',');

		if (begins && (!p[n] || p[n] == ','))
			return true;
	}
	return false;
}

/* "glibc 2.36, musl 1.2.3", or "..." at the end for those that have no room. */
static void add_allocator(char *list, size_t size, const char *name)
{
	static const char more[] = ", ...";
	size_t n = strlen(list), end = sizeof(more) - 1;

	if (!*name || lists(list, name) || (n > end && !strcmp(list + n - end, more)))
		return;
	if (!n)
		snprintf(list, size, "%s", name);
	else if (n + 2 + strlen(name) + sizeof(more) <= size)
		snprintf(list + n, size - n, ", %s", name);
	else
		snprintf(list + n, size - n, "%s", more);
}

static const char *same_text(const char *a, const char *b)
{
	return a && b && !strcmp(a, b) ? a : "mixed";
}

static void add_identity(struct mt_snapshot *to, const struct mt_snapshot *s)
{
	if (!to->processes) {
		snprintf(to->comm, sizeof(to->comm), "total");
		memcpy(to->cgroup, s->cgroup, sizeof(to->cgroup));
		memcpy(to->container, s->container, sizeof(to->container));
		to->runtime = s->runtime;
		to->mode = s->mode;
		to->sizes = s->sizes;
		to->vm_source = s->vm_source;
		to->final = true;
	}
	if (strcmp(to->cgroup, s->cgroup) != 0)
		to->cgroup[0] = '\0';
	if (strcmp(to->container, s->container) != 0)
		to->container[0] = '\0';
	to->vm.cgroup_current = to->cgroup[0] ? s->vm.cgroup_current : 0;
	to->runtime = same_text(to->runtime, s->runtime);
	to->mode = same_text(to->mode, s->mode);
	to->sizes = same_text(to->sizes, s->sizes);
	add_allocator(to->allocator, sizeof(to->allocator), s->allocator);
	to->final &= s->final;
	if (s->since > to->since) /* they stand in the order of what they miss */
		to->since = s->since;
	if (s->vm_source == MT_VM_NONE)
		to->vm_source = MT_VM_NONE;
}

void mt_total_add(struct mt_total *t, const struct mt_snapshot *s)
{
	struct mt_snapshot *to = &t->sum;

	add_identity(to, s);
	add_flows(&to->flows, &s->flows);
	add_vm(&to->vm, &s->vm);
	add_levels(&t->levels, &s->memstats);
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
	mt_snapshot_derive(ret);
	put_levels(&ret->memstats, &t->levels);
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
