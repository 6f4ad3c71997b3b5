/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/emulate.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <string.h>

#define STEPS_MAX  512
#define STACK_SIZE 1024u
#define STACK_BASE 0xffff700000000000ull /* no user address */
#define STACK_END  (STACK_BASE + STACK_SIZE)
#define RETURN_TO  0xffff600000000000ull
#define SP         4
#define BP         5
#define CANARY     0x28 /* of %fs: the stack protector's */

struct flags {
	bool cf, zf, sf, of;
};

struct cpu {
	const struct mt_emulate *e;
	ZydisDecoder decoder;
	uint64_t r[16];
	uint64_t ip;
	struct flags f;
	uint8_t stack[STACK_SIZE];
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

static uint64_t mask_of(unsigned int bits)
{
	return bits >= 64 ? ~0ull : (1ull << bits) - 1;
}

static int64_t extend(uint64_t v, unsigned int bits)
{
	const uint64_t sign = 1ull << (bits - 1);

	v &= mask_of(bits);
	return (int64_t)((v ^ sign) - sign);
}

static bool on_stack(uint64_t addr, unsigned int width)
{
	return addr >= STACK_BASE && addr <= STACK_END - width;
}

static int load(struct cpu *c, uint64_t addr, unsigned int width, uint64_t *v)
{
	*v = 0;
	if (on_stack(addr, width)) {
		memcpy(v, c->stack + (addr - STACK_BASE), width);
		return 0;
	}
	if (!c->e->read(c->e->ctx, addr, width, v))
		return -ECANCELED;
	*v &= mask_of(8 * width);
	return 0;
}

static int store(struct cpu *c, uint64_t addr, unsigned int width, uint64_t v)
{
	if (!on_stack(addr, width))
		return -ENOTSUP;
	memcpy(c->stack + (addr - STACK_BASE), &v, width);
	return 0;
}

/* A register's number; -1: none of the sixteen, or one of their second bytes. */
static int reg_number(ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return -1;
	if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15)
		return -1;
	return (int)(whole - ZYDIS_REGISTER_RAX);
}

static int get_reg(const struct cpu *c, ZydisRegister reg, uint64_t *v)
{
	int n = reg_number(reg);

	if (reg == ZYDIS_REGISTER_NONE)
		*v = 0;
	else if (reg == ZYDIS_REGISTER_RIP)
		*v = c->ip + c->in.length;
	else if (n >= 0)
		*v = c->r[n];
	else
		return -ENOTSUP;
	return 0;
}

static int address(const struct cpu *c, const ZydisDecodedOperand *op, uint64_t *ret)
{
	uint64_t base, index;
	int r = get_reg(c, op->mem.base, &base);

	if (!r)
		r = get_reg(c, op->mem.index, &index);
	if (r || c->in.address_width != 64)
		return r ? r : -ENOTSUP;
	*ret = base + index * op->mem.scale + (uint64_t)op->mem.disp.value;
	return 0;
}

static int get(struct cpu *c, const ZydisDecodedOperand *op, uint64_t *v)
{
	uint64_t at;
	int r;

	*v = 0;
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		r = get_reg(c, op->reg.value, v);
		*v &= mask_of(op->size);
		return r;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		*v = op->imm.value.u;
		return 0;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		r = address(c, op, &at);
		if (r || op->size > 64 || op->size % 8)
			return r ? r : -ENOTSUP;
		if (op->mem.segment == ZYDIS_REGISTER_FS) {
			*v = 0;
			return at == CANARY ? 0 : -ENOTSUP;
		}
		return load(c, at, op->size / 8u, v);
	default:
		return -ENOTSUP;
	}
}

static int put(struct cpu *c, const ZydisDecodedOperand *op, uint64_t v)
{
	uint64_t at;
	int r, n;

	v &= mask_of(op->size);
	if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		r = address(c, op, &at);
		if (r || op->mem.segment == ZYDIS_REGISTER_FS || op->size > 64)
			return r ? r : -ENOTSUP;
		return store(c, at, op->size / 8u, v);
	}
	n = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? reg_number(op->reg.value) : -1;
	if (n < 0)
		return -ENOTSUP;
	if (op->size < 32)
		v |= c->r[n] & ~mask_of(op->size);
	c->r[n] = v;
	return 0;
}

