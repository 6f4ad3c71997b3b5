/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A made process, of each version's layout, is read; then something in it is changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake.h"

static char why[MT_WHY_SIZE];

/* Reads; *w is NULL on failure. */
static int walk_of(struct fake *f, bool green_tea, struct mt_go_stats *stats,
		   struct mt_go_flush *flush)
{
	const struct mt_go_source src = fake_source(f, green_tea);
	struct mt_go_walk *w = NULL;
	int r = mt_go_walk_new(&src, &w);

	assert_int_equal(r, 0);
	r = mt_go_walk(w, why);
	if (stats)
		mt_go_fill(&w->globals, &w->flush, f->l->minor, stats);
	if (flush)
		*flush = w->flush;
	assert_true(w->wrong ? r == -EAGAIN : true);
	mt_go_walk_free(&w);
	return r;
}

static void reads_what_is_flushed(void **state)
{
	(void)state;
	for (size_t i = 0; i < mt_go_layouts_count; i++) {
		struct mt_go_stats s = {0};
		struct fake f;

		fake_init(&f, &mt_go_layouts[i]);
		fake_cache(&f, 0, 12, FAKE_CACHED, 3, 10); /* 64 bytes */
		fake_cache(&f, 1, 13, FAKE_CACHED, 0, 128);
		fake_cache(&f, 1, 135, FAKE_CACHED, 0, 1); /* 32 KiB */
		fake_set(&f, FAKE_MEMBER(&f, f.mcache[1], mcache_tiny_allocs), 9, 8);
		fake_stacks(&f, 0, 3, 3);
		assert_int_equal(walk_of(&f, false, &s, NULL), 0);
		assert_int_equal(s.m.by_size[6].mallocs, 15 + 7 + 128);
		assert_int_equal(s.m.by_size[6].frees, 5);
		assert_int_equal(s.m.mallocs, 150 + 1 + 1 + 16);
		assert_int_equal(s.m.frees, 5 + 16);
		assert_int_equal(s.m.alloc, 145 * 64 + 32768 + 100000);
		assert_int_equal(s.m.stack_inuse, 0);
		assert_int_equal(s.m.heap_idle, (2 << 20) + 32768);
		assert_int_equal(s.m.sys, (4 << 20) + 32768 + 3000);
		assert_int_equal(s.m.next_gc, 4 << 20);
		assert_int_equal(s.m.num_gc, 2);
		assert_int_equal(s.cls[MT_BYSIZE].mallocs, 1);
		assert_int_equal(s.unsized.mallocs, 1);
		assert_int_equal(s.unsized.alloc_bytes, 100000);
		free(f.bytes);
	}
}

static void newest(struct fake *f)
{
	fake_init(f, &mt_go_layouts[mt_go_layouts_count - 1]);
}

static void sweeps_a_stale_span(void **state)
{
	struct fake f;
	struct mt_go_flush flush;
	uint64_t s, marks;

	(void)state;
	newest(&f);
	s = fake_cache(&f, 0, 12, FAKE_STALE, 2, 20);
	marks = fake_get(&f, FAKE_MEMBER(&f, s, mspan_gcmark_bits));
	fake_set(&f, marks, 0x0f, 1);
	/* the inline marks of Green Tea: one that is marked in both, one more */
	fake_set(&f, fake_get(&f, FAKE_MEMBER(&f, s, mspan_start_addr)) + MT_GO_PAGE - 64, 0x18, 1);
	assert_int_equal(walk_of(&f, false, NULL, &flush), -EAGAIN);
	assert_int_equal(flush.allocs[6], 18);
	assert_int_equal(flush.frees[6], 16);
	assert_int_equal(flush.idle_bytes, 0);
	assert_int_equal(walk_of(&f, true, NULL, &flush), -EAGAIN);
	assert_int_equal(flush.frees[6], 15);
	assert_int_equal(flush.stale, 1);
	assert_non_null(strstr(why, "sweep"));
	free(f.bytes);
}

static void frees_a_dead_span(void **state)
{
	struct fake f;
	struct mt_go_flush flush;
	struct mt_go_stats s = {0};

	(void)state;
	newest(&f);
	fake_cache(&f, 0, 130, FAKE_STALE, 0, 1); /* of four pages */
	assert_int_equal(walk_of(&f, true, &s, &flush), -EAGAIN);
	assert_int_equal(flush.frees[65], 1);
	assert_int_equal(flush.idle_bytes, 32768);
	assert_int_equal(s.m.heap_inuse, (2 << 20) - 32768);
	assert_int_equal(s.m.heap_sys, 4 << 20);
	free(f.bytes);
}

