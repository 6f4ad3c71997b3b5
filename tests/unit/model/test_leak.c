/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verdict on simulated repetitions: how often noise is taken for a leak, and a leak found. */
#include "model/leak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MOST   128
#define TRIALS 1000

static uint64_t seed;

/* xorshift64*: the same numbers everywhere, so that the rates below never vary. */
static uint64_t random64(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * UINT64_C(2685821657736338717);
}

/* From -limit to limit, each as likely. */
static int64_t flat(int64_t limit)
{
	return (int64_t)(random64() % (uint64_t)(2 * limit + 1)) - limit;
}

/* Nearly normal: the sum of twelve; its deviation is that of one. */
static int64_t bell(int64_t deviation)
{
	int64_t sum = 0;

	for (int i = 0; i < 12; i++)
		sum += flat(1000000);
	/* a flat one deviates by 1000000 / sqrt(3), twelve of them by twice as much */
	return sum * (deviation / 1000) / 2000;
}

/* Mostly small, at times a hundred times as large. */
static int64_t spiky(int64_t deviation)
{
	return bell(random64() % 10 ? deviation : 100 * deviation);
}

static enum mt_verdict judge(const int64_t *v, size_t n)
{
	struct mt_leak leak;

	mt_leak_judge(v, n, 1, &leak);
	return leak.verdict;
}

/* A way in which live bytes change at repetition i. */
typedef int64_t (*change_fn)(size_t i);

/* Thousandths of simulations with n repetitions that end in the verdict. */
static unsigned int rate(change_fn change, size_t n, enum mt_verdict verdict)
{
	unsigned int hits = 0;

	seed = UINT64_C(88172645463325252);
	for (int trial = 0; trial < TRIALS; trial++) {
		int64_t v[MOST];

		for (size_t i = 0; i < n; i++)
			v[i] = change(i);
		hits += judge(v, n) == verdict;
	}
	return hits * 1000 / TRIALS;
}

static int64_t noise_flat(size_t i)
{
	(void)i;
	return flat(100000);
}

static int64_t noise_bell(size_t i)
{
	(void)i;
	return bell(100000);
}

static int64_t noise_spiky(size_t i)
{
	(void)i;
	return spiky(10000);
}

/* One block of a timer, there or not: most repetitions change nothing. */
static int64_t noise_block(size_t i)
{
	(void)i;
	return 24 * (flat(2) / 2);
}

/* A level that wavers: what one repetition gained the next one loses. */
static int64_t noise_level(size_t i)
{
	static int64_t last;
	const int64_t now = bell(100000), d = now - last;

	last = now;
	return i ? d : bell(100000);
}

static int64_t warm(size_t i)
{
	return (i ? 0 : 10000000) + bell(100000);
}

static int64_t leak_exact(size_t i)
{
	return i ? 4096 : 500000;
}

static int64_t leak_clear(size_t i)
{
	(void)i;
	return 200000 + bell(100000);
}

static int64_t leak_faint(size_t i)
{
	(void)i;
	return 100000 + bell(100000);
}

static int64_t leak_level(size_t i)
{
	return 100000 + noise_level(i);
}

static int64_t leak_third(size_t i)
{
	return i % 3 ? 0 : 4096;
}

/* Of 1 % at most, with what a simulation of so many may be off. */
static void false_alarms(void **state)
{
	static const struct {
		change_fn noise;
		const char *name;
	} kinds[] = {
		{noise_flat, "flat"},   {noise_bell, "bell"},   {noise_spiky, "spiky"},
		{noise_block, "block"}, {noise_level, "level"}, {warm, "warm"},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (size_t n = 2; n <= 100; n += n < 10 ? 1 : 30) {
			const unsigned int grows = rate(kinds[k].noise, n, MT_VERDICT_GROWS);

			if (grows > 20)
				fail_msg("%s, %zu repetitions: %u of 1000 false alarms",
					 kinds[k].name, n, grows);
		}
	}
}

static void noise_is_steady(void **state)
{
	(void)state;
	assert_true(rate(noise_bell, 12, MT_VERDICT_STEADY) > 850);
	assert_true(rate(noise_level, 12, MT_VERDICT_STEADY) > 950);
	assert_true(rate(warm, 30, MT_VERDICT_STEADY) > 850);
}

static void leaks_are_found(void **state)
{
	(void)state;
	assert_int_equal(rate(leak_exact, 4, MT_VERDICT_GROWS), 1000);
	assert_int_equal(rate(leak_exact, 12, MT_VERDICT_GROWS), 1000);
	assert_true(rate(leak_clear, 8, MT_VERDICT_GROWS) > 800);
	assert_true(rate(leak_clear, 12, MT_VERDICT_GROWS) > 990);
	assert_true(rate(leak_faint, 12, MT_VERDICT_GROWS) > 600);
	assert_true(rate(leak_faint, 30, MT_VERDICT_GROWS) > 990);
	assert_true(rate(leak_faint, 120, MT_VERDICT_GROWS) > 990);
	assert_true(rate(leak_level, 30, MT_VERDICT_GROWS) > 950);
	assert_int_equal(rate(leak_third, 30, MT_VERDICT_GROWS), 1000);
	/* What is missed is not called steady often. */
	assert_true(rate(leak_faint, 12, MT_VERDICT_STEADY) < 100);
	assert_true(rate(leak_clear, 8, MT_VERDICT_STEADY) < 20);
}

