/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every walker uses: counting, idle pages, looking up areas, reasons. */
#include "census/walker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/sizeclass.h"

static void test_count(void **state)
{
	static const uint64_t sizes[] = {0, 8, 9, 24, 1024, 32768, 32769, 1ull << 40};
	struct mt_heap h = {0};
	uint64_t bytes = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct mt_heap_class *c = &h.cls[mt_class_of(sizes[i])];
		struct mt_heap_class before = *c;

		mt_heap_count(&h, sizes[i], 3);
		bytes += 3 * sizes[i];
		assert_int_equal(c->objects, before.objects + 3);
		assert_int_equal(c->bytes, before.bytes + 3 * sizes[i]);
		assert_int_equal(h.objects, 3 * (i + 1));
		assert_int_equal(h.bytes, bytes);
	}
	mt_heap_uncount(&h, 24);
	assert_int_equal(h.cls[mt_class_of(24)].objects, 2);
	assert_int_equal(h.cls[mt_class_of(24)].bytes, 48);
	assert_int_equal(h.bytes, bytes - 24);
}

static void test_idle(void **state)
{
	struct mt_image_ranges ranges = {0};
	struct mt_image img = {.idle = &ranges};
	struct mt_heap h = {0};

	(void)state;
	mt_image_idle(&img, &h, 0x1001, 0x2fff); /* no whole page */
	mt_image_idle(&img, &h, 0x1010, 0x1020);
	mt_image_idle(&img, &h, 0x1010, 0x2000);
	mt_image_idle(&img, &h, 0x3000, 0x3000);
	assert_int_equal(h.idle, 0);
	assert_int_equal(ranges.n, 0);
	mt_image_idle(&img, &h, 0x1ff0, 0x3010);
	mt_image_idle(&img, &h, 0x5000, 0x8000);
	assert_int_equal(h.idle, 0x4000);
	assert_int_equal(ranges.n, 2);
	assert_int_equal(ranges.v[0].lo, 0x2000);
	assert_int_equal(ranges.v[0].hi, 0x3000);
	assert_int_equal(ranges.v[1].lo, 0x5000);
	assert_int_equal(ranges.v[1].hi, 0x8000);
	free(ranges.v);
}

/* All are counted, not all are remembered; and nobody need remember any. */
static void test_many_idle(void **state)
{
	const uint64_t many = 1u << 17;
	struct mt_image_ranges ranges = {0};
	struct mt_image img = {.idle = &ranges};
	struct mt_heap h = {0};

	(void)state;
	for (uint64_t i = 0; i < many; i++)
		mt_image_idle(&img, &h, 0x2000 * i, 0x2000 * i + 0x1000);
	assert_int_equal(h.idle, 0x1000 * many);
	assert_in_range(ranges.n, 1, many - 1);
	free(ranges.v);
	img.idle = NULL;
	mt_image_idle(&img, &h, 0, 0x1000);
	assert_int_equal(h.idle, 0x1000 * (many + 1));
}

static void test_find(void **state)
{
	static const struct mt_image_area areas[] = {
		{.start = 0x1000, .end = 0x3000},
		{.start = 0x3000, .end = 0x4000},
		{.start = 0x8000, .end = 0x9000},
	};
	struct mt_image img = {.areas = areas, .n_areas = 3}, none = {0};

	(void)state;
	assert_null(mt_image_find(&img, 0xfff));
	assert_ptr_equal(mt_image_find(&img, 0x1000), &areas[0]);
	assert_ptr_equal(mt_image_find(&img, 0x2fff), &areas[0]);
	assert_ptr_equal(mt_image_find(&img, 0x3000), &areas[1]);
	assert_null(mt_image_find(&img, 0x4000));
	assert_null(mt_image_find(&img, 0x7fff));
	assert_ptr_equal(mt_image_find(&img, 0x8fff), &areas[2]);
	assert_null(mt_image_find(&img, 0x9000));
	assert_null(mt_image_find(&img, UINT64_MAX));
	assert_null(mt_image_find(&none, 0x1000));
}

static void test_reasons(void **state)
{
	char why[MT_WHY_SIZE], text[2 * MT_WHY_SIZE];
	struct mt_image img = {.why = why}, none = {0};

	(void)state;
	assert_int_equal(mt_unsound(&img, "%d of %s", 3, "them"), -EAGAIN);
	assert_string_equal(why, "3 of them");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(mt_unsound(&img, "%s", text), -EAGAIN);
	assert_int_equal(strlen(why), MT_WHY_SIZE - 1);
	assert_int_equal(mt_unsound(&none, "nobody asks"), -EAGAIN);
}

static void test_deadline(void **state)
{
	struct mt_image img = {0};

	(void)state;
	assert_false(mt_image_late(&img));
	img.deadline_ns = 1;
	assert_true(mt_image_late(&img));
	img.deadline_ns = UINT64_MAX;
	assert_false(mt_image_late(&img));
}

static void test_arenas(void **state)
{
	struct mt_heap h = {0};

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		struct mt_heap_arena *a = mt_heap_add_arena(&h, i + 1);

		assert_non_null(a);
		assert_int_equal(a->address, i + 1);
		assert_int_equal(a->system | a->in_use | a->other | a->objects, 0);
		memset(a, 0xff, sizeof(*a));
		a->address = i + 1;
	}
	assert_int_equal(h.n_arenas, 100);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(h.arenas[i].address, i + 1);
	free(h.arenas);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),     cmocka_unit_test(test_idle),
		cmocka_unit_test(test_many_idle), cmocka_unit_test(test_find),
		cmocka_unit_test(test_reasons),   cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_arenas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
