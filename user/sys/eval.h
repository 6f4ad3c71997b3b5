/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a small function computes: its machine code is walked along every path
 * with symbols for what is not known, so that a caller can see from which
 * addresses a result is made, whatever registers and order the compiler chose.
 * Nothing of the target is executed. The part that knows the instruction set
 * is eval_x86_64.c.
 */
#ifndef MT_SYS_EVAL_H
#define MT_SYS_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/place.h"

#define MT_EVAL_NODES 1024 /* values, node 0 stands for none */
#define MT_EVAL_ENDS  64   /* paths */
#define MT_EVAL_CONDS 16   /* decisions on one path */

enum mt_eval_op {
	MT_EVAL_CONST, /* value */
	MT_EVAL_ARG,   /* integer argument number value, as it was at the entry */
	MT_EVAL_STACK, /* the stack pointer at the entry */
	MT_EVAL_OTHER, /* anything else: a call's result, an instruction not known */
	MT_EVAL_LOAD,  /* value bytes at address a, zero-extended */
	MT_EVAL_SIGN,  /* the low value bits of a, sign-extended */
	MT_EVAL_ADD,
	MT_EVAL_SUB,
	MT_EVAL_AND,
	MT_EVAL_OR,
	MT_EVAL_XOR,
	MT_EVAL_SHL,
	MT_EVAL_SHR,
};

struct mt_eval_node {
	enum mt_eval_op op;
	uint16_t a, b; /* operands */
	uint64_t value;
};

/* A decision that a path took: left against right, both of some width, unsigned. */
enum mt_eval_cc { MT_EVAL_EQ, MT_EVAL_NE, MT_EVAL_BELOW, MT_EVAL_NOT_BELOW };

struct mt_eval_cond {
	enum mt_eval_cc cc;
	uint16_t left, right;
};

enum mt_eval_exit {
	MT_EVAL_RET,  /* result is what it returns */
	MT_EVAL_JUMP, /* to another function, target */
	MT_EVAL_LOST, /* decoding failed, or more than is followed */
};

struct mt_eval_end {
	enum mt_eval_exit exit;
	uint16_t result;  /* the return register */
	uint16_t args[2]; /* the first two argument registers, at a jump and the last call */
	uint64_t target;  /* of the jump, or of the last call; 0: none, or through a pointer */
	struct mt_eval_cond conds[MT_EVAL_CONDS];
	size_t n_conds;
};

struct mt_eval {
	struct mt_eval_node nodes[MT_EVAL_NODES];
	size_t n_nodes;
	struct mt_eval_end ends[MT_EVAL_ENDS];
	size_t n_ends;
};

/* Gives a node a value of the caller's choice when an expression is computed. */
struct mt_eval_bind {
	uint16_t node;
	uint64_t value;
};

/*
 * Walks the function rq->entry, rq->size (which must be known), rq->text*.
 * -E2BIG: more paths or values than fit; -EINVAL: no such function.
 */
int mt_eval_run(const struct mt_place_request *rq, struct mt_eval *ev);

/* Computes node. False if it depends on something that is neither constant nor bound. */
bool mt_eval_value(const struct mt_eval *ev, uint16_t node, const struct mt_eval_bind *binds,
		   size_t n, uint64_t *ret);
/* Whether a decision holds; false if it cannot be computed. */
bool mt_eval_cond(const struct mt_eval *ev, const struct mt_eval_cond *cond,
		  const struct mt_eval_bind *binds, size_t n, bool *ret);
/*
 * The one load that node is made from, not counting those that this load's
 * address is made from; 0 if there is none, or more than one.
 */
uint16_t mt_eval_only_load(const struct mt_eval *ev, uint16_t node);
/* True if node depends on of, through loads too. */
bool mt_eval_depends(const struct mt_eval *ev, uint16_t node, uint16_t of);
/*
 * Whether an instruction of the function names an address in lo..hi-1, relative
 * to the instruction or absolute. In order of addresses, not along paths.
 */
bool mt_eval_names_address(const struct mt_place_request *rq, uint64_t lo, uint64_t hi);

#endif