#define JUDGE(...) judge((const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / 8)

static void few(void **state)
{
	(void)state;
	assert_int_equal(judge(NULL, 0), MT_VERDICT_NONE);
	assert_int_equal(JUDGE(4096), MT_VERDICT_NONE);
	assert_int_equal(JUDGE(4096, 0), MT_VERDICT_UNCLEAR);
	assert_int_equal(JUDGE(4096, 4096), MT_VERDICT_UNCLEAR);
	assert_int_equal(JUDGE(4096, 0, 0), MT_VERDICT_STEADY);
	assert_int_equal(JUDGE(4096, -8, 0), MT_VERDICT_STEADY);
	assert_int_equal(JUDGE(0, 4096, 4096), MT_VERDICT_UNCLEAR);
	assert_int_equal(JUDGE(0, 4096, 4096, 4096), MT_VERDICT_GROWS);
	assert_int_equal(JUDGE(0, 4096, 4000, 4096), MT_VERDICT_UNCLEAR);
	assert_int_equal(JUDGE(1, 2, 3, 4, 5, 6, 7), MT_VERDICT_UNCLEAR);
	assert_int_equal(JUDGE(1, 2, 3, 4, 5, 6, 7, 8), MT_VERDICT_GROWS);
}

static void shapes(void **state)
{
	struct mt_leak leak;
	/* Up in small steps, down in one: a cache that is emptied. */
	const int64_t saw[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, -9, 1, 1, 1, 1, 1, 1, 1, 1, 1, -9};
	/* A vector that doubles: ever more rarely. */
	const int64_t doubles[32] = {[1] = 64, [2] = 128, [4] = 256, [8] = 512, [16] = 1024};
	const int64_t limits[] = {INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN, INT64_MAX,
				  INT64_MIN, INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN};
	const int64_t up[] = {0, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};

	(void)state;
	assert_int_not_equal(judge(saw, 20), MT_VERDICT_GROWS);
	assert_int_not_equal(judge(doubles, 32), MT_VERDICT_GROWS);
	assert_int_not_equal(judge(doubles, 20), MT_VERDICT_GROWS);
	assert_int_not_equal(judge(limits, 10), MT_VERDICT_GROWS);
	mt_leak_judge(up, 5, 1, &leak);
	assert_int_equal(leak.verdict, MT_VERDICT_GROWS);
	assert_true(leak.per == INT64_MAX);
	/* Nine of 256 choices of signs have as many above 0: 3.5 %. */
	assert_int_equal(JUDGE(0, -1, 1, 1, 1, 1, 1, 1, 1), MT_VERDICT_UNCLEAR);
	/* Filled slowly, and then no more. */
	assert_int_equal(JUDGE(9, 8, 7, 6, 5, 4, 0, 0, 0, 0, 0), MT_VERDICT_STEADY);
}

static void numbers(void **state)
{
	const int64_t third[] = {5, 0, 0,  30, 0, 0,  30, 0, 0,  30, 0, 0,  30, 0, 0, 30,
				 0, 0, 30, 0,  0, 30, 0,  0, 30, 0,  0, 30, 0,  0, 30};
	const int64_t exact[] = {100, 7, 7, 7};
	struct mt_leak leak;

	(void)state;
	mt_leak_judge(third, 31, 1, &leak);
	assert_int_equal(leak.verdict, MT_VERDICT_GROWS);
	assert_int_equal(leak.per, 10); /* the mean, where the middle one is 0 */
	assert_int_equal(leak.grew, 11);
	assert_int_equal(leak.of, 31);
	mt_leak_judge(exact, 4, 1, &leak);
	assert_int_equal(leak.per, 7);
	assert_int_equal(leak.noise, 0);
	assert_int_equal(leak.grew, 4);
	/* Of many classes an equal amount needs more of them. */
	mt_leak_judge(exact, 4, 20, &leak);
	assert_int_equal(leak.verdict, MT_VERDICT_UNCLEAR);
}

/* Twenty classes of noise at once: one of them grows in 1 % of cases, not in 20 %. */
static void many_classes(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	seed = 42;
	for (int trial = 0; trial < TRIALS; trial++) {
		bool any = false;

		for (int class = 0; class < 20; class ++) {
			struct mt_leak leak;
			int64_t v[20];

			for (size_t i = 0; i < 20; i++)
				v[i] = bell(100000);
			mt_leak_judge(v, 20, 20, &leak);
			any = any || leak.verdict == MT_VERDICT_GROWS;
		}
		wrong += any;
	}
	assert_true(wrong * 1000 / TRIALS <= 20);
}

static void middle(void **state)
{
	int64_t odd[] = {3, -1, 2}, even[] = {4, 1, 2, 9}, far[] = {INT64_MAX, INT64_MAX};

	(void)state;
	assert_int_equal(mt_median(odd, 3), 2);
	assert_int_equal(mt_median(even, 4), 3);
	assert_true(mt_median(far, 2) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(false_alarms),    cmocka_unit_test(noise_is_steady),
		cmocka_unit_test(leaks_are_found), cmocka_unit_test(few),
		cmocka_unit_test(shapes),          cmocka_unit_test(numbers),
		cmocka_unit_test(many_classes),    cmocka_unit_test(middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
