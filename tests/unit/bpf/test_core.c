/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The counting programs' arithmetic, compiled on the host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>

#include "core.bpf.h"
#include "model/sizeclass.h"

static void class_agrees_with_model(void **state)
{
	(void)state;
	for (uint64_t n = 0; n <= 70000; n++)
		assert_int_equal(mt_core_class(n), mt_class_of(n));
	for (unsigned int shift = 15; shift < 64; shift++)
		for (int d = -1; d <= 1; d++)
			assert_int_equal(mt_core_class((1ull << shift) + (uint64_t)d),
					 mt_class_of((1ull << shift) + (uint64_t)d));
	assert_int_equal(mt_core_class(UINT64_MAX), MT_CLASSES - 1);
}

static void class_bounds_hold(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 1u << 20; n += 7) {
		unsigned int c = mt_core_class(n);

		assert_true(n <= mt_class_size(c));
		assert_true(c == 0 || n > mt_class_size(c - 1));
	}
}

static void usable_is_what_malloc_says(void **state)
{
	static const size_t sizes[] = {0,    1,      24,     25,      40,       1000,
				       4096, 100000, 130000, 1 << 20, 100 << 20};

	(void)state;
#if defined(__SANITIZE_ADDRESS__)
	skip(); /* the sanitizer's malloc is not glibc's */
#endif
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void *p = malloc(sizes[i]);
		volatile uintptr_t header = (uintptr_t)p - 8;

		assert_non_null(p);
		assert_int_equal(mt_core_glibc_usable(*(uint64_t *)header, MT_LAYOUT_GLIBC),
				 malloc_usable_size(p));
		free(p);
	}
}

static void usable_refuses_what_is_no_header(void **state)
{
	(void)state;
	assert_int_equal(mt_core_glibc_usable(0, MT_LAYOUT_GLIBC), 0);
	assert_int_equal(mt_core_glibc_usable(0x17, MT_LAYOUT_GLIBC), 0);
	assert_int_equal(mt_core_glibc_usable(1ull << 47, MT_LAYOUT_GLIBC), 0);
	assert_int_equal(mt_core_glibc_usable(UINT64_MAX, MT_LAYOUT_GLIBC), 0);
	assert_int_equal(mt_core_glibc_usable(0x21000 | 2, MT_LAYOUT_GLIBC), 0x21000 - 16);
	assert_int_equal(mt_core_glibc_usable(0x21000 | 2, MT_LAYOUT_GLIBC_243), 0x21000 - 8);
	assert_int_equal(mt_core_glibc_usable(0x21 | 4, MT_LAYOUT_GLIBC), 0x18);
}

static void internal_calls_by_return_address(void **state)
{
	const struct mt_file f = {.text_lo = 0x1000, .text_len = 0x4000}, unknown = {0};
	uint64_t cookie = MT_COOKIE(3, MT_KIND_FREE, 0x1f00);
	uint64_t bias = 0x7f0000000000, base = bias + 0x1000;

	(void)state;
	assert_int_equal(MT_COOKIE_FILE(cookie), 3);
	assert_int_equal(MT_COOKIE_KIND(cookie), MT_KIND_FREE);
	assert_int_equal(MT_COOKIE_ADDR(cookie), 0x1f00);
	assert_true(mt_core_internal(&f, bias, base));
	assert_true(mt_core_internal(&f, bias, base + 0x3fff));
	assert_false(mt_core_internal(&f, bias, base + 0x4000));
	assert_false(mt_core_internal(&f, bias, base - 1));
	assert_false(mt_core_internal(&unknown, bias, base));
}

