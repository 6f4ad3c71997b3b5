/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/leak.h"

#include <stdlib.h>
#include <string.h>

#define GROUPS        50
#define EQUAL_MIN     3 /* repetitions after the first, of the same change */
#define EQUAL_OF_MANY 5
#define TEST_MIN      7 /* 2^-7 is the first below 1 % */
#define ALPHA         0.01
#define CHANCE        0.10

static int by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t clamp(__int128 v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t mt_median(int64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return (int64_t)(((__int128)v[(n - 1) / 2] + v[n / 2]) / 2);
}

static __int128 sum_of(const int64_t *v, size_t n)
{
	__int128 sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return sum;
}

static int64_t magnitude(int64_t v)
{
	return v < 0 ? clamp(-(__int128)v) : v;
}

static int by_magnitude(const void *a, const void *b)
{
	const int64_t x = magnitude(*(const int64_t *)a), y = magnitude(*(const int64_t *)b);

	return (x > y) - (x < y);
}

/*
 * The chance that as many and as large ones of n numbers, none of them 0, are above
 * 0, if each had been as likely below: the share of all 2^n choices of signs whose
 * ranks above 0 sum to as much. Ties share the mean of their ranks, which doubled is
 * whole. Sorts v.
 */
static double signed_rank(int64_t *v, size_t n)
{
	double ways[GROUPS * (GROUPS + 1) + 1] = {1};
	size_t above = 0, all = 0;
	double tail = 0;

	qsort(v, n, sizeof(*v), by_magnitude);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && magnitude(v[end]) == magnitude(v[i]);)
			end++;
		for (size_t k = i; k < end; k++) {
			const size_t rank = i + end + 1; /* doubled: i + 1 to end */

			above += v[k] > 0 ? rank : 0;
			for (size_t sum = all + 1; sum-- > 0;) {
				ways[sum] /= 2;
				ways[sum + rank] += ways[sum];
			}
			all += rank;
		}
	}
	for (size_t sum = above; sum <= all; sum++)
		tail += ways[sum];
	return tail;
}

/* The chance of noise that looks like v; many are grouped. */
static double chance_of(const int64_t *v, size_t n)
{
	const size_t groups = n < GROUPS ? n : GROUPS;
	int64_t sums[GROUPS];
	size_t used = 0;

	for (size_t i = 0; i < groups; i++) {
		const size_t from = i * n / groups, to = (i + 1) * n / groups;
		const int64_t sum = clamp(sum_of(v + from, to - from));

		if (sum)
			sums[used++] = sum;
	}
	return signed_rank(sums, used);
}

static bool all_equal(const int64_t *v, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (v[i] != v[0])
			return false;
	return true;
}

static bool none_rose(const int64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] > 0)
			return false;
	return true;
}

static bool has_come_to_rest(const int64_t *v, size_t n)
{
	const size_t half = (n + 1) / 2;

	return half >= 3 && none_rose(v + n - half, half) && !sum_of(v + n - half, half);
}

/* v: without the first; median is theirs. */
static void decide(const int64_t *v, size_t n, size_t tests, int64_t median, struct mt_leak *ret)
{
	const __int128 sum = sum_of(v, n);
	bool stays = sum > 0 && 2 * sum >= (__int128)median * (__int128)n;
	double chance;

	if (n >= (tests > 1 ? EQUAL_OF_MANY : EQUAL_MIN) && v[0] > 0 && all_equal(v, n)) {
		ret->verdict = MT_VERDICT_GROWS;
		return;
	}
	ret->still = n >= 2 && (none_rose(v, n) || has_come_to_rest(v, n));
	if (ret->still) {
		ret->verdict = MT_VERDICT_STEADY;
		return;
	}
	if (n < TEST_MIN)
		return;
	chance = chance_of(v, n);
	if (chance <= ALPHA / (double)tests && stays)
		ret->verdict = MT_VERDICT_GROWS;
	else if (chance > CHANCE || sum <= 0)
		ret->verdict = MT_VERDICT_STEADY;
}

void mt_leak_judge(const int64_t *changes, size_t n, size_t tests, struct mt_leak *ret)
{
	int64_t *copy;
	int64_t median;

	*ret = (struct mt_leak){.of = (unsigned int)n};
	for (size_t i = 0; i < n; i++)
		ret->grew += changes[i] > 0;
	if (n < 2)
		return;
	ret->verdict = MT_VERDICT_UNCLEAR;
	copy = malloc((n - 1) * sizeof(*copy));
	if (!copy)
		return; /* unclear it is */
	memcpy(copy, changes + 1, (n - 1) * sizeof(*copy));
	median = mt_median(copy, n - 1);
	decide(changes + 1, n - 1, tests, median, ret);
	if (ret->verdict == MT_VERDICT_GROWS)
		ret->per =
			median > 0 ? median : clamp(sum_of(changes + 1, n - 1) / (__int128)(n - 1));
	for (size_t i = 0; i < n - 1; i++)
		copy[i] = magnitude(clamp((__int128)copy[i] - median));
	ret->noise = mt_median(copy, n - 1);
	free(copy);
}
