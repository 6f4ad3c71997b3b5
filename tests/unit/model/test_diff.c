/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "model/sizeclass.h"

#define MOMENTS 40

struct compared {
	struct mt_moment m[MOMENTS];
	struct mt_diff *d;
};

static void compared_fini(struct compared *c)
{
	mt_diff_free(&c->d);
	for (size_t i = 0; i < MOMENTS; i++)
		mt_moment_fini(&c->m[i]);
}

#define _cleanup_compared_ __attribute__((cleanup(compared_fini)))

static struct mt_snapshot *snapshot(pid_t pid, uint64_t second)
{
	struct mt_snapshot *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->time_ns = (1000 + second) * UINT64_C(1000000000);
	s->uptime_ns = second * UINT64_C(1000000000);
	s->pid = pid;
	s->start_time = 7;
	strcpy(s->comm, "app");
	strcpy(s->host, "node1");
	strcpy(s->runtime, "native");
	strcpy(s->allocator, "glibc 2.36");
	s->mode = "exact";
	s->sizes = "usable";
	s->vm.known = true;
	return s;
}

/* Adds blocks of a size, all live. */
static void hold(struct mt_snapshot *s, uint64_t size, uint64_t blocks)
{
	struct mt_class_counts *c = &s->flows.cls[mt_class_of(size)];

	c->mallocs += blocks;
	c->alloc_bytes += size * blocks;
	mt_snapshot_derive(s);
}

static void put(struct mt_moment *m, struct mt_snapshot *s)
{
	assert_int_equal(mt_moment_add(m, &s), 0);
	assert_null(s);
}

static void diff(struct compared *c, size_t repetitions)
{
	assert_int_equal(mt_diff_new(c->m, repetitions, "run", &c->d), 0);
}

/* One pair of the two. */
static void pair(struct compared *c, struct mt_snapshot *old, struct mt_snapshot *new)
{
	put(&c->m[0], old);
	put(&c->m[1], new);
	diff(c, 1);
	assert_int_equal(c->d->n, 1);
}

static const struct mt_diff_row *row(const struct mt_diff_process *p, const char *name)
{
	for (size_t i = 0; i < p->n_rows; i++)
		if (!strcmp(p->rows[i].name, name))
			return &p->rows[i];
	return NULL;
}

static const struct mt_diff_row *need(const struct mt_diff_process *p, const char *name)
{
	const struct mt_diff_row *r = row(p, name);

	if (!r)
		fail_msg("no row %s", name);
	return r;
}

static bool noted(const struct compared *c, const char *what)
{
	for (size_t i = 0; i < c->d->v[0].n_notes; i++)
		if (strstr(c->d->v[0].notes[i], what))
			return true;
	return false;
}

static void rows(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	struct mt_snapshot *old = snapshot(1, 0), *new = snapshot(1, 10);
	const struct mt_diff_process *p;

	(void)state;
	hold(old, 64, 10);
	hold(new, 64, 30);
	new->flows.cls[mt_class_of(64)].frees = 5;
	new->flows.cls[mt_class_of(64)].free_bytes = 5 * 64;
	mt_snapshot_derive(new);
	old->vm.rss = 5000;
	new->vm.rss = 4000;
	new->memstats.next_gc = UINT64_MAX;
	new->memstats.gc_cpu_fraction = 0.25;
	new->memstats.enable_gc = true;
	new->flows.vm[MT_VM_BRK].calls = 3;
	pair(&c, old, new);
	p = &c.d->v[0];
	assert_int_equal(need(p, "Alloc")->change, 15 * 64);
	assert_true(need(p, "Alloc")->old == 640 && need(p, "Alloc")->new == 25 * 64);
	assert_int_equal(need(p, "Mallocs")->change, 20);
	assert_int_equal(need(p, "Frees")->change, 5);
	assert_int_equal(need(p, "rss")->change, -1000);
	assert_true(need(p, "NextGC")->change == INT64_MAX); /* more than fits */
	assert_int_equal(need(p, "GCCPUFraction")->change, 250000000);
	assert_true(need(p, "EnableGC")->is_bool);
	assert_int_equal(need(p, "brk.calls")->change, 3);
	assert_null(row(p, "Sys"));
	assert_null(row(p, "net.Bytes")); /* Alloc says it */
	/* Live bytes first, what merely flowed behind all levels. */
	assert_string_equal(p->rows[0].name, "Alloc");
	for (size_t i = 1; i < p->n_rows; i++)
		assert_true(p->rows[i].kind >= p->rows[i - 1].kind);
	assert_int_equal(p->n_notes, 0);
	assert_int_equal(p->heap.leak.bytes.verdict, MT_VERDICT_NONE);
	assert_string_equal(p->heap.leak.text, "");
}

