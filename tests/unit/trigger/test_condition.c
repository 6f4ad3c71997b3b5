/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "trigger/condition.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct mt_condition parse(const char *text)
{
	struct mt_condition_error e = {0};
	struct mt_condition c;

	if (mt_condition_parse(text, &c, &e))
		fail_msg("%s: column %zu: %s", text, e.column, e.why);
	return c;
}

static void comparisons(void **state)
{
	static const struct {
		const char *text, *name;
		enum mt_condition_op op;
		double amount;
	} good[] = {
		{"Alloc > 2GiB", "Alloc", MT_OP_ABOVE, 0x1p31},
		{"alloc>2gib", "Alloc", MT_OP_ABOVE, 0x1p31},
		{"  ALLOC\t>= 1.5 MiB  ", "Alloc", MT_OP_FROM, 0x1.8p20},
		{"HeapObjects > 1e6", "HeapObjects", MT_OP_ABOVE, 1e6},
		{"HeapObjects < 2.5E+3", "HeapObjects", MT_OP_BELOW, 2500},
		{"heapobjects <= .5", "HeapObjects", MT_OP_TO, 0.5},
		{"rss > 100", "rss", MT_OP_ABOVE, 100},
		{"rss > 100B", "rss", MT_OP_ABOVE, 100},
		{"rss > 3K", "rss", MT_OP_ABOVE, 3072},
		{"rss > 3KB", "rss", MT_OP_ABOVE, 3000},
		{"rss > 3 m", "rss", MT_OP_ABOVE, 3 * 0x1p20},
		{"rss > 3MB", "rss", MT_OP_ABOVE, 3e6},
		{"rss > 3g", "rss", MT_OP_ABOVE, 3 * 0x1p30},
		{"rss > 3GB", "rss", MT_OP_ABOVE, 3e9},
		{"rss > 3TiB", "rss", MT_OP_ABOVE, 3 * 0x1p40},
		{"rss > 3t", "rss", MT_OP_ABOVE, 3 * 0x1p40},
		{"rss > 3TB", "rss", MT_OP_ABOVE, 3e12},
		{"NumGC >= 10", "NumGC", MT_OP_FROM, 10},
		{"PauseTotalNs > 10ms", "PauseTotalNs", MT_OP_ABOVE, 1e7},
		{"PauseTotalNs > 1.5us", "PauseTotalNs", MT_OP_ABOVE, 1500},
		{"PauseTotalNs > 7ns", "PauseTotalNs", MT_OP_ABOVE, 7},
		{"PauseTotalNs > 2min", "PauseTotalNs", MT_OP_ABOVE, 120e9},
		{"LastGC > 2m", "LastGC", MT_OP_ABOVE, 120e9},
		{"GCCPUFraction > 5%", "GCCPUFraction", MT_OP_ABOVE, 0.05},
		{"GCCPUFraction > 0.25", "GCCPUFraction", MT_OP_ABOVE, 0.25},
		{"EnableGC > 0", "EnableGC", MT_OP_ABOVE, 0},
		{"cgroup_current<1", "cgroup_current", MT_OP_BELOW, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct mt_condition c = parse(good[i].text);

		assert_string_equal(c.name, good[i].name);
		assert_int_equal(c.op, good[i].op);
		assert_true(c.amount >= good[i].amount * (1 - 1e-12));
		assert_true(c.amount <= good[i].amount * (1 + 1e-12));
		assert_false(c.percent);
		assert_int_equal(c.window_ns, 0);
	}
}

static void shares(void **state)
{
	struct mt_condition c = parse("rss > 80%");

	(void)state;
	assert_true(c.percent);
	assert_true(c.amount == 0.8);
	assert_true(mt_condition_holds(&c, 801, 1000));
	assert_false(mt_condition_holds(&c, 800, 1000));
	c = parse("Alloc grows 1 %/h");
	assert_true(c.percent);
	assert_true(c.amount == 0.01);
}

static void growth_texts(void **state)
{
	static const struct {
		const char *text;
		double amount;
		uint64_t window_ns;
	} good[] = {
		{"Alloc grows 10MiB/min", 10 * 0x1p20, 60000000000},
		{"Alloc GROWS 10MiB / minute", 10 * 0x1p20, 60000000000},
		{"Alloc grows 10/m", 10, 60000000000},
		{"rss grows 1B/s", 1, 1000000000},
		{"rss grows 1B/sec", 1, 1000000000},
		{"rss grows 1B/second", 1, 1000000000},
		{"rss grows 1B/10s", 1, 10000000000},
		{"rss grows 1B/1.5h", 1, 5400000000000},
		{"rss grows 1B/hour", 1, 3600000000000},
		{"rss grows 1B/day", 1, 86400000000000},
		{"rss grows 1B/366d", 1, 366 * 86400000000000},
		{"rss grows 1B/1ms", 1, 1000000},
		{"Mallocs grows 1e6/s", 1e6, 1000000000},
		{"PauseTotalNs grows 10ms/s", 1e7, 1000000000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct mt_condition c = parse(good[i].text);

		assert_int_equal(c.op, MT_OP_GROWS);
		assert_true(c.amount == good[i].amount);
		assert_int_equal(c.window_ns, good[i].window_ns);
	}
}

/* Every field of the tables can be named, in any case, and has a unit that parses. */
static void every_field(void **state)
{
	static const char *const amounts[] = {
		[MT_FIELD_BYTES] = "1KiB", [MT_FIELD_COUNT] = "1",  [MT_FIELD_NS] = "1ms",
		[MT_FIELD_TIME] = "1s",    [MT_FIELD_RATIO] = "1%",
	};
	static const char *const vm[] = {"rss",  "pss",   "swap",          "shared",
					 "data", "stack", "cgroup_current"};
	char text[128];

	(void)state;
	for (size_t i = 0; i < mt_fields_count; i++) {
		struct mt_condition c;

		snprintf(text, sizeof(text), "%s>=%s", mt_fields[i].name,
			 amounts[mt_fields[i].unit]);
		c = parse(text);
		assert_ptr_equal(c.field, &mt_fields[i]);
		for (char *s = text; *s != '>'; s++)
			*s ^= *s & 0x40 ? 0x20 : 0;
		c = parse(text);
		assert_ptr_equal(c.field, &mt_fields[i]);
	}
	for (size_t i = 0; i < sizeof(vm) / sizeof(vm[0]); i++) {
		snprintf(text, sizeof(text), "%s < 1GiB", vm[i]);
		assert_string_equal(parse(text).name, vm[i]);
	}
}

static void depths(void **state)
{
	(void)state;
	assert_int_equal(parse("Alloc > 1").depth, MT_VM_STATUS);
	assert_int_equal(parse("Sys > 1").depth, MT_VM_STATUS);
	assert_int_equal(parse("rss > 1").depth, MT_VM_STATUS);
	assert_int_equal(parse("HeapSys > 1").depth, MT_VM_PARTS);
	assert_int_equal(parse("cgroup_current > 1").depth, MT_VM_PARTS);
	assert_int_equal(parse("HeapReleased > 1").depth, MT_VM_FULL);
	assert_int_equal(parse("pss > 1").depth, MT_VM_FULL);
}

static const struct {
	const char *text;
	size_t column;
	const char *why;
} errors[] = {
	{"", 1, "a field is missing: such as Alloc, HeapObjects or rss"},
	{"  ", 3, "a field is missing: such as Alloc, HeapObjects or rss"},
	{"> 2GiB", 1, "a field is missing: such as Alloc, HeapObjects or rss"},
	{"Aloc > 2GiB", 1, "there is no field 'Aloc': did you mean Alloc?"},
	{" heapobject > 1", 2, "there is no field 'heapobject': did you mean HeapObjects?"},
	{"rs > 1", 1, "there is no field 'rs': did you mean rss?"},
	{"quark > 1", 1,
	 "there is no field 'quark': use one of MemStats, such as Alloc or HeapObjects, or rss, "
	 "pss, swap, shared, data, stack, cgroup_current"},
	{"Alloc", 6, "a comparison is missing: use >, >=, <, <= or grows"},
	{"Alloc  ", 8, "a comparison is missing: use >, >=, <, <= or grows"},
	{"Alloc = 1", 7, "'=' is no comparison: use >, >=, <, <= or grows"},
	{"Alloc == 1", 7, "'==' is no comparison: use >, >=, <, <= or grows"},
	{"Alloc 2GiB", 7, "'2GiB' is no comparison: use >, >=, <, <= or grows"},
	{"Alloc shrinks 2GiB/s", 7, "'shrinks' is no comparison: use >, >=, <, <= or grows"},
	{"\xc3\xa4 > 1", 1, "a field is missing: such as Alloc, HeapObjects or rss"},
	{"Alloc \xe2\x89\xa5 1 x", 7, "'\xe2\x89\xa5' is no comparison: use >, >=, <, <= or grows"},
	{"Alloc >", 8, "an amount is missing: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > much", 9, "'much' is no amount: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > -1", 9, "'-1' is no amount: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > => 1", 9, "'=>' is no amount: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > .", 9, "'.' is no amount: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > nan", 9, "'nan' is no amount: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > 0x10", 10, "'x10' is no unit of Alloc: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > 2 GiBs", 11, "'GiBs' is no unit of Alloc: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > 2ms", 10, "'ms' is no unit of Alloc: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > 1e", 10, "'e' is no unit of Alloc: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > 1e999", 9, "the number is too large"},
	{"Alloc > 1e300TiB", 14, "the amount is too large"},
	{"Alloc > 00000000000000000000000000000000000000000000000000000000000000001", 9,
	 "the number is too long"},
	{"HeapObjects > 1k", 16,
	 "'k' is no unit of HeapObjects: it is a number without a unit: use 1000 or 1e6"},
	{"HeapObjects > 80%", 17,
	 "% does not go with HeapObjects: it is a number without a unit: use 1000 or 1e6"},
	{"swap > 80%", 10,
	 "what is swapped out is not within the memory limit: use B, KiB, MiB, GiB or TiB"},
	{"PauseTotalNs > 100", 19,
	 "PauseTotalNs needs a unit: it is a time: use 500us, 10ms, 2s or 1m"},
	{"PauseTotalNs > 1MiB", 17,
	 "'MiB' is no unit of PauseTotalNs: it is a time: use 500us, 10ms, 2s or 1m"},
	{"LastGC > 100", 13, "LastGC needs a unit: it is compared by its age: use 10ms, 2s or 1m"},
	{"LastGC grows 1s/s", 8, "LastGC is a moment, which does not grow"},
	{"Alloc > 1 GiB or rss > 1", 15, "'or' is too much: a condition is one comparison"},
	{"Alloc > 1GiB/min", 13, "'/min' is too much: a condition is one comparison"},
	{"rss > 80% of it", 11, "'of' is too much: a condition is one comparison"},
	{"Alloc grows", 12, "an amount is missing: use B, KiB, MiB, GiB or TiB"},
	{"Alloc grows 10MiB", 18, "what grows needs a time: such as /s, /min, /h or /10s"},
	{"Alloc grows 10MiB per min", 19, "what grows needs a time: such as /s, /min, /h or /10s"},
	{"Alloc grows 10MiB/", 19, "a time is missing: such as /s, /min, /h or /10s"},
	{"Alloc grows 10MiB/5", 20, "a time is missing: such as /s, /min, /h or /10s"},
	{"Alloc grows 10MiB/MiB", 19, "a time is missing: such as /s, /min, /h or /10s"},
	{"Alloc grows 10MiB/1us", 19, "the time must be from 1ms to 366 days"},
	{"Alloc grows 10MiB/0s", 19, "the time must be from 1ms to 366 days"},
	{"Alloc grows 10MiB/367d", 19, "the time must be from 1ms to 366 days"},
	{"Alloc grows 10MiB/1e999s", 19, "the number is too large"},
	{"Alloc grows  0/min", 14, "the amount must be above 0"},
	{"Alloc grows > 1MiB/min", 13, "'>' is no amount: use B, KiB, MiB, GiB or TiB"},
	{"Alloc > 1\n2", 10, "'\\x0A2' is too much: a condition is one comparison"},
	{"Alloc > 1\x1b[31m", 10, "'\\x1B[31m' is too much: a condition is one comparison"},
};

static void wrong_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct mt_condition_error e = {0};
		struct mt_condition c = {.name = "untouched"};

		if (mt_condition_parse(errors[i].text, &c, &e) != -EINVAL)
			fail_msg("'%s' was taken", errors[i].text);
		assert_string_equal(e.why, errors[i].why);
		if (e.column != errors[i].column)
			fail_msg("'%s': column %zu, not %zu", errors[i].text, e.column,
				 errors[i].column);
		assert_string_equal(c.name, "untouched");
	}
}

static void overlong_words(void **state)
{
	static char text[100001];
	struct mt_condition_error e;
	struct mt_condition c;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(mt_condition_parse(text, &c, &e), -EINVAL);
	memcpy(text, "Alloc > 1 ", 10);
	assert_int_equal(mt_condition_parse(text, &c, &e), -EINVAL);
	assert_int_equal(e.column, 11);
	assert_true(strlen(e.why) < 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparisons),    cmocka_unit_test(shares),
		cmocka_unit_test(growth_texts),   cmocka_unit_test(every_field),
		cmocka_unit_test(depths),         cmocka_unit_test(wrong_texts),
		cmocka_unit_test(overlong_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
