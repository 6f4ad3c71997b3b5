/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The reader of jemalloc's sizes, compiled on the host, over memory made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "abi.h"

/* Words of the target's memory; what is not here cannot be read. */
static struct {
	uint64_t addr, value;
} words[16];
static size_t n_words;

static long read_user_u64(__u64 *dst, __u64 addr)
{
	for (size_t i = 0; i < n_words; i++) {
		if (words[i].addr != addr)
			continue;
		*dst = words[i].value;
		return 0;
	}
	return -EFAULT;
}

#include "size_jemalloc.bpf.h"

#define BIAS   0x7f1200000000ull
#define ROOT   0xd5b18ull
#define TABLE  0x2ebac0ull
#define PAD    0x2ec200ull
#define MIDDLE 0x7f0000800000ull
#define LEAF   0x7f0000a00000ull
#define EXTENT 0x7f0000b00080ull
/* Bits 47 and 56 are set in no user address; all others may be. */
#define PTR_48 0x7edcba987650ull
#define PTR_57 0x00fedcba98765430ull

static void put(uint64_t addr, uint64_t value)
{
	assert_true(n_words < sizeof(words) / sizeof(words[0]));
	words[n_words].addr = addr;
	words[n_words++].value = value;
}

static struct mt_file file_of(enum mt_jemalloc_tree tree, uint64_t pad)
{
	struct mt_file f = {.layout = MT_LAYOUT_JEMALLOC};

	f.p[MT_JEMALLOC_P_TREE] = tree;
	f.p[MT_JEMALLOC_P_ROOT] = ROOT;
	f.p[MT_JEMALLOC_P_TABLE] = TABLE;
	f.p[MT_JEMALLOC_P_PAD] = pad;
	n_words = 0;
	return f;
}

/* A block of the class with that index, of that size. */
static void put_48(uint32_t index, uint64_t size)
{
	put(BIAS + ROOT + (PTR_48 / (1ull << 30)) * 8, LEAF);
	/* slab, head and a state: the flags below the extent's address */
	put(LEAF + PTR_48 % (1ull << 30) / 4096 * 8, (uint64_t)index << 48 | EXTENT | 7);
	put(BIAS + TABLE + index * 8ull, size);
}

static void put_57(uint64_t meta, uint32_t index, uint64_t size)
{
	put(BIAS + ROOT + (PTR_57 >> 42) * 8, MIDDLE);
	put(MIDDLE + PTR_57 % (1ull << 42) / (1ull << 27) * 8, LEAF);
	put(LEAF + PTR_57 % (1ull << 27) / 4096 * 16, EXTENT);
	put(LEAF + PTR_57 % (1ull << 27) / 4096 * 16 + 8, meta);
	put(BIAS + TABLE + index * 8ull, size);
}

static void expect(const struct mt_file *f, uint64_t ptr, uint64_t want)
{
	__u64 size = 99;

	assert_int_equal(size_jemalloc(f, BIAS, ptr, &size), 0);
	assert_int_equal(size, want);
}

static void test_48(void **state)
{
	struct mt_file f = file_of(MT_JEMALLOC_48, 0);

	(void)state;
	put_48(17, 320);
	expect(&f, PTR_48, 320);
	/* Large, and sized by its class. */
	f = file_of(MT_JEMALLOC_48, 0);
	put_48(100, 7ull << 30);
	expect(&f, PTR_48, 7ull << 30);
}

static void test_57(void **state)
{
	struct mt_file f = file_of(MT_JEMALLOC_57_52, 0);

	(void)state;
	/* 5.2: the index, then a bool of its own. */
	put_57(17 | 1ull << 32, 17, 320);
	expect(&f, PTR_57, 320);
	f = file_of(MT_JEMALLOC_57_53, 0);
	put_57(17 << 5 | 0x1f | 0xdeadull << 32, 17, 320);
	expect(&f, PTR_57, 320);
}