static void since_attach(void **state)
{
	_cleanup_compared_ struct compared c = {0}, same = {0};
	struct mt_snapshot *old = snapshot(1, 0), *new = snapshot(1, 10);
	const struct mt_diff_row *r;

	(void)state;
	old->since = new->since = MT_SINCE_ATTACH;
	new->flows.cls[9].frees = 50;
	new->flows.cls[9].free_bytes = 50 * 112;
	mt_snapshot_derive(new);
	pair(&c, old, new);
	r = need(&c.d->v[0], "net.Bytes");
	assert_true(r->is_signed);
	assert_int_equal(r->change, -50 * 112);
	assert_null(row(&c.d->v[0], "Alloc")); /* which stops at 0 */
	assert_int_equal(c.d->v[0].heap.classes[0].bytes.change, -50 * 112);

	old = snapshot(1, 0);
	new = snapshot(1, 10);
	old->since = new->since = MT_SINCE_ATTACH;
	hold(new, 64, 3);
	mt_snapshot_derive(new);
	pair(&same, old, new);
	assert_int_equal(need(&same.d->v[0], "Alloc")->change, 3 * 64);
	assert_null(row(&same.d->v[0], "net.Bytes")); /* which would say it again */
	assert_null(row(&same.d->v[0], "net.Objects"));
}

static void classes(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	struct mt_snapshot *old = snapshot(1, 0), *new = snapshot(1, 10);
	const struct mt_diff_class *v;

	(void)state;
	hold(old, 32, 100);
	hold(new, 32, 50);
	hold(new, 100000, 3);
	hold(new, 4000, 1);
	hold(old, 512, 9);
	hold(new, 512, 9);
	new->unsized = (struct mt_class_counts){2, 1, 80000, 40000};
	pair(&c, old, new);
	v = c.d->v[0].heap.classes;
	assert_int_equal(c.d->v[0].heap.n, 4);
	assert_int_equal(v[0].class, mt_class_of(100000));
	assert_int_equal(v[0].bytes.change, 300000);
	assert_int_equal(v[0].objects.change, 3);
	assert_int_equal(v[1].class, MT_CLASSES);
	assert_int_equal(v[1].bytes.change, 40000);
	assert_int_equal(v[1].mallocs, 2);
	assert_int_equal(v[1].frees, 1);
	assert_int_equal(v[3].class, mt_class_of(32));
	assert_int_equal(v[3].bytes.change, -1600);
	assert_int_equal(v[3].mallocs, 0); /* not less than none */
}

static void processes(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	struct mt_snapshot *reused = snapshot(4, 10), *total = snapshot(0, 10);

	(void)state;
	put(&c.m[0], snapshot(3, 0));
	put(&c.m[0], snapshot(1, 0));
	put(&c.m[0], snapshot(4, 0));
	put(&c.m[0], snapshot(2, 0));
	put(&c.m[1], snapshot(1, 10));
	put(&c.m[1], snapshot(2, 10));
	put(&c.m[1], snapshot(9, 10));
	reused->start_time = 8;
	put(&c.m[1], reused);
	total->processes = 4;
	put(&c.m[1], total);
	hold(c.m[1].v[1], 1000, 5);
	diff(&c, 1);
	assert_int_equal(c.d->n, 2);
	assert_int_equal(c.d->v[0].new->pid, 2); /* which grew */
	assert_int_equal(c.d->v[1].new->pid, 1);
	assert_int_equal(c.d->n_came, 2); /* no totals */
	assert_int_equal(c.d->came[0]->pid, 4);
	assert_int_equal(c.d->came[1]->pid, 9);
	assert_int_equal(c.d->n_went, 2);
	assert_int_equal(c.d->went[0]->pid, 3);
	assert_int_equal(c.d->went[1]->pid, 4);
}

