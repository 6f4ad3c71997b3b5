/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What instructions do to the values of a path. */
#include "sys/eval_internal.h"

uint16_t mt_eval_make(struct walk *w, enum mt_eval_op op, uint16_t a, uint16_t b, uint64_t value)
{
	struct mt_eval *ev = w->ev;
	const struct mt_eval_node node = {.op = op, .a = a, .b = b, .value = value};

	for (size_t i = 1; i < ev->n_nodes && op != MT_EVAL_OTHER; i++) {
		const struct mt_eval_node *n = &ev->nodes[i];

		if (n->op == op && n->a == a && n->b == b && n->value == value)
			return (uint16_t)i;
	}
	if (ev->n_nodes == MT_EVAL_NODES) {
		w->full = true;
		return 1;
	}
	ev->nodes[ev->n_nodes] = node;
	return (uint16_t)ev->n_nodes++;
}

static uint16_t constant(struct walk *w, uint64_t value)
{
	return mt_eval_make(w, MT_EVAL_CONST, 0, 0, value);
}

static uint16_t other(struct walk *w)
{
	return mt_eval_make(w, MT_EVAL_OTHER, 0, 0, 0);
}

static bool is_const(const struct walk *w, uint16_t node, uint64_t *value)
{
	*value = w->ev->nodes[node].value;
	return w->ev->nodes[node].op == MT_EVAL_CONST;
}

static uint64_t mask_of(unsigned int bits)
{
	return bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
}

/* Constants are folded, so that addresses on the stack are the same node each time. */
static uint16_t combine(struct walk *w, enum mt_eval_op op, uint16_t a, uint16_t b)
{
	const struct mt_eval_node *n = &w->ev->nodes[a];
	uint64_t va, vb, v;
	uint16_t node;

	if (is_const(w, a, &va) && is_const(w, b, &vb)) {
		node = mt_eval_make(w, op, a, b, 0);
		return mt_eval_value(w->ev, node, NULL, 0, &v) ? constant(w, v) : node;
	}
	if (op == MT_EVAL_SUB && is_const(w, b, &vb))
		return combine(w, MT_EVAL_ADD, a, constant(w, 0 - vb));
	if (op == MT_EVAL_ADD && is_const(w, b, &vb)) {
		if (!vb)
			return a;
		if (n->op == MT_EVAL_ADD && is_const(w, n->b, &va))
			return combine(w, op, n->a, constant(w, va + vb));
	}
	if (op == MT_EVAL_AND && is_const(w, b, &vb) && vb == UINT64_MAX)
		return a;
	return mt_eval_make(w, op, a, b, 0);
}

/* True if node has none of the low bits: what a write of a part of a register keeps. */
static bool is_upper(const struct walk *w, uint16_t node, unsigned int bits)
{
	const struct mt_eval_node *n = &w->ev->nodes[node];
	uint64_t mask;

	return n->op == MT_EVAL_AND && is_const(w, n->b, &mask) && !(mask & mask_of(bits));
}

static uint16_t narrow(struct walk *w, uint16_t node, unsigned int bits)
{
	const struct mt_eval_node *n = &w->ev->nodes[node];

	if (n->op == MT_EVAL_LOAD && n->value * 8 <= bits)
		return node;
	if (n->op == MT_EVAL_OR && is_upper(w, n->a, bits))
		return narrow(w, n->b, bits);
	return combine(w, MT_EVAL_AND, node, constant(w, mask_of(bits)));
}

/* Register number 0..15 in the encoding's order, -1 for others. */
static int reg_index(ZydisRegister reg)
{
	const ZydisRegister full =
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15)
		return -1;
	return (int)(full - ZYDIS_REGISTER_RAX);
}

static bool is_high_byte(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
}

static uint16_t address(struct walk *w, const struct path *p, const struct insn *in,
			const ZydisDecodedOperand *op)
{
	uint64_t disp = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0;
	uint16_t sum = constant(w, 0);
	int base, index;
	unsigned int shift = 0;

	/* The thread's own memory, or an address of 32 bits. */
	if (op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS ||
	    in->i.address_width != 64)
		return other(w);
	if (op->mem.base == ZYDIS_REGISTER_RIP)
		return constant(w, p->at + in->i.length + disp);
	base = reg_index(op->mem.base);
	index = reg_index(op->mem.index);
	if ((op->mem.base != ZYDIS_REGISTER_NONE && base < 0) ||
	    (op->mem.index != ZYDIS_REGISTER_NONE && index < 0))
		return other(w);
	while ((1u << shift) < op->mem.scale && shift < 3)
		shift++;
	if (base >= 0)
		sum = p->reg[base];
	if (index >= 0)
		sum = combine(w, MT_EVAL_ADD,
			      combine(w, MT_EVAL_SHL, p->reg[index], constant(w, shift)), sum);
	return combine(w, MT_EVAL_ADD, sum, constant(w, disp));
}

