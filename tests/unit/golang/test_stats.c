/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* NextGC, by what runtime/mgcpacer.go makes of the same values; the rest is in test_walk.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "golang/snapshot.h"
#include "model/sizeclass.h"

#define MIB (1ull << 20)

/* 10 MiB of objects, 4 MiB free, 6 MiB of other things. */
static struct mt_go_globals usual(void)
{
	return (struct mt_go_globals){
		.gc = {.heap_free = 4 * MIB,
		       .total_alloc = 30 * MIB,
		       .total_free = 20 * MIB,
		       .mapped_ready = 20 * MIB,
		       .percent_goal = 16 * MIB,
		       .triggered = UINT64_MAX,
		       .memory_limit = INT64_MAX,
		       .heap_marked = 8 * MIB},
	};
}

static uint64_t next_gc(const struct mt_go_globals *g, int minor)
{
	const struct mt_go_flush nothing = {0};
	struct mt_go_stats s;

	mt_go_fill(g, &nothing, minor, &s);
	return s.m.next_gc;
}

static void goes_by_percent(void **state)
{
	struct mt_go_globals g = usual();

	(void)state;
	assert_int_equal(next_gc(&g, 23), 16 * MIB);
	g.gc.sweep_trigger = 17 * MIB;
	assert_int_equal(next_gc(&g, 23), 17 * MIB);
	g.gc.triggered = 17 * MIB - 1;
	assert_int_equal(next_gc(&g, 23), 17 * MIB - 1 + 65536);
	/* GOGC=off, which no limit undercuts */
	g = usual();
	g.gc.percent_goal = UINT64_MAX;
	assert_true(next_gc(&g, 23) > INT64_MAX / 2);
}

static void goes_by_limit(void **state)
{
	struct mt_go_globals g = usual();

	(void)state;
	g.gc.percent_goal = UINT64_MAX;
	g.gc.memory_limit = 64 * MIB;
	/* less the 6 MiB, less 1 MiB, or 3 percent from 1.21 on */
	assert_int_equal(next_gc(&g, 19), 57 * MIB);
	assert_int_equal(next_gc(&g, 20), 57 * MIB);
	assert_int_equal(next_gc(&g, 21), 58 * MIB - 58 * MIB / 100 * 3);
	assert_int_equal(next_gc(&g, 0), next_gc(&g, 27));
	g.gc.memory_limit = 20 * MIB; /* of which 14 are left: 3 percent are too little */
	assert_int_equal(next_gc(&g, 27), 13 * MIB);
	/* what triggered it does not count then */
	g.gc.triggered = 60 * MIB;
	assert_int_equal(next_gc(&g, 27), 13 * MIB);
}

static void goes_beyond_the_limit(void **state)
{
	struct mt_go_globals g = usual();

	(void)state;
	g.gc.memory_limit = 15 * MIB; /* 5 MiB are too much, and 6 are of other things */
	g.gc.heap_marked = 1 * MIB;
	assert_int_equal(next_gc(&g, 27), 3 * MIB);
	g.gc.heap_marked = 8 * MIB;
	assert_int_equal(next_gc(&g, 27), 8 * MIB);
	g.gc.memory_limit = 13 * MIB + 100000; /* which leaves less than the headroom */
	g.gc.heap_marked = 0;
	assert_int_equal(next_gc(&g, 27), 1 * MIB);
	g.gc.memory_limit = 1;
	g.gc.heap_marked = 7 * MIB;
	assert_int_equal(next_gc(&g, 27), 7 * MIB);
}

static void goes_by_what_is_flushed(void **state)
{
	struct mt_go_globals g = usual();
	struct mt_go_flush f = {.allocs[67] = 32, .stack_bytes = 32768, .idle_bytes = 8192};
	struct mt_go_stats s;

	(void)state;
	g.gc.percent_goal = UINT64_MAX;
	g.gc.memory_limit = 64 * MIB;
	g.heap.in_stacks = 65536;
	g.gc.heap_in_use = 16 * MIB;
	mt_go_fill(&g, &f, 19, &s);
	assert_int_equal(s.m.next_gc, 57 * MIB + 32 * 32768 + 32768 + 8192);
	assert_int_equal(s.m.stack_inuse, 32768);
	assert_int_equal(s.m.heap_inuse, 16 * MIB - 8192);
	assert_int_equal(s.m.heap_idle, 4 * MIB + 32768 + 8192);
}

static void sorts_into_classes(void **state)
{
	struct mt_go_globals g = usual();
	const struct mt_go_flush nothing = {0};
	struct mt_go_stats s;

	(void)state;
	for (unsigned int i = 0; i < MT_GO_SIZES; i++) {
		g.heap.small_allocs[i] = i;
		if (i)
			assert_true(mt_go_size(i) > mt_go_size(i - 1));
	}
	mt_go_fill(&g, &nothing, 27, &s);
	for (unsigned int i = 0; i < MT_BYSIZE; i++) {
		assert_int_equal(s.cls[i].mallocs, i);
		assert_int_equal(s.m.by_size[i].size, mt_class_size(i));
		assert_int_equal(s.m.by_size[i].mallocs, i);
	}
	assert_int_equal(s.cls[MT_BYSIZE].mallocs, 61 + 62 + 63 + 64 + 65 + 66 + 67);
	assert_int_equal(s.cls[MT_BYSIZE].alloc_bytes, 61 * 19072 + 62 * 20480 + 63 * 21760 +
							       64 * 24576 + 65 * 27264 +
							       66 * 28672 + 67 * 32768);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_by_percent),       cmocka_unit_test(goes_by_limit),
		cmocka_unit_test(goes_beyond_the_limit), cmocka_unit_test(goes_by_what_is_flushed),
		cmocka_unit_test(sorts_into_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
