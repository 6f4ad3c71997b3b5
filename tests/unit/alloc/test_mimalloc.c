/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What of mimalloc's page structures is found out from its code: ways of all versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc/mimalloc.h"
#include "programs.h"

static const uint8_t *memory; /* what read_user sees, from address 1 << 40 on */
#define MEMORY      (1ull << 40)
#define MEMORY_SIZE 8192u

static long read_user(void *dst, uint32_t n, uint64_t addr)
{
	if (addr < MEMORY || addr - MEMORY > MEMORY_SIZE - n)
		return -EFAULT;
	memcpy(dst, memory + (addr - MEMORY), n);
	return 0;
}

#include "size_mimalloc.bpf.h"

static const char head[] =
	"typedef unsigned long u64; typedef unsigned u32; typedef unsigned char u8;\n"
	"#define SEG (32ul << 20)\n"
	"int mi_version(void) { return 209; }\n";

/* As 2.0: offsets in slots, starts computed, sizes of 32 bits. */
static const char v20[] =
	"struct page { u32 count, offset; u8 a[6]; u8 flags; u8 b[9]; u32 size; u64 rest[7]; };\n"
	"struct segment { u64 head[33]; struct page slices[513]; };\n"
	"static u64 real(struct page *p) { return p->size < 0x80000000u ? p->size : (u64)p->count "
	"<< 16; }\n"
	"static __attribute__((noinline)) u64 aligned(struct segment *s, struct page *p, u64 at) "
	"{\n"
	"	u64 start = (u64)s + ((u64)(p - s->slices) << 16) + (p->size >= 8 && p->size <= "
	"1024 ? 384 : 0);\n"
	"	return real(p) - (at - start) % real(p); }\n"
	"u64 mi_usable_size(u64 at) { struct segment *s; struct page *p;\n"
	"	if (!at) return 0;\n"
	"	s = (struct segment *)((at - 1) & ~(SEG - 1)); p = &s->slices[(at - (u64)s) >> "
	"16];\n"
	"	p = (struct page *)((u8 *)p - p->offset);\n"
	"	return p->flags & 2 ? aligned(s, p, at) : real(p); }\n";

/* As 2.1.7: the page says where it starts. */
static const char v21[] =
	"struct page { u32 count, offset; u8 a[6]; u8 flags; u8 b[9]; u8 shift; u64 c; u64 size; "
	"u64 start; u64 rest[5]; };\n"
	"struct segment { u64 head[40]; struct page slices[513]; };\n"
	"u64 mi_usable_size(u64 at) { struct segment *s; struct page *p; u64 in;\n"
	"	s = (struct segment *)((at - 1) & ~(SEG - 1)); if ((long)s <= 0) return 0;\n"
	"	p = &s->slices[(at - (u64)s) >> 16]; p = (struct page *)((u8 *)p - p->offset);\n"
	"	if (!(p->flags & 1)) return p->size PAD;\n"
	"	in = at - p->start; in = p->shift ? in & ((1ul << p->shift) - 1) : in % p->size;\n"
	"	return p->size - in PAD; }\n";

/* As 3.0: a table of tables, the bit beside the thread's id. */
static const char v30[] =
	"struct page { u64 thread; u64 a[2]; u8 shift; u64 size, start; };\n"
	"static struct page ***map;\n"
	"u64 mi_usable_size(u64 at) { struct page *p = map[at >> 29][at >> 16 & 8191]; u64 in;\n"
	"	if (!p) return 0;\n"
	"	if (!(p->thread & 4)) return p->size;\n"
	"	in = at - p->start; in = p->shift ? in & ((1ul << p->shift) - 1) : in % p->size;\n"
	"	return p->size - in; }\n"
	"void set(void *p) { map = p; }\n";

/* As 3.6: slots point, any block may begin in the middle. */
static const char v36[] =
	"struct page { struct page *self; u64 a[3]; u64 size; u64 b; u64 offset; u64 rest[9]; };\n"
	"u64 mi_usable_size(u64 at) { u64 in;\n"
	"	struct page *p = (struct page *)((at & ~((1ul << 28) - 1)) | (at >> 16 & 4095) * "
	"sizeof(*p));\n"
	"	if (!p || !(p = p->self)) return 0;\n"
	"	in = at - ((u64)p + p->offset); in = p->size & (p->size - 1) ? in % p->size : in & "
	"(p->size - 1);\n"
	"	return p->size - in; }\n";

/* As 1.8: the segment says how large its pages are. */
static const char v18[] = "struct page { u64 a[5]; u32 size; };\n"
			  "struct segment { u64 head[20]; u64 shift; struct page pages[64]; };\n"
			  "u64 mi_usable_size(u64 at) { struct segment *s = (struct segment *)(at "
			  "& ~((4ul << 20) - 1));\n"
			  "	return s->pages[(at - (u64)s) >> s->shift].size; }\n";

