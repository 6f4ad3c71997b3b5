/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "alloc/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

/* A process of four files; the linker's list names three, the second one last. */
#define IMAGE 0x10000u
#define FILES 4

static struct {
	Elf64_Phdr ph[2];
	Elf64_Dyn dyn[3];
	struct r_debug debug;
	struct link_map map[3];
} image;

static struct mt_mapping mappings[FILES];
static struct mt_maps maps = {.v = mappings, .n = FILES};
static const struct mt_mapping *files[FILES];
static uint64_t auxv[6];

static uint64_t at(const void *p)
{
	return IMAGE + (uint64_t)((const char *)p - (const char *)&image);
}

static int read_image(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	(void)m;
	if (addr < IMAGE || addr - IMAGE > sizeof(image) || n > sizeof(image) - (addr - IMAGE))
		return -EFAULT;
	memcpy(buf, (const char *)&image + (addr - IMAGE), n);
	return 0;
}

static const struct mt_mem mem = {.read = read_image};

static void *pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static int setup(void **state)
{
	static const int order[] = {0, 2, 1};

	(void)state;
	memset(&image, 0, sizeof(image));
	image.ph[0] = (Elf64_Phdr){.p_type = PT_PHDR, .p_vaddr = 0x40};
	image.ph[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
				   .p_vaddr = 0x40 + (at(image.dyn) - at(image.ph))};
	image.dyn[0].d_tag = DT_NEEDED;
	image.dyn[1].d_tag = DT_DEBUG;
	image.dyn[1].d_un.d_ptr = at(&image.debug);
	image.debug.r_map = pointer(at(&image.map[0]));
	for (int i = 0; i < FILES; i++) {
		mappings[i] = (struct mt_mapping){.start = 0x1000u * (unsigned int)(i + 1),
						  .end = 0x1000u * (unsigned int)(i + 2),
						  .inode = 100 + (unsigned int)i,
						  .path = "/x"};
		files[i] = &mappings[i];
	}
	for (int i = 0; i < 3; i++) {
		image.map[i].l_ld = pointer(mappings[order[i]].start + 8);
		image.map[i].l_next = i < 2 ? pointer(at(&image.map[i + 1])) : NULL;
	}
	auxv[0] = AT_PHDR;
	auxv[1] = at(image.ph);
	auxv[2] = AT_PHNUM;
	auxv[3] = 2;
	auxv[4] = auxv[5] = AT_NULL;
	return 0;
}

static int run(void)
{
	return mt_alloc_order(&maps, &mem, auxv, 6, files, FILES);
}

static void expect(int a, int b, int c, int d)
{
	assert_ptr_equal(files[0], &mappings[a]);
	assert_ptr_equal(files[1], &mappings[b]);
	assert_ptr_equal(files[2], &mappings[c]);
	assert_ptr_equal(files[3], &mappings[d]);
}

static void test_order(void **state)
{
	(void)state;
	assert_int_equal(run(), 0);
	expect(0, 2, 1, 3); /* the file that the list does not name is last */
	assert_int_equal(run(), 0);
	expect(0, 2, 1, 3);
}

static void test_unknown_entry(void **state)
{
	(void)state;
	image.map[1].l_ld = pointer(0x999000);
	assert_int_equal(run(), 0);
	expect(0, 1, 2, 3);
}

/* A list that never ends, or that leads nowhere, changes nothing. */
static void test_hostile(void **state)
{
	(void)state;
	image.map[2].l_next = pointer(at(&image.map[0]));
	assert_int_equal(run(), -ENOENT);
	expect(0, 1, 2, 3);
	image.map[2].l_next = pointer(0x31337);
	assert_int_equal(run(), -ENOENT);
	expect(0, 1, 2, 3);
	image.debug.r_map = NULL;
	assert_int_equal(run(), -ENOENT);
	auxv[1] = 0xffffffffffffffe0;
	assert_int_equal(run(), -ENOENT);
	auxv[1] = at(image.ph);
	auxv[3] = UINT64_MAX;
	assert_int_equal(run(), -ENOENT);
	expect(0, 1, 2, 3);
	assert_int_equal(mt_alloc_order(&maps, &mem, auxv, 0, files, FILES), -ENOENT);
	assert_int_equal(mt_alloc_order(&maps, &mem, auxv, 1, files, FILES), -ENOENT);
}

/* After exec, before the linker ran: the list has the executable alone. */
static void test_too_early(void **state)
{
	(void)state;
	image.map[0].l_next = NULL;
	assert_int_equal(run(), -ENOENT);
	image.dyn[1].d_un.d_ptr = 0;
	assert_int_equal(run(), -ENOENT);
	image.dyn[1].d_tag = DT_NULL;
	assert_int_equal(run(), -ENOENT);
	expect(0, 1, 2, 3);
}

static void test_first(void **state)
{
	struct mt_mapping v[] = {
		{.inode = 1, .path = "/a"},
		{.inode = 1, .exec = true, .path = "/a"},
		{.inode = 2, .exec = true, .path = "/b"},
		{.inode = 1, .exec = true, .path = "/a"},
		{.inode = 2, .dev_minor = 1, .exec = true, .path = "/b"},
		{.exec = true, .path = "[vdso]"},
	};
	static const bool first[] = {false, true, true, false, true, false};
	const struct mt_maps all = {.v = v, .n = sizeof(v) / sizeof(v[0])};

	(void)state;
	for (size_t i = 0; i < all.n; i++)
		assert_int_equal(mt_mapping_is_first(&all, i), first[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_unknown_entry, setup),
		cmocka_unit_test_setup(test_hostile, setup),
		cmocka_unit_test_setup(test_too_early, setup),
		cmocka_unit_test(test_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
