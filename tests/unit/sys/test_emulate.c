/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is followed gives what the processor gives: functions compiled here, run both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "programs.h"
#include "sys/emulate.h"

/* clang-format off: it would break the lines elsewhere */
static const char source[] =
	"typedef unsigned long u64; typedef long i64; typedef unsigned u32; typedef int i32;\n"
	"typedef unsigned short u16; typedef short i16; typedef unsigned char u8; typedef "
	"signed char i8;\n"
	"#define HARD __attribute__((noinline, noclone))\n"
	"static const u16 table[8] = {1, 20, 300, 4000, 50000, 6, 77, 888};\n"
	"static u64 words[4] = {3, 0xffffffff80000001ul, 0x123456789abcdef0ul, 7};\n"
	"HARD static u64 twice(u64 x) { u64 v[4]; for (int i = 0; i < 4; i++) ((volatile u64 "
	"*)v)[i] = x + i; return v[3] + v[x & 3]; }\n"
	"u64 exported(u64 x) { return x * 40503 + 5; }\n"
	"u64 f_arith(u64 x) { return (x << 3) + (x >> 5) - (x & 0xff00) ^ ~x; }\n"
	"u64 f_narrow(u64 x) { return (u64)(u8)x + (u64)(i64)(i8)(x >> 8) + (u64)(u16)(x >> "
	"3) + (u64)(i64)(i16)x + (u64)(i64)(i32)(x * 7); }\n"
	"u64 f_divide(u64 x) { return x / ((x & 1023) + 3) + x % ((x >> 9 & 4095) + 1) + "
	"(u32)x / (((u32)x >> 20) + 1); }\n"
	"u64 f_compare(u64 x) { u64 y = x * 31; return (x < y) + 2 * ((i64)x < (i64)y) + 4 * "
	"((u32)x <= (u32)y) + 8 * ((i32)x > (i32)y) + 16 * (x == (y & x)) + 32 * ((i64)x >= "
	"0); }\n"
	"u64 f_select(u64 x) { u64 a = x > 1000 ? x - 1000 : 1000 - x; i64 b = (i64)x < -5 ? "
	"3 : (i64)x; return a + (u64)b + ((u8)x >= 128 ? 9 : 11); }\n"
	"u64 f_table(u64 x) { return table[x & 7] * (u64)(x >> 40) + words[x >> 3 & 3]; }\n"
	"u64 f_call(u64 x) { return twice(x ^ 5) + exported(x); }\n"
	"u64 f_tail(u64 x) { return exported(x + 1); }\n"
	"u64 f_bit(u64 x) { return (x >> (x & 31) & 1 ? 5 : 6) + (u32)((i32)x >> 7) + "
	"((u32)x << 9) + (u64)((i64)x >> 11); }\n"
	"u64 f_loop(u64 x) { u64 s = 0; for (int i = 0; i < 9; i++) s = s * 3 + (x >> i & "
	"15); return s; }\n"
	"u64 f_minus(u64 x) { return -x + (x ? 1 : 0) - (x-- > 4); }\n"
	"u64 g_write(u64 x) { words[0] = x; return x; }\n"
	"u64 g_forever(u64 x) { for (;;) __asm__ volatile(\"nop\"); }\n"
	"static volatile double d = 3; u64 g_vector(u64 x) { return (u64)((double)x * d); }\n"
	"u64 g_lock(u64 x) { return __sync_fetch_and_add(&words[1], x); }\n"
	"u64 g_far(u64 x) { return *(u64 *)(x + (1ul << 47)); }\n"
	"static u64 (*volatile way)(u64) = exported; u64 g_pointer(u64 x) { return way(x); }\n"
	"int getpid(void); u64 g_outside(u64 x) { return x + (u64)getpid(); }\n";
/* clang-format on */

static const char *const same[] = {"f_arith",  "f_narrow", "f_divide", "f_compare",
				   "f_select", "f_table",  "f_call",   "f_tail",
				   "f_bit",    "f_loop",   "f_minus",  "exported"};
