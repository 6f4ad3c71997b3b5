/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The paths through a function. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sys/eval_internal.h"

#define STEPS_MAX 4096 /* instructions, of all paths */

/* What an instruction asks of the flags: a jump, a move or a value that depends on them. */
enum asks { ASKS_NOTHING, ASKS_JUMP, ASKS_MOVE, ASKS_VALUE };

#define QUESTION(cc, yes, no, swap)                                                                \
	{                                                                                          \
		{ZYDIS_MNEMONIC_J##cc, ZYDIS_MNEMONIC_CMOV##cc, ZYDIS_MNEMONIC_SET##cc}, yes, no,  \
			swap                                                                       \
	}

static const struct question {
	ZydisMnemonic mnemonics[3]; /* by enum asks, from ASKS_JUMP */
	enum mt_eval_cc yes, no;
	bool swap; /* it is right that is compared with left */
} questions[] = {
	QUESTION(Z, MT_EVAL_EQ, MT_EVAL_NE, false),
	QUESTION(NZ, MT_EVAL_NE, MT_EVAL_EQ, false),
	QUESTION(B, MT_EVAL_BELOW, MT_EVAL_NOT_BELOW, false),
	QUESTION(NB, MT_EVAL_NOT_BELOW, MT_EVAL_BELOW, false),
	QUESTION(BE, MT_EVAL_NOT_BELOW, MT_EVAL_BELOW, true),
	QUESTION(NBE, MT_EVAL_BELOW, MT_EVAL_NOT_BELOW, true),
};

static const struct question *question_of(ZydisMnemonic mnemonic, enum asks *how)
{
	*how = ASKS_NOTHING;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		for (int k = 0; k < 3; k++)
			if (questions[i].mnemonics[k] == mnemonic) {
				*how = (enum asks)(ASKS_JUMP + k);
				return &questions[i];
			}
	return NULL;
}

/* The answer as a decision; false: none that is known. */
static bool condition(const struct flags *f, const struct question *q, bool taken,
		      struct mt_eval_cond *ret)
{
	if (!q || !f->left || (f->only_zero && q->yes >= MT_EVAL_BELOW) ||
	    (f->only_carry && (q->yes < MT_EVAL_BELOW || q->swap)))
		return false;
	*ret = (struct mt_eval_cond){
		.cc = taken ? q->yes : q->no,
		.left = q->swap ? f->right : f->left,
		.right = q->swap ? f->left : f->right,
	};
	return true;
}

static void finish(struct walk *w, struct path *p, enum mt_eval_exit exit)
{
	p->end.exit = exit;
	p->end.result = p->reg[RAX];
	if (w->ev->n_ends == MT_EVAL_ENDS)
		w->full = true;
	else
		w->ev->ends[w->ev->n_ends++] = p->end;
}

static void leave(struct walk *w, struct path *p, uint64_t target)
{
	p->end.target = target;
	p->end.args[0] = p->reg[RDI];
	p->end.args[1] = p->reg[RSI];
	finish(w, p, MT_EVAL_JUMP);
}

/* Goes on at target, which may be another function's. */
static void go(struct walk *w, struct path *p, uint64_t target)
{
	p->at = target;
	if (target - w->rq->entry >= w->rq->size)
		leave(w, p, target);
	else if (w->n_todo == MT_EVAL_ENDS)
		w->full = true;
	else
		w->todo[w->n_todo++] = *p;
}

/* One of two ways: a jump taken, a register written, or not. */
static void take_way(struct walk *w, struct path *way, const struct insn *in, enum asks how,
		     bool taken, uint64_t target)
{
	uint64_t next = way->at + in->i.length;

	if (how == ASKS_VALUE)
		mt_eval_set(w, way, in, mt_eval_make(w, MT_EVAL_CONST, 0, 0, taken));
	else if (how == ASKS_MOVE)
		mt_eval_move_if(w, way, in, taken);
	else if (taken)
		next = target;
	go(w, way, next);
}

/* Both ways, unless what is known decides. */
static void branch(struct walk *w, struct path *p, const struct insn *in, uint64_t target)
{
	enum asks how;
	const struct question *q = question_of(in->i.mnemonic, &how);

	for (int taken = 0; taken < 2; taken++) {
		struct path way = *p;
		struct mt_eval_cond cond;
		bool holds;

		if (condition(&p->flags, q, taken, &cond)) {
			if (mt_eval_cond(w->ev, &cond, NULL, 0, &holds) && !holds)
				continue;
			if (way.end.n_conds == MT_EVAL_CONDS) {
				finish(w, &way, MT_EVAL_LOST);
				continue;
			}
			way.end.conds[way.end.n_conds++] = cond;
		}
		take_way(w, &way, in, how, taken, target);
	}
}

/* True if the instruction is one that only lets a path fork. */
static bool forks(const struct insn *in)
{
	enum asks how;

	return question_of(in->i.mnemonic, &how) && how != ASKS_JUMP &&
	       in->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER;
}

/* True if the path goes on with the next instruction. */
static bool advance(struct walk *w, struct path *p)
{
	const struct mt_place_request *rq = w->rq;
	const uint64_t off = p->at - rq->text_addr;
	const uint64_t end = rq->entry + rq->size - rq->text_addr;
	uint64_t target = 0;
	struct insn in;

	if (w->steps++ >= STEPS_MAX || off >= end ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&w->decoder, rq->text + off, end - off, &in.i,
						 in.ops))) {
		finish(w, p, MT_EVAL_LOST);
		return false;
	}
	if (in.i.mnemonic == ZYDIS_MNEMONIC_RET) {
		finish(w, p, MT_EVAL_RET);
		return false;
	}
	if (in.i.meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
	    in.i.meta.category == ZYDIS_CATEGORY_COND_BR) {
		const bool direct =
			in.ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
			ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&in.i, &in.ops[0], p->at, &target));

		if (in.i.meta.category == ZYDIS_CATEGORY_COND_BR && direct)
			branch(w, p, &in, target);
		else if (direct)
			go(w, p, target);
		else
			leave(w, p, 0);
		return false;
	}
	if (forks(&in)) {
		branch(w, p, &in, 0);
		return false;
	}
	if (!mt_eval_step(w, p, &in)) {
		finish(w, p, MT_EVAL_LOST);
		return false;
	}
	p->at += in.i.length;
	return true;
}

