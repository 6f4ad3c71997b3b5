/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static size_t encode(uint32_t cp, char out[5])
{
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	out[n] = '\0';
	for (size_t i = n - 1; i > 0; i--, cp >>= 6)
		out[i] = (char)(0x80 | (cp & 0x3f));
	out[0] = (char)(lead[n] | cp);
	return n;
}

/* Every character reads back; what Unicode has no character for does not. */
static void every_character(void **state)
{
	(void)state;
	for (uint32_t cp = 0; cp < 0x1fffff; cp++) {
		uint32_t got = ~cp;
		char s[5];
		size_t n = encode(cp, s), r = mt_utf8_decode(s, &got);

		if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
			assert_int_equal(r, 0);
		else if (r != n || got != cp)
			fail_msg("U+%04X: %zu bytes, U+%04X", cp, r, got);
	}
}

static void invalid(void **state)
{
	static const char *const cases[] = {"\x80",
					    "\xbf",
					    "\xc0\x80",
					    "\xc1\xbf",
					    "\xe0\x9f\xbf",
					    "\xf0\x8f\xbf\xbf",
					    "\xf8\x88\x80\x80\x80",
					    "\xff",
					    "\xc3",
					    "\xe6\xbc",
					    "\xf0\x9f\x98",
					    "\xc3z",
					    "\xe6\xbcz",
					    "\xf0\x9fzz"};
	uint32_t cp;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(mt_utf8_decode(cases[i], &cp), 0);
}

static void controls(void **state)
{
	static const uint32_t acts[] = {0,      7,      0x1b,   0x1f,   0x7f,   0x80,   0x9b,  0x9f,
					0x200e, 0x200f, 0x2028, 0x202a, 0x202e, 0x2066, 0x2069};
	static const uint32_t shown[] = {' ',    '~',    0xa0,   0xe9,   0x200d,  0x2010, 0x2027,
					 0x202f, 0x2065, 0x206a, 0x6f22, 0x1f600, 0xfffd};

	(void)state;
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		assert_true(mt_utf8_is_control(acts[i]));
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		assert_false(mt_utf8_is_control(shown[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character),
		cmocka_unit_test(invalid),
		cmocka_unit_test(controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