static void notes_who(void **state)
{
	_cleanup_compared_ struct compared c = {0}, e = {0}, h = {0};
	struct mt_snapshot *old = snapshot(1, 0), *new = snapshot(2, 10);

	(void)state;
	strcpy(new->host, "node2");
	strcpy(new->runtime, "go1.23.1");
	strcpy(new->allocator, "go");
	new->mode = "sampled";
	new->sizes = "requested";
	new->since = MT_SINCE_CENSUS;
	pair(&c, old, new);
	assert_true(noted(&c, "another host: node1, then node2"));
	assert_true(noted(&c, "another process: app[1], then app[2]"));
	assert_true(noted(&c, "another runtime: native, then go1.23.1"));
	assert_true(noted(&c, "another allocator: glibc 2.36, then go"));
	assert_true(noted(&c, "another mode: exact, then sampled"));
	assert_true(noted(&c, "another kind of block sizes: usable, then requested"));
	assert_true(noted(&c, "levels count from the start of the process, then from a census"));

	old = snapshot(1, 0);
	new = snapshot(1, 10);
	new->start_time++;
	old->host[0] = '\0'; /* an older file, which does not say it */
	pair(&e, old, new);
	assert_true(noted(&e, "started anew"));
	assert_false(noted(&e, "host"));

	old = snapshot(1, 0);
	new = snapshot(1, 10);
	strcpy(old->exe, "/bin/sh");
	strcpy(new->exe, "/bin/true");
	old->memstats.mallocs = 5;
	pair(&h, old, new);
	assert_true(noted(&h, "another program (it called exec): /bin/sh, then /bin/true"));
	assert_true(noted(&h, "the counts began anew"));
}

/* What is so of both stands there once; what differs, twice. */
static void notes_of_both(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	struct mt_snapshot *old = snapshot(1, 0), *new = snapshot(1, 10);

	(void)state;
	old->flows.unreturned = 3;
	new->flows.unreturned = 4;
	old->census.baseline = new->census.baseline = MT_BASELINE_UNKNOWN;
	strcpy(old->census.why, "its heap is another's");
	strcpy(new->census.why, "its heap is another's");
	pair(&c, old, new);
	assert_int_equal(c.d->v[0].n_notes, 3);
	assert_true(noted(&c, "OLD LOST 3"));
	assert_true(noted(&c, "NEW LOST 4"));
	assert_true(noted(&c, "OLD and NEW could not tell what the heap held before: its heap"));
}

static void notes_how(void **state)
{
	_cleanup_compared_ struct compared c = {0}, e = {0}, h = {0}, t = {0};
	struct mt_snapshot *old = snapshot(1, 20), *new = snapshot(1, 10);

	(void)state;
	old->flows.unreturned = 3;
	new->gc.present = true;
	strcpy(new->gc.why, "it was collecting");
	new->audit.done = MT_BASELINE_CENSUS;
	new->audit.objects = new->audit.cls[3].objects = -1;
	new->vm.known = false;
	pair(&c, old, new);
	assert_true(noted(&c, "OLD is 10.0 s newer than NEW"));
	assert_true(noted(&c, "OLD LOST 3"));
	assert_false(noted(&c, "NEW LOST"));
	assert_true(noted(&c, "NEW could only be read approximately: it was collecting"));
	assert_true(noted(&c, "NEW drifted from the audit by -1 objects"));
	assert_true(noted(&c, "NEW could not read /proc"));
	assert_true(mt_diff_lost(c.d));

	old = snapshot(1, 0);
	new = snapshot(1, 500);
	new->uptime_ns = 1;
	old->since = new->since = MT_SINCE_CENSUS;
	old->flows.vm[MT_VM_BRK].calls = 3; /* since the attach, which is another */
	pair(&e, old, new);
	assert_true(noted(&e, "two traces: Mallocs, Frees and TotalAlloc began anew"));
	assert_null(row(&e.d->v[0], "brk.calls"));
	assert_false(mt_diff_lost(e.d));

	old = snapshot(1, 0);
	new = snapshot(1, 500);
	new->uptime_ns = 1;
	old->since = new->since = MT_SINCE_ATTACH;
	pair(&h, old, new);
	assert_true(noted(&h, "and so did the levels"));

	old = snapshot(1, 0);
	new = snapshot(1, 500);
	new->uptime_ns = 1; /* from the start of the process both times */
	pair(&t, old, new);
	assert_int_equal(t.d->v[0].n_notes, 0);
}

