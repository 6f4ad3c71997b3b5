/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which of musl's mallocs a file has, and how large their blocks are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "alloc/musl.h"
#include "programs.h"

#define MEMORY      (1ull << 40)
#define MEMORY_SIZE (2u << 20)

static uint8_t memory[MEMORY_SIZE]; /* what read_user sees, from MEMORY on */

static long read_user(void *dst, uint32_t n, uint64_t addr)
{
	if (addr < MEMORY || addr - MEMORY > MEMORY_SIZE - n)
		return -EFAULT;
	memcpy(dst, memory + (addr - MEMORY), n);
	return 0;
}

#include "size_musl.bpf.h"

static const struct mt_file new_file, old_file = {.p = {[MT_MUSL_OLD] = 1}};

static void set(size_t at, uint64_t v, size_t n)
{
	memcpy(memory + at, &v, n);
}

static uint64_t size_at(const struct mt_file *f, uint64_t at)
{
	__u64 size = 99;

	assert_int_equal(size_musl(f, 0, MEMORY + at, &size), 0);
	return size;
}

static void none_at(const struct mt_file *f, uint64_t at)
{
	__u64 size = 99;

	assert_int_equal(size_musl(f, 0, MEMORY + at, &size), MT_NO_BLOCK);
	assert_int_equal(size, 0);
}

#define GROUP 4096u
#define META  256u
#define CLASS 12u /* 18 units of 16 bytes */

/* A group of ten slots of 288 bytes, live but for the first two. */
static void make_group(void)
{
	memset(memory, 0, sizeof(memory));
	set(GROUP, MEMORY + META, 8);
	set(META + 16, MEMORY + GROUP, 8);
	set(META + 24, 1, 4);
	set(META + 28, 2, 4);
	set(META + 32, 9 | 1 << 5 | CLASS << 6, 8);
}

/* The header of the block at so many units from the group's first slot. */
static size_t make_block(uint32_t units, uint32_t index, uint32_t reserved)
{
	const size_t at = GROUP + 16 + 16 * units;

	set(at - 8, 0, 8);
	set(at - 3, index | reserved << 5, 1);
	set(at - 2, units, 2);
	return at;
}

static void test_new_blocks(void **state)
{
	const size_t end = 288 - 4;
	size_t at;

	(void)state;
	make_group();
	assert_int_equal(size_at(&new_file, make_block(18 * 3, 3, 0)), end);
	assert_int_equal(size_at(&new_file, make_block(18 * 9, 9, 4)), end - 4);
	at = make_block(18 * 4, 4, 5);
	set(at + end - 4, 100, 4);
	assert_int_equal(size_at(&new_file, at), end - 100);
	/* of no bytes, as malloc(0) has it */
	set(at + end - 4, end, 4);
	assert_int_equal(size_at(&new_file, at), 0);
	set(at + end - 4, end + 1, 4);
	none_at(&new_file, at);
	/* aligned: it begins further on in its slot */
	assert_int_equal(size_at(&new_file, make_block(18 * 5 + 7, 5, 2)), end - 7 * 16 - 2);
}

static void test_new_own_mapping(void **state)
{
	size_t at;

	(void)state;
	make_group();
	set(META + 24, 0, 8);
	set(META + 32, 1 << 5 | 63 << 6 | 0x12345ull << 12, 8);
	at = make_block(0, 0, 0);
	assert_int_equal(size_at(&new_file, at), 0x12345ull * 4096 - 16 - 4);
	/* more than 16 bits of units in front */
	at = make_block(70000, 0, 0);
	set(at - 8, 70000, 4);
	set(at - 4, 1, 1);
	set(at - 2, 0, 2);
	assert_int_equal(size_at(&new_file, at), 0x12345ull * 4096 - 16 - 4 - 70000 * 16);
}

