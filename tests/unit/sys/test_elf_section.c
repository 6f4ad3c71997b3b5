/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "programs.h"
#include "sys/elf.h"

static const char source[] =
	"char words[] = \"hello\";\n"
	"__attribute__((section(\".own\"))) const char own[] = \"own bytes\";\n"
	"char *pointer = words + 2;\n"
	"char nothing[4096];\n"
	"struct shape { int a; char b[100]; } shape;\n"
	"int main(void) { return shape.a + nothing[1] + pointer[0]; }\n";

static int setup(void **state)
{
	if (programs_setup(state) || programs_write("own.c", source))
		return -1;
	return programs_run("cc -g -pie -fPIE -o pie own.c") &&
			       programs_run("cc -g -no-pie -fno-pic -o fixed own.c") &&
			       programs_run("objcopy --compress-debug-sections=zlib pie zlib") &&
			       programs_run("objcopy --compress-debug-sections=zlib-gnu pie gnu")
		       ? 0
		       : -1;
}

static struct mt_elf *open_program(const char *name)
{
	struct mt_elf *elf = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", programs_dir, name);
	assert_int_equal(mt_elf_open(path, &elf), 0);
	return elf;
}

static void test_sections(void **state)
{
	struct mt_elf *elf = open_program("pie");
	struct mt_elf_section s;
	uint8_t *bytes = NULL;
	char own[10];
	size_t n;

	(void)state;
	assert_int_equal(mt_elf_find_section(elf, ".own", &s), 0);
	assert_int_equal(s.size, 10);
	assert_int_equal(mt_elf_section_read(elf, &s, 0, own, 10), 0);
	assert_string_equal(own, "own bytes");
	assert_int_equal(mt_elf_section_read(elf, &s, 4, own, 6), 0);
	assert_string_equal(own, "bytes");
	assert_int_equal(mt_elf_section_read(elf, &s, 4, own, 7), -EBADMSG);
	assert_int_equal(mt_elf_section_read(elf, &s, UINT64_MAX, own, 1), -EBADMSG);
	assert_int_equal(mt_elf_section_copy(elf, &s, 9, &bytes, &n), -E2BIG);
	assert_int_equal(mt_elf_section_copy(elf, &s, 10, &bytes, &n), 0);
	assert_int_equal(n, 10);
	assert_memory_equal(bytes, "own bytes", 10);
	free(bytes);
	assert_int_equal(mt_elf_pread(elf, s.addr, own, 10), 0);
	assert_string_equal(own, "own bytes");
	assert_int_equal(mt_elf_find_section(elf, ".bss", &s), 0);
	assert_int_equal(mt_elf_section_copy(elf, &s, 1 << 20, &bytes, &n), -EBADMSG);
	assert_int_equal(mt_elf_pread(elf, s.addr + 64, own, 10), -ENOENT);
	assert_int_equal(mt_elf_find_section(elf, ".ow", &s), -ENOENT);
	mt_elf_free(&elf);
}

static void test_compressed(void **state)
{
	static const char *const packed[] = {"zlib", "gnu"};
	struct mt_elf *elf = open_program("pie");
	uint8_t *plain = NULL, *bytes = NULL;
	struct mt_elf_section s;
	size_t n, m;

	(void)state;
	assert_int_equal(mt_elf_find_section(elf, ".debug_info", &s), 0);
	assert_false(s.compressed || s.gnu_compressed);
	assert_int_equal(mt_elf_section_copy(elf, &s, 1 << 20, &plain, &n), 0);
	mt_elf_free(&elf);
	for (size_t i = 0; i < 2; i++) {
		elf = open_program(packed[i]);
		assert_int_equal(mt_elf_find_section(elf, i ? ".zdebug_info" : ".debug_info", &s),
				 0);
		assert_int_equal(s.compressed, !i);
		assert_int_equal(s.gnu_compressed, i);
		assert_int_equal(mt_elf_section_copy(elf, &s, n - 1, &bytes, &m), -E2BIG);
		assert_int_equal(mt_elf_section_copy(elf, &s, n, &bytes, &m), 0);
		assert_int_equal(m, n);
		assert_memory_equal(bytes, plain, n);
		free(bytes);
		mt_elf_free(&elf);
	}
	free(plain);
}

