/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What jemalloc's code says about its data where a library has no symbols for
 * it. The arguments of rtree_leaf_elm_lookup_hard(tsdn, rtree, ctx, key,
 * dependent, init_missing) are of include/jemalloc/internal/rtree.h.
 */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <string.h>

#include "alloc/jemalloc.h"

#define USABLE_MAX 4096u /* bytes of a function that is read */
#define STEPS_MAX  64u   /* instructions that are executed for one key */
#define SEEN_MAX   8u
#define REGS       16u

/* rdi, rsi...: as the instruction set numbers them. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

/* Any value that no other constant of the code comes near: where the tree seems to stand. */
#define TREE_AT 0x5a0000000000ull
/* A root's element lies behind the head of an rtree_t, and the largest root is 2 MiB. */
#define TREE_LEN (4ull << 20)

struct insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t addr;
};

struct regs {
	uint64_t v[REGS];
	bool known[REGS];
};

struct code {
	const struct mt_elf *elf;
	const uint8_t *text;
	size_t len;
	uint64_t start;
	ZydisDecoder decoder;
};

static int code_open(struct code *c, const struct mt_elf *elf, uint64_t addr)
{
	c->elf = elf;
	ZydisDecoderInit(&c->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return mt_elf_text(elf, addr, &c->text, &c->len, &c->start);
}

static bool decode(const struct code *c, uint64_t addr, struct insn *in)
{
	if (addr < c->start || addr - c->start >= c->len)
		return false;
	in->addr = addr;
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&c->decoder, c->text + (addr - c->start),
						   c->len - (addr - c->start), &in->i, in->ops));
}

/* The number of a general register of any width; REGS for others. */
static unsigned int reg_id(ZydisRegister reg)
{
	const ZydisRegister full =
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	const ZyanI8 id = ZydisRegisterGetClass(full) == ZYDIS_REGCLASS_GPR64
				  ? ZydisRegisterGetId(full)
				  : (ZyanI8)-1;

	return id >= 0 && id < (int)REGS ? (unsigned int)id : REGS;
}

static void set(struct regs *r, unsigned int id, uint64_t v, unsigned int width)
{
	if (id >= REGS)
		return;
	r->known[id] = width == 64 || width == 32;
	r->v[id] = width == 32 ? (uint32_t)v : v;
}

/* Where a memory operand leads, if the registers that it names are known. */
static bool address_of(const struct insn *in, const ZydisDecodedOperand *op, const struct regs *r,
		       uint64_t *ret)
{
	uint64_t addr = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0;
	const unsigned int base = reg_id(op->mem.base), index = reg_id(op->mem.index);

	if (op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)
		return false;
	if (op->mem.base == ZYDIS_REGISTER_RIP)
		addr += in->addr + in->i.length;
	else if (op->mem.base != ZYDIS_REGISTER_NONE) {
		if (base >= REGS || !r->known[base])
			return false;
		addr += r->v[base];
	}
	if (op->mem.index != ZYDIS_REGISTER_NONE) {
		if (index >= REGS || !r->known[index])
			return false;
		addr += r->v[index] * op->mem.scale;
	}
	*ret = addr;
	return true;
}

/* The value of an operand that needs no memory. */
static bool value_of(const ZydisDecodedOperand *op, const struct regs *r, uint64_t *ret)
{
	const unsigned int id =
		op->type == ZYDIS_OPERAND_TYPE_REGISTER ? reg_id(op->reg.value) : REGS;

	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		*ret = op->imm.value.u;
		return true;
	}
	if (id >= REGS || !r->known[id])
		return false;
	*ret = op->size == 32 ? (uint32_t)r->v[id] : r->v[id];
	return op->size >= 32;
}

static bool compute(ZydisMnemonic what, uint64_t a, uint64_t b, unsigned int width, uint64_t *ret)
{
	switch (what) {
	case ZYDIS_MNEMONIC_MOV:
		*ret = b;
		return true;
	case ZYDIS_MNEMONIC_ADD:
		*ret = a + b;
		return true;
	case ZYDIS_MNEMONIC_SUB:
		*ret = a - b;
		return true;
	case ZYDIS_MNEMONIC_AND:
		*ret = a & b;
		return true;
	case ZYDIS_MNEMONIC_XOR:
		*ret = a ^ b;
		return true;
	case ZYDIS_MNEMONIC_SHR:
		*ret = a >> (b & (width - 1));
		return true;
	case ZYDIS_MNEMONIC_SHL:
		*ret = a << (b & (width - 1));
		return true;
	default:
		return false;
	}
}

