/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/func.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core.bpf.h"

#define BIAS (UINT64_C(1) << 63)

static struct mt_func_counts cpus[3];
static struct mt_func func;

/* As the kernel side does it. */
static void call(struct mt_func_counts *c, uint64_t mallocs, uint64_t bytes, uint64_t frees,
		 uint64_t free_bytes)
{
	const uint64_t blocks = mallocs - frees, net = bytes - free_bytes;

	c->entered++;
	c->back.calls++;
	c->back.mallocs += mallocs;
	c->back.frees += frees;
	c->back.alloc_bytes += bytes;
	c->back.free_bytes += free_bytes;
	c->blocks[mt_core_bucket(mallocs)]++;
	c->bytes[mt_core_bucket(bytes)]++;
	c->max_blocks = mallocs > c->max_blocks ? mallocs : c->max_blocks;
	c->max_bytes = bytes > c->max_bytes ? bytes : c->max_bytes;
	c->high_blocks = BIAS + blocks > c->high_blocks ? BIAS + blocks : c->high_blocks;
	c->low_blocks = BIAS - blocks > c->low_blocks ? BIAS - blocks : c->low_blocks;
	c->high_bytes = BIAS + net > c->high_bytes ? BIAS + net : c->high_bytes;
	c->low_bytes = BIAS - net > c->low_bytes ? BIAS - net : c->low_bytes;
	c->cls[3].mallocs += mallocs;
	c->cls[3].frees += frees;
	c->cls[3].alloc_bytes += bytes;
	c->cls[3].free_bytes += free_bytes;
}

static int clear(void **state)
{
	(void)state;
	memset(cpus, 0, sizeof(cpus));
	memset(&func, 0, sizeof(func));
	return 0;
}

/* Every value's bucket says what it is: exactly up to 63, else within 1.6 %. */
static void test_buckets(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (uint64_t v = 0; v < UINT64_C(1) << 40; v = v < 5000 ? v + 1 : v + v / 977) {
		const uint32_t b = mt_core_bucket(v);
		const uint64_t middle = mt_func_bucket_value(b);
		const uint64_t off = middle > v ? middle - v : v - middle;

		assert_true(b < MT_HIST_BUCKETS && b >= last);
		assert_true(v < 64 ? middle == v : (double)off <= 0.0157 * (double)v);
		last = b;
	}
	assert_int_equal(mt_core_bucket((UINT64_C(1) << 40) - 1), MT_HIST_BUCKETS - 1);
	assert_int_equal(mt_core_bucket(UINT64_MAX), MT_HIST_BUCKETS - 1);
	/* no bucket is never used */
	for (uint32_t b = 0; b < MT_HIST_BUCKETS; b++)
		assert_int_equal(mt_core_bucket(mt_func_bucket_value(b)), b);
}

static void test_none(void **state)
{
	(void)state;
	mt_func_fill(&func, cpus, 3);
	assert_int_equal(func.back.calls, 0);
	assert_true(func.blocks.mean == 0 && func.net_bytes.mean == 0);
	assert_int_equal(func.net_bytes.min, 0);
	assert_int_equal(func.blocks.p99, 0);
	assert_int_equal(func.open.calls, 0);
	assert_int_equal(mt_func_lost(&func), 0);
}

static void test_sums(void **state)
{
	(void)state;
	call(&cpus[0], 2, 200, 1, 150);
	call(&cpus[2], 10, 5000, 12, 9000);
	call(&cpus[2], 0, 0, 0, 0);
	mt_func_fill(&func, cpus, 3);
	assert_int_equal(func.back.calls, 3);
	assert_int_equal(func.back.mallocs, 12);
	assert_true(func.blocks.mean == 4);
	assert_int_equal(func.blocks.p50, 2);
	assert_int_equal(func.blocks.p99, 10);
	assert_int_equal(func.blocks.max, 10);
	assert_int_equal(func.bytes.max, 5000);
	assert_int_equal(func.net_blocks.min, -2);
	assert_int_equal(func.net_blocks.max, 1);
	assert_int_equal(func.net_bytes.min, -4000);
	assert_int_equal(func.net_bytes.max, 50);
	assert_int_equal(func.net_bytes.total, -3950);
	assert_int_equal(func.cls[3].mallocs, 12);
}

/* All above 0: no CPU that saw nothing makes it 0. */
static void test_least_of_positive(void **state)
{
	(void)state;
	call(&cpus[1], 5, 500, 0, 0);
	call(&cpus[1], 7, 700, 0, 0);
	mt_func_fill(&func, cpus, 3);
	assert_int_equal(func.net_blocks.min, 5);
	assert_int_equal(func.net_bytes.max, 700);
}

static void test_percentiles(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 100; i++)
		call(&cpus[i % 3], i % 50, 1000 * (uint64_t)i, 0, 0);
	mt_func_fill(&func, cpus, 3);
	assert_int_equal(func.blocks.p50, 24);
	assert_int_equal(func.blocks.p99, 49);
	assert_in_range(func.bytes.p50, 49200, 50800);
	assert_in_range(func.bytes.p99, 97400, 100000);
	assert_int_equal(func.bytes.max, 100000);
}

/* Never more than the greatest. */
static void test_percentile_capped(void **state)
{
	(void)state;
	call(&cpus[0], 1, 4097, 0, 0);
	mt_func_fill(&func, cpus, 1);
	assert_int_equal(func.bytes.p50, 4097);
	assert_int_equal(func.bytes.p99, 4097);
}

static void test_open_and_left(void **state)
{
	(void)state;
	call(&cpus[0], 3, 300, 0, 0);
	cpus[1].entered = 3;
	cpus[1].left = (struct mt_func_sums){1, 2, 0, 64, 0};
	cpus[1].cls[9] = (struct mt_class_counts){2 + 4, 1, 64 + 128, 32};
	cpus[1].failed_storage = 2;
	mt_func_fill(&func, cpus, 2);
	assert_int_equal(func.left.mallocs, 2);
	assert_int_equal(func.open.calls, 2);
	assert_int_equal(func.open.mallocs, 4);
	assert_int_equal(func.open.frees, 1);
	assert_int_equal(func.open.alloc_bytes, 128);
	assert_int_equal(mt_func_lost(&func), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_buckets, clear),
		cmocka_unit_test_setup(test_none, clear),
		cmocka_unit_test_setup(test_sums, clear),
		cmocka_unit_test_setup(test_least_of_positive, clear),
		cmocka_unit_test_setup(test_percentiles, clear),
		cmocka_unit_test_setup(test_percentile_capped, clear),
		cmocka_unit_test_setup(test_open_and_left, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
