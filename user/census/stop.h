/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Holding a process still for a census, outside its allocator, so that it does
 * not notice: threads asleep are left alone and checked afterwards, the others
 * are held by ptrace, and those inside malloc are let run on until they are out.
 */
#ifndef MT_CENSUS_STOP_H
#define MT_CENSUS_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MT_STOP_TEXTS 8

struct mt_stop_range {
	uint64_t lo, hi;
};

/* Where a thread counts as inside malloc. Addresses in the target. */
struct mt_stop_zone {
	struct mt_stop_range text[MT_STOP_TEXTS]; /* the allocator's own text */
	size_t n_text;                            /* 0: unknown */
	uint64_t file_lo, file_hi;                /* all text of the file that it lies in */
	uint64_t data_lo, data_hi; /* that file's writable data, where it has lock words */
	bool (*is_lock)(const void *ctx, uint64_t addr); /* further lock words; may be NULL */
	const void *ctx;
	bool anywhere; /* no thread is ever inside, wherever it is; the rest does not count */
};

struct mt_stop; /* opaque */

/*
 * Prepares; the target runs on. The caller frees *ret. 0 or -errno: -ESRCH gone,
 * -EPERM no ptrace access, -EBUSY another tracer has it; why (MT_WHY_SIZE bytes)
 * says so in a sentence.
 */
int mt_stop_new(pid_t pid, const struct mt_stop_zone *zone, char *why, struct mt_stop **ret);
/*
 * Holds the target until mt_stop_end; all signals are blocked meanwhile, so that
 * nothing but a SIGKILL or SIGSTOP can come between. deadline_ns is CLOCK_MONOTONIC.
 * On failure the target runs again: -ETIME the deadline passed, -EAGAIN a thread
 * could not be brought out of malloc (why says what it did), -ESRCH, -EPERM, -EBUSY.
 * Prints and logs nothing while the target is held.
 */
int mt_stop_begin(struct mt_stop *s, uint64_t deadline_ns, char *why);
/* 0: since mt_stop_begin nobody has run; -EAGAIN: somebody has, why says who; -ESRCH: gone. */
int mt_stop_check(struct mt_stop *s, char *why);
/* Lets all go. */
void mt_stop_end(struct mt_stop *s);
/* Since the last begin: how long it was held, ns; how many threads there were, how many were held.
 */
uint64_t mt_stop_ns(const struct mt_stop *s);
void mt_stop_threads(const struct mt_stop *s, unsigned int *threads, unsigned int *held);
/* Ends the hold if there is one. */
void mt_stop_free(struct mt_stop **s);

#endif
