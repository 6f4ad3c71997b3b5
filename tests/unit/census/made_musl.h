/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Heaps as musl's mallocng builds them, and a census of them: the fixture of test_musl.c. */
#ifndef MT_TEST_MADE_MUSL_H
#define MT_TEST_MADE_MUSL_H

#include "census/musl_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/sizeclass.h"

#define LIBC   0x7f0000000000ull /* .data and .bss of libc */
#define HEAP   0x7f0000100000ull
#define STACK  0x7fff00000000ull
#define CTX    (LIBC + 0x1408)
#define SECRET 0x1122334455667788ull
#define MIB    (1ull << 20)
#define AREA0  HEAP
#define AREA1  (HEAP + 0x1000)
#define GROUPS (HEAP + 0x10000)
#define SLOTS  offsetof(struct mt_musl_meta_area, slots)

static uint8_t libc_bytes[0x4000], heap_bytes[8 * MIB], stack_bytes[0x1000];
static const struct {
	uint64_t at, n;
	uint8_t *bytes;
} parts[] = {
	{LIBC, sizeof(libc_bytes), libc_bytes},
	{HEAP, sizeof(heap_bytes), heap_bytes},
	{STACK, sizeof(stack_bytes), stack_bytes},
};
static const struct mt_image_area areas[] = {
	{.start = LIBC, .end = LIBC + 0x2000, .owner = true},
	{.start = LIBC + 0x2000, .end = LIBC + 0x4000, .anon = true, .owner = true},
	{.start = HEAP, .end = HEAP + 0x200000, .anon = true},
	{.start = HEAP + 0x200000, .end = HEAP + 8 * MIB, .anon = true},
	{.start = STACK, .end = STACK + 0x1000, .anon = true, .stack = true},
};
static uint64_t unreadable;

static uint8_t *at(uint64_t addr, size_t n)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (addr >= parts[i].at && n <= parts[i].n && addr - parts[i].at <= parts[i].n - n)
			return parts[i].bytes + (addr - parts[i].at);
	return NULL;
}

static int image_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	const uint8_t *p = at(addr, n);

	(void)m;
	if (!p || (unreadable && addr <= unreadable && unreadable < addr + n))
		return -EFAULT;
	memcpy(buf, p, n);
	return 0;
}

static const struct mt_mem mem = {.read = image_read};
static char why[MT_WHY_SIZE];
static struct mt_image image;
static struct mt_musl_context *ctx;

static void put(uint64_t addr, const void *v, size_t n)
{
	uint8_t *p = at(addr, n);

	assert_non_null(p);
	memcpy(p, v, n);
}

/* The low n bytes of v. */
static void put_n(uint64_t addr, size_t n, uint64_t v)
{
	put(addr, &v, n);
}

static struct mt_musl_meta_area *area(uint64_t addr)
{
	return (void *)at(addr, sizeof(struct mt_musl_meta_area));
}

static void put_area(uint64_t addr)
{
	*area(addr) = (struct mt_musl_meta_area){.check = SECRET, .nslots = MT_MUSL_AREA_SLOTS};
}

static int reset(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		memset(parts[i].bytes, 0, parts[i].n);
	unreadable = 0;
	why[0] = '\0';
	image = (struct mt_image){
		.mem = &mem,
		.areas = areas,
		.n_areas = sizeof(areas) / sizeof(areas[0]),
		.random = STACK + 0x808,
		.why = why,
	};
	put_n(image.random + 8, 8, SECRET);
	put_n(LIBC + 0x10, 8, SECRET); /* a copy that is no context */
	ctx = (void *)at(CTX, sizeof(*ctx));
	*ctx = (struct mt_musl_context){
		.secret = SECRET,
		.init_done = 1,
		.avail_meta = AREA0 + SLOTS,
		.avail_meta_count = MT_MUSL_AREA_SLOTS,
		.area_head = AREA0,
		.area_tail = AREA0,
	};
	put_area(AREA0);
	return 0;
}

