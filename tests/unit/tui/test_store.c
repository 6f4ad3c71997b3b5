/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tui/column.h"
#include "tui/made.h"
#include "tui/number.h"

static struct mt_store store;

static int fresh(void **state)
{
	(void)state;
	mt_store_fini(&store);
	store.step_ns = 2 * SECOND;
	return 0;
}

static int finish(void **state)
{
	(void)state;
	mt_store_fini(&store);
	return 0;
}

static struct mt_process *get(pid_t pid)
{
	return mt_store_find(&store, pid, (uint64_t)pid);
}

static void put(pid_t pid, uint64_t second, uint64_t blocks)
{
	assert_int_equal(mt_store_put(&store, made(pid, 1, "p", second, blocks)), 0);
}

static int64_t value(pid_t pid, const char *column, bool diff)
{
	int64_t v = 0;

	assert_true(mt_columns[mt_column_named(column)].value(get(pid), diff, &v));
	return v;
}

static bool known(pid_t pid, const char *column)
{
	int64_t v;

	return mt_columns[mt_column_named(column)].value(get(pid), false, &v);
}

/* Go's counts may be a little too high while it runs; another image has other names or GCs. */
static void rates_of_go(void **state)
{
	struct mt_snapshot *s;

	(void)state;
	assert_int_equal(mt_store_put(&store, made_go(7, 1, 100, false)), 0);
	assert_int_equal(mt_store_put(&store, made_go(7, 2, 99, false)), 0);
	assert_int_equal(value(7, "rate", false), 0);
	assert_int_equal(mt_store_put(&store, made_go(7, 3, 101, false)), 0);
	assert_int_equal(value(7, "rate", false), 100000);
	assert_int_equal(mt_store_put(&store, made_go(7, 4, 30, false)), 0);
	assert_false(known(7, "rate"));
	s = made_go(7, 5, 200, false);
	s->memstats.num_gc = 8;
	assert_int_equal(mt_store_put(&store, s), 0);
	assert_false(known(7, "rate"));
	put(7, 6, 1000000);
	assert_false(known(7, "rate"));
}

static void rates(void **state)
{
	(void)state;
	put(7, 1, 10);
	assert_false(known(7, "rate"));
	put(7, 3, 30);
	assert_int_equal(value(7, "rate", false), 1000);
	assert_int_equal(value(7, "mallocs", false), 10);
	/* the same moment again says nothing of a rate */
	put(7, 3, 31);
	assert_false(known(7, "rate"));
	assert_int_equal(value(7, "alloc", false), 3100);
	assert_int_equal(value(7, "rss", false), 7 * 4096);
}

static void unknown_levels(void **state)
{
	struct mt_snapshot *s = made(7, 1, "p", 1, 1);

	(void)state;
	s->vm.known = false;
	assert_int_equal(mt_store_put(&store, s), 0);
	assert_false(known(7, "sys"));
	assert_false(known(7, "rss"));
	assert_true(known(7, "alloc"));
}

/* Who is not put in a round is gone, but for the one that is looked at. */
static void rounds(void **state)
{
	(void)state;
	mt_store_begin(&store);
	for (pid_t pid = 300; pid > 0; pid--)
		put(pid, 1, 1);
	mt_store_end(&store, NULL);
	assert_int_equal(store.n, 300);
	for (size_t i = 0; i < store.n; i++)
		assert_int_equal(store.v[i]->pid, i + 1);
	mt_store_begin(&store);
	put(5, 2, 1);
	put(250, 2, 1);
	mt_store_end(&store, get(17));
	assert_int_equal(store.n, 3);
	assert_non_null(get(5));
	assert_non_null(get(250));
	assert_true(get(17)->final);
	assert_null(get(18));
}

static void pid_reuse(void **state)
{
	struct mt_snapshot *s;

	(void)state;
	put(7, 1, 10);
	s = made(7, 1, "next", 2, 5);
	s->start_time = 900;
	assert_int_equal(mt_store_put(&store, s), 0);
	assert_int_equal(store.n, 2);
	assert_string_equal(mt_store_find(&store, 7, 900)->comm, "next");
	assert_false(mt_store_find(&store, 7, 900)->rated);
}