static void start(struct walk *w)
{
	static const int args[] = {RDI, RSI, RDX, RCX, R8, R9};
	struct path *p = &w->todo[0];

	*p = (struct path){.at = w->rq->entry};
	for (int i = 0; i < REGS; i++)
		p->reg[i] = mt_eval_make(w, MT_EVAL_OTHER, 0, 0, 0);
	for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		p->reg[args[i]] = mt_eval_make(w, MT_EVAL_ARG, 0, 0, i);
	p->reg[RSP] = mt_eval_make(w, MT_EVAL_STACK, 0, 0, 0);
	w->n_todo = 1;
}

int mt_eval_run(const struct mt_place_request *rq, struct mt_eval *ev)
{
	_cleanup_free_ struct path *todo = calloc(MT_EVAL_ENDS, sizeof(*todo));
	struct walk w = {.rq = rq, .ev = ev, .todo = todo};

	if (!todo)
		return -ENOMEM;
	if (rq->entry < rq->text_addr || rq->entry - rq->text_addr >= rq->text_len || !rq->size ||
	    rq->size > rq->text_len - (rq->entry - rq->text_addr))
		return -EINVAL;
	ZydisDecoderInit(&w.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ev->n_ends = 0;
	ev->n_nodes = 1;
	ev->nodes[0] = (struct mt_eval_node){.op = MT_EVAL_OTHER};
	start(&w);
	while (w.n_todo && !w.full) {
		struct path p = w.todo[--w.n_todo];

		while (!w.full && advance(&w, &p))
			;
	}
	return w.full ? -E2BIG : 0;
}

bool mt_eval_names_address(const struct mt_place_request *rq, uint64_t lo, uint64_t hi)
{
	const uint64_t end = rq->text_addr + rq->text_len;
	uint64_t at = rq->entry, addr;
	ZydisDecoder decoder;
	struct insn in;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (; at >= rq->text_addr && at < end && at - rq->entry < rq->size; at += in.i.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, rq->text + (at - rq->text_addr),
							 end - at, &in.i, in.ops)))
			return false;
		for (unsigned int k = 0; k < in.i.operand_count_visible; k++) {
			const ZydisDecodedOperand *op = &in.ops[k];

			if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
				continue;
			if (op->mem.base == ZYDIS_REGISTER_RIP)
				addr = at + in.i.length + (uint64_t)op->mem.disp.value;
			else
				addr = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value
								     : 0;
			if (addr >= lo && addr < hi)
				return true;
		}
	}
	return false;
}
