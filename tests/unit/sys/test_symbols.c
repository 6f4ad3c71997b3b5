/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/symbols.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "sys/demangle.h"

static struct mt_symbol_query parsed(const char *spec)
{
	struct mt_symbol_query q;
	const char *why;

	if (mt_symbol_parse(spec, &q, &why))
		fail_msg("%s: %s", spec, why);
	assert_null(why);
	return q;
}

static void test_parse(void **state)
{
	struct mt_symbol_query q = parsed("libx.so.1:f");

	(void)state;
	assert_string_equal(q.binary, "libx.so.1");
	assert_string_equal(q.name, "f");
	q = parsed("a::b::c");
	assert_string_equal(q.binary, "");
	assert_string_equal(q.name, "a::b::c");
	q = parsed("x:a::b( unsigned  int , char const* )");
	assert_string_equal(q.binary, "x");
	assert_string_equal(q.name, "a::b(unsigned int,char const*)");
	q = parsed("/usr/bin/x:0x1f0");
	assert_true(q.by_addr);
	assert_int_equal(q.addr, 0x1f0);
}

static void test_parse_wrong(void **state)
{
	static const char *const wrong[] = {
		"", " ", ":f", "x:", "0x10", "x:0x", "x:0x1g", "x:0x11111111111111111"};
	struct mt_symbol_query q;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!mt_symbol_parse(wrong[i], &q, &why))
			fail_msg("%s was taken", wrong[i]);
		assert_non_null(why);
	}
}

