/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Computing with what eval_x86_64.c found. */
#include "sys/eval.h"

#include <string.h>

/* Operands are made before what uses them: no recursion, one pass upwards. */
struct pass {
	uint64_t value[MT_EVAL_NODES];
	bool known[MT_EVAL_NODES];
};

static uint64_t sign_extend(uint64_t v, uint64_t bits)
{
	const uint64_t top = 1ull << (bits - 1);

	v &= (top << 1) - 1;
	return (v ^ top) - top;
}

static bool compute(const struct mt_eval_node *n, const struct pass *p, uint64_t *ret)
{
	const uint64_t a = p->value[n->a], b = p->value[n->b];

	switch (n->op) {
	case MT_EVAL_CONST:
		*ret = n->value;
		return true;
	case MT_EVAL_SIGN:
		*ret = sign_extend(a, n->value);
		return p->known[n->a];
	case MT_EVAL_ADD:
		*ret = a + b;
		break;
	case MT_EVAL_SUB:
		*ret = a - b;
		break;
	case MT_EVAL_AND:
		*ret = a & b;
		break;
	case MT_EVAL_OR:
		*ret = a | b;
		break;
	case MT_EVAL_XOR:
		*ret = a ^ b;
		break;
	case MT_EVAL_SHL:
		*ret = b < 64 ? a << b : 0;
		break;
	case MT_EVAL_SHR:
		*ret = b < 64 ? a >> b : 0;
		break;
	default:
		return false;
	}
	return p->known[n->a] && p->known[n->b];
}

bool mt_eval_value(const struct mt_eval *ev, uint16_t node, const struct mt_eval_bind *binds,
		   size_t n, uint64_t *ret)
{
	struct pass p;

	p.value[0] = 0;
	p.known[0] = false;
	for (uint16_t i = 1; i <= node; i++) {
		p.value[i] = 0;
		p.known[i] = compute(&ev->nodes[i], &p, &p.value[i]);
		for (size_t k = 0; k < n; k++)
			if (binds[k].node == i) {
				p.value[i] = binds[k].value;
				p.known[i] = true;
			}
	}
	*ret = p.value[node];
	return p.known[node];
}

bool mt_eval_cond(const struct mt_eval *ev, const struct mt_eval_cond *cond,
		  const struct mt_eval_bind *binds, size_t n, bool *ret)
{
	uint64_t a, b;

	if (!mt_eval_value(ev, cond->left, binds, n, &a) ||
	    !mt_eval_value(ev, cond->right, binds, n, &b))
		return false;
	switch (cond->cc) {
	case MT_EVAL_EQ:
		*ret = a == b;
		break;
	case MT_EVAL_NE:
		*ret = a != b;
		break;
	case MT_EVAL_BELOW:
		*ret = a < b;
		break;
	case MT_EVAL_NOT_BELOW:
		*ret = a >= b;
		break;
	}
	return true;
}

static void mark_operands(const struct mt_eval_node *n, bool *used)
{
	used[n->a] = used[n->b] = true;
}

uint16_t mt_eval_only_load(const struct mt_eval *ev, uint16_t node)
{
	bool used[MT_EVAL_NODES] = {false};
	uint16_t found = 0;

	used[node] = true;
	for (uint16_t i = node; i > 0; i--) {
		if (!used[i])
			continue;
		if (ev->nodes[i].op != MT_EVAL_LOAD) {
			mark_operands(&ev->nodes[i], used);
			continue;
		}
		if (found)
			return 0;
		found = i;
	}
	return found;
}

bool mt_eval_depends(const struct mt_eval *ev, uint16_t node, uint16_t of)
{
	bool used[MT_EVAL_NODES] = {false};

	used[node] = true;
	for (uint16_t i = node; i > of; i--)
		if (used[i])
			mark_operands(&ev->nodes[i], used);
	return used[of];
}
