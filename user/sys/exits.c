/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/exits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "base/cleanup.h"
#include "sys/place_internal.h"
#include "sys/stack.h"

#define WALKED_MAX  65536u /* instructions, of the function and what it jumps to */
#define TABLE_NEAR  8u     /* instructions from the load of a table's entry to its jump */
#define UNSIZED_MAX 65536u /* bytes of a function whose size nobody knows */
#define LINES_MAX   8192u  /* straight lines of one function */
#define UNWIND_MAX  4096u  /* instructions of an unwinder's function and of what it calls */

#define INSN_BEGINS 1u /* an instruction, decoded from the function's first byte on */
#define INSN_LOADED 2u /* and a table was just read */

struct search {
	const struct mt_elf *elf;
	const struct mt_exits_of *of;
	struct mt_place_request rq;
	struct mt_exits *out;
	bool follow;     /* jumps to other functions of the file */
	bool tables;     /* there are jumps through tables */
	bool elsewhere;  /* and jumps that nobody can follow in what it jumps to */
	uint64_t size;   /* bytes of the function */
	uint64_t *lines; /* where its straight lines begin; owned */
	size_t n_lines;
	uint8_t *insns; /* INSN_*, by distance from the entry; owned */
	bool skewed;    /* from first to last byte it is not all code: lines are guesses */
	bool by_lines;  /* they are walked, too */
	bool sound;     /* depth is what it should be at each return */
	int32_t *depth; /* the same: of the stack, or MT_STACK_UNKNOWN; owned */
	bool bad;       /* code that cannot be decoded */
	bool full;
	bool rets; /* of an unwinder: its returns may leave others */
};

static bool in_function(const struct search *s, uint64_t addr)
{
	return addr >= s->rq.entry && addr - s->rq.entry < s->size;
}

static bool begins_at(const struct search *s, uint64_t addr)
{
	return s->insns[addr - s->rq.entry] & INSN_BEGINS;
}

static void add(struct search *s, uint64_t addr, uint32_t kind, const char *why)
{
	struct mt_exits *out = s->out;
	struct mt_exit *e = &out->v[out->n];

	/* a breakpoint within an instruction would change what the target does */
	if (s->by_lines && in_function(s, addr) && !begins_at(s, addr)) {
		s->bad = true;
		return;
	}
	for (size_t i = 0; i < out->n; i++)
		if (out->v[i].place.addr == addr) {
			out->v[i].kind |= kind;
			return;
		}
	s->full = s->full || out->n == MT_EXITS_MAX;
	if (s->full || mt_place_at(&s->rq, addr, why, &e->place) ||
	    mt_elf_offset(s->elf, addr, &e->offset))
		return;
	e->kind = kind;
	out->n++;
	out->single += e->place.step == MT_STEP_SINGLE;
}

static int list_starts(struct search *s, uint64_t **starts)
{
	const struct mt_sym *syms;
	size_t n;
	int r = mt_elf_funcs(s->elf, &syms, &n);

	if (r)
		return r;
	*starts = calloc(n + 1, sizeof(**starts));
	if (!*starts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || syms[i].addr != syms[i - 1].addr)
			(*starts)[s->rq.n_starts++] = syms[i].addr;
	s->rq.starts = *starts;
	return 0;
}

/* A PLT entry, or another function that does nothing but jump through a pointer. */
static bool is_stub(const struct search *s, uint64_t addr)
{
	struct mt_place_request rq = s->rq;
	uint64_t to;
	bool slot;

	rq.entry = addr;
	rq.size = 0;
	return mt_place_jump(&rq, &to, &slot) && slot;
}