static void frame_at_entry(void **state)
{
	struct mt_frame f = {.sp = 0x7000, .kind = MT_KIND_MEMALIGN};

	(void)state;
	assert_int_equal(mt_core_frame_at_entry(NULL, 1, MT_KIND_FREE, false), MT_FRAME_NONE);
	/* the tail jump of reallocarray to realloc enters at the same sp */
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7000, MT_KIND_REALLOC, false),
			 MT_FRAME_INSIDE);
	assert_int_equal(mt_core_frame_at_entry(&f, 0x6ff0, MT_KIND_MEMALIGN, false),
			 MT_FRAME_INSIDE);
	/* the same function at the same sp: its earlier call never returned */
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7000, MT_KIND_MEMALIGN, false),
			 MT_FRAME_STALE);
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7010, MT_KIND_REALLOC, false),
			 MT_FRAME_STALE);
	f.nested = MT_NESTED_MAX;
	assert_int_equal(mt_core_frame_at_entry(&f, 0x6ff0, MT_KIND_REALLOC, false),
			 MT_FRAME_STALE);
	f.sp = 0;
	assert_int_equal(mt_core_frame_at_entry(&f, 0x6ff0, MT_KIND_REALLOC, false), MT_FRAME_NONE);
}

static void frame_at_return(void **state)
{
	struct mt_frame f = {.sp = 0x7000, .kind = MT_KIND_MEMALIGN};

	(void)state;
	assert_int_equal(mt_core_frame_at_return(&f, 0x7008, MT_KIND_MEMALIGN), MT_FRAME_OWN);
	/* malloc that memalign jumped to returns to the same place */
	assert_int_equal(mt_core_frame_at_return(&f, 0x7008, MT_KIND_MALLOC), MT_FRAME_INSIDE);
	assert_int_equal(mt_core_frame_at_return(&f, 0x6ff8, MT_KIND_MALLOC), MT_FRAME_INSIDE);
	assert_int_equal(mt_core_frame_at_return(&f, 0x7018, MT_KIND_MALLOC), MT_FRAME_STALE);
	assert_int_equal(mt_core_frame_at_return(NULL, 0x7018, MT_KIND_MALLOC), MT_FRAME_NONE);
	f.nested = MT_NESTED_MAX;
	assert_int_equal(mt_core_frame_at_return(&f, 0x6ff8, MT_KIND_MALLOC), MT_FRAME_STALE);
	assert_int_equal(mt_core_frame_at_return(&f, 0x7008, MT_KIND_MEMALIGN), MT_FRAME_OWN);
}

/* Once for each jump, and only at its own depth of the stack: a signal's handler frees, too. */
static void enters_again_once(void **state)
{
	struct mt_frame f = {.sp = 0x7100, .kind = MT_KIND_REALLOC, .nested = 1};

	(void)state;
	assert_false(mt_core_entered_again(NULL, 0x7000));
	assert_false(mt_core_entered_again(&f, 0x7000));
	f.again = 0x7000;
	assert_false(mt_core_entered_again(&f, 0x6ff0));
	assert_true(mt_core_entered_again(&f, 0x7000));
	assert_false(mt_core_entered_again(&f, 0x7000));
	/* an open frame stays as it is */
	assert_int_equal(f.sp, 0x7100);
	assert_int_equal(f.nested, 1);
}

static void check_realloc(struct mt_frame f, uint64_t ptr, uint64_t size, bool malloced, bool freed,
			  bool failed)
{
	struct mt_outcome o = mt_core_realloc(&f, ptr, size);

	assert_int_equal(o.malloced, malloced);
	assert_int_equal(o.freed, freed);
	assert_int_equal(o.failed, failed);
}

static void realloc_outcomes(void **state)
{
	struct mt_frame old = {.ptr = 0x1000, .old_size = 24, .request = 100};
	struct mt_frame null = {.ptr = 0, .request = 100};
	struct mt_frame zero = {.ptr = 0x1000, .old_size = 24, .request = 0};
	struct mt_frame null_zero = {.ptr = 0, .request = 0};

	(void)state;
	check_realloc(old, 0x2000, 104, true, true, false);  /* moved */
	check_realloc(old, 0x1000, 104, true, true, false);  /* grown in place */
	check_realloc(old, 0x1000, 24, false, false, false); /* the same */
	check_realloc(old, 0, 0, false, false, true);        /* refused: the block lives */
	check_realloc(null, 0x2000, 104, true, false, false);
	check_realloc(null, 0, 0, false, false, true);
	check_realloc(zero, 0, 0, false, true, false);      /* freed */
	check_realloc(zero, 0x2000, 24, true, true, false); /* allocators that give a block */
	check_realloc(null_zero, 0x2000, 24, true, false, false);
	check_realloc(null_zero, 0, 0, false, false, true);
}

