/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where in a function a probe stands: on the first instruction that the kernel
 * emulates, where that is as good as the entry (design.md 3). The part that
 * knows the instruction set is place_x86_64.c.
 */
#ifndef MT_SYS_PLACE_H
#define MT_SYS_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the kernel executes the probed instruction. */
enum mt_step { MT_STEP_EMULATED, MT_STEP_SINGLE };

/* The kernel's version as 0xMMmmpp: what it emulates depends on it. */
uint32_t mt_kernel_version(void);

struct mt_place_request {
	const uint8_t *text; /* the executable segment */
	size_t text_len;
	uint64_t text_addr; /* link-time address of text[0] */
	uint64_t entry;     /* link-time address of the function */
	uint64_t size;      /* of the function, bytes; 0 unknown */
	const uint64_t
		*starts; /* sorted function addresses of the file, to decode from; may be NULL */
	size_t n_starts;
	unsigned int args; /* how many integer arguments the probe reads; 0 for a return probe */
	uint32_t kernel;   /* mt_kernel_version() */
};

struct mt_place {
	uint64_t addr;     /* link-time address of the probe */
	uint32_t skip;     /* bytes past the entry */
	enum mt_step step; /* at addr */
	char insn[64];     /* the instruction there, disassembled */
	const char *why;   /* static text: why not at the entry, or why single-stepped */
};

/* True if this kernel emulates the instruction of len bytes under a uprobe. */
bool mt_place_emulated(const uint8_t *insn, size_t len, uint32_t kernel);

/* Always gives a place (the entry, in the worst case). -EINVAL: entry is not in the text. */
int mt_place(const struct mt_place_request *rq, struct mt_place *ret);
/* The same for n functions of one text, which is searched once for branches. */
int mt_place_batch(const struct mt_place_request *rq, size_t n, struct mt_place *ret);

/*
 * True if the function does nothing but jump to target: then target's probe
 * sees its calls and it needs none. Bounded decode.
 */
bool mt_place_forwards_to(const struct mt_place_request *rq, uint64_t target);
/*
 * Where a function that does nothing but jump goes: *target is the address
 * jumped to, or with *slot set the address of the pointer jumped through, as
 * in a PLT entry. False if it does anything else.
 */
bool mt_place_jump(const struct mt_place_request *rq, uint64_t *target, bool *slot);
/*
 * True unless decoding from the nearest function start before addr shows that
 * no instruction begins there: tells code from bytes that look like it.
 */
bool mt_place_is_insn(const struct mt_place_request *rq, uint64_t addr);

/*
 * Places for probes on the unconditional direct jumps from lo..hi-1 to the
 * function's entry, in order of their addresses; at most max, their number is
 * returned. Only such as that decoding shows to be instructions: a breakpoint
 * within another one would change what the target does.
 */
size_t mt_place_jumps(const struct mt_place_request *rq, uint64_t lo, uint64_t hi,
		      struct mt_place *ret, size_t max);

#endif
