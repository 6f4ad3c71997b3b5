/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/sizeclass.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* As design.md lists them; tests/golden/decode compares with Go's own table. */
static const uint64_t documented[MT_BYSIZE] = {
	0,    8,    16,    24,    32,    48,    64,    80,    96,    112,  128,  144,  160,
	176,  192,  208,   224,   240,   256,   288,   320,   352,   384,  416,  448,  480,
	512,  576,  640,   704,   768,   896,   1024,  1152,  1280,  1408, 1536, 1792, 2048,
	2304, 2688, 3072,  3200,  3456,  4096,  4864,  5376,  6144,  6528, 6784, 6912, 8192,
	9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432,
};

static void table(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < MT_BYSIZE; i++)
		assert_int_equal(mt_class_size(i), documented[i]);
	for (unsigned int i = MT_BYSIZE; i < MT_CLASSES - 1; i++)
		assert_true(mt_class_size(i) == UINT64_C(32768) << (i - MT_BYSIZE));
	assert_true(mt_class_size(MT_CLASSES - 1) == UINT64_MAX);
}

static void slow_check(uint64_t usable)
{
	unsigned int i = 0;

	while (mt_class_size(i) < usable)
		i++;
	assert_int_equal(mt_class_of(usable), i);
}

static void classes(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 40000; n++)
		slow_check(n);
	for (unsigned int i = 1; i < MT_CLASSES - 1; i++) {
		assert_int_equal(mt_class_of(mt_class_size(i)), i);
		assert_int_equal(mt_class_of(mt_class_size(i) + 1), i + 1);
	}
	assert_int_equal(mt_class_of(0), 0);
	assert_int_equal(mt_class_of(1), 1);
	assert_int_equal(mt_class_of(18433), MT_BYSIZE);
	assert_int_equal(mt_class_of(UINT64_MAX), MT_CLASSES - 1);
	assert_int_equal(mt_class_of(UINT64_MAX - 1), MT_CLASSES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(classes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
