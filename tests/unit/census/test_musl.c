/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The musl walker over heaps built here as mallocng builds them, sound ones and broken ones. */
#include "made_musl.h"

static void empty(void **state)
{
	struct mt_heap h;
	struct mt_heap_arena a = arena_of(&h);

	(void)state;
	assert_int_equal(h.objects, 0);
	assert_int_equal(a.system, 0);
	assert_int_equal(h.span_bytes, 4096);
}

static void not_there(void **state)
{
	struct mt_image_area other[5];
	struct mt_heap h;

	(void)state;
	memcpy(other, areas, sizeof(areas));
	other[0].owner = false;
	image.areas = other;
	assert_int_equal(census(&h), -ENOENT);
	image.areas = areas;
	assert_int_equal(census(&h), 0);
	image.random = 0;
	assert_int_equal(census(&h), -ENOENT);
	image.random = 0x1000;
	assert_int_equal(census(&h), -ENOENT);
	image.random = STACK + 0x900; /* zeros */
	assert_int_equal(census(&h), -ENOENT);
	image.random = STACK + 0x808;
	ctx->init_done = 0;
	assert_int_equal(census(&h), -ENOENT);
	ctx->init_done = 1;
	ctx->area_head = AREA1;
	assert_int_equal(census(&h), -ENOENT);
}

/* Sizes that are told in three bits, and in the slot's last bytes; shifted in the slot. */
static void slots(void **state)
{
	struct made g = group(GROUPS, 3, 10, 0x201, 1, true);
	struct mt_heap_arena a;
	struct mt_heap h;

	(void)state;
	block(&g, 1, 60, 0);
	block(&g, 2, 59, 0);
	block(&g, 3, 56, 0);
	block(&g, 4, 55, 0);
	block(&g, 5, 0, 0);
	block(&g, 6, 44, 16);
	block(&g, 7, 1, 48);
	block(&g, 8, 12, 48);
	a = arena_of(&h);
	assert_int_equal(h.objects, 8);
	assert_int_equal(h.bytes, 60 + 59 + 56 + 55 + 44 + 1 + 12);
	check_class(&h, 0, 1, 0);
	check_class(&h, 8, 1, 1);
	check_class(&h, 16, 1, 12);
	check_class(&h, 48, 1, 44);
	check_class(&h, 64, 4, 60 + 59 + 56 + 55);
	assert_int_equal(a.system, 4096);
	assert_int_equal(a.in_use, 8 * 64);
	assert_int_equal(a.free, 2 * 64);
	assert_int_equal(h.idle, 0);
}

/* Groups in slots, and groups in the slots of these. */
static void groups_in_slots(void **state)
{
	struct made top = group(GROUPS, 23, 2, 0, 1, true), mid, low;
	struct mt_heap_arena a;
	struct mt_heap h;

	(void)state;
	block(&top, 1, 2000, 0);
	mid = nested(&top, 0, 14, 5, 0x1c);
	block(&mid, 0, 300, 0);
	low = nested(&mid, 1, 1, 10, 0x3f0);
	for (unsigned int i = 0; i < 4; i++)
		block(&low, i, 20, 0);
	a = arena_of(&h);
	assert_int_equal(h.objects, 6);
	assert_int_equal(h.bytes, 2000 + 300 + 80);
	assert_int_equal(a.system, 4096);
	assert_int_equal(a.in_use, 2032 + 400 + 4 * 32);
	assert_int_equal(a.free, 3 * 400 + 6 * 32);
}

/* Blocks with a mapping of their own, of a class and of none; an empty one that is kept. */
static void mapped(void **state)
{
	struct made big = group(GROUPS, 63, 1, 0, 64, true);
	struct made mid = group(GROUPS + 0x40000, 31, 1, 0, 3, true);
	struct mt_heap_arena a;
	struct mt_heap h;

	(void)state;
	group(GROUPS + 0x50000, 31, 1, 1, 2, true);
	block(&big, 0, 200000, 255 * 16);
	block(&mid, 0, 12000, 0);
	a = arena_of(&h);
	assert_int_equal(h.objects, 2);
	check_class(&h, 200000, 1, 200000);
	check_class(&h, 12000, 1, 12000);
	assert_int_equal(h.mapped_objects, 2);
	assert_int_equal(h.mapped_system, 67 * 4096);
	assert_int_equal(a.objects, 0);
	assert_int_equal(a.system, 2 * 4096);
	assert_int_equal(a.free, 2 * 4096 - 16);
	assert_int_equal(h.idle, 4096);
}