static const char none[] = "u64 mi_good_size(u64 n) { return n; }\n";

static int layout_of(const char *text, const char *flags, uint64_t *params)
{
	static char source[4096];
	char cmd[512];
	struct mt_elf *elf;
	int r;

	snprintf(source, sizeof(source), "%s%s", head, text);
	assert_int_equal(programs_write("mi.c", source), 0);
	snprintf(cmd, sizeof(cmd), "cc -w -shared -fPIC %s -o mi.so mi.c", flags);
	assert_true(programs_run(cmd));
	assert_int_equal(mt_elf_open(programs_path("mi.so"), &elf), 0);
	r = mt_mimalloc_layout(elf, params);
	mt_elf_free(&elf);
	return r;
}

static const char *const ways[] = {"-DPAD= -O2", "-DPAD= -O0", "-DPAD= -Os -fcf-protection=full",
				   "-DPAD= -O2 -fstack-protector-all"};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void expect(const char *text, const uint64_t *want)
{
	for (size_t i = 0; i < WAYS; i++) {
		uint64_t p[MT_FILE_PARAMS] = {0};

		if (layout_of(text, ways[i], p))
			fail_msg("%s: no layout", ways[i]);
		if (want[MT_MI_ROOT])
			p[MT_MI_ROOT] = !!p[MT_MI_ROOT];
		for (size_t k = 0; k < MT_FILE_PARAMS; k++)
			if (p[k] != want[k])
				fail_msg("%s: parameter %zu is %#lx, not %#lx", ways[i], k,
					 (unsigned long)p[k], (unsigned long)want[k]);
	}
}

static void test_offsets_in_slots(void **state)
{
	(void)state;
	expect(v20, (const uint64_t[MT_FILE_PARAMS]){
			    [MT_MI_SHAPE] = MT_MI_BEFORE | MT_MI_SIZE_U32,
			    [MT_MI_REGION] = 25,
			    [MT_MI_SLOTS] = 33 * 8 + 4,
			    [MT_MI_STRIDE] = 88,
			    [MT_MI_SIZE] = 24 - 4,
			    [MT_MI_FLAG] = 14 - 4,
			    [MT_MI_FLAG_MASK] = 2,
			    [MT_MI_COUNT] = -4ull,
			    [MT_MI_SKIP] = 384,
			    [MT_MI_SKIP_MAX] = 1024,
		    });
}

static void test_start_in_page(void **state)
{
	(void)state;
	expect(v21, (const uint64_t[MT_FILE_PARAMS]){
			    [MT_MI_SHAPE] = MT_MI_BEFORE | MT_MI_START_FIELD,
			    [MT_MI_REGION] = 25,
			    [MT_MI_SLOTS] = 40 * 8 + 4,
			    [MT_MI_STRIDE] = 96,
			    [MT_MI_SIZE] = 40 - 4,
			    [MT_MI_FLAG] = 14 - 4,
			    [MT_MI_FLAG_MASK] = 1,
			    [MT_MI_START] = 48 - 4,
		    });
}

static void test_table_of_tables(void **state)
{
	(void)state;
	expect(v30, (const uint64_t[MT_FILE_PARAMS]){
			    [MT_MI_SHAPE] = MT_MI_FROM_MAP | MT_MI_START_FIELD,
			    [MT_MI_ROOT] = 1,
			    [MT_MI_SIZE] = 32,
			    [MT_MI_FLAG_MASK] = 4,
			    [MT_MI_START] = 40,
		    });
}

static void test_slots_that_point(void **state)
{
	(void)state;
	expect(v36, (const uint64_t[MT_FILE_PARAMS]){
			    [MT_MI_SHAPE] = MT_MI_SLOT_POINTS | MT_MI_START_FIELD |
					    MT_MI_START_OFFSET | MT_MI_ANYWHERE,
			    [MT_MI_REGION] = 28,
			    [MT_MI_STRIDE] = 128,
			    [MT_MI_SIZE] = 32,
			    [MT_MI_START] = 48,
		    });
}

/* Padding behind blocks, the pages of mimalloc 1, and a copy that nothing asks for sizes. */
static void test_refused(void **state)
{
	static const char *const paddings[] = {
		"-O2 -DPAD='-8'",
		"-O2 '-DPAD=-*(u32*)(at+p->size-8)'",
	};
	uint64_t p[MT_FILE_PARAMS];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(layout_of(v21, paddings[i], p), -ENOTSUP);
	for (size_t i = 0; i < WAYS; i++) {
		assert_int_equal(layout_of(v18, ways[i], p), -ENOTSUP);
		assert_int_equal(layout_of(none, ways[i], p), -ENOENT);
	}
}

