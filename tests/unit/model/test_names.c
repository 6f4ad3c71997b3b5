/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void adds_each_once(void **state)
{
	char list[64] = "";

	(void)state;
	mt_names_add(list, sizeof(list), "");
	assert_string_equal(list, "");
	mt_names_add(list, sizeof(list), "go, glibc 2.36");
	mt_names_add(list, sizeof(list), "glibc 2.3");
	mt_names_add(list, sizeof(list), "glibc 2.36, go, musl 1.2.3");
	mt_names_add(list, sizeof(list), "ibc 2.36");
	assert_string_equal(list, "go, glibc 2.36, glibc 2.3, musl 1.2.3, ibc 2.36");
}

static void ends(void **state)
{
	char list[24] = "", before[24];

	(void)state;
	mt_names_add(list, sizeof(list), "0123456789abc, x, yz, w");
	assert_string_equal(list, "0123456789abc, x, ...");
	memcpy(before, list, sizeof(list));
	mt_names_add(list, sizeof(list), "v, ...");
	assert_string_equal(list, before);
	list[0] = '\0';
	mt_names_add(list, sizeof(list), "0123456789012345678901234567890123456789");
	assert_int_equal(strlen(list), sizeof(list) - 1);
	mt_names_add(list, sizeof(list), "a");
	assert_int_equal(strlen(list), sizeof(list) - 1);
}

static void takes_apart(void **state)
{
	const char *next = "a, bc,d, ";

	(void)state;
	assert_int_equal(mt_names_first(next, &next), 1);
	assert_string_equal(next, "bc,d, ");
	assert_int_equal(mt_names_first(next, &next), 4);
	assert_string_equal(next, "");
	assert_int_equal(mt_names_first(next, &next), 0);
	assert_null(next);
}

/* Whatever stands in the names, no byte beyond the list is written. */
static void stays_inside(void **state)
{
	static const char text[] = ", ,, a, , ...,  ";
	char list[48];

	(void)state;
	for (size_t size = 8; size < 40; size++) {
		memset(list, 0x55, sizeof(list));
		list[0] = '\0';
		for (size_t i = 0; i < 200; i++)
			mt_names_add(list, size, text + i % (sizeof(text) - 1));
		assert_non_null(memchr(list, 0, size));
		for (size_t i = size; i < sizeof(list); i++)
			assert_int_equal(list[i], 0x55);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_each_once),
		cmocka_unit_test(ends),
		cmocka_unit_test(takes_apart),
		cmocka_unit_test(stays_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
