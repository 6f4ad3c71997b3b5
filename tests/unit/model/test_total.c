/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/total.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/sizeclass.h"

static struct mt_snapshot a, b, ret; /* large for a stack frame */
static struct mt_total total;

static void flow(struct mt_snapshot *s, uint64_t size, uint64_t mallocs, uint64_t frees)
{
	struct mt_class_counts *c = &s->flows.cls[mt_class_of(size)];

	c->mallocs += mallocs;
	c->frees += frees;
	c->alloc_bytes += size * mallocs;
	c->free_bytes += size * frees;
}

static void fill(struct mt_snapshot *s, pid_t pid, uint64_t heap)
{
	*s = (struct mt_snapshot){
		.pid = pid,
		.time_ns = 1000 + (uint64_t)pid,
		.uptime_ns = 10 + (uint64_t)pid,
		.seq = (uint64_t)pid,
		.start_time = 7,
		.comm = "a",
		.exe = "/bin/a",
		.cgroup = "/docker/x",
		.container = "x",
		.runtime = "native",
		.allocator = "glibc 2.36",
		.mode = "exact",
		.sizes = "usable",
		.vm_source = MT_VM_TRACEPOINT,
		.tracer = {.cpu_ns = (uint64_t)pid, .map_bytes = 5},
	};
	s->vm = (struct mt_vm){
		.data = heap + (1 << 20),
		.stack = 132 << 10,
		.heap_sys = heap,
		.heap_resident = heap / 2,
		.heap_brk = heap / 4,
		.stack_sys = 132 << 10,
		.stack_resident = 20 << 10,
		.rss = 3 << 20,
		.pss = 2 << 20,
		.swap = 5,
		.shared = 6,
		.cgroup_current = 9 << 20,
		.known = true,
		.detail = true,
	};
}

static int setup(void **state)
{
	(void)state;
	fill(&a, 1, 8 << 20);
	fill(&b, 2, 4 << 20);
	memset(&total, 0, sizeof(total));
	memset(&ret, 0xff, sizeof(ret));
	return 0;
}

static void add_both(void)
{
	mt_snapshot_derive(&a);
	mt_snapshot_derive(&b);
	mt_total_add(&total, &a);
	mt_total_add(&total, &b);
	mt_total_snapshot(&total, &ret);
}

static void nothing(void **state)
{
	(void)state;
	mt_snapshot_total(NULL, 0, &ret);
	assert_int_equal(ret.processes, 0);
	assert_string_equal(ret.comm, "total");
	assert_int_equal(ret.memstats.sys, 0);
	assert_int_equal(ret.pid, 0);
}

static void identity(void **state)
{
	(void)state;
	add_both();
	assert_int_equal(ret.processes, 2);
	assert_int_equal(ret.pid, 0);
	assert_int_equal(ret.start_time, 0);
	assert_int_equal(ret.time_ns, 1002);
	assert_int_equal(ret.uptime_ns, 12);
	assert_int_equal(ret.seq, 2);
	assert_int_equal(ret.tracer.cpu_ns, 2);
	assert_string_equal(ret.comm, "total");
	assert_string_equal(ret.exe, "");
	assert_string_equal(ret.cgroup, "/docker/x");
	assert_string_equal(ret.container, "x");
	assert_int_equal(ret.vm.cgroup_current, 9 << 20);
	assert_string_equal(ret.runtime, "native");
	assert_string_equal(ret.allocator, "glibc 2.36");
	assert_string_equal(ret.mode, "exact");
	assert_string_equal(ret.sizes, "usable");
	assert_int_equal(ret.since, MT_SINCE_START);
	assert_int_equal(ret.vm_source, MT_VM_TRACEPOINT);
	assert_false(ret.final);
	assert_int_equal(ret.census.baseline, MT_BASELINE_NONE);
}

