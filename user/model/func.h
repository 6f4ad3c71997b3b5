/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the calls of one function allocate: a plain value. */
#ifndef MT_MODEL_FUNC_H
#define MT_MODEL_FUNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi.h"

/*
 * Of all calls that returned. Mean and max are exact; p50 and p99, the least value
 * that so many of 100 calls do not exceed, are exact up to 63, else within 1.6 %.
 */
struct mt_func_spread {
	double mean;
	uint64_t p50, p99, max, total;
};

/* Allocated less freed in one call: below 0 where it frees what others allocated. */
struct mt_func_net {
	double mean;
	int64_t min, max, total;
};

/* Some calls, and what they allocated and freed. */
struct mt_func_part {
	uint64_t calls, mallocs, frees, alloc_bytes, free_bytes;
};

struct mt_func_loss {
	uint64_t calls; /* calls that there was no room to follow */
	uint64_t failed_reads, failed_storage, unreturned, unknown_free, map_full;
	uint64_t untraced; /* processes with an allocator, or all of it, out of sight */
};

struct mt_func {
	uint64_t time_ns;     /* since the epoch, when counting ended */
	uint64_t duration_ns; /* that it lasted */
	/* the function */
	char name[512];    /* as a person writes it */
	char symbol[512];  /* as the file has it */
	char binary[4096]; /* path, as the process sees it */
	uint64_t addr;     /* link-time address */
	/* the processes, whose calls are summed */
	char comm[64]; /* of the first */
	pid_t *pids;   /* owned */
	size_t n_pids;
	/* the calls */
	struct mt_func_part back; /* that returned */
	struct mt_func_part left; /* by an exception, longjmp, or their thread's end */
	struct mt_func_part open; /* not over when counting ended */
	uint64_t nested;          /* calls of itself, which are part of the outer one */
	uint64_t tailed; /* ended in a jump whose end was seen late, by the stack pointer */
	struct mt_func_spread blocks, bytes; /* allocated in a call */
	struct mt_func_net net_blocks, net_bytes;
	uint64_t grew, shrank;                  /* calls after which more, fewer bytes were live */
	struct mt_class_counts cls[MT_CLASSES]; /* in all calls, those not over, too */
	struct mt_func_loss loss;
};

/* Adds up what n CPUs have counted, and works out what follows from it. */
void mt_func_fill(struct mt_func *f, const struct mt_func_counts *percpu, size_t n);
void mt_func_fini(struct mt_func *f);

/* What makes the numbers inexact. */
uint64_t mt_func_lost(const struct mt_func *f);
/* The value in the middle of a bucket; of the last one, where it begins. */
uint64_t mt_func_bucket_value(unsigned int bucket);

#endif
