/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What GetAllocatedSize() and tc_nallocx() compute, whatever the compiler made
 * of them: expressions are told by their values for many inputs, not by their
 * form. Sources: gperftools src/tcmalloc.cc, page_heap.h, pagemap.h,
 * packed-cache-inl.h, span.h, common.h.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/tcmalloc_find.h"
#include "tcmalloc_core.bpf.h"

#define ADDR_BITS  MT_TCMALLOC_ADDR_BITS
#define TRIALS     64
#define WORD_MAX   120u /* bytes into a Span */
#define CLASS_BITS MT_TCMALLOC_CLASS_BITS

/* A fixed sequence: the same file is always judged the same. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t low_bits(uint64_t v, unsigned int bits)
{
	return bits >= 64 ? v : v & ((1ull << bits) - 1);
}

static const struct mt_eval_node *node_of(const struct mt_eval *ev, uint16_t node)
{
	return &ev->nodes[node];
}

/* A load of size bytes, 0 for any; its address in *addr. */
static bool is_load(const struct mt_eval *ev, uint16_t node, uint64_t size, uint16_t *addr)
{
	*addr = node_of(ev, node)->a;
	return node && node_of(ev, node)->op == MT_EVAL_LOAD &&
	       (!size || node_of(ev, node)->value == size);
}

static uint16_t find_arg(const struct mt_eval *ev, uint64_t number)
{
	for (uint16_t i = 1; i < ev->n_nodes; i++)
		if (ev->nodes[i].op == MT_EVAL_ARG && ev->nodes[i].value == number)
			return i;
	return 0;
}

/* node = base + *off, for any base. */
static bool is_offset(const struct mt_eval *ev, uint16_t node, uint16_t base, unsigned int *off)
{
	uint64_t seed = 1, v;

	*off = 0;
	for (int i = 0; i < TRIALS; i++) {
		const struct mt_eval_bind bind = {base, i ? next_random(&seed) : 0};

		if (!mt_eval_value(ev, node, &bind, 1, &v) || v - bind.value > WORD_MAX)
			return false;
		if (i == 0)
			*off = (unsigned int)v;
		else if (v - bind.value != *off)
			return false;
	}
	return true;
}

/* node = base + inner + (v >> shift & mask of bits) << scale, for any v of width bits. */
struct fit {
	uint16_t node, v, inner; /* inner 0: none */
	unsigned int width, scale;
	uint64_t base;
	unsigned int shift, bits;
};

static bool fit_value(const struct mt_eval *ev, const struct fit *f, uint64_t v, uint64_t inner,
		      uint64_t *ret)
{
	const struct mt_eval_bind binds[] = {{f->v, v}, {f->inner, inner}};

	return mt_eval_value(ev, f->node, binds, f->inner ? 2 : 1, ret);
}

static bool fit_holds(const struct mt_eval *ev, const struct fit *f)
{
	uint64_t seed = 2, got;

	for (int i = 0; i < TRIALS; i++) {
		const uint64_t v = low_bits(next_random(&seed), f->width);
		const uint64_t inner = f->inner ? next_random(&seed) : 0;
		const uint64_t index = low_bits(v >> f->shift, f->bits);

		if (!fit_value(ev, f, v, inner, &got) ||
		    got != f->base + inner + (index << f->scale))
			return false;
	}
	return true;
}

static bool fit(const struct mt_eval *ev, struct fit *f)
{
	uint64_t got;
	unsigned int k;

	if (!fit_value(ev, f, 0, 0, &f->base))
		return false;
	for (k = 0; k < f->width; k++)
		if (!fit_value(ev, f, 1ull << k, 0, &got) || got != f->base)
			break;
	f->shift = k;
	for (; k < f->width; k++)
		if (!fit_value(ev, f, 1ull << k, 0, &got) ||
		    got != f->base + (1ull << (k - f->shift + f->scale)))
			break;
	f->bits = k - f->shift;
	return f->bits && fit_holds(ev, f);
}