/* Registers that an instruction we do not model may have changed are unknown. */
static void forget(const struct insn *in, struct regs *r)
{
	for (unsigned int k = 0; k < in->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->ops[k];
		const unsigned int id =
			op->type == ZYDIS_OPERAND_TYPE_REGISTER ? reg_id(op->reg.value) : REGS;

		if (id < REGS && (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			r->known[id] = false;
	}
}

static bool same_reg(const struct insn *in)
{
	return in->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       in->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       in->ops[0].reg.value == in->ops[1].reg.value;
}

/* What the instruction does to the registers. */
static void step(const struct insn *in, struct regs *r)
{
	const ZydisDecodedOperand *dst = &in->ops[0], *src = &in->ops[1];
	uint64_t a = 0, b = 0, v = 0;
	bool ok = false;

	if (in->i.operand_count < 2 || dst->type != ZYDIS_OPERAND_TYPE_REGISTER) {
		forget(in, r);
		return;
	}
	if (in->i.mnemonic == ZYDIS_MNEMONIC_LEA)
		ok = address_of(in, src, r, &v);
	else if (in->i.mnemonic == ZYDIS_MNEMONIC_XOR && same_reg(in))
		ok = true;
	else if (value_of(src, r, &b))
		ok = (in->i.mnemonic == ZYDIS_MNEMONIC_MOV || value_of(dst, r, &a)) &&
		     compute(in->i.mnemonic, a, b, dst->size, &v);
	forget(in, r);
	if (ok)
		set(r, reg_id(dst->reg.value), v, dst->size);
}

/* Notes the one value of its kind: a second one that differs spoils it. */
static int note(uint64_t *slot, uint64_t v)
{
	if (*slot && *slot != v)
		return -ENOENT;
	*slot = v;
	return 0;
}

static bool is_data(const struct code *c, uint64_t addr)
{
	return mt_elf_in_bss(c->elf, addr, 8);
}

/* call rtree_leaf_elm_lookup_hard(..., &tree, ..., true, false) */
static int note_call(const struct code *c, const struct insn *in, struct regs *r,
		     struct mt_jemalloc_refs *ret)
{
	const ZydisDecodedOperand *op = &in->ops[0];
	int e = 0;

	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->imm.is_relative && r->known[RSI] &&
	    is_data(c, r->v[RSI]) && r->known[R8] && r->v[R8] == 1 && r->known[R9] && !r->v[R9]) {
		e = note(&ret->tree, r->v[RSI]);
		if (!e)
			e = note(&ret->hard, in->addr + in->i.length + (uint64_t)op->imm.value.s);
	}
	memset(r->known, 0, sizeof(r->known));
	return e;
}

/*
 * The constant part of an operand that adds an unknown index to it: the table
 * and the class, which a compiler may have multiplied by 8 before.
 */
static bool indexed_base(const struct insn *in, const ZydisDecodedOperand *op, const struct regs *r,
			 uint64_t *ret)
{
	ZydisDecodedOperand part = *op;

	if (op->mem.index == ZYDIS_REGISTER_NONE || address_of(in, op, r, ret))
		return false;
	part.mem.index = ZYDIS_REGISTER_NONE;
	if ((op->mem.scale == 8 || op->mem.scale == 1) && address_of(in, &part, r, ret))
		return true;
	part = *op;
	part.mem.base = ZYDIS_REGISTER_NONE;
	return op->mem.scale == 1 && address_of(in, &part, r, ret);
}

/* mov reg, [table + index * 8] and sub reg, [pad] */
static int note_memory(const struct code *c, const struct insn *in, const struct regs *r,
		       struct mt_jemalloc_refs *ret)
{
	const ZydisDecodedOperand *op = &in->ops[1];
	uint64_t addr;

	if (in->i.operand_count < 2 || in->ops[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->size != 64)
		return 0;
	if (in->i.mnemonic == ZYDIS_MNEMONIC_MOV && indexed_base(in, op, r, &addr) &&
	    is_data(c, addr))
		return note(&ret->table, addr);
	if (in->i.mnemonic == ZYDIS_MNEMONIC_SUB && address_of(in, op, r, &addr) &&
	    is_data(c, addr))
		return note(&ret->pad, addr);
	return 0;
}

int mt_jemalloc_read_usable(const struct mt_elf *elf, const struct mt_sym *func,
			    struct mt_jemalloc_refs *ret)
{
	const uint64_t len = func->size < USABLE_MAX ? func->size : USABLE_MAX;
	struct regs r = {0};
	struct code c = {0};
	struct insn in;
	int e = code_open(&c, elf, func->addr);

	*ret = (struct mt_jemalloc_refs){0};
	for (uint64_t at = func->addr; !e && at < func->addr + len; at += in.i.length) {
		if (!decode(&c, at, &in))
			break;
		if (in.i.meta.category == ZYDIS_CATEGORY_CALL) {
			e = note_call(&c, &in, &r, ret);
			continue;
		}
		e = note_memory(&c, &in, &r, ret);
		step(&in, &r);
		/* What stands behind is jumped to, with other values. */
		if (in.i.meta.category == ZYDIS_CATEGORY_RET ||
		    in.i.meta.category == ZYDIS_CATEGORY_UNCOND_BR)
			memset(r.known, 0, sizeof(r.known));
	}
	if (e)
		return e;
	return ret->tree && ret->hard ? 0 : -ENOENT;
}

/* The addresses within the tree that a run makes or reads, in order. */
struct seen {
	uint64_t at[SEEN_MAX];
	size_t n;
};

static void look(const struct insn *in, const struct regs *r, struct seen *seen)
{
	uint64_t addr;

	for (unsigned int k = 0; k < in->i.operand_count_visible && seen->n < SEEN_MAX; k++)
		if (in->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    address_of(in, &in->ops[k], r, &addr) && addr - TREE_AT < TREE_LEN)
			seen->at[seen->n++] = addr - TREE_AT;
}

/* Where control goes after in; 0: no telling. zero is the flag, -1 if unknown. */
static uint64_t next_of(const struct insn *in, int zero)
{
	const uint64_t after = in->addr + in->i.length;
	const ZydisDecodedOperand *op = &in->ops[0];
	bool taken;

	switch (in->i.meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		if (zero < 0 || op->type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
		    (in->i.mnemonic != ZYDIS_MNEMONIC_JZ && in->i.mnemonic != ZYDIS_MNEMONIC_JNZ))
			return 0;
		taken = (in->i.mnemonic == ZYDIS_MNEMONIC_JZ) == (zero == 1);
		return taken ? after + (uint64_t)op->imm.value.s : after;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? after + (uint64_t)op->imm.value.s
								: 0;
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
		return 0;
	default:
		return after;
	}
}

/* test reg, reg of a known one sets the flag; what else sets flags leaves it unknown. */
static int zero_after(const struct insn *in, const struct regs *r, int zero)
{
	const unsigned int id = in->i.mnemonic == ZYDIS_MNEMONIC_TEST && same_reg(in)
					? reg_id(in->ops[0].reg.value)
					: REGS;

	if (id < REGS)
		return r->known[id] ? (r->v[id] == 0) : -1;
	return in->i.cpu_flags && in->i.cpu_flags->modified ? -1 : zero;
}

static void run(const struct code *c, uint64_t entry, uint64_t key, struct seen *seen)
{
	struct regs r = {0};
	uint64_t at = entry;
	struct insn in;
	int zero = -1;

	*seen = (struct seen){0};
	set(&r, RSI, TREE_AT, 64);
	set(&r, RCX, key, 64);
	set(&r, R8, 1, 64);
	set(&r, R9, 0, 64);
	for (unsigned int n = 0; n < STEPS_MAX && at && decode(c, at, &in); n++) {
		look(&in, &r, seen);
		zero = zero_after(&in, &r, zero);
		step(&in, &r);
		at = next_of(&in, zero);
	}
}

/* The first address of the run that depends on the key; SEEN_MAX: none does. */
static size_t find_element(const struct code *c, uint64_t entry, struct seen *none)
{
	struct seen all;

	run(c, entry, 0, none);
	run(c, entry, UINT64_MAX, &all);
	for (size_t i = 0; i < none->n && i < all.n; i++)
		if (all.at[i] != none->at[i])
			return i;
	return SEEN_MAX;
}

int mt_jemalloc_read_hard(const struct mt_elf *elf, struct mt_jemalloc_refs *refs)
{
	unsigned int shift = 64, bits = 0;
	struct seen none, one;
	struct code c = {0};
	size_t k;
	int e = code_open(&c, elf, refs->hard);

	if (e)
		return -ENOENT;
	k = find_element(&c, refs->hard, &none);
	if (k == SEEN_MAX)
		return -ENOENT;
	for (unsigned int bit = 0; bit < 64; bit++) {
		run(&c, refs->hard, 1ull << bit, &one);
		if (one.n <= k)
			return -ENOENT;
		if (one.at[k] == none.at[k])
			continue;
		if (shift == 64)
			shift = bit;
		/* One row of bits, each twice as far as the one before. */
		if (bit != shift + bits || one.at[k] - none.at[k] != 8ull << bits)
			return -ENOENT;
		bits++;
	}
	refs->root = refs->tree + none.at[k];
	refs->shift = shift;
	refs->bits = bits;
	return 0;
}
