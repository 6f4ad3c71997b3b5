/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trigger/condition.h"

#define S 1000000000ull

static struct mt_condition parse(const char *text)
{
	struct mt_condition_error e = {0};
	struct mt_condition c;

	if (mt_condition_parse(text, &c, &e))
		fail_msg("%s: column %zu: %s", text, e.column, e.why);
	return c;
}

static double value(const char *text, const struct mt_snapshot *s)
{
	struct mt_condition c = parse(text);
	double v = NAN;

	assert_true(mt_condition_value(&c, s, &v));
	return v;
}

static void values(void **state)
{
	static struct mt_snapshot s;
	struct mt_condition c = parse("rss > 1");
	double v;

	(void)state;
	s.memstats.alloc = 1000;
	s.memstats.num_gc = 7;
	s.memstats.gc_cpu_fraction = 0.125;
	s.memstats.enable_gc = true;
	s.vm = (struct mt_vm){.rss = 1,
			      .pss = 2,
			      .swap = 3,
			      .shared = 4,
			      .data = 5,
			      .stack = 6,
			      .cgroup_current = 7};
	assert_false(mt_condition_value(&c, &s, &v));
	s.vm.known = true;
	assert_true(value("Alloc > 1", &s) == 1000);
	assert_true(value("NumGC > 1", &s) == 7);
	assert_true(value("GCCPUFraction > 1", &s) == 0.125);
	assert_true(value("EnableGC > 0", &s) == 1);
	assert_true(value("DebugGC > 0", &s) == 0);
	assert_true(value("rss > 1", &s) == 1);
	assert_true(value("pss > 1", &s) == 2);
	assert_true(value("swap > 1", &s) == 3);
	assert_true(value("shared > 1", &s) == 4);
	assert_true(value("data > 1", &s) == 5);
	assert_true(value("stack > 1", &s) == 6);
	assert_true(value("cgroup_current > 1", &s) == 7);
}

/* A point in time is compared by its age, and what never was has none. */
static void ages(void **state)
{
	static struct mt_snapshot s = {.time_ns = 1700000100 * S};
	struct mt_condition c = parse("LastGC > 1m");
	double v;

	(void)state;
	assert_false(mt_condition_value(&c, &s, &v));
	s.memstats.last_gc = 1700000000 * S;
	assert_true(mt_condition_value(&c, &s, &v));
	assert_true(v > 99.9 * S && v < 100.1 * S);
	assert_true(mt_condition_holds(&c, v, 0));
	c = parse("LastGC > 2m");
	assert_false(mt_condition_holds(&c, v, 0));
}

static void borders(void **state)
{
	static const struct {
		const char *text;
		bool below, at, above;
	} cases[] = {
		{"Alloc > 10", false, false, true},        {"Alloc >= 10", false, true, true},
		{"Alloc < 10", true, false, false},        {"Alloc <= 10", true, true, false},
		{"Alloc grows 10/s", false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mt_condition c = parse(cases[i].text);

		assert_int_equal(mt_condition_holds(&c, 9, 0), cases[i].below);
		assert_int_equal(mt_condition_holds(&c, 10, 0), cases[i].at);
		assert_int_equal(mt_condition_holds(&c, 11, 0), cases[i].above);
	}
}

/* When it first holds, where the value grows by per_look at each interval; looks at most. */
static unsigned int first_growth(const char *text, uint64_t interval, double per_look,
				 unsigned int looks)
{
	struct mt_condition c = parse(text);
	struct mt_growth g = {0};

	for (unsigned int i = 0; i < looks; i++)
		if (mt_condition_grew(&c, &g, 5 * S + i * interval, 1000 + i * per_look, 0))
			return i;
	return UINT32_MAX;
}

static void steady_growth(void **state)
{
	(void)state;
	/* 1 a second is 60 a minute, known after one */
	assert_int_equal(first_growth("Alloc grows 60/min", S, 1, 200), 60);
	assert_int_equal(first_growth("Alloc grows 61/min", S, 1, 2000), UINT32_MAX);
	assert_int_equal(first_growth("Alloc grows 60/min", S, 5, 200), 60);
	assert_int_equal(first_growth("Alloc grows 60/min", S, -1, 2000), UINT32_MAX);
	/* looked at less often than the window is long */
	assert_int_equal(first_growth("Alloc grows 1/s", 10 * S, 10, 20), 1);
	assert_int_equal(first_growth("Alloc grows 1/s", 10 * S, 9, 200), UINT32_MAX);
	/* and much more often than is remembered */
	assert_int_equal(first_growth("Alloc grows 100/s", S / 10000, 0.01, 20000), 10000);
	assert_int_equal(first_growth("Alloc grows 101/s", S / 10000, 0.01, 100000), UINT32_MAX);
}

/* What comes and goes within the window does not count, a step counts as long as it is in it. */
static void other_growth(void **state)
{
	struct mt_condition c = parse("Alloc grows 100/10s");
	struct mt_growth g = {0};
	unsigned int held = 0;

	(void)state;
	for (unsigned int i = 0; i < 1000;
	     i++) /* a saw of 90, period 7 s, that grows by 1 a tooth */
		assert_false(mt_condition_grew(&c, &g, i * S, i % 7 * 15 + i / 7, 0));
	memset(&g, 0, sizeof(g));
	for (unsigned int i = 0; i < 1000; i++)
		held += mt_condition_grew(&c, &g, i * S, i < 500 ? 0 : 100, 0);
	assert_int_equal(held, 10);
}

static void growth_of_the_limit(void **state)
{
	struct mt_condition c = parse("rss grows 10%/s");
	struct mt_growth g = {0};

	(void)state;
	assert_false(mt_condition_grew(&c, &g, 0, 0, 1000));
	assert_false(mt_condition_grew(&c, &g, S, 99, 1000));
	assert_true(mt_condition_grew(&c, &g, 2 * S, 199, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),       cmocka_unit_test(ages),
		cmocka_unit_test(borders),      cmocka_unit_test(steady_growth),
		cmocka_unit_test(other_growth), cmocka_unit_test(growth_of_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
