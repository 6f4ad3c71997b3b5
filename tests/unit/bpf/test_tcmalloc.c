/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcmalloc's size reader over tables made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"

static long read_user_u64(__u64 *dst, __u64 addr);
#include "size_tcmalloc.bpf.h"

/* A target's memory: what stands in one array, at BASE. */
#define BASE  0x7f5500000000ull
#define BIAS  0x7f5500000000ull
#define WORDS 1024

enum {
	CACHE = 0x100, /* 128 entries */
	ROOT = 0x500,  /* of an upper level with 8 KiB pages and leaves of 4 pages */
	SIZES = 0x900, /* 128 sizes */
	CLASSES = 0xd00,
	LEAF = 0x1000,
	SPAN = 0x1100,
	SAMPLE = 0x1200,
};

#define PAGE_SHIFT 13
#define LEAF_BITS  2
#define CACHE_BITS 7

static uint64_t memory[WORDS];
static unsigned int reads;

static long read_user_u64(__u64 *dst, __u64 addr)
{
	uint64_t off = addr - BASE;

	reads++;
	if (off > sizeof(memory) - sizeof(*dst))
		return -EFAULT;
	memcpy(dst, (const char *)memory + off, sizeof(*dst));
	return 0;
}

static void put(uint64_t off, uint64_t value, size_t bytes)
{
	assert_true(off + bytes <= sizeof(memory));
	memcpy((char *)memory + off, &value, bytes);
}

static struct mt_file file;

static int make(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(&file, 0, sizeof(file));
	file.p[MT_TCMALLOC_CACHE] = CACHE;
	file.p[MT_TCMALLOC_ROOT] = ROOT;
	file.p[MT_TCMALLOC_SIZES] = SIZES;
	file.p[MT_TCMALLOC_CLASSES] = CLASSES;
	file.p[MT_TCMALLOC_SHIFTS] = MT_TCMALLOC_SHIFTS_OF(PAGE_SHIFT, LEAF_BITS, CACHE_BITS);
	file.p[MT_TCMALLOC_SPAN] = MT_TCMALLOC_SPAN_OF(0x28, 16, 26, 8, 0x20);
	for (uint64_t cl = 1; cl < 128; cl++)
		put(SIZES + 4 * cl, cl * 16, 4);
	return 0;
}

/* Cache entry 0x25, root entry 0x49, leaf entry 1. */
#define PAGE 0x125ull
#define PTR  (PAGE << PAGE_SHIFT | 0x340)

static void put_span(uint64_t word, uint64_t pages)
{
	put(ROOT + 8 * (PAGE >> LEAF_BITS), BASE + LEAF, 8);
	put(LEAF + 8 * (PAGE & 3), BASE + SPAN, 8);
	put(SPAN + 0x28, word, 8);
	put(SPAN + 8, pages, 8);
}

static void expect(uint64_t ptr, long result, uint64_t size, unsigned int most)
{
	__u64 got = 77;

	reads = 0;
	assert_int_equal(size_tcmalloc(&file, BIAS, ptr, &got), result);
	assert_int_equal(got, size);
	assert_true(reads <= most);
}

static void by_the_cache(void **state)
{
	(void)state;
	put(CACHE + 8 * (PAGE & 127), (PAGE & ~127ull) | 9, 8);
	expect(PTR, 0, 144, 2);
	put(CACHE + 8 * (PAGE & 127), (PAGE & ~127ull) | 127, 8);
	expect(PTR, 0, 127 * 16, 2);
	/* of a page elsewhere with the same lowest bits */
	put(CACHE + 8 * (PAGE & 127), (PAGE + 0x1000) & ~127ull, 8);
	expect(PTR, 0, 0, 2);
}

/* A cache that is all 0 does not say that low pages have class 0. */
static void empty_cache(void **state)
{
	const uint64_t page = 5, ptr = page << PAGE_SHIFT;

	(void)state;
	put(ROOT + 8 * (page >> LEAF_BITS), BASE + LEAF, 8);
	put(LEAF + 8 * (page & 3), BASE + SPAN, 8);
	put(SPAN + 0x28, 3 << 16, 8);
	expect(ptr, 0, 48, 5);
}