/* A group, by its sizes; its descriptor. All slots of idle are available. */
struct made {
	uint64_t meta, mem, stride;
};

static struct made group(uint64_t where, unsigned int sc, unsigned int n, uint32_t idle,
			 uint64_t pages, bool freeable)
{
	struct made g = {.meta = ctx->avail_meta, .mem = where};

	ctx->avail_meta += sizeof(struct mt_musl_meta);
	ctx->avail_meta_count--;
	g.stride = pages && n == 1 ? pages * MT_MEM_PAGE - 16 : 16ull * mt_musl_slot_units[sc];
	put(g.meta,
	    &(struct mt_musl_meta){
		    .mem = where,
		    .avail = idle,
		    .bits = (n - 1) | (uint64_t)freeable << 5 | sc << 6 | pages << 12,
	    },
	    sizeof(struct mt_musl_meta));
	put_n(where, 8, g.meta);
	put_n(where + 8, 1, n - 1);
	if (freeable && sc < MT_MUSL_CLASSES)
		ctx->usage[sc] += n;
	return g;
}

static void put_size(uint64_t p, uint64_t end, uint64_t n, unsigned int i)
{
	uint64_t reserved = end - p - n;

	if (reserved >= 5)
		put_n(end - 4, 4, reserved);
	put_n(p - 3, 1, i | (unsigned int)(reserved < 5 ? reserved : 5) << 5);
}

/* A block of n bytes in slot i, off bytes behind its start. Its address. */
static uint64_t block(const struct made *g, unsigned int i, uint64_t n, uint64_t off)
{
	uint64_t start = g->mem + 16 + g->stride * i, p = start + off, units;

	units = (p - g->mem - 16) / 16;
	if (off) {
		put_n(start - 2, 2, off / 16);
		put_n(start - 3, 1, 7 << 5);
	}
	put_n(p - 2, 2, units > 0xffff ? 0 : units);
	put_n(p - 4, 1, units > 0xffff);
	if (units > 0xffff)
		put_n(p - 8, 4, units);
	put_size(p, start + g->stride - 4, n, i);
	return p;
}

/* A group of n slots in slot i of another one. */
static struct made nested(const struct made *parent, unsigned int i, unsigned int sc,
			  unsigned int n, uint32_t idle)
{
	uint64_t p = block(parent, i, parent->stride - 4, 0);

	put_n(p - 3, 1, i | 6 << 5);
	return group(p, sc, n, idle, 0, true);
}

static int census(struct mt_heap *h)
{
	void *state = NULL;
	int r = mt_walker_musl.find(&image, &state);

	*h = (struct mt_heap){0};
	if (!r) {
		r = mt_walker_musl.walk(&image, state, h);
		mt_walker_musl.free(&state);
		assert_null(state);
	}
	free(h->arenas);
	return r;
}

static struct mt_heap_arena arena_of(struct mt_heap *h)
{
	struct mt_heap_arena a;
	void *state = NULL;

	*h = (struct mt_heap){0};
	assert_int_equal(mt_walker_musl.find(&image, &state), 0);
	if (mt_walker_musl.walk(&image, state, h))
		fail_msg("%s", why);
	mt_walker_musl.free(&state);
	assert_int_equal(h->n_arenas, 1);
	a = h->arenas[0];
	free(h->arenas);
	h->arenas = NULL;
	assert_int_equal(a.address, CTX);
	assert_int_equal(a.system, a.in_use + a.free + a.top + a.cached + a.fast + a.other);
	return a;
}

static void check_class(const struct mt_heap *h, uint64_t size, uint64_t objects, uint64_t bytes)
{
	const struct mt_heap_class *c = &h->cls[mt_class_of(size)];

	assert_int_equal(c->objects, objects);
	assert_int_equal(c->bytes, bytes);
}

#endif
