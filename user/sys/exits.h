/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a function whose calls are measured is entered and left, so that no return
 * probe is needed: each `ret`, each jump that leads out of it, wherever its code
 * goes within the file; and where unwinders and longjmp leave many at once.
 */
#ifndef MT_SYS_EXITS_H
#define MT_SYS_EXITS_H

#include "sys/elf.h"
#include "sys/place.h"

#define MT_EXITS_MAX 256

struct mt_exit {
	uint32_t kind;   /* MT_FUNC_*, ored */
	uint64_t offset; /* in the file */
	struct mt_place place;
};

struct mt_exits {
	struct mt_exit v[MT_EXITS_MAX];
	size_t n;
	size_t single; /* of them, that the kernel single-steps */
	bool tails;    /* some jumps lead where nobody can follow */
	bool cut;      /* jumps to other functions of the file were not followed, either */
};

/* A function; and others, n of them, which are not followed: jumps there end it. */
struct mt_exits_of {
	uint64_t addr; /* link-time */
	uint64_t size; /* bytes; 0: unknown */
	const uint64_t *stops;
	size_t n;
};

/*
 * The entry, which comes first, and all exits of the function. -ENOENT: no code; -E2BIG: too much
 * of it, or too many exits; -EILSEQ: it cannot be decoded; -EOPNOTSUPP: the kernel takes no probe
 * at its first instruction.
 */
int mt_exits_find(const struct mt_elf *elf, const struct mt_exits_of *of, uint32_t kernel,
		  struct mt_exits *ret);
/* Where the file's unwinder and its longjmp set the stack pointer, if it has them. */
int mt_exits_unwind(const struct mt_elf *elf, uint32_t kernel, struct mt_exits *ret);

#endif