/* What is gathered while the ends are looked at. */
struct size_code {
	const struct mt_eval *ev;
	uint16_t ptr;
	uint16_t span;    /* the load that gives the block's Span */
	uint16_t request; /* the load that gives what was asked for, if it is sampled */
	struct mt_tcmalloc *tc;
	bool cached, classed, large, sampled, inlined; /* what has been found */
};

/* The same table must be found each time. */
static bool agree(uint64_t *have, uint64_t v)
{
	if (!*have)
		*have = v;
	return v && *have == v;
}

static bool agree_small(unsigned int *have, unsigned int v)
{
	if (!*have)
		*have = v;
	return *have == v;
}

/* The page map: root[ptr >> (page + leaf)] -> leaf[ptr >> page & mask]. */
static bool match_span(struct size_code *c, uint16_t load)
{
	struct fit leaf = {.v = c->ptr, .width = ADDR_BITS, .scale = 3};
	struct fit root = leaf;

	if (c->span)
		return load == c->span;
	if (!is_load(c->ev, load, 8, &leaf.node))
		return false;
	leaf.inner = mt_eval_only_load(c->ev, leaf.node);
	if (!is_load(c->ev, leaf.inner, 8, &root.node) || !fit(c->ev, &leaf) || leaf.base ||
	    !fit(c->ev, &root) || leaf.shift + leaf.bits != root.shift ||
	    root.shift + root.bits != ADDR_BITS)
		return false;
	c->span = load;
	c->tc->leaf_bits = leaf.bits;
	return agree_small(&c->tc->page_shift, leaf.shift) && agree(&c->tc->root, root.base);
}

/* A field of the Span: the load's address is Span + *off. */
static bool match_field(struct size_code *c, uint16_t load, unsigned int *off)
{
	uint16_t addr, span;

	if (!is_load(c->ev, load, 0, &addr))
		return false;
	span = mt_eval_only_load(c->ev, addr);
	return span && match_span(c, span) && is_offset(c->ev, addr, span, off);
}

/* result is a 32-bit load, sign-extended or not: a size is small. */
static bool is_size_load(const struct mt_eval *ev, uint16_t result, uint16_t *addr)
{
	const uint16_t load = mt_eval_only_load(ev, result);
	uint64_t seed = 3, v;

	if (!is_load(ev, load, 4, addr))
		return false;
	for (int i = 0; i < TRIALS; i++) {
		const struct mt_eval_bind bind = {load, low_bits(next_random(&seed), 31)};

		if (!mt_eval_value(ev, result, &bind, 1, &v) || v != bind.value)
			return false;
	}
	return true;
}

/*
 * Whether the path is taken with these bytes in the Span's word at off, as far
 * as its decisions depend on the Span's fields.
 */
static bool taken_with(struct size_code *c, const struct mt_eval_end *end, unsigned int off,
		       uint64_t word)
{
	for (size_t i = 0; i < end->n_conds; i++) {
		const struct mt_eval_cond *cond = &end->conds[i];
		struct mt_eval_bind bind = {.node = mt_eval_only_load(c->ev, cond->left)};
		unsigned int field;
		bool holds;

		if (!bind.node)
			bind.node = mt_eval_only_load(c->ev, cond->right);
		if (!bind.node || bind.node == c->span || !match_field(c, bind.node, &field) ||
		    field < off || field > off + 7)
			continue;
		bind.value = low_bits(word >> (8 * (field - off)),
				      8 * (unsigned int)node_of(c->ev, bind.node)->value);
		if (!mt_eval_cond(c->ev, cond, &bind, 1, &holds) || !holds)
			return false;
	}
	return true;
}

/* class_to_size[the Span's class] */
static bool match_classed(struct size_code *c, const struct mt_eval_end *end)
{
	struct fit index = {.scale = 2};
	unsigned int off;
	uint64_t seed = 4;

	if (!is_size_load(c->ev, end->result, &index.node))
		return false;
	index.v = mt_eval_only_load(c->ev, index.node);
	if (!index.v || !match_field(c, index.v, &off))
		return false;
	index.width = 8 * (unsigned int)node_of(c->ev, index.v)->value;
	if (!fit(c->ev, &index) || index.bits != 8 || !agree(&c->tc->sizes, index.base) ||
	    !agree_small(&c->tc->class_bit, 8 * off + index.shift))
		return false;
	/* any class but 0 leads here */
	off = c->tc->class_bit / 64 * 8;
	for (int i = 0; i < TRIALS; i++) {
		const uint64_t word = next_random(&seed);

		if (low_bits(word >> (c->tc->class_bit - 8 * off), 8) &&
		    !taken_with(c, end, off, word))
			return false;
	}
	return c->classed = true;
}

