/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Between eval_x86_64.c, the instructions, and eval_paths_x86_64.c, the jumps between them. */
#ifndef MT_SYS_EVAL_INTERNAL_H
#define MT_SYS_EVAL_INTERNAL_H

#include <Zydis/Zydis.h>

#include "sys/eval.h"

#define STORES_MAX 24 /* on the stack, of one path */
#define REGS       16

/* What the last comparison compared; left 0: not known. */
struct flags {
	uint16_t left, right;
	bool only_zero;  /* carry is not that of a comparison */
	bool only_carry; /* the others are not */
};

struct store {
	uint64_t off; /* from the stack pointer at the entry */
	unsigned int bytes;
	uint16_t value;
};

/* One path as far as it has come. */
struct path {
	uint64_t at;
	uint16_t reg[REGS];
	struct flags flags;
	struct store stores[STORES_MAX];
	size_t n_stores;
	struct mt_eval_end end;
};

struct walk {
	const struct mt_place_request *rq;
	struct mt_eval *ev;
	ZydisDecoder decoder;
	struct path *todo; /* MT_EVAL_ENDS of them */
	size_t n_todo;
	unsigned int steps;
	bool full;
};

struct insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

/* Numbers of registers, in the encoding's order. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

/* A value; the same node for the same value, but for MT_EVAL_OTHER. w->full: no room. */
uint16_t mt_eval_make(struct walk *w, enum mt_eval_op op, uint16_t a, uint16_t b, uint64_t value);
/* Writes the instruction's register. */
void mt_eval_set(struct walk *w, struct path *p, const struct insn *in, uint16_t value);
/* cmov: a register of 32 bits is written, cut, even where the condition does not hold. */
void mt_eval_move_if(struct walk *w, struct path *p, const struct insn *in, bool holds);
/* One instruction that is no jump. False: what it does cannot be told, the path is lost. */
bool mt_eval_step(struct walk *w, struct path *p, const struct insn *in);

#endif
