/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tui/number.h"

static char buf[MT_NUMBER_SIZE];

static void bytes(void **state)
{
	(void)state;
	assert_string_equal(mt_number_bytes(buf, 0, false), "0");
	assert_string_equal(mt_number_bytes(buf, 0, true), "0");
	assert_string_equal(mt_number_bytes(buf, 512, false), "512B");
	assert_string_equal(mt_number_bytes(buf, 1023, true), "+1023B");
	assert_string_equal(mt_number_bytes(buf, 1024, false), "1.0K");
	assert_string_equal(mt_number_bytes(buf, 102399, false), "99.9K");
	assert_string_equal(mt_number_bytes(buf, 102400, false), "100K");
	assert_string_equal(mt_number_bytes(buf, 1048575, false), "1023K");
	assert_string_equal(mt_number_bytes(buf, -1572864, false), "-1.5M");
	assert_string_equal(mt_number_bytes(buf, INT64_MAX, true), "+7.9E");
	assert_string_equal(mt_number_bytes(buf, INT64_MIN, false), "-8.0E");
}

static void counts(void **state)
{
	(void)state;
	assert_string_equal(mt_number_count(buf, 0, true), "0");
	assert_string_equal(mt_number_count(buf, 99999999, false), "99999999");
	assert_string_equal(mt_number_count(buf, 100000000, true), "+100.0M");
	assert_string_equal(mt_number_count(buf, -1999999999, false), "-1.9G");
	assert_string_equal(mt_number_count(buf, INT64_MAX, false), "9.2E");
}

static void times(void **state)
{
	(void)state;
	assert_string_equal(mt_number_time(buf, 59999999999), "59 s");
	assert_string_equal(mt_number_time(buf, 60000000000), "1:00");
	assert_string_equal(mt_number_time(buf, 7265000000000), "2:01:05");
}

static void differences(void **state)
{
	(void)state;
	assert_int_equal(mt_difference(5, 7), -2);
	assert_int_equal(mt_difference(UINT64_MAX, 0), INT64_MAX);
	assert_int_equal(mt_difference(0, UINT64_MAX), -INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes),
		cmocka_unit_test(counts),
		cmocka_unit_test(times),
		cmocka_unit_test(differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
