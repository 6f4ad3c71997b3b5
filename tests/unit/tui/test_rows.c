/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tui/made.h"
#include "tui/rows.h"

static struct mt_store store;
static struct mt_rows rows;

static int finish(void **state)
{
	(void)state;
	mt_store_fini(&store);
	mt_rows_fini(&rows);
	return 0;
}

static void put(pid_t pid, pid_t ppid, const char *comm, uint64_t blocks)
{
	store.step_ns = 2 * SECOND;
	assert_int_equal(mt_rows_reserve(&rows, store.n + 1), 0);
	assert_int_equal(mt_store_put(&store, made(pid, ppid, comm, 1, blocks)), 0);
}

static void make(const char *sort, bool reverse, bool tree, const char *filter)
{
	const struct mt_rows_by by = {
		.column = &mt_columns[mt_column_named(sort)],
		.reverse = reverse,
		.tree = tree,
		.filter = filter,
	};

	mt_rows_make(&rows, &store, &by);
}

/* The pids in their order, and in a tree how deep: "1 2. 3.." */
static const char *order(void)
{
	static char buf[256];
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < rows.n; i++) {
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s%d", i ? " " : "",
				      rows.v[i].p->pid);
		for (unsigned int d = 0; d < rows.v[i].depth; d++)
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, ".");
	}
	return buf;
}

static void sorting(void **state)
{
	(void)state;
	make("alloc", false, false, "");
	assert_string_equal(order(), "");
	put(1, 0, "b", 10);
	put(2, 0, "C", 30);
	put(3, 0, "a", 20);
	put(4, 0, "a", 20);
	make("alloc", false, false, "");
	assert_string_equal(order(), "2 3 4 1");
	make("alloc", true, false, "");
	assert_string_equal(order(), "1 4 3 2");
	make("comm", false, false, "");
	assert_string_equal(order(), "3 4 1 2");
	make("pid", false, false, "");
	assert_string_equal(order(), "1 2 3 4");
	make("rss", false, false, "");
	assert_string_equal(order(), "4 3 2 1");
}

/* What is not known comes last. */
static void unknown(void **state)
{
	(void)state;
	put(1, 0, "a", 1);
	put(2, 0, "b", 1);
	put(3, 0, "c", 1);
	assert_int_equal(mt_store_put(&store, made(2, 0, "b", 3, 1)), 0);
	assert_int_equal(mt_store_put(&store, made(3, 0, "c", 3, 5)), 0);
	make("rate", false, false, "");
	assert_string_equal(order(), "3 2 1");
}

static void filtering(void **state)
{
	(void)state;
	put(11, 0, "Python3", 3);
	put(12, 0, "perl", 2);
	put(111, 0, "\xff\033p", 1);
	make("alloc", false, false, "p");
	assert_string_equal(order(), "11 12 111");
	make("alloc", false, false, "PY");
	assert_string_equal(order(), "11");
	make("alloc", false, false, "11");
	assert_string_equal(order(), "11");
	make("alloc", false, false, "\xff");
	assert_string_equal(order(), "111");
	make("alloc", false, false, "none");
	assert_string_equal(order(), "");
	snprintf(store.v[0]->container, sizeof(store.v[0]->container), "0123456789ab");
	make("alloc", false, false, "789AB");
	assert_string_equal(order(), "11");
}

static void tree(void **state)
{
	(void)state;
	put(1, 0, "init", 1);
	put(2, 1, "sh", 2);
	put(3, 2, "make", 3);
	put(4, 2, "cc", 9);
	put(5, 1, "cron", 5);
	put(6, 99, "orphan", 0);
	put(7, 3, "cc", 1);
	make("alloc", false, true, "");
	assert_string_equal(order(), "1 5. 2. 4.. 3.. 7... 6");
	make("alloc", true, true, "");
	assert_string_equal(order(), "6 1 2. 3.. 7... 4.. 5.");
	/* what matches, under its ancestors, which are marked */
	make("alloc", false, true, "cc");
	assert_string_equal(order(), "1 2. 4.. 3.. 7...");
	assert_false(rows.v[0].p->matches);
	assert_true(rows.v[2].p->matches);
	assert_false(rows.v[1].p->shown && !rows.v[1].p->child);
	assert_true(rows.v[1].last);
	assert_false(rows.v[2].last);
	assert_true(rows.v[3].last);
}

static void rails(void **state)
{
	(void)state;
	put(1, 0, "a", 9);
	put(2, 1, "b", 8);
	put(3, 2, "c", 7);
	put(4, 3, "d", 6);
	put(5, 1, "e", 5);
	make("alloc", false, true, "");
	assert_string_equal(order(), "1 2. 3.. 4... 5.");
	assert_int_equal(rows.v[3].rails & 3, 1); /* at depth 1 the line runs on to 5 */
	assert_false(rows.v[1].last);
	assert_true(rows.v[2].last);
}

/* Pids that were reused while they were read can make a loop: each is shown once. */
static void loops(void **state)
{
	struct mt_snapshot *s;

	(void)state;
	for (pid_t pid = 10; pid < 13; pid++) {
		s = made(pid, pid == 12 ? 10 : pid + 1, "loop", 1, 1);
		s->start_time = 5;
		assert_int_equal(mt_rows_reserve(&rows, store.n + 1), 0);
		assert_int_equal(mt_store_put(&store, s), 0);
	}
	put(20, 12, "child", 1);
	make("pid", false, true, "");
	assert_int_equal(rows.n, 4);
	make("pid", false, true, "child");
	assert_int_equal(rows.n, 4);
}

static void deep(void **state)
{
	(void)state;
	for (pid_t pid = 1; pid <= 5000; pid++)
		put(pid, pid - 1, "deep", 1);
	make("alloc", false, true, "");
	assert_int_equal(rows.n, 5000);
	assert_int_equal(rows.v[4999].depth, 4999);
	make("alloc", false, true, "5000");
	assert_int_equal(rows.n, 5000);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, finish)
	const struct CMUnitTest tests[] = {
		T(sorting), T(unknown), T(filtering), T(tree), T(rails), T(loops), T(deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
