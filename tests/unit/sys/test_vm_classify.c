/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Classification over recorded images: words at addresses, the rest zeros. */
#include "sys/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MIB   (1ull << 20)
#define KIB   1024ull
#define ARENA 0x7f0000000000ull /* a multiple of 64 MiB */
#define BASE  0x7f1000000000ull
#define WORDS 64

struct word {
	uint64_t addr, value;
};

static struct word words[WORDS];
static size_t n_words, n_reads;
static bool skips; /* the image tells where nothing is */
static uint64_t unreadable;

static void put(uint64_t addr, uint64_t value)
{
	assert_true(n_words < WORDS);
	words[n_words++] = (struct word){addr, value};
}

static int image_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	(void)m;
	n_reads++;
	if (unreadable && addr <= unreadable && unreadable < addr + n)
		return -EFAULT;
	memset(buf, 0, n);
	for (size_t i = 0; i < n_words; i++) {
		if (words[i].addr >= addr && words[i].addr + 8 <= addr + n)
			memcpy((char *)buf + (words[i].addr - addr), &words[i].value, 8);
	}
	return 0;
}

static uint64_t image_skip(const struct mt_mem *m, uint64_t addr, uint64_t end)
{
	uint64_t first = end;

	(void)m;
	for (size_t i = 0; i < n_words; i++) {
		uint64_t page = words[i].addr & ~4095ull;

		if (page >= addr && page < first)
			first = page;
	}
	return first;
}

static int reset(void **state)
{
	(void)state;
	skips = false;
	n_words = n_reads = 0;
	unreadable = 0;
	return 0;
}

/* One reading; cache NULL: the first and only one. */
static struct mt_vm_parts read_again(const struct mt_mapping *v, size_t n, uint64_t start_brk,
				     const uint64_t *heads, size_t n_heads,
				     struct mt_vm_cache **cache)
{
	struct mt_vm_cache *none = NULL, **use = cache ? cache : &none;
	struct mt_mem mem = {.read = image_read, .skip = skips ? image_skip : NULL};
	struct mt_vm_areas areas = {0};
	struct mt_vm_parts parts;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(mt_vm_areas_add(&areas, &v[i]), 0);
	assert_int_equal(mt_vm_cache_begin(use), 0);
	assert_int_equal(mt_vm_classify(&areas, &mem, start_brk, heads, n_heads, *use, &parts), 0);
	mt_vm_areas_fini(&areas);
	mt_vm_cache_free(&none);
	return parts;
}

static struct mt_vm_parts classify(const struct mt_mapping *v, size_t n, uint64_t start_brk,
				   const uint64_t *heads, size_t n_heads)
{
	return read_again(v, n, start_brk, heads, n_heads, NULL);
}

#define ANON(s, e)                                                                                 \
	{                                                                                          \
		.start = (s), .end = (e), .read = true, .write = true, .path = ""                  \
	}
#define NAMED(s, e, p)                                                                             \
	{                                                                                          \
		.start = (s), .end = (e), .read = true, .write = true, .path = (p)                 \
	}
#define FORBIDDEN(s, e)                                                                            \
	{                                                                                          \
		.start = (s), .end = (e), .path = ""                                               \
	}
#define CLASSIFY(v)       classify(v, sizeof(v) / sizeof((v)[0]), 0, NULL, 0)
#define WITH_STACKS(v, h) classify(v, sizeof(v) / sizeof((v)[0]), 0, h, sizeof(h) / sizeof((h)[0]))

static void put_block(uint64_t addr, uint64_t size)
{
	put(addr + 8, size | 2);
}

static void put_heap_info(uint64_t heap, uint64_t ar, uint64_t prev, uint64_t size, uint64_t access)
{
	put(heap, ar);
	put(heap + 8, prev);
	put(heap + 16, size);
	put(heap + 24, access);
}

static void brk_heap(void **state)
{
	struct mt_mapping v[] = {
		NAMED(0x10000, 0x30000, "[heap]"),
		NAMED(0x30000, 0x31000, "[heap]"),
		NAMED(0x40000, 0x50000, "/heap"),
		NAMED(0x7ff000, 0x800000, "[stack]"),
	};
	struct mt_vm_parts p = classify(v, 4, 0x12345, NULL, 0);

	(void)state;
	v[2].inode = 5;
	assert_int_equal(p.heap, 0x31000 - 0x13000);
	assert_int_equal(p.stack, 0x1000);
	assert_int_equal(CLASSIFY(v).heap, 0x21000);
	v[0].write = false;
	assert_int_equal(CLASSIFY(v).heap, 0x1000);
}