static void base(void **state)
{
	(void)state;
	put(7, 1, 10);
	assert_int_equal(mt_store_mark(&store), 0);
	assert_int_equal(value(7, "alloc", true), 0);
	put(7, 2, 4000000);
	put(8, 2, 3);
	assert_int_equal(value(7, "alloc", true), 399999000);
	assert_int_equal(value(7, "objects", true), 3999990);
	assert_int_equal(value(8, "alloc", true), 300); /* it was not there */
	assert_int_equal(value(7, "alloc", false), 400000000);
	/* a later base */
	assert_int_equal(mt_store_mark(&store), 0);
	assert_int_equal(store.base_ns, 2 * SECOND);
	assert_int_equal(value(8, "alloc", true), 0);
	mt_store_unmark(&store);
	assert_false(store.based);
	assert_null(get(7)->base);
}

/* Another image counts from 0: no rate, no base and no history of the one before. */
static void exec(void **state)
{
	(void)state;
	put(7, 1, 1000);
	put(7, 3, 2000);
	assert_int_equal(mt_store_mark(&store), 0);
	put(7, 5, 3);
	assert_false(known(7, "rate"));
	assert_null(get(7)->base);
	assert_int_equal(get(7)->history.n, 1);
	assert_int_equal(value(7, "alloc", true), 300);
}

static struct mt_process *put_child(pid_t pid, pid_t ppid, uint64_t start)
{
	struct mt_snapshot *s = made(pid, ppid, "c", 1, 1);

	s->start_time = start;
	assert_int_equal(mt_store_put(&store, s), 0);
	return mt_store_find(&store, pid, start);
}

/* The parent is the one that had that pid when the child began. */
static void parents(void **state)
{
	struct mt_process *old, *young, *child, *late;

	(void)state;
	old = put_child(10, 1, 100);
	young = put_child(10, 1, 300);
	child = put_child(20, 10, 200);
	late = put_child(21, 10, 300);
	assert_ptr_equal(mt_store_parent(&store, child), old);
	assert_ptr_equal(mt_store_parent(&store, late), young);
	assert_null(mt_store_parent(&store, old));
	assert_null(mt_store_parent(&store, put_child(30, 10, 99)));
	assert_null(mt_store_parent(&store, put_child(31, 31, 500)));
	assert_null(mt_store_parent(&store, put_child(32, 10, UINT64_MAX)));
}

static void tracer(void **state)
{
	struct mt_snapshot *s;

	(void)state;
	for (unsigned int i = 1; i <= 3; i++) {
		mt_store_begin(&store);
		s = made(7, 1, "p", 2 * i, 1);
		s->tracer.cpu_ns = i * SECOND / 100;
		assert_int_equal(mt_store_put(&store, s), 0);
		mt_store_end(&store, NULL);
		assert_int_equal(store.cpu_permille, i == 1 ? -1 : 5);
	}
}

/* The numbers of a target can be anything. */
static void extremes(void **state)
{
	struct mt_snapshot *s = made(7, 1, "p", 1, 1);
	char buf[MT_NUMBER_SIZE];

	(void)state;
	memset(&s->memstats, 0xff, sizeof(s->memstats));
	memset(&s->flows, 0xff, sizeof(s->flows));
	memset(&s->vm, 0xff, sizeof(s->vm));
	s->vm.known = s->vm.detail = true;
	s->memstats.enable_gc = s->memstats.debug_gc = true;
	assert_int_equal(mt_store_put(&store, s), 0);
	assert_int_equal(mt_store_mark(&store), 0);
	for (size_t i = 0; i < mt_columns_count; i++)
		if (mt_columns[i].value)
			mt_column_format(&mt_columns[i], get(7), true, buf);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, finish)
	const struct CMUnitTest tests[] = {
		T(rates), T(unknown_levels), T(rounds), T(pid_reuse), T(base),
		T(exec),  T(parents),        T(tracer), T(extremes),  T(rates_of_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
