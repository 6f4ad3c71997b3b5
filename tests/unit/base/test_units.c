/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/units.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void durations(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t ns;
	} cases[] = {
		{"1", 0, 1000000000},
		{"500ms", 0, 500000000},
		{"2s", 0, 2000000000},
		{"1m", 0, 60000000000},
		{"1h", 0, 3600000000000},
		{"1.5s", 0, 1500000000},
		{"0.25", 0, 250000000},
		{".5s", 0, 500000000},
		{"2.s", 0, 2000000000},
		{"10us", 0, 10000},
		{"7ns", 0, 7},
		{"1.5h", 0, 5400000000000},
		{"0.1234567899s", 0, 123456789},
		{"5124095h", 0, UINT64_C(5124095) * 3600 * 1000000000},
		{"18446744073s", 0, UINT64_C(18446744073000000000)},
		{"5124096h", -ERANGE, 0},
		{"18446744074s", -ERANGE, 0},
		{"18446744073.8s", -ERANGE, 0},
		{"99999999999999999999999999ns", -ERANGE, 0},
		{"18446744073709551616", -ERANGE, 0},
		{"0", -ERANGE, 0},
		{"0.0s", -ERANGE, 0},
		{"0.1ns", -ERANGE, 0},
		{"", -EINVAL, 0},
		{".", -EINVAL, 0},
		{".s", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1S", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"nan", -EINVAL, 0},
		{"inf", -EINVAL, 0},
		{"1.2.3", -EINVAL, 0},
		{"1m30s", -EINVAL, 0},
		{"1msx", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 42;
		int r = mt_parse_duration(cases[i].text, &ns);

		if (r != cases[i].r || ns != (r ? 42 : cases[i].ns))
			fail_msg("\"%s\": %d, %lu", cases[i].text, r, ns);
	}
}

static void units(void **state)
{
	enum mt_unit u = MT_UNIT_GIB;

	(void)state;
	assert_int_equal(mt_parse_unit("auto", &u), 0);
	assert_int_equal(u, MT_UNIT_AUTO);
	assert_int_equal(mt_parse_unit("b", &u), 0);
	assert_int_equal(u, MT_UNIT_B);
	assert_int_equal(mt_parse_unit("kib", &u), 0);
	assert_int_equal(u, MT_UNIT_KIB);
	assert_int_equal(mt_parse_unit("MIB", &u), 0);
	assert_int_equal(u, MT_UNIT_MIB);
	assert_int_equal(mt_parse_unit("GiB", &u), 0);
	assert_int_equal(u, MT_UNIT_GIB);
	assert_int_equal(mt_parse_unit("MB", &u), -EINVAL);
	assert_int_equal(mt_parse_unit("", &u), -EINVAL);
	assert_int_equal(u, MT_UNIT_GIB);
}

static void bytes(void **state)
{
	static const struct {
		uint64_t v;
		enum mt_unit unit;
		const char *text;
	} cases[] = {
		{12582912, MT_UNIT_MIB, "12 MiB"},
		{13631487, MT_UNIT_MIB, "12 MiB"},
		{1048575, MT_UNIT_MIB, "0 MiB"},
		{1023, MT_UNIT_KIB, "0 KiB"},
		{5, MT_UNIT_B, "5 B"},
		{UINT64_MAX, MT_UNIT_B, "18446744073709551615 B"},
		{UINT64_MAX, MT_UNIT_KIB, "18014398509481983 KiB"},
		{UINT64_MAX, MT_UNIT_GIB, "17179869183 GiB"},
		{0, MT_UNIT_AUTO, "0 B"},
		{1023, MT_UNIT_AUTO, "1023 B"},
		{1024, MT_UNIT_AUTO, "1.0 KiB"},
		{1048575, MT_UNIT_AUTO, "1023.9 KiB"},
		{1048576, MT_UNIT_AUTO, "1.0 MiB"},
		{1610612736, MT_UNIT_AUTO, "1.5 GiB"},
		{UINT64_C(1) << 40, MT_UNIT_AUTO, "1.0 TiB"},
		{UINT64_C(3) << 49, MT_UNIT_AUTO, "1.5 PiB"},
		{UINT64_MAX, MT_UNIT_AUTO, "15.9 EiB"},
	};
	char buf[32], tiny[4];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(mt_format_bytes(buf, sizeof(buf), cases[i].v, cases[i].unit),
				    cases[i].text);
	assert_string_equal(mt_format_bytes(tiny, sizeof(tiny), UINT64_MAX, MT_UNIT_B), "184");
}

static void times(void **state)
{
	char buf[MT_TIME_SIZE];

	(void)state;
	assert_string_equal(mt_format_time(buf, sizeof(buf), 0), "1970-01-01T00:00:00.000000000Z");
	assert_string_equal(mt_format_time(buf, sizeof(buf), UINT64_C(1767323045000000006)),
			    "2026-01-02T03:04:05.000000006Z");
	assert_string_equal(mt_format_time(buf, sizeof(buf), UINT64_MAX),
			    "2554-07-21T23:34:33.709551615Z");
}

static void durations_shown(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} v[] = {
		{0, "0 ns"},
		{999, "999 ns"},
		{1000, "1.0 us"},
		{31249, "31.2 us"},
		{999949, "999.9 us"},
		{999951, "1.0 ms"},
		{1500000, "1.5 ms"},
		{2000000000, "2.0 s"},
		{UINT64_C(86399000000000), "86399.0 s"},
		{UINT64_MAX, "1.8e+10 s"},
	};
	char buf[MT_DURATION_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_string_equal(mt_format_duration(buf, sizeof(buf), v[i].ns), v[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_shown), cmocka_unit_test(durations),
		cmocka_unit_test(units),           cmocka_unit_test(bytes),
		cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
