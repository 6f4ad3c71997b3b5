/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/pclntab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FUNCS 3

static const char *const names[FUNCS] = {"main.main", "runtime.gcStart", "runtime.mallocinit"};

struct table {
	uint8_t head[72];
	char names[64];
	uint32_t entries[2 * FUNCS + 1];
	uint32_t funcs[2 * FUNCS];
};

static void make(struct table *t, uint32_t magic, uint64_t text)
{
	const uint64_t names_at = offsetof(struct table, names);
	const uint64_t funcs_at = offsetof(struct table, entries);
	uint32_t name = 0;

	memset(t, 0, sizeof(*t));
	memcpy(t->head, &magic, 4);
	t->head[6] = 1;
	t->head[7] = 8;
	memcpy(t->head + 8, &(uint64_t){FUNCS}, 8);
	memcpy(t->head + 24, &text, 8);
	memcpy(t->head + 32, &names_at, 8);
	memcpy(t->head + 64, &funcs_at, 8);
	for (uint32_t i = 0; i < FUNCS; i++) {
		t->entries[2 * i] = 0x100 * i;
		t->entries[2 * i + 1] =
			(uint32_t)(offsetof(struct table, funcs) - funcs_at + 8 * i);
		t->funcs[2 * i] = t->entries[2 * i];
		t->funcs[2 * i + 1] = name;
		strcpy(t->names + name, names[i]);
		name += (uint32_t)strlen(names[i]) + 1;
	}
	t->entries[2 * FUNCS] = 0x180 + 0x100 * (FUNCS - 1);
}

static void test_find(void **state)
{
	static const char *const want[] = {"runtime.mallocinit", "runtime.gcStar", "main.main"};
	const uint32_t magics[] = {0xfffffff0, 0xfffffff1};
	struct mt_go_pclntab tab;
	struct mt_go_func f[3];
	struct table t;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		make(&t, magics[i], 0x401000);
		assert_int_equal(mt_go_pclntab_open((uint8_t *)&t, sizeof(t), &tab), 0);
		assert_int_equal(tab.text_start, 0x401000);
		assert_int_equal(mt_go_pclntab_find(&tab, want, 3, f), 2);
		assert_int_equal(f[0].off, 0x200);
		assert_int_equal(f[0].size, 0x180);
		assert_int_equal(f[1].size, 0);
		assert_int_equal(f[2].off, 0);
		assert_int_equal(f[2].size, 0x100);
	}
}

static void test_others(void **state)
{
	struct mt_go_pclntab tab;
	struct table t;

	(void)state;
	make(&t, 0xfffffffa, 0);
	assert_int_equal(mt_go_pclntab_open((uint8_t *)&t, sizeof(t), &tab), -ENOENT);
	make(&t, 0xfffffff1, 0);
	assert_int_equal(mt_go_pclntab_open((uint8_t *)&t, 71, &tab), -ENOENT);
	t.head[7] = 4;
	assert_int_equal(mt_go_pclntab_open((uint8_t *)&t, sizeof(t), &tab), -ENOENT);
}

/* A copy of exactly so many bytes, so that a look behind them is seen under ASan. */
static int find_in(const struct table *t, size_t n)
{
	uint8_t *bytes = malloc(n ?: 1);
	struct mt_go_func f[FUNCS];
	struct mt_go_pclntab tab;
	int found = -1;

	assert_non_null(bytes);
	memcpy(bytes, t, n);
	if (mt_go_pclntab_open(bytes, n, &tab) == 0)
		found = (int)mt_go_pclntab_find(&tab, names, FUNCS, f);
	free(bytes);
	return found;
}

static void test_hostile(void **state)
{
	const uint64_t far[] = {UINT64_MAX, UINT64_MAX / 8, UINT32_MAX, sizeof(struct table),
				sizeof(struct table) - 1};
	struct table t;

	(void)state;
	make(&t, 0xfffffff1, 0);
	assert_int_equal(find_in(&t, sizeof(t)), FUNCS);
	for (size_t n = 0; n < sizeof(t); n++)
		assert_true(find_in(&t, n) < FUNCS);
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		const size_t fields[] = {8, 32, 64};

		for (size_t k = 0; k < 3; k++) {
			make(&t, 0xfffffff1, 0);
			memcpy(t.head + fields[k], &far[i], 8);
			assert_true(find_in(&t, sizeof(t)) <= 0);
		}
		make(&t, 0xfffffff1, 0);
		t.entries[1] = (uint32_t)far[i];
		t.funcs[3] = (uint32_t)far[i];
		assert_int_equal(find_in(&t, sizeof(t)), FUNCS - 2);
		/* Backwards. */
		t.entries[4] = t.entries[6] + 1;
		assert_int_equal(find_in(&t, sizeof(t)), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