static bool is_start(const struct search *s, uint64_t addr)
{
	const uint64_t *starts = s->rq.starts;
	size_t lo = 0, hi = s->rq.n_starts;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (starts[mid] < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->rq.n_starts && starts[lo] == addr;
}

static void tail(struct search *s, uint64_t addr)
{
	s->out->tails = true;
	add(s, addr, MT_FUNC_TAIL, "a jump to another function");
}

static bool is_stop(const struct search *s, uint64_t addr)
{
	for (size_t i = 0; i < s->of->n; i++)
		if (s->of->stops[i] == addr)
			return true;
	return false;
}

static unsigned int on_jump(struct search *s, const struct mt_flow *flow)
{
	if (!flow->slot && flow->target == s->rq.entry) {
		add(s, flow->addr, MT_FUNC_AGAIN, "a jump back to the entry");
		return 0;
	}
	if (!flow->slot && mt_place_in_text(&s->rq, flow->target) && !is_stop(s, flow->target) &&
	    (flow->conditional ||
	     (!is_stub(s, flow->target) && (s->follow || !is_start(s, flow->target)))))
		return MT_FOLLOW_TARGET;
	tail(s, flow->addr);
	return 0;
}

/* Where a table of pointers without a base register begins, as code at fixed addresses has it. */
static bool points_inside(const struct search *s, const struct mt_insn *in)
{
	const uint64_t table = (uint64_t)in->ops[0].mem.disp.value;
	uint64_t to;

	return in->ops[0].mem.base == ZYDIS_REGISTER_NONE && !mt_elf_pointer(s->elf, table, &to) &&
	       to >= s->rq.entry && to < mt_place_end(&s->rq);
}

enum jump { JUMP_STAYS, JUMP_LEAVES, JUMP_EITHER };

/*
 * Whether a jump through a register or memory stays in the function: for sure where
 * its frame still stands. Else gcc may say so (notrack), where it cares for control
 * flow; an entry of a table is added to its address just before; and what is jumped
 * through by index may be an array of the function's own labels.
 */
static enum jump classify(const struct search *s, const struct mt_insn *in)
{
	const uint64_t at = in->addr - s->rq.entry;
	const bool inside = s->depth && in_function(s, in->addr);
	const bool indexed = in->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			     in->ops[0].mem.index != ZYDIS_REGISTER_NONE;
	const bool table = (in->i.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) ||
			   (inside && !indexed && (s->insns[at] & INSN_LOADED));

	if (table || !inside)
		return table ? JUMP_STAYS : JUMP_LEAVES;
	if (s->depth[at] > 0)
		return indexed || s->sound ? JUMP_STAYS : JUMP_EITHER;
	return indexed && points_inside(s, in) ? JUMP_STAYS : JUMP_LEAVES;
}

static void on_lost(struct search *s, const struct mt_flow *flow)
{
	enum jump jump;
	struct mt_insn in;
	ZydisDecoder d;

	mt_insn_init(&d);
	if (!mt_insn_decode(&d, &s->rq, flow->addr, &in)) {
		/* elsewhere only what follows a call that does not return leads to it */
		s->bad = s->bad || in_function(s, flow->addr);
		return;
	}
	s->elsewhere = s->elsewhere || !in_function(s, flow->addr);
	jump = classify(s, &in);
	s->tables = s->tables || jump != JUMP_LEAVES;
	if (jump != JUMP_STAYS)
		tail(s, flow->addr);
}

static unsigned int on_flow(void *ctx, struct mt_flow *flow)
{
	struct search *s = ctx;

	switch (flow->how) {
	case MT_FLOW_RET:
		add(s, flow->addr, MT_FUNC_EXIT, "a return");
		return 0;
	case MT_FLOW_CALL:
		return MT_FOLLOW_NEXT;
	case MT_FLOW_JUMP:
		return on_jump(s, flow);
	default:
		on_lost(s, flow);
		return 0;
	}
}

bool mt_insn_ends_line(const struct mt_insn *in)
{
	switch (in->i.meta.category) {
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_INTERRUPT:
		return true;
	default:
		return in->i.mnemonic == ZYDIS_MNEMONIC_UD2 || in->i.mnemonic == ZYDIS_MNEMONIC_HLT;
	}
}

/* Past a lock prefix, too: the C library once jumped over those. */
static bool leads_to_insn(const struct search *s, uint64_t target)
{
	if (!in_function(s, target) || begins_at(s, target))
		return true;
	return begins_at(s, target - 1) && s->rq.text[target - 1 - s->rq.text_addr] == 0xf0;
}

/*
 * Data between the code are decoded as if they were code, and what stands behind them
 * maybe from within an instruction. Then some branch does not lead to where one begins.
 */
static bool is_skewed(const struct search *s)
{
	ZydisDecoder d;
	struct mt_insn in;
	uint64_t target;

	mt_insn_init(&d);
	for (uint64_t at = 0; at < s->size; at += in.i.length) {
		if (!mt_insn_decode(&d, &s->rq, s->rq.entry + at, &in))
			return true;
		if (mt_insn_target(&in, &target) && !leads_to_insn(s, target))
			return true;
	}
	return false;
}

/*
 * The function from its first byte to its last: whatever a table may lead to begins
 * behind what goes elsewhere, and where a jump goes that a table's entry was loaded
 * for.
 */
static int sweep(struct search *s)
{
	unsigned int since = 2 * TABLE_NEAR;
	bool begins = true;
	ZydisDecoder d;
	struct mt_insn in;

	s->size = mt_place_end(&s->rq) - s->rq.entry;
	if (s->size > MT_STACK_MAX)
		return -E2BIG;
	s->lines = calloc(LINES_MAX, sizeof(*s->lines));
	s->insns = calloc(s->size + 1, sizeof(*s->insns));
	if (!s->lines || !s->insns)
		return -ENOMEM;
	mt_insn_init(&d);
	for (uint64_t at = 0; at < s->size && s->n_lines < LINES_MAX; at += in.i.length, since++) {
		if (begins)
			s->lines[s->n_lines++] = s->rq.entry + at;
		if (!mt_insn_decode(&d, &s->rq, s->rq.entry + at, &in))
			break;
		begins = mt_insn_ends_line(&in);
		since = in.i.mnemonic == ZYDIS_MNEMONIC_MOVSXD ? 0 : since;
		s->insns[at] = INSN_BEGINS | (since <= TABLE_NEAR ? INSN_LOADED : 0);
	}
	s->skewed = is_skewed(s);
	return mt_stack_depths(&s->rq, s->lines, s->n_lines, &s->depth, &s->sound);
}

static int walk(struct search *s, bool follow)
{
	size_t budget = WALKED_MAX, n = 0;
	struct mt_exits *out = s->out;
	int r;

	s->follow = follow;
	for (;;) {
		out->n = 1;
		out->single = out->v[0].place.step == MT_STEP_SINGLE;
		out->v[0].kind = MT_FUNC_ENTRY;
		out->tails = s->full = s->tables = s->elsewhere = false;
		s->by_lines = n != 0;
		s->bad = s->by_lines && s->skewed;
		r = mt_place_walk(&s->rq, s->lines, n, on_flow, s, &budget);
		if (r || !s->tables || n || !s->n_lines)
			break;
		n = s->n_lines;
	}
	out->cut = !follow;
	return r ?: s->full ? -E2BIG : 0;
}

/* Such prefixes the kernel takes for no instruction that it could step over. */
static bool is_refused(const struct mt_insn *in)
{
	return in->i.attributes &
	       (ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_SEGMENT | ZYDIS_ATTRIB_HAS_NOTRACK);
}

static bool is_branched_to(const struct search *s, uint64_t addr)
{
	uint64_t at = s->rq.entry, target;
	const uint64_t end = mt_place_end(&s->rq);
	ZydisDecoder d;
	struct mt_insn in;

	mt_insn_init(&d);
	for (; at < end && at - s->rq.entry < MT_STACK_MAX; at += in.i.length) {
		if (!mt_insn_decode(&d, &s->rq, at, &in))
			return false;
		if (mt_insn_target(&in, &target) && target == addr)
			return true;
	}
	return false;
}

/* Where the first instruction takes no probe the next may, unless it is come to again. */
static int stand_at_entry(struct search *s)
{
	struct mt_exit *e = &s->out->v[0];
	int r = mt_place(&s->rq, &e->place);
	uint64_t at = s->rq.entry;
	ZydisDecoder d;
	struct mt_insn in;

	mt_insn_init(&d);
	while (!r && e->place.addr == at && mt_insn_decode(&d, &s->rq, at, &in) &&
	       is_refused(&in)) {
		at += in.i.length;
		if (is_branched_to(s, at))
			return -EOPNOTSUPP;
		r = mt_place_at(&s->rq, at, "the kernel takes no probe before it", &e->place);
		e->place.skip = (uint32_t)(at - s->rq.entry);
	}
	if (!r)
		r = mt_elf_offset(s->elf, e->place.addr, &e->offset);
	return r;
}

static void search_fini(struct search *s)
{
	free(s->lines);
	free(s->insns);
	free(s->depth);
}

int mt_exits_find(const struct mt_elf *elf, const struct mt_exits_of *of, uint32_t kernel,
		  struct mt_exits *ret)
{
	MT_CLEANUP(search_fini)
	struct search s = {
		.elf = elf,
		.out = ret,
		.of = of,
		.rq = {.entry = of->addr, .size = of->size, .kernel = kernel},
	};
	_cleanup_free_ uint64_t *starts = NULL;
	int r = mt_elf_text(elf, of->addr, &s.rq.text, &s.rq.text_len, &s.rq.text_addr);

	memset(ret, 0, sizeof(*ret));
	if (!r)
		r = list_starts(&s, &starts);
	if (!r && !of->size && mt_place_end(&s.rq) - of->addr > UNSIZED_MAX)
		s.rq.size = UNSIZED_MAX;
	if (!r)
		r = stand_at_entry(&s);
	if (!r)
		r = sweep(&s);
	if (!r)
		r = walk(&s, true);
	/* of another function's table the returns would be missed, and calls seem to be left */
	if (r == -E2BIG || (!r && s.elsewhere))
		r = walk(&s, false);
	if (r)
		return r;
	return s.bad ? -EILSEQ : 0;
}

/* Of unwinders, gcc's and LLVM's; and of longjmp: its returns are of no interest. */
static const struct {
	const char *name;
	bool rets;
} unwinders[] = {
	{"_Unwind_RaiseException", true},
	{"_Unwind_Resume", true},
	{"_Unwind_Resume_or_Rethrow", true},
	{"_Unwind_ForcedUnwind", true},
	{"unw_resume", true},
	{"__unw_resume", true},
	{"longjmp", false},
	{"_longjmp", false},
	{"siglongjmp", false},
	{"__longjmp_chk", false},
};

static unsigned int on_unwind_flow(void *ctx, struct mt_flow *flow)
{
	struct search *s = ctx;

	switch (flow->how) {
	case MT_FLOW_RET:
		if (s->rets)
			add(s, flow->addr, MT_FUNC_UNWIND | MT_FUNC_POPS, "the stack is unwound");
		return 0;
	case MT_FLOW_CALL:
		return MT_FOLLOW_NEXT |
		       (s->rets || flow->slot || !mt_place_in_text(&s->rq, flow->target)
				? 0
				: MT_FOLLOW_TARGET);
	case MT_FLOW_JUMP:
		return !flow->slot && mt_place_in_text(&s->rq, flow->target) ? MT_FOLLOW_TARGET : 0;
	default:
		add(s, flow->addr, MT_FUNC_UNWIND, "the stack is unwound");
		return 0;
	}
}

int mt_exits_unwind(const struct mt_elf *elf, uint32_t kernel, struct mt_exits *ret)
{
	struct search s = {.elf = elf, .out = ret, .rq = {.kernel = kernel}};
	_cleanup_free_ uint64_t *starts = NULL;
	int r = list_starts(&s, &starts);

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < sizeof(unwinders) / sizeof(unwinders[0]) && !r; i++) {
		size_t budget = UNWIND_MAX;
		struct mt_sym sym;

		if (mt_elf_find_func(elf, unwinders[i].name, &sym) ||
		    mt_elf_text(elf, sym.addr, &s.rq.text, &s.rq.text_len, &s.rq.text_addr))
			continue;
		s.rq.entry = sym.addr;
		s.rq.size = sym.size;
		s.rets = unwinders[i].rets;
		r = mt_place_walk(&s.rq, NULL, 0, on_unwind_flow, &s, &budget);
		if (r == -E2BIG) /* what was found is true for all that */
			r = 0;
	}
	return r;
}