static void differing(void **state)
{
	(void)state;
	strcpy(b.cgroup, "/docker/y");
	strcpy(b.container, "y");
	strcpy(b.allocator, "jemalloc");
	b.sizes = "requested";
	strcpy(b.runtime, "go1.23.1");
	a.since = MT_SINCE_CENSUS;
	b.vm_source = MT_VM_NONE;
	a.final = b.final = true;
	b.census.baseline = MT_BASELINE_UNKNOWN;
	b.audit.done = MT_BASELINE_UNKNOWN;
	a.parts_age_ns = 4;
	add_both();
	assert_string_equal(ret.cgroup, "");
	assert_string_equal(ret.container, "");
	assert_int_equal(ret.vm.cgroup_current, 0);
	assert_string_equal(ret.allocator, "glibc 2.36, jemalloc");
	assert_string_equal(ret.sizes, "mixed");
	assert_string_equal(ret.runtime, "mixed");
	assert_string_equal(ret.mode, "exact");
	assert_int_equal(ret.since, MT_SINCE_CENSUS);
	assert_int_equal(ret.vm_source, MT_VM_NONE);
	assert_int_equal(ret.parts_age_ns, 4);
	assert_true(ret.final);
	assert_int_equal(ret.census.baseline, MT_BASELINE_NONE);
	assert_int_equal(ret.audit.done, MT_BASELINE_NONE);
	a.since = MT_SINCE_START;
	b.since = MT_SINCE_ATTACH;
	mt_total_add(&total, &b);
	mt_total_add(&total, &a);
	mt_total_snapshot(&total, &ret);
	assert_int_equal(ret.since, MT_SINCE_ATTACH);
	assert_string_equal(ret.cgroup, "");
	assert_string_equal(ret.allocator, "glibc 2.36, jemalloc");
}

/* Every counter, those that are added to the struct later included. */
static void counters(void **state)
{
	uint64_t *x = (uint64_t *)(void *)&a.flows, *y = (uint64_t *)(void *)&b.flows;
	const uint64_t *z = (const uint64_t *)(const void *)&ret.flows;
	size_t n = sizeof(a.flows) / sizeof(*x);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		x[i] = i;
		y[i] = 1000 * i;
	}
	add_both();
	for (size_t i = 0; i < n; i++)
		assert_int_equal(z[i], 1001 * i);
	assert_int_equal(mt_snapshot_lost(&ret), mt_snapshot_lost(&a) + mt_snapshot_lost(&b));
}

static void sys_is_its_parts(const struct memtrace_memstats *m)
{
	assert_int_equal(m->sys, m->heap_sys + m->stack_sys + m->mspan_sys + m->mcache_sys +
					 m->buck_hash_sys + m->gc_sys + m->other_sys);
}

static void levels(void **state)
{
	const struct memtrace_memstats *m = &ret.memstats, *x = &a.memstats, *y = &b.memstats;

	(void)state;
	flow(&a, 24, 1000, 400);
	flow(&b, 24, 10, 0);
	flow(&b, 2 << 20, 1, 0);
	b.census.baseline = MT_BASELINE_CENSUS;
	b.census.heap.mapped_system = 3 << 20;
	b.census.heap.idle = 1 << 20;
	b.census.heap.span_bytes = 100;
	b.census.heap.cache_bytes = 200;
	add_both();
	assert_int_equal(m->mallocs, 1011);
	assert_int_equal(m->frees, 400);
	assert_int_equal(m->heap_objects, 611);
	assert_int_equal(m->alloc, 610 * 24 + (2 << 20));
	assert_int_equal(m->by_size[3].mallocs, 1010);
	assert_int_equal(m->by_size[3].size, 24);
	assert_int_equal(m->sys, x->sys + y->sys);
	assert_int_equal(m->sys, ret.vm.data + ret.vm.stack);
	assert_int_equal(m->heap_sys, x->heap_sys + y->heap_sys);
	assert_int_equal(m->heap_inuse, x->heap_inuse + y->heap_inuse);
	assert_int_equal(m->heap_idle, x->heap_idle + y->heap_idle);
	assert_int_equal(m->heap_released, x->heap_released + y->heap_released);
	assert_int_equal(m->stack_sys, 264 << 10);
	assert_int_equal(m->stack_inuse, 40 << 10);
	assert_int_equal(m->mspan_sys, 100);
	assert_int_equal(m->mcache_inuse, 200);
	assert_int_equal(m->other_sys, x->other_sys + y->other_sys);
	sys_is_its_parts(m);
	assert_int_equal(ret.vm.rss, 6 << 20);
	assert_int_equal(ret.vm.pss, 4 << 20);
	assert_int_equal(ret.vm.swap, 10);
	assert_int_equal(ret.vm.shared, 12);
	assert_int_equal(ret.vm.heap_brk, 3 << 20);
	assert_true(ret.vm.known && ret.vm.detail);
}