/* Debian 12's, as its disassembly has it. */
static void test_packaged(void **state)
{
	static const char path[] = "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0";
	static const uint64_t want[MT_FILE_PARAMS] = {
		MT_MI_BEFORE | MT_MI_SIZE_U32, 0, 25, 0x10c, 80, 24, 10, 2, 0, -4ull, 384, 1024};
	uint64_t p[MT_FILE_PARAMS];
	struct mt_elf *elf;

	(void)state;
	if (access(path, R_OK))
		skip();
	assert_int_equal(mt_elf_open(path, &elf), 0);
	assert_int_equal(mt_mimalloc_layout(elf, p), 0);
	mt_elf_free(&elf);
	assert_memory_equal(p, want, sizeof(want));
}

static uint64_t size_at(const struct mt_file *f, uint64_t addr)
{
	__u64 size = 1;

	assert_int_equal(size_mimalloc(f, 0, addr, &size), 0);
	return size;
}

static void set(uint8_t *m, size_t at, uint64_t v, size_t n)
{
	memcpy(m + at, &v, n);
}

/* A region of 32 MiB whose third slice belongs to the second's page. */
static void test_reader_of_slots(void **state)
{
	static uint8_t m[MEMORY_SIZE];
	const struct mt_file f = {.p = {MT_MI_BEFORE | MT_MI_SIZE_U32, 0, 25, 0x10c, 80, 24, 10, 2,
					0, -4ull, 384, 1024}};
	const size_t slot = 0x10c + 2 * 80;
	__u64 size;

	(void)state;
	memory = m;
	set(m, slot + 80, 80, 4);
	set(m, slot + 24, 640, 4);
	assert_int_equal(size_at(&f, MEMORY + (2 << 16) + 5000), 640);
	assert_int_equal(size_at(&f, MEMORY + (3 << 16) + 5000), 640);
	set(m, slot + 10, 2, 1);
	assert_int_equal(size_at(&f, MEMORY + (2 << 16) + 384 + 640 * 3), 640);
	assert_int_equal(size_at(&f, MEMORY + (2 << 16) + 384 + 640 * 3 + 64), 640 - 64);
	assert_int_equal(size_at(&f, MEMORY + (3 << 16) + 384 + 128), 640 - (65536 + 128) % 640);
	set(m, slot + 24, 2048, 4); /* larger ones begin with the slice */
	assert_int_equal(size_at(&f, MEMORY + (2 << 16) + 2048 + 96), 2048 - 96);
	set(m, slot + 10, 0, 1);
	set(m, slot + 24, MT_MI_HUGE, 4);
	set(m, slot - 4, 99, 4);
	assert_int_equal(size_at(&f, MEMORY + (2 << 16)), 99 << 16);
	assert_int_equal(size_at(&f, MEMORY + (9 << 16)), 0); /* no such page */
	assert_true(size_mimalloc(&f, 0, MEMORY * 3, &size) < 0);
}

static void test_reader_of_tables(void **state)
{
	static uint8_t m[MEMORY_SIZE];
	const struct mt_file f = {
		.p = {MT_MI_FROM_MAP | MT_MI_START_FIELD, 64, 0, 0, 0, 32, 0, 4, 40}};
	const uint64_t ptr = 5 * 8192 * 65536ull + 7 * 65536ull + 4096 + 100;

	(void)state;
	memory = m;
	set(m, 64, MEMORY + 128, 8);
	set(m, 128 + 5 * 8, MEMORY + 1024, 8);
	set(m, 1024 + 7 * 8, MEMORY + 2048, 8);
	set(m, 2048 + 32, 1000, 8);
	set(m, 2048 + 40, ptr - 3100, 8);
	for (int bias = 0; bias < 2; bias++) {
		struct mt_file at = f;
		__u64 size = 1;

		at.p[MT_MI_ROOT] += bias ? 0 : MEMORY;
		assert_int_equal(size_mimalloc(&at, bias ? MEMORY : 0, ptr, &size), 0);
		assert_int_equal(size, 1000);
		m[2048] = 4;
		assert_int_equal(size_mimalloc(&at, bias ? MEMORY : 0, ptr, &size), 0);
		assert_int_equal(size, 900);
		assert_int_equal(size_mimalloc(&at, bias ? MEMORY : 0, ptr + 65536, &size), 0);
		assert_int_equal(size, 0);
		assert_int_equal(size_mimalloc(&at, bias ? MEMORY : 0, ptr >> 3, &size), 0);
		assert_int_equal(size, 0);
		m[2048] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets_in_slots), cmocka_unit_test(test_start_in_page),
		cmocka_unit_test(test_table_of_tables),  cmocka_unit_test(test_slots_that_point),
		cmocka_unit_test(test_refused),          cmocka_unit_test(test_packaged),
		cmocka_unit_test(test_reader_of_slots),  cmocka_unit_test(test_reader_of_tables),
	};

	return cmocka_run_group_tests(tests, programs_setup, programs_teardown);
}