/* 5.3.1: the extent's pages, less the one that shifts blocks against each other. */
static void test_by_extent(void **state)
{
	struct mt_file f = file_of(MT_JEMALLOC_48, PAD);

	(void)state;
	put_48(39, 20480);
	put(EXTENT + 16, 0x6000 | 0x123);
	put(BIAS + PAD, 4096);
	expect(&f, PTR_48, 0x5000);
	words[n_words - 1].value = 0; /* opt.cache_oblivious:false */
	expect(&f, PTR_48, 0x6000);
	/* A small block that is sampled has an extent of its own, which is larger. */
	f = file_of(MT_JEMALLOC_48, PAD);
	put_48(35, 14336);
	put(EXTENT + 16, 0x6000);
	put(BIAS + PAD, 4096);
	expect(&f, PTR_48, 14336);
	f = file_of(MT_JEMALLOC_57_53, PAD);
	put_57(36 << 5, 36, 16384);
	put(EXTENT + 16, 0x6fff);
	put(BIAS + PAD, 4096);
	expect(&f, PTR_57, 0x5000);
}

/* An upper half address, which an extent's may not be: the sign is restored all the same. */
static void test_extent_sign(void **state)
{
	(void)state;
	assert_int_equal(mt_jemalloc_extent(MT_JEMALLOC_48, 0x00248000000000ffull),
			 0xffff800000000080ull);
	assert_int_equal(mt_jemalloc_extent(MT_JEMALLOC_48, 0x00247000000000ffull),
			 0x0000700000000080ull);
}

static void test_no_block(void **state)
{
	struct mt_file f = file_of(MT_JEMALLOC_48, PAD);

	(void)state;
	put(BIAS + ROOT + (PTR_48 >> 30) * 8, 0); /* no leaf */
	expect(&f, PTR_48, 0);
	f = file_of(MT_JEMALLOC_48, PAD);
	put_48(0, 8);
	words[1].value = 0; /* a page that jemalloc never had */
	expect(&f, PTR_48, 0);
	for (uint32_t index = MT_JEMALLOC_CLASSES; index < 256; index++) {
		f = file_of(MT_JEMALLOC_48, PAD);
		put_48(index, 4096); /* free pages: what stands behind the table is no size */
		expect(&f, PTR_48, 0);
	}
	f = file_of(MT_JEMALLOC_57_53, PAD);
	put_57(0, 0, 8);
	words[1].value = 0; /* no leaf */
	expect(&f, PTR_57, 0);
	f = file_of(MT_JEMALLOC_48, PAD);
	put_48(40, 24576);
	put(EXTENT + 16, 0x1000); /* an extent no larger than the pad */
	put(BIAS + PAD, 0x1000);
	expect(&f, PTR_48, 0);
}

/* Each of the words may be unreadable: an error then, and no size. */
static void test_unreadable(void **state)
{
	struct mt_file f;
	__u64 size;

	(void)state;
	for (size_t k = 0; k < 5; k++) {
		f = file_of(MT_JEMALLOC_48, PAD);
		put_48(40, 24576);
		put(EXTENT + 16, 0x8000);
		put(BIAS + PAD, 4096);
		words[k].addr = 1;
		size = 99;
		assert_int_equal(size_jemalloc(&f, BIAS, PTR_48, &size), -EFAULT);
	}
	for (size_t k = 0; k < 5; k++) {
		f = file_of(MT_JEMALLOC_57_53, 0);
		put_57(17 << 5, 17, 320);
		words[k].addr = 1;
		size = 99;
		assert_int_equal(size_jemalloc(&f, BIAS, PTR_57, &size), -EFAULT);
		assert_int_equal(size, 0);
	}
}

/* Whatever the table holds, only sizes of classes are believed: four to a doubling. */
static void test_sane(void **state)
{
	(void)state;
	for (unsigned int shift = 3; shift < 47; shift++)
		for (uint64_t quarter = 4; quarter < 8; quarter++) {
			const uint64_t size = quarter * ((1ull << shift) / 4);

			assert_int_equal(mt_jemalloc_sane(size), size % 8 ? 0 : size);
			assert_int_equal(mt_jemalloc_sane(size + 1), 0);
		}
	assert_int_equal(mt_jemalloc_sane(0), 0);
	assert_int_equal(mt_jemalloc_sane(7), 0);
	assert_int_equal(mt_jemalloc_sane(1ull << 47), 0);
	assert_int_equal(mt_jemalloc_sane(7ull << 60), 0);
	assert_int_equal(mt_jemalloc_sane(UINT64_MAX), 0);
	assert_int_equal(mt_jemalloc_large(1ull << 47, 0), 0);
	assert_int_equal(mt_jemalloc_large(UINT64_MAX, 4096), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_48),        cmocka_unit_test(test_57),
		cmocka_unit_test(test_by_extent), cmocka_unit_test(test_extent_sign),
		cmocka_unit_test(test_no_block),  cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_sane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
