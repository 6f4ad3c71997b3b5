/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory of another process, behind an interface so that tests read images. */
#ifndef MT_SYS_MEM_H
#define MT_SYS_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MT_MEM_HEADS 512
#define MT_MEM_PAGE  4096ull

struct mt_mem {
	/* Fills exactly n bytes or returns -errno. Pages never written read as zeros. */
	int (*read)(const struct mt_mem *m, uint64_t addr, void *buf, size_t n);
	/*
	 * 16 bytes at addr and at every page behind it, n in all (no page edge among
	 * them); zeros where they cannot be read. n <= MT_MEM_HEADS. May be NULL:
	 * then read() serves.
	 */
	void (*heads)(const struct mt_mem *m, uint64_t addr, size_t n, uint64_t (*out)[2]);
	/*
	 * The first page edge at or behind addr, a page edge too, in front of which
	 * no page holds anything; at most end. May be NULL: then nothing is skipped.
	 */
	uint64_t (*skip)(const struct mt_mem *m, uint64_t addr, uint64_t end);
	void *ctx;
};

/*
 * A live process's memory; stops nothing and cannot be made to wait. A page that
 * the target never wrote stays untouched: /proc/PID/pagemap is asked first.
 */
struct mt_mem_process {
	struct mt_mem mem; /* good until the close, at this address */
	int mem_fd, pagemap_fd;
};

/* Needs ptrace access; without it every read returns -EBADF. Closed in any case. */
void mt_mem_open(struct mt_mem_process *p, pid_t pid);
/* Bytes of the pages in [lo, hi), page edges, that are resident or swapped. */
uint64_t mt_mem_used(const struct mt_mem_process *p, uint64_t lo, uint64_t hi);
void mt_mem_close(struct mt_mem_process *p);

#endif