/* Alignments whose distance from the slot's start has more than 16 bits. */
static void aligned_far(void **state)
{
	struct made g = group(GROUPS, 63, 1, 0, 1536, true);
	const uint64_t first = 2 * MIB - GROUPS % (2 * MIB) - 16;
	struct mt_heap h;

	(void)state;
	block(&g, 0, 70000, first + 2 * MIB);
	arena_of(&h);
	assert_int_equal(h.bytes, 70000);
	/* What malloc had put there first has the same 16 bits, and its header stays. */
	reset(NULL);
	g = group(HEAP + 2 * MIB - 0x1000, 63, 1, 0, 1024, true);
	block(&g, 0, 3 * MIB, 255 * 16);
	block(&g, 0, 71000, 255 * 16 + MIB);
	arena_of(&h);
	assert_int_equal(h.objects, 1);
	assert_int_equal(h.bytes, 71000);
}

/* Memory of the program's own files, given to the allocator at the start. */
static void donated(void **state)
{
	struct made g = group(LIBC + 0x2010, 19, 1, 0, 0, false);
	struct mt_heap_arena a;
	struct mt_heap h;

	(void)state;
	group(LIBC + 0x2010 + 64 * 16, 11, 1, 1, 0, false);
	block(&g, 0, 900, 32);
	a = arena_of(&h);
	assert_int_equal(h.objects, 1);
	assert_int_equal(h.bytes, 900);
	assert_int_equal(a.system, 16 + 63 * 16 + 16 + 15 * 16);
	assert_int_equal(a.free, 15 * 16);
}

/* Pages that lie wholly in free slots; the bytes in front of a block's slot are in use. */
static void idle(void **state)
{
	struct made g = group(GROUPS, 31, 8, 0xee, 17, true);
	struct mt_image_ranges ranges = {0};
	struct made next;
	struct mt_heap h;

	(void)state;
	block(&g, 0, 8000, 0);
	block(&g, 4, 8000, 0);
	image.idle = &ranges;
	arena_of(&h);
	/* Slots 1 to 3 end at 4 * 8176 + 16, in page 7; slot 5 begins in page 9. */
	assert_int_equal(h.idle, (7 - 2) * 4096 + (17 - 10) * 4096);
	assert_int_equal(ranges.n, 2);
	assert_true(ranges.v[0].lo == GROUPS + 2 * 4096);
	assert_true(ranges.v[1].hi == GROUPS + 17 * 4096);
	free(ranges.v);
	image.idle = NULL;
	/* A slot that begins with a page: its header is in the one in front. */
	next = group(GROUPS + 0x20000, 31, 2, 1, 4, true);
	block(&next, 1, 8000, 0);
	arena_of(&h);
	assert_int_equal(h.idle, (7 - 2) * 4096 + (17 - 10) * 4096);
}

/* The descriptors of a second area, and free ones among those of the first. */
static void two_areas(void **state)
{
	struct made g;
	struct mt_heap h;

	(void)state;
	for (unsigned int i = 0; i < MT_MUSL_AREA_SLOTS; i++) {
		g = group(GROUPS + i * 0x1000, 63, 1, 0, 1, true);
		block(&g, 0, 100 + i, 0);
	}
	area(AREA0)->slots[50] = (struct mt_musl_meta){.prev = 1, .next = 1};
	area(AREA0)->next = AREA1;
	put_area(AREA1);
	ctx->area_tail = AREA1;
	ctx->avail_meta = AREA1 + SLOTS;
	ctx->avail_meta_count = MT_MUSL_AREA_SLOTS;
	g = group(HEAP + 4 * MIB, 63, 1, 0, 1, true);
	block(&g, 0, 4000, 0);
	arena_of(&h);
	assert_int_equal(h.objects, 101);
	assert_int_equal(h.mapped_system, 101 * 4096);
	assert_int_equal(h.span_bytes, 8192);
	area(AREA0)->slots[50].prev = 0;
	assert_int_equal(census(&h), -EAGAIN);
}