static void arena(void **state)
{
	const struct mt_mapping v[] = {ANON(ARENA, ARENA + 0x21000),
				       FORBIDDEN(ARENA + 0x21000, ARENA + 64 * MIB)};

	(void)state;
	assert_int_equal(CLASSIFY(v).heap, 0);
	put_heap_info(ARENA, ARENA + 0x30, 0, 0x1f000, 0x21000);
	assert_int_equal(CLASSIFY(v).heap, 0x21000);
}

/* What is merged with an arena is looked at, and is not the arena's. */
static void arena_merged(void **state)
{
	const struct mt_mapping v[] = {ANON(ARENA - MIB, ARENA + 65 * MIB)};

	(void)state;
	put_heap_info(ARENA, ARENA + 0x20, 0, 64 * MIB, 64 * MIB);
	put_block(ARENA + 64 * MIB, 512 * KIB);
	assert_int_equal(CLASSIFY(v).heap, 64 * MIB + 512 * KIB);
}

static void arena_of_many_heaps(void **state)
{
	const struct mt_mapping v[] = {ANON(ARENA, ARENA + 64 * MIB),
				       ANON(ARENA + 128 * MIB, ARENA + 128 * MIB + 0x5000)};

	(void)state;
	put_heap_info(ARENA, ARENA + 0x30, 0, 64 * MIB, 64 * MIB);
	put_heap_info(ARENA + 128 * MIB, ARENA + 0x30, ARENA, 0x5000, 0x5000);
	assert_int_equal(CLASSIFY(v).heap, 64 * MIB + 0x5000);
}

static void arena_lies(void **state)
{
	static const uint64_t bad[][4] = {
		{ARENA + 0x31, 0, 0x1000, 0x1000},     /* not aligned */
		{ARENA + 0x1000, 0, 0x1000, 0x1000},   /* too far off */
		{ARENA + 0x30, 0, 0, 0x1000},          /* empty */
		{ARENA + 0x30, 0, 0x800, 0x1000},      /* not pages */
		{ARENA + 0x30, 0, 0x2000, 0x1000},     /* more than accessible */
		{ARENA + 0x30, 0, 0x1000, 0x22000},    /* more than mapped */
		{ARENA + 0x30, 0, 0x1000, 0x1001},     /* not pages */
		{ARENA + 0x30, ARENA, 0x1000, 0x1000}, /* its own predecessor */
		{ARENA + 64 * MIB + 0x30, ARENA + 64 * MIB, 0x1000, 0x1000}, /* not owned there */
		{0, 0, ~0ull, ~0ull},
		{ARENA + 0x30, 0, 0x1000, 1ull << 63},
	};
	const struct mt_mapping v[] = {ANON(ARENA, ARENA + 0x21000)};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		reset(NULL);
		put_heap_info(ARENA, bad[i][0], bad[i][1], bad[i][2], bad[i][3]);
		assert_int_equal(CLASSIFY(v).heap, 0);
	}
}

static void adjacent_blocks(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 0x60000),
				       ANON(BASE + 0x60000, BASE + 0x70000)};

	(void)state;
	put_block(BASE, 0x20000);
	put_block(BASE + 0x20000, 0x1000);
	put_block(BASE + 0x21000, 0x4f000); /* over the edge of two mappings */
	assert_int_equal(CLASSIFY(v).heap, 0x70000);
}

static void blocks_of_glibc_243(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 0x30000)};
	const uint64_t huge = (BASE + 2 * MIB - 1) & ~(2 * MIB - 1);
	const struct mt_mapping w[] = {ANON(huge, huge + 4 * MIB)};

	(void)state;
	put_block(BASE, 0x20000 - 16);
	put_block(BASE + 0x20000, 0x10000 - 16);
	assert_int_equal(CLASSIFY(v).heap, 0x30000);
	reset(NULL);
	put(huge, 1);
	put_block(huge, 4 * MIB - 16);
	assert_int_equal(CLASSIFY(w).heap, 4 * MIB);
}

