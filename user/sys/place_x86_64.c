/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What arch/x86/kernel/uprobes.c emulates, and where in a prologue a probe may
 * stand for it. tests/integration/emulated.c compares the claims made here
 * with the running kernel.
 */
#include "sys/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sys/place_internal.h"

#define SKIP_MAX 32u /* bytes past the entry at which we still look */
/* Farther back than this we do not decode to tell an instruction from data. */
#define SYNC_MAX     (64u << 10)
#define KERNEL(a, b) ((uint32_t)(a) << 16 | (uint32_t)(b) << 8)

/* Addresses that a branch must not lead to: lo <= target <= hi; none if lo > hi. */
struct window {
	uint64_t lo, hi;
	bool hit;
};

bool mt_insn_decode(const ZydisDecoder *d, const struct mt_place_request *rq, uint64_t addr,
		    struct mt_insn *in)
{
	if (!mt_place_in_text(rq, addr))
		return false;
	in->addr = addr;
	in->bytes = rq->text + (addr - rq->text_addr);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(
		d, in->bytes, rq->text_len - (addr - rq->text_addr), &in->i, in->ops));
}

/* The nops that every kernel since 6.18 knows by their bytes (x86_nops[]). */
static bool is_kernel_nop(const uint8_t *p, size_t len)
{
	static const uint8_t nops[][9] = {
		{2, 0x66, 0x90},
		{3, 0x0f, 0x1f, 0x00},
		{4, 0x0f, 0x1f, 0x40, 0x00},
		{5, 0x0f, 0x1f, 0x44, 0x00, 0x00},
		{6, 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
		{7, 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
		{8, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
	};

	for (size_t i = 0; i < sizeof(nops) / sizeof(nops[0]); i++)
		if (nops[i][0] == len && memcmp(nops[i] + 1, p, len) == 0)
			return true;
	return false;
}

static bool emulates_push(const uint8_t *p, size_t len, uint32_t kernel)
{
	if (kernel < KERNEL(4, 16))
		return false;
	if (len == 2 && p[0] == 0x41)
		p++, len--;
	return len == 1 && (p[0] & 0xf8) == 0x50;
}

static bool emulates_branch(const uint8_t *p, size_t len)
{
	/* bnd and addr32 change nothing; with 66 or a segment override the kernel refuses. */
	while (len && (p[0] == 0xf2 || p[0] == 0x67))
		p++, len--;
	if (len == 2)
		return p[0] == 0xeb || (p[0] & 0xf0) == 0x70;
	if (len == 5)
		return p[0] == 0xe8 || p[0] == 0xe9;
	return len == 6 && p[0] == 0x0f && (p[1] & 0xf0) == 0x80;
}

bool mt_place_emulated(const uint8_t *insn, size_t len, uint32_t kernel)
{
	if (kernel < KERNEL(3, 15))
		return false;
	if (len == 1 && insn[0] == 0x90)
		return true;
	/* 66 90 is a branch of length 2 to the old kernels too. */
	if (len == 2 && insn[0] == 0x66 && insn[1] == 0x90)
		return true;
	if (kernel >= KERNEL(6, 18) && is_kernel_nop(insn, len))
		return true;
	return emulates_push(insn, len, kernel) || emulates_branch(insn, len);
}

static bool writes(const struct mt_insn *in, ZydisRegister reg)
{
	for (unsigned int k = 0; k < in->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->ops[k];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, op->reg.value) ==
			    reg)
			return true;
	}
	return false;
}

static bool writes_args(const struct mt_insn *in, unsigned int args)
{
	static const ZydisRegister regs[] = {ZYDIS_REGISTER_RDI, ZYDIS_REGISTER_RSI,
					     ZYDIS_REGISTER_RDX, ZYDIS_REGISTER_RCX,
					     ZYDIS_REGISTER_R8,  ZYDIS_REGISTER_R9};

	for (unsigned int k = 0; k < args && k < sizeof(regs) / sizeof(regs[0]); k++)
		if (writes(in, regs[k]))
			return true;
	return false;
}

/* Control may go elsewhere, or registers may change that no operand names. */
static bool ends_straight_line(const struct mt_insn *in)
{
	switch (in->i.meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_INVALID:
		return true;
	default:
		return in->i.mnemonic == ZYDIS_MNEMONIC_UD2 ||
		       in->i.mnemonic == ZYDIS_MNEMONIC_HLT ||
		       in->i.mnemonic == ZYDIS_MNEMONIC_XBEGIN;
	}
}

/* The end of the function, as far as it is known. */
uint64_t mt_place_end(const struct mt_place_request *rq)
{
	uint64_t end = rq->text_addr + rq->text_len;
	size_t lo = 0, hi = rq->starts ? rq->n_starts : 0;

	if (rq->size)
		return rq->size < end - rq->entry ? rq->entry + rq->size : end;
	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (rq->starts[mid] > rq->entry)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (rq->starts && lo < rq->n_starts && rq->starts[lo] < end)
		end = rq->starts[lo];
	return end;
}

static void stand(struct mt_place *p, const struct mt_place_request *rq, const struct mt_insn *in,
		  enum mt_step step, const char *why)
{
	ZydisFormatter f;

	p->addr = in->addr;
	p->skip = (uint32_t)(in->addr - rq->entry);
	p->step = step;
	p->why = why;
	if (!ZYAN_SUCCESS(ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&f, &in->i, in->ops,
							  in->i.operand_count_visible, p->insn,
							  sizeof(p->insn), in->addr, NULL)))
		snprintf(p->insn, sizeof(p->insn), "(%u bytes)", (unsigned int)in->i.length);
}

