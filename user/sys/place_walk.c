/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Following a function's instructions wherever they lead: where it returns, what
 * it calls, where it jumps on. The text is a target's: the walk is bounded.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sys/place_internal.h"

#define INSNS_MAX ((size_t)16384) /* instructions of one walk, whatever its budget */
#define SEEN_SIZE (4 * INSNS_MAX) /* of the hash table; a power of two */

struct walk {
	const struct mt_place_request *rq;
	mt_flow_fn fn;
	void *ctx;
	ZydisDecoder decoder;
	uint64_t *seen; /* addresses plus 1; 0: empty */
	size_t n_seen, most;
	uint64_t *queue; /* where straight lines begin */
	size_t head, tail;
};

/* True the first time. */
static bool see(struct walk *w, uint64_t addr)
{
	size_t i = (size_t)((addr * 0x9e3779b97f4a7c15ull) >> 40) & (SEEN_SIZE - 1);

	while (w->seen[i]) {
		if (w->seen[i] == addr + 1)
			return false;
		i = (i + 1) & (SEEN_SIZE - 1);
	}
	w->seen[i] = addr + 1;
	w->n_seen++;
	return true;
}

/* Each instruction queues one address at most, and is seen once. */
static void enqueue(struct walk *w, uint64_t addr)
{
	if (w->tail < 2 * INSNS_MAX)
		w->queue[w->tail++] = addr;
}

static unsigned int ask(struct walk *w, struct mt_flow *flow)
{
	unsigned int next = w->fn(w->ctx, flow);

	if (next & MT_FOLLOW_TARGET)
		enqueue(w, flow->target);
	return next;
}

static void lost(struct walk *w, uint64_t addr, const char *why)
{
	struct mt_flow flow = {.how = MT_FLOW_LOST, .addr = addr, .why = why};

	ask(w, &flow);
}

/* The function itself is walked without asking. */
static bool is_inside(const struct walk *w, uint64_t addr)
{
	return addr > w->rq->entry && addr < mt_place_end(w->rq);
}

/* Fills where a jump or call leads; false: through a register, or a table. */
static bool find_target(const struct mt_insn *in, struct mt_flow *flow)
{
	flow->slot = in->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	if (!flow->slot)
		return mt_insn_target(in, &flow->target);
	return in->ops[0].mem.base == ZYDIS_REGISTER_RIP &&
	       in->ops[0].mem.index == ZYDIS_REGISTER_NONE &&
	       ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&in->i, &in->ops[0], in->addr, &flow->target));
}

static void jump(struct walk *w, const struct mt_insn *in, bool conditional)
{
	struct mt_flow flow = {
		.how = MT_FLOW_JUMP,
		.addr = in->addr,
		.conditional = conditional,
	};

	if (!find_target(in, &flow))
		lost(w, in->addr, "an indirect jump");
	else if (!flow.slot && is_inside(w, flow.target))
		enqueue(w, flow.target);
	else
		ask(w, &flow);
}

/* False: it does not return. */
static bool call(struct walk *w, const struct mt_insn *in)
{
	struct mt_flow flow = {.how = MT_FLOW_CALL, .addr = in->addr};

	return !find_target(in, &flow) || (ask(w, &flow) & MT_FOLLOW_NEXT);
}

static bool is_start(const struct mt_place_request *rq, uint64_t addr)
{
	size_t lo = 0, hi = rq->starts ? rq->n_starts : 0;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (rq->starts[mid] == addr)
			return true;
		if (rq->starts[mid] < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* One instruction. False: the straight line ends with it. */
static bool step(struct walk *w, const struct mt_insn *in)
{
	struct mt_flow flow = {.how = MT_FLOW_RET, .addr = in->addr};

	switch (in->i.meta.category) {
	case ZYDIS_CATEGORY_RET:
		ask(w, &flow);
		return false;
	case ZYDIS_CATEGORY_UNCOND_BR:
		jump(w, in, false);
		return false;
	case ZYDIS_CATEGORY_COND_BR:
		jump(w, in, true);
		return true;
	case ZYDIS_CATEGORY_CALL:
		return call(w, in);
	case ZYDIS_CATEGORY_INTERRUPT:
		return false;
	default:
		return in->i.mnemonic != ZYDIS_MNEMONIC_UD2 && in->i.mnemonic != ZYDIS_MNEMONIC_HLT;
	}
}

/*
 * A straight line of instructions. Behind a call that in truth does not return
 * stands whatever the linker put there: the next function, or no code at all.
 */
static int line(struct walk *w, uint64_t at)
{
	bool called = false;
	struct mt_insn in;

	for (;; at += in.i.length) {
		if (called && is_start(w->rq, at))
			return 0;
		if (!see(w, at))
			return 0;
		if (w->n_seen > w->most)
			return -E2BIG;
		if (!mt_insn_decode(&w->decoder, w->rq, at, &in)) {
			if (!called)
				lost(w, at, "what cannot be decoded");
			return 0;
		}
		if (!step(w, &in))
			return 0;
		/* with what it is filled up with */
		called = in.i.meta.category == ZYDIS_CATEGORY_CALL ||
			 (called && in.i.mnemonic == ZYDIS_MNEMONIC_NOP);
	}
}

int mt_place_walk(const struct mt_place_request *rq, const uint64_t *entries, size_t n,
		  mt_flow_fn fn, void *ctx, size_t *budget)
{
	_cleanup_free_ uint64_t *seen = calloc(SEEN_SIZE, sizeof(*seen));
	_cleanup_free_ uint64_t *queue = calloc(2 * INSNS_MAX, sizeof(*queue));
	struct walk w = {.rq = rq, .fn = fn, .ctx = ctx, .seen = seen, .queue = queue};
	const size_t most = *budget < INSNS_MAX ? *budget : INSNS_MAX;
	int r = 0;

	if (!seen || !queue)
		return -ENOMEM;
	w.most = most;
	mt_insn_init(&w.decoder);
	if (!n)
		enqueue(&w, rq->entry);
	for (size_t i = 0; i < n; i++)
		enqueue(&w, entries[i]);
	while (w.head < w.tail && !r)
		r = line(&w, queue[w.head++]);
	*budget -= w.n_seen < most ? w.n_seen : most;
	return r;
}
