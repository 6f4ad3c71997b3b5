/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Noise or a leak: what the changes of a level say that were seen at each repetition. */
#ifndef MT_MODEL_LEAK_H
#define MT_MODEL_LEAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mt_verdict { MT_VERDICT_NONE, MT_VERDICT_STEADY, MT_VERDICT_GROWS, MT_VERDICT_UNCLEAR };

struct mt_leak {
	enum mt_verdict verdict; /* NONE: fewer than two repetitions */
	unsigned int grew, of;   /* repetitions in which the level rose, the first one too */
	int64_t per;             /* of GROWS: how much per repetition, typically; else 0 */
	int64_t noise;           /* how far a change typically is from the median one */
	bool still; /* of STEADY: it did not rise, or not any more; else only not beyond noise */
};

/*
 * Judges changes[0..n), in the order in which they were seen.
 *
 * The first repetition is warm-up and is left out of all that follows: buffers,
 * caches and code that are there from then on are no leak. Of the m others:
 *
 * GROWS, if the level rose by the same amount in all of them and m >= 3; or if they
 * lie so far above 0 that Wilcoxon's signed-rank test, one-sided and exact, gives
 * noise a chance of at most 1 %, and what was gained was not lost again: the sum is
 * above 0 and at least half of m times the median. A leak of each repetition needs
 * m >= 7 for that, one of every third some 20. Of tests levels that are looked at
 * together (size classes) each may be wrong in 1 % / tests, and an equal amount
 * needs m >= 5.
 *
 * STEADY, if m >= 2 and none rose; or if the last half of them, at least 3, are all
 * 0 (caches that filled more slowly); or if m >= 7 and the test gives noise more
 * than 10 %, or the sum is not above 0.
 *
 * UNCLEAR else: too few, or between the two.
 *
 * Noise need not be normal: it may be of any size, but equally likely up and down. A
 * level that always rises for long and falls at once, as of garbage between
 * collections, looks like growth while it rises. More than 50 are first summed up in
 * 50 groups of neighbours, which leaves noise what it is and a leak clearer.
 */
void mt_leak_judge(const int64_t *changes, size_t n, size_t tests, struct mt_leak *ret);

/* The middle one of n > 0, of an even number the middle between two; sorts v. */
int64_t mt_median(int64_t *v, size_t n);

#endif