/* What the cache has for the pointer, as decisions see it. */
static bool cache_decides(const struct size_code *c, const struct mt_eval_end *end, uint16_t entry,
			  uint64_t ptr, uint64_t value)
{
	const struct mt_eval_bind binds[] = {{c->ptr, ptr}, {entry, value}};
	bool holds;

	for (size_t i = 0; i < end->n_conds; i++)
		if (!mt_eval_cond(c->ev, &end->conds[i], binds, 2, &holds) || !holds)
			return false;
	return true;
}

/* class_to_size[cache[page & mask] ^ page's upper bits], if that is below 128 */
static bool match_cached(struct size_code *c, const struct mt_eval_end *end)
{
	struct fit slot = {.v = c->ptr, .width = ADDR_BITS, .scale = 3};
	uint64_t seed = 5, v;
	uint16_t addr, entry;

	if (!is_size_load(c->ev, end->result, &addr))
		return false;
	entry = mt_eval_only_load(c->ev, addr);
	if (!is_load(c->ev, entry, 8, &slot.node) || mt_eval_only_load(c->ev, slot.node) ||
	    !fit(c->ev, &slot) || slot.bits < CLASS_BITS ||
	    !agree_small(&c->tc->page_shift, slot.shift) ||
	    !agree_small(&c->tc->cache_bits, slot.bits) || !agree(&c->tc->cache, slot.base))
		return false;
	for (int i = 0; i < TRIALS * 4; i++) {
		const uint64_t ptr = low_bits(next_random(&seed), ADDR_BITS) | 8;
		const uint64_t upper = ptr >> slot.shift >> slot.bits << slot.bits;
		const uint64_t cl = low_bits(next_random(&seed), 1 + (unsigned int)i % 40);
		const struct mt_eval_bind binds[] = {{c->ptr, ptr}, {entry, upper ^ cl}};

		if (cache_decides(c, end, entry, ptr, upper ^ cl) != (cl >> CLASS_BITS == 0))
			return false;
		if (cl >> CLASS_BITS)
			continue;
		if (!mt_eval_value(c->ev, addr, binds, 2, &v) || !agree(&c->tc->sizes, v - 4 * cl))
			return false;
	}
	return c->cached = true;
}

/*
 * The bit besides the class that keeps the path from being taken; false if
 * there is more than one, or the class does not.
 */
static bool find_sampled(struct size_code *c, const struct mt_eval_end *end)
{
	const unsigned int off = c->tc->class_bit / 64 * 8, first = c->tc->class_bit - 8 * off;
	unsigned int n = 0;

	if (!taken_with(c, end, off, 0))
		return false;
	for (unsigned int b = 0; b < 64; b++) {
		const bool in_class = b >= first && b < first + 8;

		if (taken_with(c, end, off, 1ull << b)) {
			if (in_class)
				return false;
			continue;
		}
		if (in_class)
			continue;
		c->tc->sampled_bit = 8 * off + b;
		n++;
	}
	c->tc->samples = n == 1;
	return n <= 1;
}

/* the Span's length << page shift */
static bool match_large(struct size_code *c, const struct mt_eval_end *end)
{
	const uint16_t load = mt_eval_only_load(c->ev, end->result);
	struct fit pages = {.node = end->result, .v = load, .width = ADDR_BITS - 12};
	uint16_t addr;
	unsigned int off;

	pages.scale = c->tc->page_shift;
	if (!is_load(c->ev, load, 8, &addr) || !match_field(c, load, &off) ||
	    !agree_small(&c->tc->length, off) || !fit(c->ev, &pages) || pages.base || pages.shift ||
	    pages.bits != pages.width)
		return false;
	return c->large = find_sampled(c, end);
}