/* A heap of all kinds, whose every part is then broken once. */
static void all_kinds(void)
{
	struct made top, low, big, given;

	reset(NULL);
	top = group(GROUPS, 23, 2, 0, 1, true);
	block(&top, 1, 1000, 32);
	low = nested(&top, 0, 1, 10, 0x3f0);
	for (unsigned int i = 0; i < 4; i++)
		block(&low, i, 20, 0);
	big = group(GROUPS + 0x40000, 63, 1, 0, 64, true);
	block(&big, 0, 200000, 64);
	given = group(LIBC + 0x2010, 19, 1, 0, 0, false);
	block(&given, 0, 900, 32);
}

/* Writes into the image of all_kinds, each of which breaks one rule. */
#define M0  (AREA0 + SLOTS)
#define M1  (M0 + 40)
#define M2  (M1 + 40)
#define M3  (M2 + 40)
#define LOW (GROUPS + 16)
static const struct {
	uint64_t addr;
	unsigned int n;
	uint64_t value;
} bad[] = {
	{CTX + 64, 8, AREA1},                           /* the tail */
	{CTX + 32, 8, 90},                              /* how many descriptors are left */
	{CTX + 32, 8, 1000},                            /* more than fit */
	{CTX + 464 + 8, 8, 11},                         /* slots of a class */
	{AREA0 + 8, 8, AREA0},                          /* a loop */
	{AREA0 + 8, 8, AREA1},                          /* no area */
	{AREA0 + 8, 8, AREA0 + 8},                      /* not aligned */
	{AREA0 + 8, 8, 0x1000},                         /* nowhere */
	{M0 + 16, 8, 0},                                /* neither used nor free */
	{M0 + 16, 8, GROUPS + 8},                       /* not aligned */
	{M0 + 16, 8, GROUPS + 16},                      /* not a page */
	{M0 + 16, 8, GROUPS + 0x1000},                  /* another place */
	{M0 + 16, 8, 0x1000},                           /* nowhere */
	{M0 + 16, 8, ~15ull},                           /* the end of all memory */
	{M0 + 24, 4, 4},                                /* available, and not there */
	{M1 + 28, 4, 0x10},                             /* freed and available */
	{M0 + 32, 8, 1 | 1 << 5 | 50 << 6 | 1 << 12},   /* no such class */
	{M0 + 32, 8, 1 | 1 << 5 | 24 << 6 | 1 << 12},   /* too large for its mapping */
	{M0 + 32, 8, 1 | 23 << 6 | 1 << 12},            /* mapped, never to be freed */
	{M0 + 32, 8, ~0ull << 12 | 1 << 5 | 23 << 6},   /* all memory */
	{M2 + 32, 8, 1 << 5 | 63 << 6 | 9000ull << 12}, /* more than is mapped */
	{M2 + 32, 8, 1 << 5 | 63 << 6},                 /* large, and not mapped */
	{M3 + 32, 8, 1 | 19 << 6},                      /* given, of two slots */
	{M3 + 32, 8, 19 << 6 | 1 << 5},                 /* given, and in no slot */
	{GROUPS, 8, M1},                                /* of another descriptor */
	{GROUPS + 8, 1, 2},                             /* more active than there are */
	{LOW - 3, 1, 4 << 5},                           /* the slot holds a block */
	{LOW - 3, 1, 7 << 5},                           /* … or is shifted by nothing */
	{LOW - 3, 1, 1 | 6 << 5},                       /* of another slot */
	{LOW + 13, 1, 6 << 5},                          /* a block that is to be a group */
	{LOW + 13, 1, 1},                               /* a block of another slot */
	{LOW + 14, 1, 1},                               /* at another place */
	{LOW + 12, 1, 1},                               /* … told in 32 bits */
	{LOW + 13, 1, 7 << 5},                          /* shifted by nothing */
	{LOW + 14, 2, 0xe0 << 8 | 0xff},                /* … by more than there is */
	{LOW + 16 + 28 - 4, 4, 29},                     /* more reserved than there is */
	{LOW + 16 + 28 - 4, 4, 3},                      /* less than is told there */
	{LOW + 16 + 28 - 5, 1, 1},                      /* written behind the block */
	{LOW + 16 + 28, 1, 1},                          /* written behind the slot */
	{LOW + 16 + 4 * 32 - 4, 1, 1},                  /* … and a free one is next */
	{M1 + 24, 4, 0x7f0},                            /* a free slot that is not there */
};