static void stand_at_entry(const ZydisDecoder *d, const struct mt_place_request *rq,
			   struct mt_place *p, const char *why)
{
	struct mt_insn in;

	if (mt_insn_decode(d, rq, rq->entry, &in)) {
		stand(p, rq, &in, MT_STEP_SINGLE, why);
		return;
	}
	*p = (struct mt_place){.addr = rq->entry, .step = MT_STEP_SINGLE, .why = why};
	snprintf(p->insn, sizeof(p->insn), "(bad)");
}

/* The straight line from the entry to the first emulated instruction. */
static void find_place(const ZydisDecoder *d, const struct mt_place_request *rq, struct mt_place *p)
{
	const uint64_t end = mt_place_end(rq);
	const char *why = "no emulated instruction near the entry";
	struct mt_insn in;

	for (uint64_t at = rq->entry; at < end && at - rq->entry <= SKIP_MAX; at += in.i.length) {
		if (!mt_insn_decode(d, rq, at, &in) || in.i.length > end - at) {
			why = "an instruction that cannot be decoded";
			break;
		}
		if (mt_place_emulated(in.bytes, in.i.length, rq->kernel)) {
			stand(p, rq, &in, MT_STEP_EMULATED,
			      at == rq->entry ? "the entry is emulated"
					      : "the entry would be single-stepped");
			return;
		}
		if (ends_straight_line(&in)) {
			why = "the straight line ends before an emulated instruction";
			break;
		}
		if (writes(&in, ZYDIS_REGISTER_RSP)) {
			why = "the stack pointer changes before an emulated instruction";
			break;
		}
		if (writes_args(&in, rq->args)) {
			why = "an argument changes before an emulated instruction";
			break;
		}
	}
	stand_at_entry(d, rq, p, why);
}

bool mt_insn_target(const struct mt_insn *in, uint64_t *target)
{
	const ZydisDecodedOperand *op = &in->ops[0];

	return in->i.operand_count && op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       op->imm.is_relative &&
	       ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&in->i, op, in->addr, target));
}

/* The last function start <= addr; the entry itself is one. */
static uint64_t start_before(const struct mt_place_request *rq, uint64_t addr)
{
	uint64_t best = rq->entry <= addr ? rq->entry : 0;
	size_t lo = 0, hi = rq->starts ? rq->n_starts : 0;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (rq->starts[mid] <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo > 0 && rq->starts[lo - 1] > best)
		best = rq->starts[lo - 1];
	return best;
}

enum begins { BEGINS_NOT, BEGINS, BEGINS_UNKNOWN };

/* Does an instruction begin at addr, by decoding from the nearest function start? */
static enum begins begins(const struct mt_place_request *rq, uint64_t addr)
{
	uint64_t at = start_before(rq, addr);
	ZydisDecodedInstruction in;
	ZydisDecoder d;

	if (!mt_place_in_text(rq, addr) || !mt_place_in_text(rq, at) || addr - at > SYNC_MAX)
		return BEGINS_UNKNOWN;
	mt_insn_init(&d);
	while (at < addr) {
		const size_t off = at - rq->text_addr;

		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, rq->text + off,
								rq->text_len - off, &in)))
			return BEGINS_UNKNOWN;
		at += in.length;
	}
	return at == addr ? BEGINS : BEGINS_NOT;
}