/* True if the address is a known distance from the stack pointer at the entry. */
static bool on_stack(const struct walk *w, uint16_t addr, uint64_t *off)
{
	const struct mt_eval_node *n = &w->ev->nodes[addr];

	*off = 0;
	if (n->op == MT_EVAL_ADD && is_const(w, n->b, off))
		n = &w->ev->nodes[n->a];
	return n->op == MT_EVAL_STACK;
}

static uint16_t load(struct walk *w, const struct path *p, uint16_t addr, unsigned int bits)
{
	uint64_t off;

	if (!on_stack(w, addr, &off))
		return mt_eval_make(w, MT_EVAL_LOAD, addr, 0, bits / 8);
	for (size_t i = p->n_stores; i-- > 0;) {
		const struct store *s = &p->stores[i];

		if (s->off == off && s->bytes == bits / 8)
			return s->value;
		if (s->off - off < bits / 8 || off - s->off < s->bytes)
			break;
	}
	return other(w);
}

/* False: the path is lost. Only the stack may be written. */
static bool store(const struct walk *w, struct path *p, uint16_t addr, uint16_t value,
		  unsigned int bits)
{
	uint64_t off;

	if (!on_stack(w, addr, &off) || p->n_stores == STORES_MAX)
		return false;
	p->stores[p->n_stores++] = (struct store){off, bits / 8, value};
	return true;
}

static uint16_t read_operand(struct walk *w, const struct path *p, const struct insn *in,
			     unsigned int k)
{
	const ZydisDecodedOperand *op = &in->ops[k];
	int reg;

	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return narrow(w, constant(w, op->imm.value.u), in->ops[0].size);
	case ZYDIS_OPERAND_TYPE_REGISTER:
		reg = reg_index(op->reg.value);
		if (reg < 0 || is_high_byte(op->reg.value))
			return other(w);
		return op->size == 64 ? p->reg[reg] : narrow(w, p->reg[reg], op->size);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return load(w, p, address(w, p, in, op), op->size);
	default:
		return other(w);
	}
}

/* Writes operand 0; a 32-bit register clears the upper half, a smaller one keeps the rest. */
static bool write_operand(struct walk *w, struct path *p, const struct insn *in, uint16_t value)
{
	const ZydisDecodedOperand *op = &in->ops[0];
	int reg;

	if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return store(w, p, address(w, p, in, op), value, op->size);
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	reg = reg_index(op->reg.value);
	if (reg < 0)
		return true;
	if (is_high_byte(op->reg.value)) {
		p->reg[reg] = other(w);
	} else if (op->size >= 32) {
		p->reg[reg] = op->size == 64 ? value : narrow(w, value, op->size);
	} else {
		const uint16_t keep =
			combine(w, MT_EVAL_AND, p->reg[reg], constant(w, ~mask_of(op->size)));

		p->reg[reg] = combine(w, MT_EVAL_OR, keep, narrow(w, value, op->size));
	}
	return true;
}

void mt_eval_set(struct walk *w, struct path *p, const struct insn *in, uint16_t value)
{
	write_operand(w, p, in, value);
}

void mt_eval_move_if(struct walk *w, struct path *p, const struct insn *in, bool holds)
{
	write_operand(w, p, in, read_operand(w, p, in, holds ? 1 : 0));
}

static enum mt_eval_op op_of(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
		return MT_EVAL_ADD;
	case ZYDIS_MNEMONIC_SUB:
		return MT_EVAL_SUB;
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_TEST:
		return MT_EVAL_AND;
	case ZYDIS_MNEMONIC_OR:
		return MT_EVAL_OR;
	case ZYDIS_MNEMONIC_XOR:
		return MT_EVAL_XOR;
	case ZYDIS_MNEMONIC_SHL:
		return MT_EVAL_SHL;
	case ZYDIS_MNEMONIC_SHR:
		return MT_EVAL_SHR;
	default:
		return MT_EVAL_OTHER;
	}
}

