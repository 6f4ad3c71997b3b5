/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tui/history.h"

#define SECOND UINT64_C(1000000000)
#define STEP   (2 * SECOND)

static void add(struct mt_history *h, uint64_t ns, uint64_t alloc)
{
	const struct mt_point p = {ns, alloc, 0};

	mt_history_add(h, &p, STEP);
}

static void steps(void **state)
{
	(void)state;
	assert_int_equal(mt_history_step(SECOND), 2 * SECOND);
	assert_int_equal(mt_history_step(SECOND / 10), 2 * SECOND);
	assert_int_equal(mt_history_step(5 * SECOND), 10 * SECOND);
	assert_int_equal(mt_history_step(UINT64_MAX), UINT64_MAX);
}

/* The last one of a step stays; the oldest steps go. */
static void bounded(void **state)
{
	static struct mt_history h;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		add(&h, i * SECOND, i);
	assert_int_equal(h.n, MT_HISTORY_POINTS);
	assert_int_equal(mt_history_at(&h, h.n - 1)->alloc, 999);
	assert_int_equal(mt_history_at(&h, 0)->alloc, 999 - 2 * (MT_HISTORY_POINTS - 1));
	mt_history_clear(&h);
	add(&h, 5 * SECOND, 7);
	assert_int_equal(h.n, 1);
	assert_int_equal(mt_history_at(&h, 0)->alloc, 7);
}

static void growth(void **state)
{
	static struct mt_history h;
	int64_t v = 0;

	(void)state;
	assert_false(mt_history_growth(&h, &v));
	add(&h, 10 * SECOND, 1000);
	assert_false(mt_history_growth(&h, &v));
	add(&h, 14 * SECOND, 2000);
	assert_false(mt_history_growth(&h, &v)); /* too short to say */
	add(&h, 20 * SECOND, 2000);
	assert_true(mt_history_growth(&h, &v));
	assert_int_equal(v, 6000);
	/* a minute later: what was before does not matter */
	add(&h, 80 * SECOND, 500);
	assert_true(mt_history_growth(&h, &v));
	assert_int_equal(v, -1500);
	add(&h, 140 * SECOND, 500);
	assert_true(mt_history_growth(&h, &v));
	assert_int_equal(v, 0);
	add(&h, 145 * SECOND, UINT64_MAX);
	assert_true(mt_history_growth(&h, &v));
	assert_true(v > INT64_MAX / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps),
		cmocka_unit_test(bounded),
		cmocka_unit_test(growth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