bool mt_place_is_insn(const struct mt_place_request *rq, uint64_t addr)
{
	return begins(rq, addr) != BEGINS_NOT;
}

static bool is_rel32(const uint8_t *text, size_t disp)
{
	if (text[disp - 1] == 0xe8 || text[disp - 1] == 0xe9)
		return true;
	if (disp < 2)
		return false;
	return (text[disp - 2] == 0x0f && (text[disp - 1] & 0xf0) == 0x80) ||
	       (text[disp - 2] == 0xc7 && text[disp - 1] == 0xf8); /* xbegin */
}

static void mark(const struct mt_place_request *rq, size_t disp, uint64_t target, struct window *w,
		 size_t n)
{
	const bool one = rq->text[disp - 1] == 0xe8 || rq->text[disp - 1] == 0xe9;

	for (size_t k = 0; k < n; k++)
		if (target >= w[k].lo && target <= w[k].hi && !w[k].hit)
			w[k].hit = mt_place_is_insn(rq, rq->text_addr + disp - (one ? 1 : 2));
}

/*
 * Every four bytes of the text are taken for a displacement; those that lead
 * into a window and have a branch's opcode before them count, unless decoding
 * shows that no instruction stands there.
 */
static void scan_rel32(const struct mt_place_request *rq, struct window *w, size_t n)
{
	uint64_t lo = UINT64_MAX, hi = 0, span;

	for (size_t k = 0; k < n; k++) {
		if (w[k].lo > w[k].hi)
			continue;
		lo = w[k].lo < lo ? w[k].lo : lo;
		hi = w[k].hi > hi ? w[k].hi : hi;
	}
	if (lo > hi)
		return;
	span = hi - lo;
	for (size_t i = 1; i + 4 <= rq->text_len; i++) {
		int32_t disp;
		uint64_t target;

		memcpy(&disp, rq->text + i, sizeof(disp));
		target = rq->text_addr + i + 4 + (uint64_t)(int64_t)disp;
		if (target - lo <= span && is_rel32(rq->text, i))
			mark(rq, i, target, w, n);
	}
}

/* Two-byte branches reach 128 bytes: chance hits are common, so they are proved. */
static void scan_rel8(const struct mt_place_request *rq, struct window *w)
{
	const uint64_t end = rq->text_addr + rq->text_len;
	uint64_t at = w->lo - rq->text_addr > 130 ? w->lo - 130 : rq->text_addr;

	for (; at + 2 <= end && at < w->hi + 130 && !w->hit; at++) {
		const uint8_t *p = rq->text + (at - rq->text_addr);
		const uint64_t target = at + 2 + (uint64_t)(int64_t)(int8_t)p[1];

		if (target < w->lo || target > w->hi)
			continue;
		if ((p[0] & 0xf0) == 0x70 || p[0] == 0xeb || (p[0] & 0xfc) == 0xe0)
			w->hit = mt_place_is_insn(rq, at);
	}
}

/*
 * A jump through a table of this function could lead anywhere in it. Jumps
 * through a register without a table before them are tail calls.
 */
static bool has_table_jump(const ZydisDecoder *d, const struct mt_place_request *rq)
{
	const uint64_t end = mt_place_end(rq);
	unsigned int since = 1000; /* instructions since a table entry was loaded */
	struct mt_insn in;

	if (end - rq->entry > SYNC_MAX)
		return true;
	for (uint64_t at = rq->entry; at < end; at += in.i.length, since++) {
		if (!mt_insn_decode(d, rq, at, &in))
			return false;
		if (in.i.mnemonic == ZYDIS_MNEMONIC_MOVSXD)
			since = 0;
		if (in.i.mnemonic != ZYDIS_MNEMONIC_JMP || !in.i.operand_count)
			continue;
		if (in.ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER && since < 8)
			return true;
		if (in.ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    in.ops[0].mem.index != ZYDIS_REGISTER_NONE)
			return true;
	}
	return false;
}

#define BATCH 32

static int place_some(const ZydisDecoder *d, const struct mt_place_request *rq, size_t n,
		      struct mt_place *ret)
{
	struct window w[BATCH];