static const char *const refused[] = {"g_write", "g_forever", "g_vector",
				      "g_lock",  "g_pointer", "g_outside"};

struct copy {
	struct mt_elf *elf;
	void *handle;
	uint64_t bias;
};

/* Read where the processor would. */
static bool read_real(void *ctx, uint64_t addr, unsigned int width, uint64_t *value)
{
	const struct copy *c = ctx;

	if (addr >> 47)
		return false;
	memcpy(value, (const void *)(uintptr_t)(addr < 1ull << 32 ? addr + c->bias : addr), width);
	return true;
}

static void open_copy(struct copy *c, const char *flags)
{
	static unsigned int n;
	char cmd[256], name[32];
	struct link_map *map;

	snprintf(name, sizeof(name), "f%u.so", n++);
	snprintf(cmd, sizeof(cmd), "cc -w -shared -fPIC -fno-tree-vectorize %s -o %s f.c", flags,
		 name);
	assert_true(programs_run(cmd));
	assert_int_equal(mt_elf_open(programs_path(name), &c->elf), 0);
	c->handle = dlopen(programs_path(name), RTLD_NOW);
	assert_non_null(c->handle);
	assert_int_equal(dlinfo(c->handle, RTLD_DI_LINKMAP, &map), 0);
	c->bias = map->l_addr;
}

static void close_copy(struct copy *c)
{
	dlclose(c->handle);
	mt_elf_free(&c->elf);
}

static int follow(struct copy *c, const char *name, uint64_t arg, uint64_t *ret)
{
	const struct mt_emulate e = {.elf = c->elf, .read = read_real, .ctx = c};
	struct mt_sym sym;

	assert_int_equal(mt_elf_find_func(c->elf, name, &sym), 0);
	return mt_emulate_call(&e, sym.addr, arg, ret);
}

static void check_same(struct copy *c, const char *name)
{
	uint64_t (*run)(uint64_t), x = 88172645463325252ull;

	*(void **)&run = dlsym(c->handle, name);
	assert_non_null(run);
	for (int i = 0; i < 2000; i++) {
		uint64_t arg, got = 0;
		int r;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		arg = i < 64 ? (uint64_t)i : x >> x % 64;
		r = follow(c, name, arg, &got);
		if (r || got != run(arg))
			fail_msg("%s(%#llx): %d, %#llx instead of %#llx", name,
				 (unsigned long long)arg, r, (unsigned long long)got,
				 (unsigned long long)run(arg));
	}
}

static const char *const ways[] = {"-O2", "-O0", "-Os -fcf-protection=full",
				   "-O2 -fstack-protector-all -Wl,-z,now"};

static void test_same_as_processor(void **state)
{
	(void)state;
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		struct copy c;

		open_copy(&c, ways[w]);
		for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
			check_same(&c, same[i]);
		close_copy(&c);
	}
}

static void test_refuses_the_rest(void **state)
{
	(void)state;
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		struct copy c;
		uint64_t got;

		open_copy(&c, ways[w]);
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
			assert_int_equal(follow(&c, refused[i], 3, &got), -ENOTSUP);
		assert_int_equal(follow(&c, "g_far", 3, &got), -ECANCELED);
		close_copy(&c);
	}
}

static void test_no_code_there(void **state)
{
	struct copy c;
	uint64_t got;

	(void)state;
	open_copy(&c, "-O2");
	assert_int_equal(
		mt_emulate_call(&(struct mt_emulate){.elf = c.elf, .read = read_real, .ctx = &c},
				0x7000000000ull, 1, &got),
		-ENOTSUP);
	close_copy(&c);
}

static int setup(void **state)
{
	return programs_setup(state) || programs_write("f.c", source) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_processor),
		cmocka_unit_test(test_refuses_the_rest),
		cmocka_unit_test(test_no_code_there),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
