/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pieces of memory are read together where they are near, and come out the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "golang/snapshot.h"

#define BASE 0x10000ull
#define SIZE (1u << 20)
#define HOLE 0x8000ull /* from here on there is a page that is not there */

static unsigned int reads;

/* Each byte is made of its address. */
static int made_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	uint8_t *out = buf;

	(void)m;
	reads++;
	if (addr < BASE || n > SIZE || addr - BASE > SIZE - n)
		return -EFAULT;
	if (addr < BASE + HOLE + 4096 && addr + n > BASE + HOLE)
		return -EFAULT;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)((addr + i) * 7 >> 3);
	return 0;
}

static const struct mt_mem mem = {.read = made_read};
static uint8_t buf[16][64];

static struct mt_go_want piece(size_t i, uint64_t addr, uint32_t n)
{
	return (struct mt_go_want){.addr = addr, .to = buf[i], .n = n};
}

static size_t fetch(struct mt_go_want *v, size_t n)
{
	size_t failed;

	reads = 0;
	memset(buf, 0xee, sizeof(buf));
	failed = mt_go_fetch(&mem, v, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t want[64] = {0};

		if (!v[i].failed)
			made_read(&mem, v[i].addr, want, v[i].n);
		assert_memory_equal(v[i].to, want, v[i].n);
		reads -= !v[i].failed;
	}
	return failed;
}

static void reads_neighbours_at_once(void **state)
{
	struct mt_go_want v[] = {piece(0, BASE + 0x1000, 64), piece(1, BASE, 64),
				 piece(2, BASE + 0x20, 64), piece(3, BASE + 0x20, 8),
				 piece(4, BASE + 0x2040, 64)};

	(void)state;
	assert_int_equal(fetch(v, 5), 0);
	assert_int_equal(reads, 1);
	v[4] = piece(4, BASE + 0x2041 + 64, 64); /* too far from the one before */
	assert_int_equal(fetch(v, 5), 0);
	assert_int_equal(reads, 2);
}

static void reads_on_behind_a_hole(void **state)
{
	struct mt_go_want v[] = {piece(0, BASE + HOLE - 64, 64), piece(1, BASE + HOLE + 4096, 64),
				 piece(2, BASE + HOLE + 8, 64), piece(3, BASE + SIZE - 64, 64),
				 piece(4, BASE + SIZE - 63, 64)};

	(void)state;
	assert_int_equal(fetch(v, 5), 2);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(v[i].failed,
				 v[i].addr == BASE + HOLE + 8 || v[i].addr == BASE + SIZE - 63);
}

static void survives_the_end_of_addresses(void **state)
{
	struct mt_go_want v[] = {piece(0, UINT64_MAX, 64), piece(1, UINT64_MAX - 64, 64),
				 piece(2, 0, 64), piece(3, UINT64_MAX - 8, 64), piece(4, BASE, 64)};

	(void)state;
	assert_int_equal(fetch(v, 5), 4);
	assert_int_equal(mt_go_fetch(&mem, v, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_neighbours_at_once),
		cmocka_unit_test(reads_on_behind_a_hole),
		cmocka_unit_test(survives_the_end_of_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