/* The code that gives a request its class, as a function or within another. */
struct class_code {
	const struct mt_eval *ev;
	uint16_t size, flags;
	struct mt_tcmalloc *tc;
};

static bool decided_by(const struct class_code *c, const struct mt_eval_cond *cond)
{
	return mt_eval_depends(c->ev, cond->left, c->size) ||
	       mt_eval_depends(c->ev, cond->right, c->size);
}

/* Whether size (asked for with no flags) takes this path, if its class is not 0. */
static bool takes(const struct class_code *c, const struct mt_eval_end *end, uint16_t class_load,
		  uint64_t size)
{
	const struct mt_eval_bind binds[] = {{c->size, size}, {c->flags, 0}, {class_load, 1}};
	bool holds;

	for (size_t i = 0; i < end->n_conds; i++) {
		if (!mt_eval_cond(c->ev, &end->conds[i], binds, 3, &holds)) {
			if (decided_by(c, &end->conds[i]))
				return false;
		} else if (!holds) {
			return false;
		}
	}
	return true;
}

/* A path that ends with class_to_size[class_array[index of size]]. */
static bool match_class(const struct class_code *c, const struct mt_eval_end *end, uint64_t size)
{
	struct fit index = {.width = 8, .scale = 2};
	struct mt_eval_bind bind = {c->size, size};
	uint16_t addr;
	uint64_t v;

	if (end->exit != MT_EVAL_RET || !is_size_load(c->ev, end->result, &index.node))
		return false;
	index.v = mt_eval_only_load(c->ev, index.node);
	if (!is_load(c->ev, index.v, 1, &addr) || !takes(c, end, index.v, size))
		return false;
	return fit(c->ev, &index) && index.bits == 8 && index.base == c->tc->sizes &&
	       mt_eval_value(c->ev, addr, &bind, 1, &v) &&
	       agree(&c->tc->classes, v - mt_tcmalloc_index(size));
}

static bool has_class(const struct class_code *c, uint64_t size)
{
	for (size_t i = 0; i < c->ev->n_ends; i++)
		if (match_class(c, &c->ev->ends[i], size))
			return true;
	return false;
}

/* All requests up to the largest class find theirs in class_array, and no others. */
static bool gives_classes(const struct class_code *c)
{
	static const uint64_t edges[] = {0,
					 1,
					 7,
					 8,
					 9,
					 MT_TCMALLOC_SMALL - 1,
					 MT_TCMALLOC_SMALL,
					 MT_TCMALLOC_SMALL + 1,
					 MT_TCMALLOC_MAX - 1,
					 MT_TCMALLOC_MAX};
	uint64_t seed = 6;

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		if (!has_class(c, edges[i]))
			return false;
	for (int i = 0; i < TRIALS; i++)
		if (!has_class(c, next_random(&seed) % MT_TCMALLOC_MAX) ||
		    !has_class(c, next_random(&seed) % (2ull * MT_TCMALLOC_SMALL)))
			return false;
	return !has_class(c, MT_TCMALLOC_MAX + 1) && !has_class(c, UINT64_MAX >> 1);
}

/* What was asked for: the Span's sample begins with it. */
static bool match_request(struct size_code *c, uint16_t load)
{
	uint16_t addr, sample;
	unsigned int off;

	if (!is_load(c->ev, load, 8, &addr))
		return false;
	sample = mt_eval_only_load(c->ev, addr);
	if (!is_load(c->ev, sample, 8, &addr) ||
	    !is_offset(c->ev, node_of(c->ev, load)->a, sample, &off) || off ||
	    !match_field(c, sample, &off) || (c->request && load != c->request))
		return false;
	c->request = load;
	return agree_small(&c->tc->sample, off);
}

/* tc_nallocx(what was asked for, 0) */
static bool is_call_for_request(struct size_code *c, const struct mt_eval_end *end)
{
	uint64_t flags;

	if (end->exit != MT_EVAL_JUMP &&
	    (end->exit != MT_EVAL_RET || node_of(c->ev, end->result)->op != MT_EVAL_OTHER))
		return false;
	return match_request(c, end->args[0]) &&
	       mt_eval_value(c->ev, end->args[1], NULL, 0, &flags) && !flags &&
	       agree(&c->tc->nallocx, end->target);
}

