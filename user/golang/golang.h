/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Go programs: runtime.MemStats as the runtime itself would fill it in at this
 * moment, read from outside. No probe: the runtime keeps the counters, what its
 * threads have not flushed yet is added as runtime.ReadMemStats would.
 */
#ifndef MT_GOLANG_GOLANG_H
#define MT_GOLANG_GOLANG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi.h"
#include "memtrace/memtrace.h"
#include "model/heap.h"

struct mt_elf;
struct mt_maps;

#define MT_GO_VERSION_SIZE 64

struct mt_go_image; /* what is known of an executable file; serves all processes that run it */
struct mt_go;       /* a process that runs it */

/*
 * Looks whether the file is a Go program, and where its runtime keeps things.
 * -ENOENT: it is no Go program, found out at no cost to speak of; -ENOTSUP: it is
 * one, and cannot be read: why (MT_WHY_SIZE bytes) says so in a sentence; -ENOMEM.
 * Debug symbols that were added to elf count. The caller frees *ret.
 */
int mt_go_inspect(const struct mt_elf *elf, char *why, struct mt_go_image **ret);
void mt_go_image_free(struct mt_go_image **image);
/* "go1.23.1", escaped for no output yet; "go" if the file does not say. Owned by the image. */
const char *mt_go_version(const struct mt_go_image *image);

/* The offset in the file of runtime.exit, by which a Go program ends itself; 0: not known. */
uint64_t mt_go_exit_offset(const struct mt_go_image *image);

/*
 * Finds the runtime in a process that runs the image, which must outlive *ret, and
 * proves by the runtime's own identities that it is read rightly. 0; -EAGAIN: the
 * runtime has not been initialised yet; -ENOTSUP: the identities do not hold, why
 * says which; -ESRCH; -EPERM no ptrace access. The caller frees *ret.
 */
int mt_go_attach(const struct mt_go_image *image, pid_t pid, char *why, struct mt_go **ret);
/* Whose layout holds, "1.23.5"; NULL: that of its debugging information. */
const char *mt_go_layout_version(const struct mt_go *g);
void mt_go_free(struct mt_go **g);

struct mt_go_stats {
	struct memtrace_memstats m; /* every field */
	/* By memtrace's classes; in Mallocs and Frees besides: tiny allocations, and unsized. */
	struct mt_class_counts cls[MT_CLASSES];
	struct mt_class_counts unsized; /* above 32 KiB: the runtime keeps their sum only */
	bool consistent;                /* all identities held */
	uint64_t stop_ns;               /* how long the target was held for it; 0: it was not */
	char why[MT_WHY_SIZE];          /* of one that is not: which identity, or why not held */
};

/*
 * Reads while the target runs; repeats up to tries times until the identities
 * hold. 0, also with an approximate result; -ESRCH: gone; -EPERM.
 */
int mt_go_read(struct mt_go *g, unsigned int tries, struct mt_go_stats *ret);
/*
 * The same with the target held for each try, max_stop_ns at most in all. Where it
 * cannot be held the result is that of mt_go_read, and why says so.
 */
int mt_go_read_held(struct mt_go *g, uint64_t max_stop_ns, struct mt_go_stats *ret);

#endif