static void test_new_not_live(void **state)
{
	__u64 size;

	(void)state;
	make_group();
	none_at(&new_file, make_block(0, 0, 0));    /* available */
	none_at(&new_file, make_block(18, 1, 0));   /* freed */
	none_at(&new_file, make_block(180, 10, 0)); /* behind the last */
	none_at(&new_file, make_block(18 * 3, 4, 0));
	none_at(&new_file, make_block(18 * 6, 5, 0));
	none_at(&new_file, make_block(18 * 3, 3, 6));
	none_at(&new_file, make_block(18 * 3, 3, 0) + 1);
	set(META + 16, MEMORY, 8);
	none_at(&new_file, make_block(18 * 3, 3, 0));
	set(META + 16, MEMORY + GROUP, 8);
	set(META + 32, 9 | 50 << 6, 8); /* no such class */
	none_at(&new_file, make_block(18 * 3, 3, 0));
	assert_true(size_musl(&new_file, 0, 16, &size) < 0);
}

static void test_old_blocks(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	set(1016, 0x60 | 1, 8);
	assert_int_equal(size_at(&old_file, 1024), 0x50);
	set(1016, 0x21ff0, 8);
	assert_int_equal(size_at(&old_file, 1024), 0x21fe0);
	set(1016, 16, 8);
	none_at(&old_file, 1024);
}

static const char old_source[] = "unsigned long malloc_usable_size(char *p)\n"
				 "{ return p ? (((unsigned long *)p)[-1] & -2ul) - 16 : 0; }\n";
static const char other_source[] = "unsigned long malloc_usable_size(char *p)\n"
				   "{ return p ? (((unsigned long *)p)[-1] & -8ul) - 8 : 0; }\n";
static const char nothing_source[] = "int unrelated(void) { return 5; }\n";

static int layout_of(const char *source, uint64_t *params)
{
	struct mt_elf *elf;
	int r;

	assert_int_equal(programs_write("f.c", source), 0);
	assert_true(programs_run("cc -O2 -shared -fPIC -fno-builtin -w -o f.so f.c"));
	assert_int_equal(mt_elf_open(programs_path("f.so"), &elf), 0);
	r = mt_musl_layout(elf, params);
	mt_elf_free(&elf);
	return r;
}

static void test_layouts(void **state)
{
	uint64_t p[MT_FILE_PARAMS];

	(void)state;
	assert_int_equal(layout_of(old_source, p), 0);
	assert_int_equal(p[MT_MUSL_OLD], 1);
	assert_int_equal(layout_of(other_source, p), -ENOTSUP);
	assert_int_equal(layout_of(nothing_source, p), -ENOENT);
}

static bool identify(const char *path, struct mt_alloc_identity *id)
{
	struct mt_elf *elf;
	bool is;

	assert_int_equal(mt_elf_open(path, &elf), 0);
	memset(id, 0, sizeof(*id));
	is = mt_alloc_musl.identify(elf, id);
	mt_elf_free(&elf);
	return is;
}

static void test_installed(void **state)
{
	struct mt_alloc_identity id;

	(void)state;
	if (access("/lib/ld-musl-x86_64.so.1", R_OK))
		skip();
	assert_true(identify("/lib/ld-musl-x86_64.so.1", &id));
	assert_int_equal(id.layout, MT_LAYOUT_MUSL);
	assert_int_equal(id.params[MT_MUSL_OLD], 0);
	assert_int_equal(strncmp(id.version, "1.2.", 4), 0);
}

static void test_static(void **state)
{
	struct mt_alloc_identity id;

	(void)state;
	if (access("/usr/bin/musl-gcc", X_OK))
		skip();
	assert_true(programs_run("musl-gcc -static -o static program.c"));
	assert_true(identify(programs_path("static"), &id));
	assert_int_equal(id.layout, MT_LAYOUT_MUSL);
	assert_true(programs_run("strip -o stripped static"));
	assert_false(identify(programs_path("stripped"), &id));
	assert_true(programs_run("cc -static -o glibc program.c"));
	assert_false(identify(programs_path("glibc"), &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_blocks),   cmocka_unit_test(test_new_own_mapping),
		cmocka_unit_test(test_new_not_live), cmocka_unit_test(test_old_blocks),
		cmocka_unit_test(test_layouts),      cmocka_unit_test(test_installed),
		cmocka_unit_test(test_static),
	};

	return cmocka_run_group_tests(tests, programs_setup, programs_teardown);
}