static void keeps_stacks_in_use(void **state)
{
	struct fake f;
	struct mt_go_flush flush;

	(void)state;
	newest(&f);
	fake_stacks(&f, 0, 3, 4);
	assert_int_equal(walk_of(&f, true, NULL, &flush), 0);
	assert_int_equal(flush.stack_bytes, 0);
	fake_set(&f, FAKE_MEMBER(&f, f.stack_span, mspan_alloc_count), 3, 2);
	assert_int_equal(walk_of(&f, true, NULL, &flush), 0);
	assert_int_equal(flush.stack_bytes, 32768);
	/* during a collection none is given back */
	fake_set(&f, f.vars.gcphase, 1, 4);
	assert_int_equal(walk_of(&f, true, NULL, &flush), 0);
	assert_int_equal(flush.stack_bytes, 0);
	free(f.bytes);
}

static void shares_stacks_between_ps(void **state)
{
	struct fake f;
	struct mt_go_flush flush;

	(void)state;
	newest(&f);
	fake_stacks(&f, 0, 4, 4);
	/* the last two of the list are the other P's */
	fake_set(&f, FAKE_MEMBER(&f, f.mcache[1], mcache_stackcache) + 16, f.stack - 2 * 2048, 8);
	fake_set(&f, f.stack - 2048, 0, 8);
	assert_int_equal(walk_of(&f, true, NULL, &flush), 0);
	assert_int_equal(flush.stack_bytes, 32768);
	free(f.bytes);
}

struct change {
	const char *says;
	void (*make)(struct fake *f);
};

static void endless(struct fake *f)
{
	fake_set(f, f->stack, f->stack, 8);
}

static void wrong_id(struct fake *f)
{
	fake_set(f, FAKE_MEMBER(f, f->p[1], p_id), 5, 4);
}

static void writing(struct fake *f)
{
	fake_set(f, FAKE_MEMBER(f, f->p[1], p_stats_seq), 5, 4);
}

static void no_p(struct fake *f)
{
	fake_set(f, fake_get(f, f->vars.allp), 8, 8);
}

static void no_list(struct fake *f)
{
	fake_set(f, f->vars.allp, 16, 8);
}

static void no_mcache(struct fake *f)
{
	fake_set(f, FAKE_MEMBER(f, f->p[0], p_mcache), UINT64_MAX - 8, 8);
}

static void no_span(struct fake *f)
{
	fake_set(f, FAKE_MEMBER(f, f->mcache[0], mcache_alloc) + 80, 8, 8);
}

static void other_class(struct fake *f)
{
	uint64_t s = fake_cache(f, 0, 12, FAKE_CACHED, 0, 1);

	fake_set(f, FAKE_MEMBER(f, s, mspan_spanclass), 13, 1);
}

static void too_many_allocated(struct fake *f)
{
	fake_cache(f, 0, 12, FAKE_CACHED, 0, 129);
}

static void uncached(struct fake *f)
{
	fake_cache(f, 0, 12, FAKE_GEN, 0, 100);
}

static void locked(struct fake *f)
{
	fake_set(f, FAKE_MEMBER(f, f->vars.memstats, mstats_heap_stats_no_plock_key), 1, 8);
}

static void no_arena(struct fake *f)
{
	fake_set(f, FAKE_MEMBER(f, f->vars.mheap, mheap_arenas), 8, 8);
}

static void no_mark(struct fake *f)
{
	uint64_t s = fake_cache(f, 0, 12, FAKE_STALE, 0, 1);

	fake_set(f, FAKE_MEMBER(f, s, mspan_gcmark_bits), 8, 8);
}

static void other_pause(struct fake *f)
{
	fake_set(f, FAKE_MEMBER(f, f->vars.memstats, mstats_pause_end) + 8, 78, 8);
}

static void says_what_is_wrong(void **state)
{
	static const struct change all[] = {
		{"no end", endless},
		{"P 1 says that it is 5", wrong_id},
		{"P 1 is writing", writing},
		{"a P cannot be read", no_p},
		{"list of its Ps", no_list},
		{"an mcache cannot be read", no_mcache},
		{"a cached span cannot be read", no_span},
		{"the span at 12 of an mcache", other_class},
		{"the span at 12 of an mcache", too_many_allocated},
		{"on its way", uncached},
		{"noPLock", locked},
		{"cached stacks", no_arena},
		{"marks cannot be read", no_mark},
		{"last_gc_unix", other_pause},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct fake f;

		newest(&f);
		fake_stacks(&f, 0, 3, 3);
		assert_int_equal(walk_of(&f, true, NULL, NULL), 0);
		all[i].make(&f);
		assert_int_equal(walk_of(&f, true, NULL, NULL), -EAGAIN);
		if (!strstr(why, all[i].says))
			fail_msg("%s: %s", all[i].says, why);
		free(f.bytes);
	}
}