static void test_binary(void **state)
{
	static const struct {
		const char *spec, *path;
		bool is;
	} v[] = {
		{"f", "/any/where", true},
		{"libc.so.6:f", "/lib/libc.so.6", true},
		{"libc:f", "/lib/libc.so.6", true},
		{"libc:f", "/lib/libc-2.31.so", true},
		{"libc:f", "/lib/libcrypt.so.1", false},
		{"libsqlite3.so.0:f", "/lib/libsqlite3.so.0.8.6", true},
		{"/lib/libc.so.6:f", "/lib/libc.so.6", true},
		{"/lib/libc:f", "/lib/libc.so.6", false},
		{"lib:f", "/lib/x", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		const struct mt_symbol_query q = parsed(v[i].spec);

		if (mt_symbol_in(&q, v[i].path) != v[i].is)
			fail_msg("%s, %s", v[i].spec, v[i].path);
	}
}

static void test_fit(void **state)
{
	static const struct {
		const char *spec, *symbol;
		enum mt_symbol_fit fit;
	} v[] = {
		{"f", "f", MT_FIT_EXACT},
		{"f", "ff", MT_FIT_NONE},
		{"f", "f@@V1", MT_FIT_EXACT},
		{"f", "f.constprop.0", MT_FIT_CLONE},
		{"f", "f.part.0.isra.0", MT_FIT_CLONE},
		{"f", "f.cold", MT_FIT_NONE},
		{"f.constprop.0", "f.constprop.0", MT_FIT_EXACT},
		{"_ZN1a1b1cEi", "_ZN1a1b1cEi", MT_FIT_EXACT},
		{"a::b::c", "_ZN1a1b1cEi", MT_FIT_EXACT},
		{"a::b::c(int)", "_ZN1a1b1cEi", MT_FIT_EXACT},
		{"a::b::c(char)", "_ZN1a1b1cEi", MT_FIT_NONE},
		{"b::c", "_ZN1a1b1cEi", MT_FIT_SUFFIX},
		{"c(int)", "_ZN1a1b1cEi", MT_FIT_SUFFIX},
		{"c", "_ZN1a1b2xcEi", MT_FIT_NONE},
		{"a::b::c", "_ZN1a1b1cEi.constprop.0", MT_FIT_CLONE},
		{"a::b::c", "_ZN1a1b1cEi.cold", MT_FIT_NONE},
		{"c::c", "_ZN1cC1Ev", MT_FIT_EXACT},
		{"c::~c", "_ZN1cD1Ev", MT_FIT_EXACT},
		{"t<int>", "_Z1tIiET_S0_", MT_FIT_EXACT},
		{"t", "_Z1tIiET_S0_", MT_FIT_EXACT},
		{"t<char>", "_Z1tIiET_S0_", MT_FIT_NONE},
		{"c::operator()", "_ZN1cclEi", MT_FIT_EXACT},
		{"c::operator()(int)", "_ZN1cclEi", MT_FIT_EXACT},
		{"operator new", "_Znwm", MT_FIT_EXACT},
		{"operator new(unsigned long)", "_Znwm", MT_FIT_EXACT},
		{"c::operator<", "_ZN1cltERKS_", MT_FIT_EXACT},
		{"(anonymous namespace)::f", "_ZN12_GLOBAL__N_11fEv", MT_FIT_EXACT},
		{"(anonymous namespace)::f()", "_ZN12_GLOBAL__N_11fEv", MT_FIT_EXACT},
		{"v(std::vector<int,std::allocator<int>>)", "_Z1vSt6vectorIiSaIiEE", MT_FIT_EXACT},
		{"main::f", "_ZN4main1f17h0123456789abcdefE", MT_FIT_EXACT},
		{"main::f", "_RNvCs0_4main1f", MT_FIT_EXACT},
		{"x", "_Z", MT_FIT_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		const struct mt_symbol_query q = parsed(v[i].spec);
		const enum mt_symbol_fit fit = mt_symbol_fit(&q, v[i].symbol);

		if (fit != v[i].fit)
			fail_msg("%s, %s: %d", v[i].spec, v[i].symbol, (int)fit);
	}
}

/* A name of 100 bytes that stands for a text that no memory holds; it ends all the same. */
static void test_bomb(void **state)
{
	char name[MT_MANGLED_MAX + 10] = "_Z1fI1aE", out[MT_DEMANGLED_MAX];

	(void)state;
	strcpy(name, "_Z1fSt4pairIiiE");
	for (const char *d = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"; *d; d++) {
		char part[32]; /* the pair of the one before and itself */

		snprintf(part, sizeof(part), "S_IS%c_S%c_E", *d, *d);
		strcat(name, part);
		if (*d < '5' || *d > '9')
			assert_int_equal(mt_demangle(name, true, out, sizeof(out)), *d < '5');
	}
	memset(name, 'x', sizeof(name) - 1);
	memcpy(name, "_Z4000", 6);
	name[sizeof(name) - 1] = '\0';
	assert_false(mt_demangle(name, true, out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(mt_demangle("malloc", true, out, sizeof(out)));
	assert_true(mt_demangle("_Z1fi", true, out, sizeof(out)));
	assert_string_equal(out, "f(int)");
	assert_true(mt_demangle("_Z1fi", false, out, sizeof(out)));
	assert_string_equal(out, "f");
}

/* A name of which a file can have millions that share one end is not looked through. */
static void test_endless(void **state)
{
	const struct mt_symbol_query q = parsed("f");
	char *name = malloc(1 << 20);

	(void)state;
	assert_non_null(name);
	memset(name, 'x', 1 << 20);
	memcpy(name, "f.", 2);
	name[1000] = '\0';
	assert_int_equal(mt_symbol_fit(&q, name), MT_FIT_CLONE);
	name[1000] = 'x';
	name[(1 << 20) - 1] = '\0';
	assert_int_equal(mt_symbol_fit(&q, name), MT_FIT_NONE);
	free(name);
}

void symbols_one(void);
void symbols_two(void);
__attribute__((noipa)) void symbols_one(void)
{
}
__attribute__((noipa)) void symbols_two(void)
{
}
void symbols_alias(void) __attribute__((alias("symbols_two")));

static void test_find(void **state)
{
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	_cleanup_free_ struct mt_symbol_matches *m = calloc(1, sizeof(*m));
	struct mt_symbol_near near = {0};
	struct mt_symbol_query q = parsed("symbols_alias");
	struct mt_sym inside;

	(void)state;
	assert_int_equal(mt_elf_open("/proc/self/exe", &elf), 0);
	assert_int_equal(mt_symbol_find(elf, &q, m, &inside), 0);
	assert_int_equal(m->n, 1);
	q.by_addr = true;
	q.addr = m->v[0].sym.addr;
	memset(m, 0, sizeof(*m));
	assert_int_equal(mt_symbol_find(elf, &q, m, &inside), 0);
	assert_int_equal(m->n, 1);
	q = parsed("main");
	memset(m, 0, sizeof(*m));
	assert_int_equal(mt_symbol_find(elf, &q, m, &inside), 0);
	assert_int_equal(m->n, 1);
	q.by_addr = true;
	q.addr = m->v[0].sym.addr + 1;
	assert_int_equal(mt_symbol_find(elf, &q, m, &inside), -EINVAL);
	assert_string_equal(inside.name, "main");
	q = parsed("symbols_onf");
	mt_symbol_near(elf, &q, &near);
	assert_true(near.n >= 1);
	assert_string_equal(near.names[0], "symbols_one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),  cmocka_unit_test(test_parse_wrong),
		cmocka_unit_test(test_binary), cmocka_unit_test(test_fit),
		cmocka_unit_test(test_bomb),   cmocka_unit_test(test_endless),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
