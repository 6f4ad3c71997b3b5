/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void nesting(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	struct mt_json j = {.w = &w};

	(void)state;
	mt_json_object_begin(&j, NULL);
	mt_json_u64(&j, "u", UINT64_MAX);
	mt_json_i64(&j, "i", INT64_MIN);
	mt_json_object_begin(&j, "empty");
	mt_json_object_end(&j);
	mt_json_array_begin(&j, "a");
	mt_json_bool(&j, NULL, true);
	mt_json_bool(&j, NULL, false);
	mt_json_null(&j, NULL);
	mt_json_array_begin(&j, NULL);
	mt_json_array_end(&j);
	mt_json_object_begin(&j, NULL);
	mt_json_string(&j, "k\"", NULL);
	mt_json_object_end(&j);
	mt_json_array_end(&j);
	mt_json_string(&j, "s", "x");
	mt_json_object_end(&j);
	assert_string_equal(w.buf, "{\"u\":18446744073709551615,\"i\":-9223372036854775808,"
				   "\"empty\":{},\"a\":[true,false,null,[],{\"k\\\"\":null}],"
				   "\"s\":\"x\"}");
}

/* Expected texts are what Go 1.19's encoding/json writes. */
static void doubles(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{0, "0"},
		{-0.0, "-0"},
		{1, "1"},
		{-1.5, "-1.5"},
		{0.1, "0.1"},
		{100, "100"},
		{123456.789, "123456.789"},
		{0.000001, "0.000001"},
		{0.0000012345, "0.0000012345"},
		{1e-7, "1e-7"},
		{1.25e-7, "1.25e-7"},
		{-9.99e-10, "-9.99e-10"},
		{1e20, "100000000000000000000"},
		{1e21, "1e+21"},
		{1.5e22, "1.5e+22"},
		{1.7976931348623157e308, "1.7976931348623157e+308"},
		{5e-324, "5e-324"},
		{0.30000000000000004, "0.30000000000000004"},
		{0x1p-1017, "7.120236347223045e-307"},
		{0x1p-24, "5.960464477539063e-8"},
		{9007199254740993.0, "9007199254740992"},
		{NAN, "null"},
		{INFINITY, "null"},
		{-INFINITY, "null"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_writer_ struct mt_writer w = {0};
		struct mt_json j = {.w = &w};

		mt_json_double(&j, NULL, cases[i].v);
		assert_string_equal(w.buf, cases[i].text);
	}
}

/* What Go itself wrote, see go_floats.go. */
static void doubles_of_go(void **state)
{
	_cleanup_fclose_ FILE *f = fopen("tests/golden/go-floats.txt", "r");
	char text[64];
	uint64_t bits;
	size_t n = 0;

	(void)state;
	assert_non_null(f);
	for (; fscanf(f, "%" SCNx64 " %63s", &bits, text) == 2; n++) {
		_cleanup_writer_ struct mt_writer w = {0};
		double v;

		memcpy(&v, &bits, sizeof(v));
		mt_write_double(&w, v);
		assert_string_equal(w.buf, text);
	}
	assert_true(n > 300 && feof(f));
}

static void doubles_any_locale(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
		print_message("skipped: no locale with a decimal comma is installed\n");
		skip();
	}
	mt_write_double(&w, 1234.5);
	setlocale(LC_NUMERIC, "C");
	assert_string_equal(w.buf, "1234.5");
}

static void strings(void **state)
{
	static const char *const cases[][2] = {
		{"", "\"\""},
		{"a\"b\\c/", "\"a\\\"b\\\\c/\""},
		{"\n\r\t\b\f\033\x7f", "\"\\n\\r\\t\\u0008\\u000c\\u001b\\u007f\""},
		{"</script>&", "\"\\u003c/script\\u003e\\u0026\""},
		{"caf\xc3\xa9", "\"caf\xc3\xa9\""},
		{"\xe2\x80\xa8", "\"\\u2028\""},
		{"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
		{"a\xff\xfez", "\"a\\ufffd\\ufffdz\""},
		{"\xe6\xbc", "\"\\ufffd\\ufffd\""},
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_writer_ struct mt_writer w = {0};
		struct mt_json j = {.w = &w};

		mt_json_string(&j, NULL, cases[i][0]);
		assert_string_equal(w.buf, cases[i][1]);
	}
}

/* Any bytes at all come out as JSON that a reader takes. */
static void hostile_strings(void **state)
{
	uint32_t seed = 12345;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		_cleanup_writer_ struct mt_writer w = {0};
		struct mt_json j = {.w = &w};
		char s[17] = "";
		json_t *root;

		for (int i = 0; i < 16; i++) {
			seed = seed * 1664525 + 1013904223;
			s[i] = (char)(seed >> 24);
		}
		mt_json_array_begin(&j, NULL);
		mt_json_string(&j, NULL, s);
		mt_json_array_end(&j);
		root = json_loadb(w.buf, w.len, 0, NULL);
		assert_non_null(root);
		json_decref(root);
		for (size_t i = 0; i < w.len; i++)
			assert_true((unsigned char)w.buf[i] >= 0x20 && w.buf[i] != 0x7f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nesting),       cmocka_unit_test(doubles),
		cmocka_unit_test(doubles_of_go), cmocka_unit_test(doubles_any_locale),
		cmocka_unit_test(strings),       cmocka_unit_test(hostile_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