/* CPython's integers: a reference count of 1 and a value that looks like a size. */
static void integers_are_no_blocks(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 2 * MIB)};

	(void)state;
	put(BASE + 0x1000, 1);
	put_block(BASE + 0x1000, 0x25ff0);
	put(BASE + 0x3000, 1);
	put_block(BASE + 0x3000, 0x25000);
	assert_int_equal(CLASSIFY(v).heap, 0);
}

static void block_lies(void **state)
{
	static const uint64_t bad[] = {
		0x20000, 0x20001, 0x20003,       0x20006,        0x20802,
		2,       0x41002, ~0ull & ~5ull, 1ull << 63 | 2,
	};
	const struct mt_mapping v[] = {ANON(BASE, BASE + 0x40000)};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		reset(NULL);
		put(BASE + 8, bad[i]);
		assert_int_equal(CLASSIFY(v).heap, 0);
	}
	reset(NULL);
	put(BASE, 64);
	put_block(BASE, 0x20000);
	assert_int_equal(CLASSIFY(v).heap, 0);
}

/* memalign: the stale header says what the block was, the real one what it is. */
static void aligned_blocks(void **state)
{
	static const uint64_t offsets[] = {48,   112,  240,           496,           1008,
					   2032, 4080, 2 * 4096 - 16, 16 * 4096 - 16};
	const struct mt_mapping v[] = {ANON(BASE, BASE + 0x80000)};

	(void)state;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint64_t real = BASE + offsets[i];

		reset(NULL);
		put_block(BASE, 0x30000);
		put(real, offsets[i]);
		put(real + 8, (0x50000 - offsets[i]) | 2);
		assert_int_equal(CLASSIFY(v).heap, 0x50000);
	}
}

static void blocks_behind_other_memory(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 0x200000)};

	(void)state;
	put(BASE, 0x1234);
	put_block(BASE + 0x41000, 0x30000);
	put_block(BASE + 0x100000, 0x1000); /* too small to be believed there */
	put_block(BASE + 0x180000, 0x20000);
	assert_int_equal(CLASSIFY(v).heap, 0x50000);
}

static void only_private_writable(void **state)
{
	struct mt_mapping v[] = {ANON(BASE, BASE + 0x20000)};

	(void)state;
	put_block(BASE, 0x20000);
	assert_int_equal(CLASSIFY(v).heap, 0x20000);
	v[0].path = "[anon:glibc: malloc]";
	assert_int_equal(CLASSIFY(v).heap, 0x20000);
	v[0].path = "[vvar]";
	assert_int_equal(CLASSIFY(v).heap, 0);
	v[0].path = "";
	v[0].shared = true;
	assert_int_equal(CLASSIFY(v).heap, 0);
	v[0].shared = false;
	v[0].write = false;
	assert_int_equal(CLASSIFY(v).heap, 0);
	v[0].write = true;
	v[0].inode = 9;
	assert_int_equal(CLASSIFY(v).heap, 0);
}

#define STACK     (8 * MIB)
#define HEAD(top) ((top)-1568) /* struct pthread ends at the top of the stack */

/* What glibc keeps of a stack, some way behind the list head. */
static void put_pthread(uint64_t head, uint64_t stack, uint64_t size, uint64_t guard)
{
	put(head + 944, stack);
	put(head + 952, size);
	put(head + 960, guard);
}

static void guarded_stacks(void **state)
{
	const struct mt_mapping v[] = {FORBIDDEN(BASE, BASE + 0x1000),
				       ANON(BASE + 0x1000, BASE + STACK),
				       FORBIDDEN(BASE + STACK, BASE + STACK + 0x1000),
				       ANON(BASE + STACK + 0x1000, BASE + 2 * STACK + 0x30000)};
	const uint64_t heads[] = {HEAD(BASE + 2 * STACK), HEAD(BASE + STACK), 0};
	struct mt_vm_parts p;

	(void)state;
	put_block(BASE + 2 * STACK, 0x30000);
	p = WITH_STACKS(v, heads);
	assert_int_equal(p.stack, 2 * STACK - 0x2000);
	assert_int_equal(p.heap, 0x30000);
	put_pthread(heads[0], BASE + STACK, STACK, 0x1000);
	put_pthread(heads[1], BASE, STACK, 0x1000);
	p = WITH_STACKS(v, heads);
	assert_int_equal(p.stack, 2 * STACK - 0x2000);
	assert_int_equal(p.heap, 0x30000);
}