/* Each repetition holds one block more of the size, and another that comes and goes. */
static void repeat(struct compared *c, size_t n, uint64_t size, uint64_t noise)
{
	for (size_t i = 0; i < 2 * n; i++) {
		struct mt_snapshot *s = snapshot(1, i);

		hold(s, size, 100 + (i + 1) / 2);
		hold(s, 1 << 20, 10);
		if (i % 2 && i % 4 == 1)
			hold(s, noise, 1);
		put(&c->m[i], s);
	}
	diff(c, n);
}

static void leaks(void **state)
{
	_cleanup_compared_ struct compared c = {0}, hidden = {0};
	const struct mt_diff_process *p;

	(void)state;
	repeat(&c, 12, 4096, 0);
	p = &c.d->v[0];
	assert_int_equal(p->repetitions, 12);
	assert_string_equal(p->heap.leak.text, "grows 4.0 KiB per run (12 of 12 repetitions)");
	assert_int_equal(p->heap.leak.objects, 1);
	assert_int_equal(need(p, "Alloc")->median, 4096);
	assert_true(need(p, "Alloc")->min == 4096 && need(p, "Alloc")->max == 4096);
	assert_int_equal(p->heap.classes[0].leak.verdict, MT_VERDICT_GROWS);
	assert_ptr_equal(p->first, c.m[0].v[0]);
	assert_ptr_equal(p->new, c.m[23].v[0]);

	/* Sixteen bytes beside noise of 64 KiB. */
	for (size_t i = 0; i < 40; i++) {
		struct mt_snapshot *s = snapshot(1, i);

		hold(s, 16, 100 + (i + 1) / 2);
		hold(s, 65536, 100 + (i * i / 3 + i) % 7);
		put(&hidden.m[i], s);
	}
	diff(&hidden, 20);
	p = &hidden.d->v[0];
	assert_int_equal(p->heap.leak.bytes.verdict, MT_VERDICT_GROWS);
	assert_true(p->heap.leak.by_class);
	assert_string_equal(
		p->heap.leak.text,
		"grows in blocks of up to 16 bytes: 16 B per run (20 of 20 repetitions)");
}

static void no_leaks(void **state)
{
	_cleanup_compared_ struct compared none = {0}, moved = {0};

	(void)state;
	for (size_t i = 0; i < 24; i++)
		put(&none.m[i], snapshot(1, i));
	diff(&none, 12);
	assert_string_equal(none.d->v[0].heap.leak.text, "steady (0 of 12 repetitions grew)");
	/* What one size gains another loses. */
	for (size_t i = 0; i < 24; i++) {
		struct mt_snapshot *s = snapshot(1, i);

		hold(s, 64, 100 + 2 * ((i + 1) / 2));
		hold(s, 128, 100 - (i + 1) / 2);
		put(&moved.m[i], s);
	}
	diff(&moved, 12);
	assert_int_equal(moved.d->v[0].heap.leak.bytes.verdict, MT_VERDICT_STEADY);
	assert_false(moved.d->v[0].heap.leak.by_class);
}

static struct mt_snapshot *collected(size_t i, uint64_t alloc, uint64_t next, uint32_t gcs)
{
	struct mt_snapshot *s = snapshot(1, i);