/* One whose address space was never read takes nothing from the others. */
static void unread(void **state)
{
	(void)state;
	memset(&b.vm, 0, sizeof(b.vm));
	add_both();
	assert_true(ret.vm.known);
	assert_int_equal(ret.memstats.sys, a.memstats.sys);
	sys_is_its_parts(&ret.memstats);
}

static void limits(void **state)
{
	(void)state;
	memset(&a.flows, 0xff, sizeof(a.flows));
	memset(&b.flows, 0xff, sizeof(b.flows));
	a.vm.data = UINT64_MAX;
	a.vm.heap_sys = b.vm.heap_sys = UINT64_MAX - 5;
	b.vm.data = b.vm.stack_sys = UINT64_MAX;
	add_both();
	assert_true(ret.memstats.sys == UINT64_MAX);
	assert_true(ret.memstats.mallocs == UINT64_MAX);
	assert_true(mt_snapshot_lost(&ret) == UINT64_MAX);
	sys_is_its_parts(&ret.memstats);
}

/* Totals of totals: what has ended is added up on its own. */
static void of_totals(void **state)
{
	static struct mt_snapshot ended;
	static const struct mt_snapshot *v[2] = {&a, &ended};

	(void)state;
	flow(&b, 100, 5, 4);
	add_both();
	ended = ret;
	flow(&a, 100, 1, 0);
	mt_snapshot_derive(&a);
	mt_snapshot_total(v, 2, &ret);
	assert_int_equal(ret.processes, 3);
	assert_int_equal(ret.memstats.mallocs, 6);
	assert_int_equal(ret.memstats.sys, 2 * a.memstats.sys + b.memstats.sys);
	sys_is_its_parts(&ret.memstats);
}

/* A Go program: of what it allocated tiny blocks and those above 32 KiB are in no class. */
static void make_go(struct mt_snapshot *s, pid_t pid, bool c)
{
	static struct memtrace_memstats m;
	static struct mt_class_counts cls[MT_CLASSES];
	static const struct mt_class_counts unsized = {10, 4, 1000000, 400000};

	fill(s, pid, 8 << 20);
	if (c)
		flow(s, 24, 100, 40);
	mt_snapshot_derive(s);
	cls[3] = (struct mt_class_counts){1000, 300, 24000, 7200};
	m = (struct memtrace_memstats){
		.alloc = 616800,
		.heap_alloc = 616800,
		.total_alloc = 1024000,
		.mallocs = 1010 + 5555,
		.frees = 304 + 5555,
		.heap_objects = 706,
		.sys = 1000,
		.heap_sys = 600,
		.stack_sys = 100,
		.gc_sys = 200,
		.buck_hash_sys = 60,
		.other_sys = 40,
		.next_gc = 4 << 20,
		.last_gc = 5000 + (uint64_t)pid,
		.pause_total_ns = 900,
		.num_gc = 8,
		.num_forced_gc = 2,
		.gc_cpu_fraction = 0.5,
		.enable_gc = true,
	};
	m.pause_ns[7] = 100;
	m.by_size[3].mallocs = 1000;
	m.by_size[3].frees = 300;
	mt_snapshot_set_go(s, &m, cls, &unsized, c);
	strcpy(s->runtime, "go1.23.1");
	s->gc.consistent = true;
	s->gc.stop_ns = (uint64_t)pid;
	s->gc.pauses = 5;
	s->gc.missed = 3;
}