/* Without guards neighbours are one mapping: struct pthread divides them. */
static void unguarded_stacks(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 2 * STACK + 4 * MIB)};
	const uint64_t heads[] = {HEAD(BASE + MIB + STACK), HEAD(BASE + 2 * MIB + 2 * STACK)};
	struct mt_vm_parts p;

	(void)state;
	put_pthread(heads[0], BASE + MIB, STACK, 0);
	put_pthread(heads[1], BASE + 2 * MIB + STACK, STACK, 0);
	put_block(BASE + MIB + STACK, MIB);
	p = WITH_STACKS(v, heads);
	assert_int_equal(p.stack, 2 * STACK);
	assert_int_equal(p.heap, MIB);
}

static void stack_inside_heap(void **state)
{
	const struct mt_mapping v[] = {NAMED(0x10000, 0x50000, "[heap]"), ANON(BASE, BASE + MIB)};
	const uint64_t heads[] = {HEAD(BASE + 512 * KIB), HEAD(0x40000), 0x999999, ~0ull};
	struct mt_vm_parts p;

	(void)state;
	put_block(BASE, MIB);
	put_pthread(heads[0], BASE + 256 * KIB, 256 * KIB, 0);
	p = WITH_STACKS(v, heads);
	assert_int_equal(p.stack, 0);
	assert_int_equal(p.heap, 0x40000 + MIB);
}

/* A struct pthread that lies stays within the mapping that holds it. */
static void stack_lies(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + MIB),
				       FORBIDDEN(BASE + MIB, BASE + 2 * MIB)};
	const uint64_t heads[] = {HEAD(BASE + MIB)};

	(void)state;
	put_pthread(heads[0], 0x1000, BASE + 4096 * MIB, 0);
	assert_int_equal(WITH_STACKS(v, heads).stack, MIB);
	reset(NULL);
	put_pthread(heads[0], BASE - 512 * MIB, 513 * MIB, 0);
	assert_int_equal(WITH_STACKS(v, heads).stack, MIB);
	reset(NULL);
	put_pthread(heads[0], BASE, MIB, ~0ull);
	assert_int_equal(WITH_STACKS(v, heads).stack, MIB);
}

static void nothing_readable(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 0x1000)};

	(void)state;
	put_block(BASE, 0x1000);
	unreadable = BASE + 8;
	assert_int_equal(CLASSIFY(v).heap, 0);
}

static void huge_mapping_is_bounded(void **state)
{
	const struct mt_mapping v[] = {ANON(0x100000000000ull, 0x700000000000ull)};
	struct mt_vm_parts p = CLASSIFY(v);

	(void)state;
	assert_int_equal(p.heap, 0);
	assert_true(n_reads <= 1u << 18);
}

#define READING_MAX (3 * 8192u) /* reads; what one reading may cost */

/* Readings until heap is found; each of them is bounded. */
static size_t readings_until(const struct mt_mapping *v, uint64_t heap, struct mt_vm_cache **cache)
{
	for (size_t i = 1; i < 100; i++) {
		uint64_t found;

		n_reads = 0;
		found = read_again(v, 1, 0, NULL, 0, cache).heap;
		assert_true(n_reads <= READING_MAX);
		if (found == heap)
			return i;
	}
	fail();
	return 0;
}

/* Much memory of another allocator: each reading looks at some of it, until all is known. */
static void far_block_is_found_later(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 512 * MIB)};
	const struct mt_mapping grown[] = {ANON(BASE - 1024 * MIB, BASE + 512 * MIB)};
	struct mt_vm_cache *cache = NULL;

	(void)state;
	put(BASE, 5);
	put_block(BASE + 300 * MIB, MIB);
	put_block(BASE + 301 * MIB, MIB);
	assert_true(readings_until(v, 2 * MIB, &cache) > 1);
	/* Known, it is found at once, behind memory that is new too. */
	n_words--;
	assert_int_equal(readings_until(v, MIB, &cache), 1);
	assert_int_equal(readings_until(grown, MIB, &cache), 1);
	mt_vm_cache_free(&cache);
	assert_null(cache);
}