static void breaks_each_identity(void **state)
{
	static const struct {
		const char *says;
		size_t member;
	} all[] = {
		{"heapInUse is", offsetof(struct mt_go_layout, gc_heap_in_use)},
		{"heapReleased is", offsetof(struct mt_go_layout, gc_heap_released)},
		{"heapInUse + heapFree is", offsetof(struct mt_go_layout, gc_heap_free)},
		{"totalAlloc is", offsetof(struct mt_go_layout, gc_total_alloc)},
		{"totalFree is", offsetof(struct mt_go_layout, gc_total_free)},
		{"mappedReady is", offsetof(struct mt_go_layout, gc_mapped_ready)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct fake f;
		int32_t at;

		newest(&f);
		memcpy(&at, (const char *)f.l + all[i].member, sizeof(at));
		fake_add(&f, f.vars.gc_controller + (uint64_t)at, 1);
		assert_int_equal(walk_of(&f, true, NULL, NULL), -EAGAIN);
		if (!strstr(why, all[i].says))
			fail_msg("%s: %s", all[i].says, why);
		free(f.bytes);
	}
}

static void is_not_begun(void **state)
{
	struct fake f;

	(void)state;
	newest(&f);
	fake_set(&f, FAKE_MEMBER(&f, f.vars.memstats, mstats_enablegc), 0, 1);
	assert_int_equal(walk_of(&f, true, NULL, NULL), -ENODATA);
	fake_set(&f, FAKE_MEMBER(&f, f.vars.memstats, mstats_enablegc), 1, 1);
	fake_set(&f, f.vars.allp + 8, 0, 8);
	assert_int_equal(walk_of(&f, true, NULL, NULL), -ENODATA);
	fake_set(&f, f.vars.allp + 8, MT_GO_PS + 1, 8);
	assert_int_equal(walk_of(&f, true, NULL, NULL), -ERANGE);
	f.vars.gcphase = 4096;
	assert_int_equal(walk_of(&f, true, NULL, NULL), -EFAULT);
	free(f.bytes);
}

/* Something goes on when the reading is half done. */
static int moving_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	struct fake *f = m->ctx;

	if (addr <= f->mcache[1] && addr + n > f->mcache[1]) {
		uint64_t delta = f->vars.memstats + (uint64_t)f->l->mstats_heap_stats_stats;

		fake_add(f, FAKE_MEMBER(f, f->vars.gc_controller, gc_total_alloc), 64);
		fake_add(f, FAKE_MEMBER(f, delta, delta_small_alloc_count) + 48, 1);
	}
	return fake_read(m, addr, buf, n);
}

static void sees_that_it_moved(void **state)
{
	struct fake f;

	(void)state;
	newest(&f);
	f.mem.read = moving_read;
	assert_int_equal(walk_of(&f, true, NULL, NULL), -EAGAIN);
	assert_non_null(strstr(why, "at work"));
	free(f.bytes);
}

static void refuses_layouts(void **state)
{
	const struct mt_go_layout *good = &mt_go_layouts[0];
	const size_t words =
		(sizeof(*good) - offsetof(struct mt_go_layout, mstats_heap_stats_stats)) / 4;
	unsigned int refused = 0;

	(void)state;
	for (size_t i = 0; i < mt_go_layouts_count; i++)
		assert_true(mt_go_layout_sound(&mt_go_layouts[i]));
	for (size_t i = 0; i < words; i++) {
		struct mt_go_layout l = *good;
		int32_t *at = &l.mstats_heap_stats_stats + i;

		*at = INT32_MAX;
		refused += !mt_go_layout_sound(&l);
		*at = INT32_MIN;
		refused += !mt_go_layout_sound(&l);
	}
	/* all but the members that are not read, and the sizes of what is read by itself */
	assert_in_range(refused, 2 * (words - 8), 2 * words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_flushed),    cmocka_unit_test(sweeps_a_stale_span),
		cmocka_unit_test(frees_a_dead_span),        cmocka_unit_test(keeps_stacks_in_use),
		cmocka_unit_test(shares_stacks_between_ps), cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(breaks_each_identity),     cmocka_unit_test(is_not_begun),
		cmocka_unit_test(sees_that_it_moved),       cmocka_unit_test(refuses_layouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