	s->gc.present = s->gc.consistent = true;
	s->memstats.alloc = alloc;
	s->unsized = (struct mt_class_counts){1, 0, alloc, 0};
	s->memstats.next_gc = next;
	s->memstats.num_gc = gcs;
	return s;
}

/* Garbage grows between collections: that is no leak. */
static void of_a_collector(void **state)
{
	_cleanup_compared_ struct compared garbage = {0}, leak = {0}, small = {0};

	(void)state;
	for (size_t i = 0; i < 24; i++) {
		put(&garbage.m[i], collected(i, i << 20, 64 << 20, 3));
		put(&leak.m[i],
		    collected(i, 9 << 20, (64 << 20) + ((i + 1) / 2 << 16), (uint32_t)i));
		put(&small.m[i], collected(i, i << 10, 4 << 20, (uint32_t)i));
	}
	diff(&garbage, 12);
	diff(&leak, 12);
	diff(&small, 12);
	assert_int_equal(garbage.d->v[0].heap.leak.bytes.verdict, MT_VERDICT_UNCLEAR);
	assert_non_null(strstr(garbage.d->v[0].heap.leak.text, "too few collections"));
	assert_int_equal(leak.d->v[0].heap.leak.bytes.verdict, MT_VERDICT_GROWS);
	assert_non_null(strstr(leak.d->v[0].heap.leak.text, "by 64.0 KiB per run (12 of 12"));
	/* NextGC says nothing of it, the blocks themselves do. */
	assert_non_null(strstr(small.d->v[0].heap.leak.text,
			       "grows in blocks above 32 KiB: 1.0 KiB per run (12 of 12"));
}

/* A small leak beside much garbage, whose amount at a moment is noise. */
static void beside_garbage(void **state)
{
	_cleanup_compared_ struct compared c = {0}, none = {0};

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		const uint64_t garbage = (i * i * 7919 + i * 31) % 97 << 18;
		struct mt_snapshot *s = collected(i, garbage, (64 << 20) + garbage, (uint32_t)i);

		put(&none.m[i], collected(i, garbage, (64 << 20) + garbage, (uint32_t)i));
		s->flows.cls[20].mallocs = 100 + (i + 1) / 2;
		s->flows.cls[20].alloc_bytes = 320 * (100 + (i + 1) / 2);
		put(&c.m[i], s);
	}
	diff(&c, 20);
	diff(&none, 20);
	assert_non_null(strstr(c.d->v[0].heap.leak.text,
			       "grows in blocks of up to 320 bytes: 320 B per run (20 of 20"));
	assert_int_not_equal(none.d->v[0].heap.leak.bytes.verdict, MT_VERDICT_GROWS);
}

/* A process that was not there each time is judged by the times that it was. */
static void not_always_there(void **state)
{
	_cleanup_compared_ struct compared c = {0};

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		put(&c.m[i], snapshot(1, i));
		if (i >= 4)
			put(&c.m[i], snapshot(2, i));
	}
	diff(&c, 5);
	assert_int_equal(c.d->n, 2);
	assert_int_equal(c.d->v[0].repetitions, 5);
	assert_int_equal(c.d->v[1].repetitions, 3);
}

static void large_moment(void **state)
{
	_cleanup_compared_ struct compared c = {0};

	(void)state;
	for (pid_t i = 0; i < 1000; i++)
		put(&c.m[0], snapshot(i * 7919 % 1000, 0));
	put(&c.m[1], snapshot(500, 1));
	diff(&c, 1);
	assert_int_equal(c.d->n, 1);
	assert_int_equal(c.d->n_went, 999);
	assert_int_equal(c.d->went[998]->pid, 999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),           cmocka_unit_test(since_attach),
		cmocka_unit_test(classes),        cmocka_unit_test(processes),
		cmocka_unit_test(notes_who),      cmocka_unit_test(notes_how),
		cmocka_unit_test(notes_of_both),  cmocka_unit_test(leaks),
		cmocka_unit_test(no_leaks),       cmocka_unit_test(of_a_collector),
		cmocka_unit_test(beside_garbage), cmocka_unit_test(not_always_there),
		cmocka_unit_test(large_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
