/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/dwarf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "golang/dwarf_units.h"
#include "golang/made_dwarf.h"

static int read_made(struct made *m, struct mt_go_layout *ret)
{
	const struct mt_go_dwarf d = {
		.bytes = {[MT_GO_DWARF_INFO] = m->info, [MT_GO_DWARF_ABBREV] = m->abbrev},
		.n = {[MT_GO_DWARF_INFO] = m->n, [MT_GO_DWARF_ABBREV] = m->n_abbrev},
	};

	return mt_go_dwarf_layout(&d, ret);
}

static void expect_same(const struct mt_go_layout *a, const struct mt_go_layout *b)
{
#define MT_GO_MEMBER(of, member, name) assert_int_equal(a->name, b->name);
	MT_GO_MEMBERS(MT_GO_MEMBER)
#undef MT_GO_MEMBER
}

static void test_every_version(void **state)
{
	static struct made m;

	(void)state;
	for (size_t i = 0; i < mt_go_layouts_count; i++) {
		struct mt_go_layout l;

		made_dwarf(&m, &mt_go_layouts[i], false);
		assert_int_equal(read_made(&m, &l), 0);
		expect_same(&l, &mt_go_layouts[i]);
		assert_int_equal(l.minor, 0);
		assert_string_equal(l.version, "");
	}
}

/* Renames the first member of that name. */
static void rename_member(struct made *m, const char *from, char to)
{
	uint8_t *at = memmem(m->info, m->n, from, strlen(from) + 1);

	assert_non_null(at);
	*at = (uint8_t)to;
}

static void test_missing(void **state)
{
	static struct made m;
	struct mt_go_layout l;

	(void)state;
	made_dwarf(&m, mt_go_layout_of(24), false);
	rename_member(&m, "elemsize", 'x');
	assert_int_equal(read_made(&m, &l), -ENOENT);
	made_dwarf(&m, mt_go_layout_of(24), false);
	rename_member(&m, "runtime.mcache", 'x');
	assert_int_equal(read_made(&m, &l), -ENOENT);
	made_dwarf(&m, mt_go_layout_of(24), false);
	/* This one newer versions do without. */
	rename_member(&m, "inPtrScalarBits", 'x');
	assert_int_equal(read_made(&m, &l), 0);
	assert_int_equal(l.delta_in_ptr_scalar_bits, MT_GO_ABSENT);
}

/* dwarf_siblingof() may go round in circles where this is used. */
static void test_sibling(void **state)
{
	static struct made m;
	struct mt_go_layout l;

	(void)state;
	made_dwarf(&m, mt_go_layout_of(24), true);
	assert_int_equal(read_made(&m, &l), -ENOENT);
}

static void test_types_in_circles(void **state)
{
	static struct made m;
	struct mt_go_layout l;
	uint8_t *name;
	size_t at;

	(void)state;
	made_dwarf(&m, mt_go_layout_of(24), false);
	name = m.info + 12;
	/* The typedef of mutex, the second of that name, becomes its own type. */
	for (int i = 0; i < 2; i++)
		name = (uint8_t *)memmem(name, 200, "runtime.mutex", 14) + 14;
	at = (size_t)(name - m.info) - 15;
	memcpy(name, &(uint32_t){(uint32_t)at}, 4);
	assert_int_equal(m.info[at], MADE_TYPEDEF);
	assert_int_equal(read_made(&m, &l), -EBADMSG);
}

static void test_cut(void **state)
{
	static struct made m, cut;
	struct mt_go_layout l;

	(void)state;
	made_dwarf(&m, mt_go_layout_of(27), false);
	for (size_t n = 0; n < m.n; n++) {
		cut = m;
		cut.n = n;
		assert_int_not_equal(read_made(&cut, &l), 0);
		/* The same, with a header that agrees. */
		if (n > 12) {
			made_close(&cut);
			/* The ends of the last struct and of the unit go without saying. */
			if (n < m.n - 2)
				assert_int_not_equal(read_made(&cut, &l), 0);
		}
	}
	for (size_t n = 0; n < m.n_abbrev; n++) {
		cut = m;
		cut.n_abbrev = n;
		if (n < m.n_abbrev - 1)
			assert_int_not_equal(read_made(&cut, &l), 0);
	}
}

static void test_units(void **state)
{
	static struct made m, two;
	struct mt_go_unit u[4];

	(void)state;
	made_dwarf(&m, mt_go_layout_of(19), false);
	two = m;
	memcpy(two.info + m.n, m.info, m.n);
	two.n = 2 * m.n;
#define FIND(b, name, max)                                                                         \
	mt_go_units_find((struct mt_go_bytes){(b).info, (b).n},                                    \
			 (struct mt_go_bytes){(b).abbrev, (b).n_abbrev}, name, u, max)
	assert_int_equal(FIND(two, "runtime.mstats", 4), 2);
	assert_int_equal(u[0].start, 0);
	assert_int_equal(u[0].first_entry, 11);
	assert_int_equal(u[1].start, m.n);
	assert_int_equal(u[1].end, two.n);
	assert_int_equal(FIND(two, "runtime.mstats", 1), 1);
	assert_int_equal(FIND(two, "runtime.mstat", 4), 0);
	/* Of another version, or of the long form: passed over. */
	two.info[4] = 7;
	assert_int_equal(FIND(two, "runtime.mstats", 4), 1);
	assert_int_equal(u[0].start, m.n);
	memset(two.info, 0xff, 4);
	assert_int_equal(FIND(two, "runtime.mstats", 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version), cmocka_unit_test(test_missing),
		cmocka_unit_test(test_sibling),       cmocka_unit_test(test_types_in_circles),
		cmocka_unit_test(test_cut),           cmocka_unit_test(test_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