static void broken(void **state)
{
	struct mt_heap h;

	(void)state;
	all_kinds();
	assert_int_equal(census(&h), 0);
	assert_int_equal(h.objects, 7);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		all_kinds();
		put(bad[i].addr, &bad[i].value, bad[i].n);
		if (census(&h) != -EAGAIN)
			fail_msg("case %zu: %llu objects", i, (unsigned long long)h.objects);
		assert_true(why[0]);
	}
}

static void loop_of_areas(void **state)
{
	struct mt_heap h;

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		put_area(k ? AREA1 : AREA0);
		area(k ? AREA1 : AREA0)->next = AREA1;
		for (unsigned int i = 0; i < MT_MUSL_AREA_SLOTS; i++)
			area(k ? AREA1 : AREA0)->slots[i] =
				(struct mt_musl_meta){.prev = 1, .next = 1};
	}
	assert_int_equal(census(&h), -EAGAIN);
	assert_non_null(strstr(why, "loop"));
}

static void unreadable_parts(void **state)
{
	static const uint64_t places[] = {GROUPS, GROUPS + 0x100, GROUPS + 0x40000,
					  GROUPS + 0x40000 + 64 * 4096 - 8, LIBC + 0x2010};
	struct mt_heap h;

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		all_kinds();
		unreadable = places[i];
		/* The context's area is not to be found at all where a part of it cannot be read.
		 */
		assert_int_equal(census(&h), -EAGAIN);
	}
}

static void late(void **state)
{
	struct mt_heap h;

	(void)state;
	all_kinds();
	image.deadline_ns = 1;
	assert_int_equal(census(&h), -ETIME);
}

/* Whatever stands there, a walk ends, and says nothing but yes, no or not there. */
static void anything(void **state)
{
	static const uint64_t places[][2] = {{CTX, sizeof(*ctx)},
					     {AREA0, SLOTS + 5 * 40},
					     {GROUPS, 0x800},
					     {GROUPS + 0x40000, 0x100},
					     {LIBC + 0x2010, 0x40}};
	uint64_t x = 88172645463325252ull;
	struct mt_heap h;

	(void)state;
	all_kinds();
	for (unsigned int i = 0; i < 50000; i++) {
		unsigned int k = (unsigned int)((x >> 20) % (sizeof(places) / sizeof(places[0])));
		uint64_t addr = places[k][0] + (x >> 32) % places[k][1];
		uint8_t old = *at(addr, 1);
		int r;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		put_n(addr, 1,
		      x & 0x80000 ? (unsigned int)(x >> 40) & 0xff : old ^ 1u << (x >> 50 & 7));
		r = census(&h);
		assert_true(!r || r == -EAGAIN || r == -ENOENT);
		if (x >> 60)
			put_n(addr, 1, old);
		else if (i % 64 == 0)
			all_kinds();
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, reset)
	const struct CMUnitTest tests[] = {
		T(empty),         T(not_there),        T(slots), T(groups_in_slots), T(mapped),
		T(aligned_far),   T(donated),          T(idle),  T(two_areas),       T(broken),
		T(loop_of_areas), T(unreadable_parts), T(late),  T(anything)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