static void mixture(void **state)
{
	const struct memtrace_memstats *m = &ret.memstats, *n = &ret.native.memstats;

	(void)state;
	flow(&a, 24, 50, 30);
	mt_snapshot_derive(&a);
	make_go(&b, 2, true);
	mt_total_add(&total, &b);
	mt_total_add(&total, &a);
	make_go(&b, 3, true);
	b.gc.consistent = false;
	strcpy(b.gc.why, "it ran");
	mt_total_add(&total, &b);
	mt_total_snapshot(&total, &ret);
	assert_int_equal(m->mallocs, 2 * 6565 + 50);
	assert_int_equal(m->frees, 2 * 5859 + 30);
	assert_int_equal(m->heap_objects, 2 * 706 + 20);
	assert_int_equal(m->alloc, 2 * 616800 + 20 * 24);
	assert_int_equal(m->heap_alloc, m->alloc);
	assert_int_equal(m->total_alloc, 2 * 1024000 + 50 * 24);
	assert_int_equal(m->by_size[3].mallocs, 2050);
	assert_int_equal(ret.flows.cls[3].mallocs, 2050);
	assert_int_equal(ret.unsized.frees, 8);
	assert_int_equal(m->sys, 2000 + a.memstats.sys);
	assert_int_equal(m->buck_hash_sys, 120);
	sys_is_its_parts(m);
	assert_int_equal(m->num_gc, 16);
	assert_int_equal(m->num_forced_gc, 4);
	assert_int_equal(m->pause_total_ns, 1800);
	assert_int_equal(m->next_gc, 8 << 20);
	assert_int_equal(m->last_gc, 5003);
	assert_int_equal(m->pause_ns[7], 0);
	assert_true(m->gc_cpu_fraction == 0);
	assert_true(m->enable_gc);
	assert_true(ret.gc.present);
	assert_false(ret.gc.consistent);
	assert_string_equal(ret.gc.why, "it ran");
	assert_int_equal(ret.gc.stop_ns, 3);
	assert_int_equal(ret.gc.pauses, 0);
	assert_int_equal(ret.gc.missed, 6);
	assert_int_equal(mt_snapshot_lost(&ret), 6);
	/* C's is added up on its own. */
	assert_true(ret.native.present);
	assert_int_equal(n->mallocs, 200);
	assert_int_equal(n->heap_objects, 120);
	assert_int_equal(n->sys, 2 * b.native.memstats.sys);
	assert_int_equal(ret.native.cls[3].frees, 80);
	assert_string_equal(ret.native.sizes, "usable");
	sys_is_its_parts(n);
	assert_string_equal(ret.runtime, "mixed");
	assert_string_equal(ret.runtimes, "go1.23.1, native");
	assert_string_equal(ret.allocator, "go, glibc 2.36");
}

static void one_runtime(void **state)
{
	(void)state;
	make_go(&a, 1, false);
	make_go(&b, 2, false);
	mt_total_add(&total, &a);
	mt_total_add(&total, &b);
	mt_total_snapshot(&total, &ret);
	assert_string_equal(ret.runtime, "go1.23.1");
	assert_string_equal(ret.runtimes, "go1.23.1");
	assert_string_equal(ret.allocator, "go");
	assert_true(ret.gc.consistent);
	assert_string_equal(ret.gc.why, "");
	assert_false(ret.native.present);
}