/* add, sub, and, or, xor, shl, shr, test. */
static bool arithmetic(struct walk *w, struct path *p, const struct insn *in)
{
	const enum mt_eval_op op = op_of(in->i.mnemonic);
	const uint16_t a = read_operand(w, p, in, 0), b = read_operand(w, p, in, 1);
	const unsigned int bits = in->ops[0].size;
	const bool same = in->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && a == b;
	uint16_t result;

	if ((op == MT_EVAL_XOR || op == MT_EVAL_SUB) && same)
		result = constant(w, 0);
	else if (op == MT_EVAL_AND && same)
		result = a;
	else
		result = narrow(w, combine(w, op, a, b), bits);
	p->flags = (struct flags){.left = result, .right = constant(w, 0)};
	if (op == MT_EVAL_SUB)
		p->flags = (struct flags){.left = a, .right = b};
	p->flags.only_zero = op == MT_EVAL_ADD || op == MT_EVAL_SHL || op == MT_EVAL_SHR;
	return in->i.mnemonic == ZYDIS_MNEMONIC_TEST || write_operand(w, p, in, result);
}

/* bt by a number: the carry is the bit. */
static bool bit_test(struct walk *w, struct path *p, const struct insn *in)
{
	const uint16_t v = read_operand(w, p, in, 0), at = read_operand(w, p, in, 1);
	uint64_t bit;

	p->flags = (struct flags){0};
	if (!is_const(w, at, &bit))
		return true;
	p->flags.left = constant(w, 0);
	p->flags.right = combine(w, MT_EVAL_AND,
				 combine(w, MT_EVAL_SHR, v, constant(w, bit % in->ops[0].size)),
				 constant(w, 1));
	p->flags.only_carry = true;
	return true;
}

static bool push(struct walk *w, struct path *p, uint16_t value)
{
	p->reg[RSP] = combine(w, MT_EVAL_ADD, p->reg[RSP], constant(w, (uint64_t)-8));
	return store(w, p, p->reg[RSP], value, 64);
}

static uint16_t pop(struct walk *w, struct path *p)
{
	const uint16_t value = load(w, p, p->reg[RSP], 64);

	p->reg[RSP] = combine(w, MT_EVAL_ADD, p->reg[RSP], constant(w, 8));
	return value;
}

/* A call: its arguments are kept, what it may change is forgotten. */
static void call(struct walk *w, struct path *p, uint64_t target)
{
	static const int lost[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11};

	p->end.target = target;
	p->end.args[0] = p->reg[RDI];
	p->end.args[1] = p->reg[RSI];
	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++)
		p->reg[lost[i]] = other(w);
	p->flags.left = 0;
}

/* An instruction that is not known: what it writes is not known either. */
static bool forget(struct walk *w, struct path *p, const struct insn *in)
{
	for (unsigned int k = 0; k < in->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->ops[k];
		int reg;

		if (!(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
			return false;
		reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? reg_index(op->reg.value) : -1;
		if (reg == RSP)
			return false;
		if (reg >= 0)
			p->reg[reg] = other(w);
	}
	p->flags.left = 0;
	return true;
}

static bool move(struct walk *w, struct path *p, const struct insn *in)
{
	uint16_t value;

	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_LEA:
		return write_operand(w, p, in, address(w, p, in, &in->ops[1]));
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		value = read_operand(w, p, in, 1);
		if (in->ops[1].size < in->ops[0].size)
			value = mt_eval_make(w, MT_EVAL_SIGN, value, 0, in->ops[1].size);
		return write_operand(w, p, in, value);
	default: /* mov, movzx */
		return write_operand(w, p, in, read_operand(w, p, in, 1));
	}
}

bool mt_eval_step(struct walk *w, struct path *p, const struct insn *in)
{
	uint64_t target = 0;

	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
	case ZYDIS_MNEMONIC_LEA:
		return move(w, p, in);
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_TEST:
		return arithmetic(w, p, in);
	case ZYDIS_MNEMONIC_CMP:
		p->flags = (struct flags){.left = read_operand(w, p, in, 0),
					  .right = read_operand(w, p, in, 1)};
		return true;
	case ZYDIS_MNEMONIC_BT:
		return bit_test(w, p, in);
	case ZYDIS_MNEMONIC_PUSH:
		return push(w, p, read_operand(w, p, in, 0));
	case ZYDIS_MNEMONIC_POP:
		return write_operand(w, p, in, pop(w, p));
	case ZYDIS_MNEMONIC_LEAVE:
		p->reg[RSP] = p->reg[RBP];
		p->reg[RBP] = pop(w, p);
		return true;
	case ZYDIS_MNEMONIC_CALL:
		if (in->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			ZydisCalcAbsoluteAddress(&in->i, &in->ops[0], p->at, &target);
		call(w, p, target);
		return true;
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
		return true;
	default:
		return forget(w, p, in);
	}
}