static void set_result(struct cpu *c, uint64_t v, unsigned int bits)
{
	c->f.zf = !(v & mask_of(bits));
	c->f.sf = v >> (bits - 1) & 1;
}

static uint64_t add(struct cpu *c, uint64_t a, uint64_t b, unsigned int bits)
{
	uint64_t v = (a + b) & mask_of(bits);

	c->f.cf = v < (a & mask_of(bits));
	c->f.of = (~(a ^ b) & (a ^ v)) >> (bits - 1) & 1;
	set_result(c, v, bits);
	return v;
}

static uint64_t sub(struct cpu *c, uint64_t a, uint64_t b, unsigned int bits)
{
	uint64_t v = (a - b) & mask_of(bits);

	c->f.cf = (a & mask_of(bits)) < (b & mask_of(bits));
	c->f.of = ((a ^ b) & (a ^ v)) >> (bits - 1) & 1;
	set_result(c, v, bits);
	return v;
}

static uint64_t logic(struct cpu *c, uint64_t v, unsigned int bits)
{
	c->f.cf = c->f.of = false;
	set_result(c, v, bits);
	return v;
}

/*
 * Whether the condition of a jcc, setcc or cmovcc holds: the low bits of its
 * opcode, of which the lowest turns it around. False if it is none of these.
 */
static bool condition(const struct cpu *c, bool *holds)
{
	const struct flags *f = &c->f;
	const bool conditions[] = {f->of,          f->cf,
				   f->zf,          f->cf || f->zf,
				   f->sf,          false /* parity */,
				   f->sf != f->of, f->zf || f->sf != f->of};
	const uint8_t group = c->in.opcode & 0xf0, code = c->in.opcode >> 1 & 7;

	if (c->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT
		    ? group != 0x70
		    : group != 0x40 && group != 0x80 && group != 0x90)
		return false;
	if (c->in.opcode_map > ZYDIS_OPCODE_MAP_0F || code == 5)
		return false;
	*holds = conditions[code] != (c->in.opcode & 1);
	return true;
}

static int push(struct cpu *c, uint64_t v)
{
	c->r[SP] -= 8;
	return store(c, c->r[SP], 8, v);
}

static int pop(struct cpu *c, uint64_t *v)
{
	int r = load(c, c->r[SP], 8, v);

	c->r[SP] += 8;
	return r;
}