/*
 * A negative level counts against the others' in any order and in totals of
 * totals, though no single one is shown below 0.
 */
static void negative(void **state)
{
	static struct mt_snapshot part;
	static const struct mt_snapshot *v[2] = {&part, &b};

	(void)state;
	a.since = MT_SINCE_ATTACH;
	flow(&a, 24, 0, 100);
	mt_snapshot_derive(&a);
	make_go(&b, 2, false);
	mt_total_add(&total, &a);
	mt_total_add(&total, &a);
	mt_total_snapshot(&total, &part);
	assert_int_equal(part.memstats.alloc, 0);
	mt_snapshot_total(v, 2, &ret);
	assert_int_equal(ret.memstats.alloc, 616800 - 4800);
	assert_int_equal(ret.memstats.heap_objects, 506);
	assert_int_equal(mt_snapshot_net_bytes(&ret), 616800 - 4800);
	assert_string_equal(ret.runtimes, "native, go1.23.1");
}

static void many_runtimes(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(a.runtime, sizeof(a.runtime), "go1.23.%d", i);
		mt_total_add(&total, &a);
	}
	assert_int_equal(strncmp(total.sum.runtimes, "go1.23.0, go1.23.1, ", 20), 0);
	assert_non_null(strstr(total.sum.runtimes, ", ..."));
	assert_true(strlen(total.sum.runtimes) < sizeof(total.sum.runtimes));
}

static void allocators(void **state)
{
	static const char *const names[] = {"libc 2.36", "glibc 2.36", "glibc 2.3", "libc 2.36",
					    "glibc 2.3", "a",          "",          "bb"};
	char name[64];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		strcpy(a.allocator, names[i]);
		mt_total_add(&total, &a);
	}
	assert_string_equal(total.sum.allocator, "libc 2.36, glibc 2.36, glibc 2.3, a, bb");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "allocator %d", i);
		strcpy(a.allocator, name);
		mt_total_add(&total, &a);
	}
	assert_string_equal(total.sum.allocator,
			    "libc 2.36, glibc 2.36, glibc 2.3, a, bb, allocator 0, ...");
	/* Whatever a target calls its allocator, there is an end. */
	memset(&total, 0, sizeof(total));
	for (size_t n = 63; n; n--) {
		memset(a.allocator, ',', sizeof(a.allocator));
		a.allocator[n] = '\0';
		mt_total_add(&total, &a);
		assert_non_null(memchr(total.sum.allocator, 0, sizeof(total.sum.allocator)));
	}
}

static void order(void **state)
{
	static struct mt_snapshot c;
	const struct mt_snapshot *v[] = {&ret, &a, &b, &c};

	(void)state;
	add_both();
	fill(&c, 3, 1 << 20);
	a.memstats.alloc = 5;
	b.memstats.alloc = UINT64_MAX;
	c.memstats.alloc = 5;
	ret.memstats.alloc = UINT64_MAX;
	mt_snapshot_sort(v, 4);
	assert_ptr_equal(v[0], &b);
	assert_ptr_equal(v[1], &a);
	assert_ptr_equal(v[2], &c);
	assert_ptr_equal(v[3], &ret);
	mt_snapshot_sort(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing, setup),
		cmocka_unit_test_setup(identity, setup),
		cmocka_unit_test_setup(differing, setup),
		cmocka_unit_test_setup(counters, setup),
		cmocka_unit_test_setup(levels, setup),
		cmocka_unit_test_setup(unread, setup),
		cmocka_unit_test_setup(limits, setup),
		cmocka_unit_test_setup(of_totals, setup),
		cmocka_unit_test_setup(allocators, setup),
		cmocka_unit_test_setup(order, setup),
		cmocka_unit_test_setup(mixture, setup),
		cmocka_unit_test_setup(one_runtime, setup),
		cmocka_unit_test_setup(negative, setup),
		cmocka_unit_test_setup(many_runtimes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
