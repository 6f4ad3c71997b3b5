/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What libmtcount.so writes into the file named by MTCOUNT_FILE;
 * tests/integration/harness.py reads it.
 */
#ifndef MTCOUNT_H
#define MTCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "abi.h"

#define MTCOUNT_MAGIC 0x314e54434d544d4dull

struct mtcount {
	uint64_t magic;
	uint32_t owner;  /* the one process whose calls count */
	uint32_t images; /* programs that this process has executed under the library */
	struct mt_class_counts cls[MT_CLASSES];
	__u64 failed; /* calls that returned no block though one was asked for */
	__u64 nested; /* calls inside another one */
};

/* What happened where libmtcount.so does not look; NULL unless it is there. */
__attribute__((weak)) void mtcount_note(size_t freed, size_t malloced);

#endif
