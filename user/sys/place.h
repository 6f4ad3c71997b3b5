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
/* The instruction at addr as a place, which the caller knows to be one. -EINVAL: there is none. */
int mt_place_at(const struct mt_place_request *rq, uint64_t addr, const char *why,
		struct mt_place *ret);

/* Where control goes from an instruction that a walk has come to. */
enum mt_flow_how {
	MT_FLOW_RET,  /* to the caller */
	MT_FLOW_JUMP, /* out of the function */
	MT_FLOW_CALL,
	MT_FLOW_LOST, /* nobody can tell; why says what stands there */
};

struct mt_flow {
	enum mt_flow_how how;
	uint64_t addr;    /* of the instruction, link-time */
	uint64_t target;  /* of a jump or call; with slot, the address of the pointer taken */
	bool slot;        /* the target stands in memory, as in a PLT entry */
	bool conditional; /* a jump that may not be taken */
	const char *why;  /* static text */
};

/* What a walk does next, ored. Behind a jump that may not be taken it always goes on. */
#define MT_FOLLOW_TARGET 1u /* goes to flow->target, which the function may have changed */
#define MT_FOLLOW_NEXT   2u /* goes on behind the call: it returns */

typedef unsigned int (*mt_flow_fn)(void *ctx, struct mt_flow *flow);

/*
 * Walks all instructions that can be reached from rq's entry, or with n not 0
 * from those n addresses, breadth first, and asks fn at each that leads out of
 * rq's function. *budget, how many instructions it may see, goes down by those
 * that it saw. -E2BIG: there are more; what fn was told is then incomplete.
 */
int mt_place_walk(const struct mt_place_request *rq, const uint64_t *entries, size_t n,
		  mt_flow_fn fn, void *ctx, size_t *budget);

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