static void page_rounding(void **state)
{
	(void)state;
	assert_int_equal(mt_core_page_up(0, 4096), 0);
	assert_int_equal(mt_core_page_up(1, 4096), 4096);
	assert_int_equal(mt_core_page_up(4096, 4096), 4096);
	assert_int_equal(mt_core_page_up(4097, 4096), 8192);
}

/* An operator new's frame: what is nested, what shows that it was left, what returns for it. */
static void test_new_frames(void **state)
{
	struct mt_frame f = {.sp = 0x7000, .kind = MT_KIND_NEW};

	(void)state;
	assert_int_equal(mt_core_frame_at_entry(&f, 0x6ff0, MT_KIND_MEMALIGN, false),
			 MT_FRAME_INSIDE);
	assert_int_equal(mt_core_frame_at_return(&f, 0x6ff8, MT_KIND_MALLOC), MT_FRAME_INSIDE);
	/* a function that it jumped to, or one that is called after it threw */
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7000, MT_KIND_NEW, false), MT_FRAME_LEFT);
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7000, MT_KIND_FREE, false), MT_FRAME_LEFT);
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7010, MT_KIND_FREE, false), MT_FRAME_LEFT);
	assert_int_equal(mt_core_frame_at_return(&f, 0x7018, MT_KIND_MALLOC), MT_FRAME_LEFT);
	/* malloc, to which it jumped */
	assert_int_equal(mt_core_frame_at_return(&f, 0x7008, MT_KIND_MALLOC), MT_FRAME_OWN);
	f.nested = MT_NESTED_NEW_MAX;
	assert_int_equal(mt_core_frame_at_entry(&f, 0x6ff0, MT_KIND_FREE, false), MT_FRAME_STALE);
	/* a frame whose functions jump to their own kind is the last one's */
	f = (struct mt_frame){.sp = 0x7000, .kind = MT_KIND_REALLOC};
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7000, MT_KIND_REALLOC, true), MT_FRAME_LEFT);
	assert_int_equal(mt_core_frame_at_entry(&f, 0x7010, MT_KIND_REALLOC, true), MT_FRAME_STALE);
}

static void test_shapes(void **state)
{
	(void)state;
	for (uint32_t k = MT_KIND_NEW; k <= MT_KIND_NEW_REALLOC_N; k++)
		assert_true(mt_core_exits(k));
	assert_false(mt_core_exits(MT_KIND_MALLOC));
	assert_false(mt_core_exits(MT_KIND_EXIT));
	assert_false(mt_core_exits(255));
	assert_int_equal(mt_core_product(0, ~0ull), 0);
	assert_int_equal(mt_core_product(~0ull, 0), 0);
	assert_int_equal(mt_core_product(3, 7), 21);
	assert_int_equal(mt_core_product(1ull << 32, 1ull << 31), 1ull << 63);
	assert_int_equal(mt_core_product(1ull << 32, 1ull << 32), MT_SIZE_UNKNOWN - 1);
}

static void test_reallocf(void **state)
{
	struct mt_frame f = {
		.ptr = 0x1000, .old_size = 24, .request = 100, .kind = MT_KIND_REALLOCF};
	struct mt_outcome o = mt_core_realloc(&f, 0, 0);

	(void)state;
	assert_true(o.failed && o.freed && !o.malloced);
	f.kind = MT_KIND_REALLOC;
	o = mt_core_realloc(&f, 0, 0);
	assert_true(o.failed && !o.freed && !o.malloced);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_frames),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_reallocf),
		cmocka_unit_test(class_agrees_with_model),
		cmocka_unit_test(class_bounds_hold),
		cmocka_unit_test(usable_is_what_malloc_says),
		cmocka_unit_test(usable_refuses_what_is_no_header),
		cmocka_unit_test(internal_calls_by_return_address),
		cmocka_unit_test(frame_at_entry),
		cmocka_unit_test(frame_at_return),
		cmocka_unit_test(enters_again_once),
		cmocka_unit_test(realloc_outcomes),
		cmocka_unit_test(page_rounding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