/* What a section's header of compression may say that is not so. */
static int copy_changed(const char *name, const char *section, uint64_t at, const void *bytes,
			size_t n)
{
	struct mt_elf *elf = open_program(name);
	struct mt_elf_section s;
	uint8_t *copy = NULL;
	char path[512];
	uint8_t old[8];
	size_t len;
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", programs_dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(mt_elf_find_section(elf, section, &s), 0);
	assert_int_equal(pread(fd, old, n, (off_t)(s.offset + at)), n);
	assert_int_equal(pwrite(fd, bytes, n, (off_t)(s.offset + at)), n);
	r = mt_elf_section_copy(elf, &s, 1 << 20, &copy, &len);
	assert_int_equal(pwrite(fd, old, n, (off_t)(s.offset + at)), n);
	close(fd);
	free(copy);
	mt_elf_free(&elf);
	return r;
}

static void test_lies(void **state)
{
	const uint64_t huge = UINT64_MAX, small = 8, more = 1 << 19, none = 0;
	const uint32_t unknown = 77;

	(void)state;
	assert_int_equal(copy_changed("zlib", ".debug_info", 8, &huge, 8), -E2BIG);
	assert_int_equal(copy_changed("zlib", ".debug_info", 8, &small, 8), -EBADMSG);
	assert_int_equal(copy_changed("zlib", ".debug_info", 8, &more, 8), -EBADMSG);
	assert_int_equal(copy_changed("zlib", ".debug_info", 8, &none, 8), -EBADMSG);
	assert_int_equal(copy_changed("zlib", ".debug_info", 0, &unknown, 4), -ENOTSUP);
	assert_int_equal(copy_changed("zlib", ".debug_info", 26, &huge, 8), -EBADMSG);
	assert_int_equal(copy_changed("gnu", ".zdebug_info", 4, &huge, 8), -E2BIG);
	assert_int_equal(copy_changed("gnu", ".zdebug_info", 0, &huge, 4), -EBADMSG);
}

static void test_pointers(void **state)
{
	static const char *const names[] = {"words", "pointer", "nowhere", "main"};
	static const char *const programs[] = {"pie", "fixed"};
	uint64_t at[4], v, start;
	bool fixed;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mt_elf *elf = open_program(programs[i]);

		mt_elf_find_objects(elf, names, 4, at);
		assert_true(at[0] && at[1]);
		assert_true(!at[2] && !at[3]);
		assert_int_equal(mt_elf_pointer(elf, at[1], &v), 0);
		assert_int_equal(v, at[0] + 2);
		assert_int_equal(mt_elf_pointer(elf, 8, &v), i ? -ENOENT : 0);
		assert_int_equal(mt_elf_start(elf, &start, &fixed), 0);
		assert_int_equal(fixed, i);
		assert_int_equal(start % 4096, 0);
		assert_int_equal(start != 0, i);
		mt_elf_free(&elf);
	}
}

/* Cut short while it is open. */
static void test_truncated(void **state)
{
	struct mt_elf *elf = open_program("pie");
	struct mt_elf_section s;
	uint8_t *bytes = NULL;
	char path[512], own[10];
	size_t n;

	(void)state;
	assert_int_equal(mt_elf_find_section(elf, ".own", &s), 0);
	snprintf(path, sizeof(path), "%s/pie", programs_dir);
	assert_int_equal(truncate(path, 1000), 0);
	assert_int_equal(mt_elf_section_read(elf, &s, 0, own, 10), -EBADMSG);
	assert_int_equal(mt_elf_section_copy(elf, &s, 100, &bytes, &n), -EBADMSG);
	assert_int_equal(mt_elf_pread(elf, s.addr, own, 10), -EBADMSG);
	mt_elf_free(&elf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),  cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_lies),      cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