/* A chain of blocks that new memory of others has grown in front of is not lost. */
static void known_blocks_behind_new_memory(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 512 * MIB)};
	const struct mt_mapping grown[] = {ANON(BASE - 1024 * MIB, BASE + 512 * MIB)};
	struct mt_vm_cache *cache = NULL;

	(void)state;
	put_block(BASE, MIB);
	assert_int_equal(readings_until(v, MIB, &cache), 1);
	assert_int_equal(readings_until(grown, MIB, &cache), 1);
	mt_vm_cache_free(&cache);
}

/* What held nothing may hold a block later. */
static void known_memory_is_looked_at_again(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + 64 * MIB)};
	struct mt_vm_cache *cache = NULL;

	(void)state;
	put(BASE, 5);
	for (int i = 0; i < 20; i++)
		assert_int_equal(read_again(v, 1, 0, NULL, 0, &cache).heap, 0);
	put_block(BASE + 40 * MIB, MIB);
	readings_until(v, MIB, &cache);
	put_block(BASE + 20 * MIB, MIB);
	readings_until(v, 2 * MIB, &cache);
	n_words = 1;
	assert_int_equal(readings_until(v, 0, &cache), 1);
	mt_vm_cache_free(&cache);
}

/* Memory that was never written costs nothing. */
static void untouched_memory_is_skipped(void **state)
{
	const struct mt_mapping v[] = {ANON(BASE, BASE + (1ull << 42))};

	(void)state;
	skips = true;
	put(BASE, 5);
	put_block(BASE + (1ull << 41) + 0x5000, MIB);
	assert_int_equal(CLASSIFY(v).heap, MIB);
	assert_true(n_reads < 1000);
}

/* Known without looking at what lies in front: arenas begin at places of their own. */
static void arena_behind_much_memory(void **state)
{
	const struct mt_mapping v[] = {ANON(ARENA, ARENA + 1024 * MIB)};

	(void)state;
	put_heap_info(ARENA + 960 * MIB, ARENA + 960 * MIB + 0x30, 0, 0x5000, 0x5000);
	assert_int_equal(CLASSIFY(v).heap, 0x5000);
	assert_true(n_reads <= READING_MAX);
}

static void areas_are_bounded(void **state)
{
	struct mt_vm_areas areas = {0};

	(void)state;
	for (uint64_t i = 1; i < 300000; i++) {
		struct mt_mapping m = ANON(i << 20, (i << 20) + 0x1000);

		assert_int_equal(mt_vm_areas_add(&areas, &m), 0);
	}
	assert_int_equal(areas.n, 1 << 18);
	mt_vm_areas_fini(&areas);
	assert_null(areas.v);
}

static void resident_parts(void **state)
{
	struct mt_mapping v[] = {NAMED(0x10000, 0x20000, "[heap]"), ANON(BASE, BASE + 0x40000),
				 NAMED(0x7fff00000000, 0x7fff00010000, "[stack]")};
	struct mt_vm_parts p;

	(void)state;
	v[0].rss = 0x8000;
	v[1].rss = 0x20000;
	v[2].rss = 0x3000;
	put_block(BASE, 0x10000);
	p = CLASSIFY(v);
	assert_int_equal(p.heap, 0x20000);
	assert_int_equal(p.heap_resident, 0x8000 + 0x8000);
	assert_int_equal(p.stack_resident, 0x3000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, reset)
	const struct CMUnitTest tests[] = {
		T(brk_heap),
		T(arena),
		T(arena_merged),
		T(arena_of_many_heaps),
		T(arena_lies),
		T(adjacent_blocks),
		T(blocks_of_glibc_243),
		T(integers_are_no_blocks),
		T(block_lies),
		T(aligned_blocks),
		T(blocks_behind_other_memory),
		T(only_private_writable),
		T(guarded_stacks),
		T(unguarded_stacks),
		T(stack_inside_heap),
		T(stack_lies),
		T(nothing_readable),
		T(huge_mapping_is_bounded),
		T(resident_parts),
		T(far_block_is_found_later),
		T(known_blocks_behind_new_memory),
		T(known_memory_is_looked_at_again),
		T(untouched_memory_is_skipped),
		T(arena_behind_much_memory),
		T(areas_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
