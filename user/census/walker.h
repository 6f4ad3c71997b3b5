/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walkers: one allocator's structures read in a process's memory, from outside.
 * A walker sees an image, which may be a live process that stands still, or a
 * recording. It trusts nothing in it: every walk ends within bounded time and
 * memory, and what does not add up is unsound, never a guess.
 */
#ifndef MT_CENSUS_WALKER_H
#define MT_CENSUS_WALKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/heap.h"
#include "sys/elf.h"
#include "sys/mem.h"

/* A private mapping that is readable and writable. */
struct mt_image_area {
	uint64_t start, end;
	bool anon;  /* of no file; [heap] too */
	bool brk;   /* [heap] */
	bool stack; /* [stack] */
	bool owner; /* of the file that defines malloc, its .bss behind it too */
};

struct mt_image_range {
	uint64_t lo, hi;
};

struct mt_image_ranges {
	struct mt_image_range *v; /* NULL at first; free() it */
	size_t n;
};

struct mt_image {
	const struct mt_mem *mem;
	const struct mt_image_area *areas; /* ascending, never overlapping */
	size_t n_areas;
	uint64_t start_brk;     /* as in mt_proc_stat; 0 unknown */
	uint64_t random;        /* address of AT_RANDOM's 16 bytes; 0 unknown */
	const uint64_t *robust; /* addresses of the threads' robust-futex list heads; 0: none */
	size_t n_robust;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; a walk that passes it ends in -ETIME; 0: none */
	char *why;            /* MT_WHY_SIZE bytes: the reason of -EAGAIN, for the user */
	struct mt_image_ranges *idle; /* receives whole free pages, some of many; may be NULL */
};

/* Writes the reason to img->why and returns -EAGAIN: unsound, another try may do. */
__attribute__((format(printf, 2, 3))) int mt_unsound(const struct mt_image *img, const char *fmt,
						     ...);
/* True once the image's deadline has passed; a look at the clock, so not for each block. */
bool mt_image_late(const struct mt_image *img);
/* The area that holds addr, or NULL. */
const struct mt_image_area *mt_image_find(const struct mt_image *img, uint64_t addr);

#define MT_TEXT_MAX 8

struct mt_text_range {
	uint64_t lo, hi;
};

struct mt_walker {
	const char *name; /* "glibc" */
	/*
	 * True if the file that defines malloc is this allocator, or might be as far
	 * as one can see (a stripped one); version as text, "" unknown.
	 */
	bool (*identify)(const struct mt_elf *elf, char *version, size_t size);
	/*
	 * Link-time ranges that hold all of the allocator's own text, at most
	 * MT_TEXT_MAX; how many, 0: no telling. Some more in them does no harm.
	 */
	size_t (*text)(const struct mt_elf *elf, struct mt_text_range *v);
	/*
	 * Where its structures are, while the process runs. *state is the walker's,
	 * to be freed by free. -ENOENT: they are not there. -ENOTSUP: they are of a
	 * kind that cannot be walked, img->why says which.
	 */
	int (*find)(const struct mt_image *img, void **state);
	/*
	 * Walks. *out is filled; the caller frees out->arenas, on failure too. 0;
	 * -EAGAIN: unsound, img->why says why; -ETIME; -ENOMEM.
	 */
	int (*walk)(const struct mt_image *img, void *state, struct mt_heap *out);
	/*
	 * True if addr is a lock word of the allocator, as far as find knows: a thread
	 * that waits for it is inside malloc. May be NULL.
	 */
	bool (*is_lock)(const void *state, uint64_t addr);
	void (*free)(void **state);
};

extern const struct mt_walker mt_walker_glibc;
extern const struct mt_walker mt_walker_musl;
extern const struct mt_walker *const mt_walkers[]; /* NULL-terminated */

/* Counts live blocks of one usable size into heap's classes and sums. */
void mt_heap_count(struct mt_heap *heap, uint64_t usable, uint64_t n);
/* Takes one block back that was counted. */
void mt_heap_uncount(struct mt_heap *heap, uint64_t usable);
/* Nothing is in use in [lo, hi): counts its whole pages as idle. */
void mt_image_idle(const struct mt_image *img, struct mt_heap *heap, uint64_t lo, uint64_t hi);
/* Adds an all-zero arena; good until the next one is added. NULL: no memory. */
struct mt_heap_arena *mt_heap_add_arena(struct mt_heap *heap, uint64_t address);

#endif