static void by_the_span(void **state)
{
	(void)state;
	/* neighbours of the class: 16 bits of counts before it, flags behind */
	put_span(0x3ull << 24 | 200u << 16 | 0xffff, 1);
	put(SIZES + 4 * 200, 4096, 4);
	expect(PTR, 0, 4096, 5);
	put_span(0x3ull << 24 | 0xffff, 33);
	expect(PTR, 0, 33ull << PAGE_SHIFT, 5);
	/* the bit means nothing where there is a class */
	put_span(1ull << 26 | 4u << 16, 1);
	expect(PTR, 0, 64, 5);
}

static void sampled(void **state)
{
	(void)state;
	put_span(1ull << 26, 1);
	put(SPAN + 0x20, BASE + SAMPLE, 8);
	put(SAMPLE, 100, 8);
	put(CLASSES + (100 + 7) / 8, 7, 1);
	put(CLASSES + (100 + 7) / 8 + 1, 8, 1);
	expect(PTR, 0, 112, 8);
	put(SAMPLE, MT_TCMALLOC_MAX + 1, 8);
	expect(PTR, 0, MT_TCMALLOC_MAX + (1 << PAGE_SHIFT), 8);
	put(SAMPLE, MT_TCMALLOC_MAX + (1 << PAGE_SHIFT), 8);
	expect(PTR, 0, MT_TCMALLOC_MAX + (1 << PAGE_SHIFT), 8);
	/* a version that never samples */
	file.p[MT_TCMALLOC_SPAN] = MT_TCMALLOC_SPAN_OF(0x28, 16, MT_TCMALLOC_NEVER, 8, 0x20);
	expect(PTR, 0, 1 << PAGE_SHIFT, 5);
}

static void nothing_there(void **state)
{
	(void)state;
	expect(0, 0, 0, 8);
	expect(PTR, 0, 0, 8); /* no leaf */
	put(ROOT + 8 * (PAGE >> LEAF_BITS), BASE + LEAF, 8);
	expect(PTR, 0, 0, 8);                           /* no span */
	expect(1ull << MT_TCMALLOC_ADDR_BITS, 0, 0, 0); /* no such address */
	expect(UINT64_MAX, 0, 0, 0);
}

static void unreadable(void **state)
{
	(void)state;
	put(ROOT + 8 * (PAGE >> LEAF_BITS), 8, 8);
	expect(PTR, -EFAULT, 0, 8); /* a leaf nowhere */
	put_span(0, 0);
	put(LEAF + 8 * (PAGE & 3), 16, 8);
	expect(PTR, -EFAULT, 0, 8); /* a span nowhere */
	put_span(1ull << 26, 1);
	put(SPAN + 0x20, 24, 8);
	expect(PTR, -EFAULT, 0, 8); /* a sample nowhere */
	put_span(0, UINT64_MAX);
	expect(PTR, 0, 0, 8); /* no length of a block */
	put_span(1u << 16, 1);
	put(SIZES + 4, UINT32_MAX, 4);
	expect(PTR, 0, 0, 8); /* no size of a class */
}

/* class_array has an entry per 8 bytes, then per 128, without a gap. */
static void index_of_requests(void **state)
{
	(void)state;
	assert_int_equal(mt_tcmalloc_index(0), 0);
	assert_int_equal(mt_tcmalloc_index(1), 1);
	assert_int_equal(mt_tcmalloc_index(8), 1);
	assert_int_equal(mt_tcmalloc_index(9), 2);
	assert_int_equal(mt_tcmalloc_index(1024), 128);
	assert_int_equal(mt_tcmalloc_index(1025), 129);
	assert_int_equal(mt_tcmalloc_index(1152), 129);
	assert_int_equal(mt_tcmalloc_index(1153), 130);
	assert_int_equal(mt_tcmalloc_index(MT_TCMALLOC_MAX), 2168);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(by_the_cache, make),
		cmocka_unit_test_setup(empty_cache, make),
		cmocka_unit_test_setup(by_the_span, make),
		cmocka_unit_test_setup(sampled, make),
		cmocka_unit_test_setup(nothing_there, make),
		cmocka_unit_test_setup(unreadable, make),
		cmocka_unit_test(index_of_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
