/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void quote_cuts(void **state)
{
	char q[12];

	(void)state;
	assert_string_equal(mt_quote(q, sizeof(q), "abcdefghijk"), "abcdefghijk");
	assert_string_equal(mt_quote(q, sizeof(q), "abcdefghijkl"), "abcdefgh...");
	/* never inside a character */
	assert_string_equal(mt_quote(q, sizeof(q), "abcdefg\xc3\xa4hijkl"), "abcdefg...");
	assert_string_equal(mt_quote(q, sizeof(q), ""), "");
}

static void nearest(void **state)
{
	static const char *const names[] = {"doctor", "diff", "top", NULL};

	(void)state;
	assert_string_equal(mt_nearest("docter", names), "doctor");
	assert_string_equal(mt_nearest("dfif", names), "diff");
	assert_string_equal(mt_nearest("doc", names), "doctor");
	assert_null(mt_nearest("sleep", names));
	assert_null(mt_nearest("", names));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quote_cuts),
		cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