/* The same, where the compiler has taken it in: class_to_size[class_array[...]] */
static bool is_class_of_request(struct size_code *c, const struct mt_eval_end *end)
{
	uint16_t addr, load;

	if (end->exit != MT_EVAL_RET || !is_size_load(c->ev, end->result, &addr))
		return false;
	load = mt_eval_only_load(c->ev, addr);
	return is_load(c->ev, load, 1, &addr) && match_request(c, mt_eval_only_load(c->ev, addr)) &&
	       (c->inlined = true);
}

static bool match_sampled(struct size_code *c, const struct mt_eval_end *end)
{
	const unsigned int off = c->tc->class_bit / 64 * 8;

	if (!c->tc->samples || !taken_with(c, end, off, 1ull << (c->tc->sampled_bit - 8 * off)))
		return false;
	return c->sampled = is_class_of_request(c, end) || is_call_for_request(c, end);
}

/* Where a decision was that something is a constant, the compiler may return it for that. */
static size_t decided(const struct mt_eval *ev, const struct mt_eval_end *end,
		      struct mt_eval_bind *binds)
{
	size_t n = 0;

	for (size_t i = 0; i < end->n_conds; i++) {
		const struct mt_eval_cond *cond = &end->conds[i];
		uint64_t v;

		if (cond->cc == MT_EVAL_EQ && mt_eval_value(ev, cond->right, NULL, 0, &v))
			binds[n++] = (struct mt_eval_bind){cond->left, v};
	}
	return n;
}

static bool returns_zero(const struct size_code *c, const struct mt_eval_end *end)
{
	struct mt_eval_bind binds[MT_EVAL_CONDS + 1];
	const size_t n = decided(c->ev, end, binds);
	uint64_t seed = 7, v;

	for (int i = 0; i < TRIALS; i++) {
		binds[n] = (struct mt_eval_bind){c->ptr, low_bits(next_random(&seed), ADDR_BITS)};
		if (!mt_eval_value(c->ev, end->result, binds, n + 1, &v) || v)
			return false;
	}
	return true;
}

/* Nothing is there: 0, or what a function says that is given the pointer. */
static bool match_nothing(const struct size_code *c, const struct mt_eval_end *end)
{
	if (end->exit == MT_EVAL_RET && returns_zero(c, end))
		return true;
	return end->exit == MT_EVAL_JUMP && end->args[0] == c->ptr;
}

bool mt_tcmalloc_from_size(const struct mt_eval *ev, struct mt_tcmalloc *tc)
{
	struct size_code c = {.ev = ev, .ptr = find_arg(ev, 1), .tc = tc};
	bool known[MT_EVAL_ENDS] = {false};

	*tc = (struct mt_tcmalloc){0};
	/* In this order: the later ones need what the earlier ones tell. */
	for (size_t i = 0; i < ev->n_ends; i++)
		if (ev->ends[i].exit == MT_EVAL_RET)
			known[i] = match_classed(&c, &ev->ends[i]);
	for (size_t i = 0; i < ev->n_ends && c.classed; i++)
		if (!known[i] && ev->ends[i].exit == MT_EVAL_RET)
			known[i] = match_cached(&c, &ev->ends[i]) || match_large(&c, &ev->ends[i]);
	for (size_t i = 0; i < ev->n_ends; i++) {
		const struct mt_eval_end *end = &ev->ends[i];

		if (known[i] || match_nothing(&c, end))
			continue;
		if (!c.large || !match_sampled(&c, end))
			return false;
	}
	if (!c.cached || !c.classed || !c.large || c.sampled != tc->samples)
		return false;
	if (!c.inlined)
		return true;
	tc->nallocx = 0;
	return gives_classes(&(struct class_code){.ev = ev, .size = c.request, .tc = tc});
}

bool mt_tcmalloc_from_nallocx(const struct mt_eval *ev, struct mt_tcmalloc *tc)
{
	const struct class_code c = {ev, find_arg(ev, 0), find_arg(ev, 1), tc};

	return gives_classes(&c);
}