	for (size_t k = 0; k < n; k++) {
		if (!mt_place_in_text(&rq[k], rq[k].entry))
			return -EINVAL;
		find_place(d, &rq[k], &ret[k]);
		w[k] = (struct window){.lo = rq[k].entry + 1, .hi = ret[k].addr};
	}
	scan_rel32(rq, w, n);
	for (size_t k = 0; k < n; k++) {
		if (w[k].lo > w[k].hi)
			continue;
		scan_rel8(&rq[k], &w[k]);
		if (w[k].hit)
			stand_at_entry(d, &rq[k], &ret[k], "a branch leads back into the prologue");
		else if (has_table_jump(d, &rq[k]))
			stand_at_entry(d, &rq[k], &ret[k],
				       "a jump table may lead back into the prologue");
	}
	return 0;
}

int mt_place_batch(const struct mt_place_request *rq, size_t n, struct mt_place *ret)
{
	ZydisDecoder d;
	int r = 0;

	mt_insn_init(&d);
	for (size_t k = 0; k < n && !r; k += BATCH)
		r = place_some(&d, rq + k, n - k < BATCH ? n - k : BATCH, ret + k);
	return r;
}

bool mt_place_jump(const struct mt_place_request *rq, uint64_t *target, bool *slot)
{
	uint64_t at = rq->entry;
	ZydisDecoder d;
	struct mt_insn in;

	mt_insn_init(&d);
	for (int k = 0; k < 3; k++, at += in.i.length) {
		if (!mt_insn_decode(&d, rq, at, &in))
			return false;
		if (in.i.mnemonic == ZYDIS_MNEMONIC_ENDBR64 || in.i.mnemonic == ZYDIS_MNEMONIC_NOP)
			continue;
		if (in.i.mnemonic != ZYDIS_MNEMONIC_JMP)
			return false;
		*slot = in.ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
		if (!*slot)
			return mt_insn_target(&in, target);
		return in.ops[0].mem.base == ZYDIS_REGISTER_RIP &&
		       ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&in.i, &in.ops[0], at, target));
	}
	return false;
}

bool mt_place_forwards_to(const struct mt_place_request *rq, uint64_t target)
{
	uint64_t to;
	bool slot;

	return mt_place_jump(rq, &to, &slot) && !slot && to == target;
}

int mt_place_at(const struct mt_place_request *rq, uint64_t addr, const char *why,
		struct mt_place *ret)
{
	ZydisDecoder d;
	struct mt_insn in;

	mt_insn_init(&d);
	if (!mt_insn_decode(&d, rq, addr, &in))
		return -EINVAL;
	stand(ret, rq, &in,
	      mt_place_emulated(in.bytes, in.i.length, rq->kernel) ? MT_STEP_EMULATED
								   : MT_STEP_SINGLE,
	      why);
	ret->skip = 0;
	return 0;
}

/* True if the bytes at addr would be a jump to the entry, were they an instruction. */
static bool like_jump(const struct mt_place_request *rq, uint64_t addr)
{
	const uint8_t *p = rq->text + (addr - rq->text_addr);
	const uint64_t left = rq->text_addr + rq->text_len - addr;
	int32_t disp;

	if (p[0] == 0xeb && left >= 2)
		return addr + 2 + (uint64_t)(int64_t)(int8_t)p[1] == rq->entry;
	if (p[0] != 0xe9 || left < 5)
		return false;
	memcpy(&disp, p + 1, sizeof(disp));
	return addr + 5 + (uint64_t)(int64_t)disp == rq->entry;
}

size_t mt_place_jumps(const struct mt_place_request *rq, uint64_t lo, uint64_t hi,
		      struct mt_place *ret, size_t max)
{
	ZydisDecoder d;
	struct mt_insn in;
	size_t n = 0;

	mt_insn_init(&d);
	for (uint64_t at = lo; at < hi && mt_place_in_text(rq, at) && n < max; at++) {
		/* behind a bnd prefix, which is then where the instruction begins */
		const bool bnd = at > lo && rq->text[at - rq->text_addr - 1] == 0xf2;
		uint64_t start = at;

		if (!like_jump(rq, at))
			continue;
		if (bnd && begins(rq, at - 1) == BEGINS)
			start--;
		else if (begins(rq, at) != BEGINS)
			continue;
		if (!mt_insn_decode(&d, rq, start, &in) || in.i.mnemonic != ZYDIS_MNEMONIC_JMP)
			continue;
		stand(&ret[n], rq, &in,
		      mt_place_emulated(in.bytes, in.i.length, rq->kernel) ? MT_STEP_EMULATED
									   : MT_STEP_SINGLE,
		      "");
		ret[n++].skip = 0;
	}
	return n;
}
