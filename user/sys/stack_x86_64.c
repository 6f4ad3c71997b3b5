/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How far the stack pointer is below the one at a function's entry, along its code:
 * tells a jump out of a function from one that stays in it.
 */
#include "sys/stack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sys/place_internal.h"

#define ALLOCA  16        /* for what nobody can know, but that it is more */
#define DEEPEST (1 << 30) /* what the code says beyond that is no stack's */

struct depths {
	const struct mt_place_request *rq;
	uint64_t end;
	int32_t *depth; /* by distance from the entry */
	int32_t frame;  /* where rbp points; MT_STACK_UNKNOWN: not into the stack */
	uint32_t *queue;
	size_t n;
	bool odd; /* some return is not as deep as the entry */
	ZydisDecoder decoder;
};

static bool is_rsp(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == ZYDIS_REGISTER_RSP;
}

static bool is_rbp(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == ZYDIS_REGISTER_RBP;
}

/* rsp becomes what the operand says: an address near rbp, or near the aligned frame's r10. */
static int64_t set_by_lea(const struct depths *d, const ZydisDecodedOperand *op, int64_t depth)
{
	const int64_t disp = op->mem.disp.value;

	if (op->mem.index != ZYDIS_REGISTER_NONE || disp > INT16_MAX || disp < INT16_MIN * 64)
		return depth;
	if (op->mem.base == ZYDIS_REGISTER_RSP)
		return depth - disp;
	if (op->mem.base == ZYDIS_REGISTER_RBP && d->frame != MT_STACK_UNKNOWN)
		return d->frame - disp;
	return op->mem.base == ZYDIS_REGISTER_R10 ? 0 : depth;
}

static int64_t by_operand(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? op->imm.value.s : ALLOCA;
}

/* What the instruction makes of a depth that is no more than DEEPEST, either way. */
static int64_t change(struct depths *d, const struct mt_insn *in, int64_t depth)
{
	const ZydisDecodedOperand *a = &in->ops[0], *b = &in->ops[1];

	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHFQ:
		return depth + 8;
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_POPFQ:
		return depth - 8;
	case ZYDIS_MNEMONIC_SUB:
		return is_rsp(a) ? depth + by_operand(b) : depth;
	case ZYDIS_MNEMONIC_ADD:
		return is_rsp(a) ? depth - by_operand(b) : depth;
	case ZYDIS_MNEMONIC_LEAVE:
		return d->frame != MT_STACK_UNKNOWN ? d->frame - 8 : 0;
	case ZYDIS_MNEMONIC_LEA:
		return is_rsp(a) ? set_by_lea(d, b, depth) : depth;
	case ZYDIS_MNEMONIC_MOV:
		if (is_rbp(a) && is_rsp(b))
			d->frame = (int32_t)depth;
		return is_rsp(a) && is_rbp(b) && d->frame != MT_STACK_UNKNOWN ? d->frame : depth;
	default:
		return depth;
	}
}

/* The depth behind the instruction: never MT_STACK_UNKNOWN, whatever the code says. */
static int32_t behind(struct depths *d, const struct mt_insn *in, int32_t depth)
{
	const int64_t v = change(d, in, depth);

	return v > DEEPEST ? DEEPEST : v < -DEEPEST ? -DEEPEST : (int32_t)v;
}

static bool in_function(const struct depths *d, uint64_t addr)
{
	return addr >= d->rq->entry && addr < d->end;
}

static void enqueue(struct depths *d, uint64_t addr, int32_t depth)
{
	int32_t *at;

	if (!in_function(d, addr))
		return;
	at = &d->depth[addr - d->rq->entry];
	if (*at != MT_STACK_UNKNOWN)
		return;
	*at = depth;
	d->queue[d->n++] = (uint32_t)(addr - d->rq->entry);
}

/* One straight line. */
static void line(struct depths *d, uint64_t at)
{
	int32_t depth = d->depth[at - d->rq->entry];
	struct mt_insn in;
	uint64_t target;

	while (mt_insn_decode(&d->decoder, d->rq, at, &in)) {
		d->odd = d->odd || (in.i.meta.category == ZYDIS_CATEGORY_RET && depth);
		depth = behind(d, &in, depth);
		if (mt_insn_target(&in, &target) && in.i.meta.category != ZYDIS_CATEGORY_CALL)
			enqueue(d, target, depth);
		at += in.i.length;
		if (mt_insn_ends_line(&in) || !in_function(d, at) ||
		    d->depth[at - d->rq->entry] != MT_STACK_UNKNOWN)
			return;
		d->depth[at - d->rq->entry] = depth;
	}
}

/* Whatever only a table leads to is as deep as most of the function. */
static int32_t depth_of_body(const struct depths *d)
{
	int32_t most = 0;

	for (uint64_t i = 0; i < d->end - d->rq->entry; i++)
		if (d->depth[i] != MT_STACK_UNKNOWN && d->depth[i] > most)
			most = d->depth[i];
	return most;
}

int mt_stack_depths(const struct mt_place_request *rq, const uint64_t *lines, size_t n,
		    int32_t **ret, bool *sound)
{
	_cleanup_free_ uint32_t *queue = NULL;
	_cleanup_free_ int32_t *depth = NULL;
	struct depths d = {.rq = rq, .end = mt_place_end(rq), .frame = MT_STACK_UNKNOWN};
	const uint64_t size = d.end - rq->entry;
	size_t head = 0;
	int32_t body;

	if (size > MT_STACK_MAX)
		return -E2BIG;
	d.queue = queue = calloc(size + 1, sizeof(*queue));
	d.depth = depth = calloc(size + 1, sizeof(*depth));
	if (!queue || !depth)
		return -ENOMEM;
	for (uint64_t i = 0; i < size; i++)
		depth[i] = MT_STACK_UNKNOWN;
	mt_insn_init(&d.decoder);
	enqueue(&d, rq->entry, 0);
	while (head < d.n)
		line(&d, rq->entry + queue[head++]);
	body = depth_of_body(&d);
	for (size_t i = 0; i < n; i++) {
		enqueue(&d, lines[i], body);
		while (head < d.n)
			line(&d, rq->entry + queue[head++]);
	}
	*sound = !d.odd;
	*ret = TAKE_PTR(depth);
	return 0;
}