/* Jumps and what changes no register but rsp. -EAGAIN: it is none of these. */
static int step_control(struct cpu *c, uint64_t next)
{
	const ZydisDecodedOperand *op = c->op;
	uint64_t to = 0;
	struct mt_sym sym;
	const char *name;
	bool taken;
	int r = 0;

	switch (c->in.mnemonic) {
	case ZYDIS_MNEMONIC_RET:
		return pop(c, &c->ip);
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_JMP:
		if (c->in.mnemonic == ZYDIS_MNEMONIC_CALL)
			r = push(c, next);
		if (r)
			return r;
		if (op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			c->ip = next + op[0].imm.value.u;
			return 0;
		}
		/* through the slot of a PLT entry: to this file's own function of the name */
		if (op[0].type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    op[0].mem.base != ZYDIS_REGISTER_RIP || address(c, &op[0], &to))
			return -ENOTSUP;
		name = mt_elf_slot_symbol(c->e->elf, to);
		if (!name || mt_elf_find_func(c->e->elf, name, &sym))
			return -ENOTSUP;
		c->ip = sym.addr;
		return 0;
	default:
		if (c->in.meta.category != ZYDIS_CATEGORY_COND_BR)
			return -EAGAIN;
		if (!condition(c, &taken) || op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return -ENOTSUP;
		c->ip = taken ? next + op[0].imm.value.u : next;
		return 0;
	}
}

static int shift(struct cpu *c, uint64_t a, uint64_t n, unsigned int bits, uint64_t *v)
{
	n &= bits == 64 ? 63 : 31;
	if (n >= bits)
		return -ENOTSUP;
	*v = a;
	if (!n)
		return 0;
	if (c->in.mnemonic == ZYDIS_MNEMONIC_SHL) {
		*v = a << n;
		c->f.cf = a >> (bits - n) & 1;
	} else {
		*v = c->in.mnemonic == ZYDIS_MNEMONIC_SHR ? a >> n
							  : (uint64_t)(extend(a, bits) >> n);
		c->f.cf = a >> (n - 1) & 1;
	}
	set_result(c, *v, bits);
	return 0;
}

/* div: rdx:rax by a; only where the dividend's upper half is 0. */
static int divide(struct cpu *c, uint64_t a, unsigned int bits)
{
	uint64_t n = c->r[0] & mask_of(bits), q, rest;

	if (bits < 32 || !a || c->r[2] & mask_of(bits))
		return -ENOTSUP;
	q = n / a;
	rest = n % a;
	c->r[0] = q;
	c->r[2] = rest;
	return 0;
}

static int multiply(struct cpu *c)
{
	const unsigned int bits = c->op[0].size;
	uint64_t a, b;
	int r;

	if (c->in.operand_count_visible < 2)
		return -ENOTSUP;
	r = get(c, &c->op[c->in.operand_count_visible - 2], &a);
	if (!r)
		r = get(c, &c->op[c->in.operand_count_visible - 1], &b);
	if (r)
		return r;
	/* the flags say whether it was too large, which nobody asks of an index */
	return put(c, &c->op[0], (a * b) & mask_of(bits));
}

/* What has an operand to read and one to write, a the first's value and b the second's. */
static int step_binary(struct cpu *c, uint64_t a, uint64_t b)
{
	const unsigned int bits = c->op[0].size;
	uint64_t v;
	int r;

	b &= mask_of(bits);
	switch (c->in.mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
		return put(c, &c->op[0], add(c, a, b, bits));
	case ZYDIS_MNEMONIC_SUB:
		return put(c, &c->op[0], sub(c, a, b, bits));
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_ADC:
		if (b == mask_of(bits) && c->f.cf) /* the sum of both has no flags here */
			return -ENOTSUP;
		b += c->f.cf;
		return put(c, &c->op[0],
			   c->in.mnemonic == ZYDIS_MNEMONIC_SBB ? sub(c, a, b, bits)
								: add(c, a, b, bits));
	case ZYDIS_MNEMONIC_CMP:
		sub(c, a, b, bits);
		return 0;
	case ZYDIS_MNEMONIC_TEST:
		logic(c, a & b, bits);
		return 0;
	case ZYDIS_MNEMONIC_AND:
		return put(c, &c->op[0], logic(c, a & b, bits));
	case ZYDIS_MNEMONIC_OR:
		return put(c, &c->op[0], logic(c, a | b, bits));
	case ZYDIS_MNEMONIC_XOR:
		return put(c, &c->op[0], logic(c, a ^ b, bits));
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
		r = shift(c, a, b, bits, &v);
		return r ? r : put(c, &c->op[0], v);
	case ZYDIS_MNEMONIC_BT:
		c->f.cf = a >> (b & (bits - 1)) & 1;
		return 0;
	default:
		return -EAGAIN;
	}
}

static int step_unary(struct cpu *c, uint64_t a)
{
	const unsigned int bits = c->op[0].size;
	bool cf = c->f.cf;
	uint64_t v;

	switch (c->in.mnemonic) {
	case ZYDIS_MNEMONIC_NOT:
		return put(c, &c->op[0], ~a);
	case ZYDIS_MNEMONIC_NEG:
		return put(c, &c->op[0], sub(c, 0, a, bits));
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
		v = c->in.mnemonic == ZYDIS_MNEMONIC_INC ? add(c, a, 1, bits) : sub(c, a, 1, bits);
		c->f.cf = cf;
		return put(c, &c->op[0], v);
	case ZYDIS_MNEMONIC_DIV:
		return divide(c, a, bits);
	case ZYDIS_MNEMONIC_PUSH:
		return bits == 64 ? push(c, a) : -ENOTSUP;
	default:
		return -EAGAIN;
	}
}

/* What moves a value. -EAGAIN: it is none of these. */
static int step_move(struct cpu *c)
{
	const ZydisDecodedOperand *op = c->op;
	bool taken;
	uint64_t v;
	int r;

	switch (c->in.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVZX:
		r = get(c, &op[1], &v);
		return r ? r : put(c, &op[0], v);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		r = get(c, &op[1], &v);
		return r ? r : put(c, &op[0], (uint64_t)extend(v, op[1].size));
	case ZYDIS_MNEMONIC_LEA:
		r = address(c, &op[1], &v);
		return r ? r : put(c, &op[0], v);
	case ZYDIS_MNEMONIC_POP:
		r = pop(c, &v);
		return r ? r : put(c, &op[0], v);
	case ZYDIS_MNEMONIC_LEAVE:
		c->r[SP] = c->r[BP];
		return pop(c, &c->r[BP]);
	case ZYDIS_MNEMONIC_IMUL:
		return multiply(c);
	case ZYDIS_MNEMONIC_CDQE:
		c->r[0] = (uint64_t)extend(c->r[0], 32);
		return 0;
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
		return 0;
	default:
		break;
	}
	if (c->in.meta.category == ZYDIS_CATEGORY_SETCC)
		return condition(c, &taken) ? put(c, &op[0], taken) : -ENOTSUP;
	if (c->in.meta.category != ZYDIS_CATEGORY_CMOV)
		return -EAGAIN;
	if (!condition(c, &taken))
		return -ENOTSUP;
	/* a move that is not made reads all the same, and clears the upper half */
	r = get(c, &op[1], &v);
	if (!r && !taken)
		r = get(c, &op[0], &v);
	return r ? r : put(c, &op[0], v);
}

static int step_arithmetic(struct cpu *c)
{
	uint64_t a = 0, b = 0;
	int r = get(c, &c->op[0], &a);

	if (r)
		return r;
	r = step_unary(c, a);
	if (r != -EAGAIN)
		return r;
	if (c->in.operand_count_visible < 2)
		return -ENOTSUP;
	r = get(c, &c->op[1], &b);
	if (r)
		return r;
	r = step_binary(c, a, b);
	return r == -EAGAIN ? -ENOTSUP : r;
}

static int step(struct cpu *c)
{
	const uint8_t *text;
	uint64_t start, next;
	size_t len;
	int r = mt_elf_text(c->e->elf, c->ip, &text, &len, &start);

	if (r || c->ip < start || c->ip - start >= len ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&c->decoder, text + (c->ip - start),
						 len - (c->ip - start), &c->in, c->op)))
		return -ENOTSUP;
	if (c->in.attributes & (ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP))
		return -ENOTSUP;
	next = c->ip + c->in.length;
	r = step_control(c, next);
	if (r != -EAGAIN)
		return r;
	r = step_move(c);
	if (r == -EAGAIN)
		r = step_arithmetic(c);
	c->ip = next;
	return r;
}

int mt_emulate_call(const struct mt_emulate *e, uint64_t entry, uint64_t arg, uint64_t *ret)
{
	struct cpu c = {.e = e, .ip = entry};
	int r;

	ZydisDecoderInit(&c.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	c.r[7] = arg; /* rdi */
	c.r[SP] = STACK_END;
	r = push(&c, RETURN_TO);
	for (int i = 0; i < STEPS_MAX && !r && c.ip != RETURN_TO; i++)
		r = step(&c);
	if (!r && c.ip != RETURN_TO)
		r = -ENOTSUP;
	if (!r)
		*ret = c.r[0];
	return r;
}
