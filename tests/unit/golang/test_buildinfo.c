/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/buildinfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SENTINEL "0123456789abcdef"

/* A file of 256 bytes from 0x1000 on. */
static char file[256];

static size_t at(void *ctx, uint64_t addr, void *dst, size_t n)
{
	(void)ctx;
	if (addr < 0x1000 || addr - 0x1000 > sizeof(file) || n > sizeof(file) - (addr - 0x1000))
		return 0;
	memcpy(dst, file + (addr - 0x1000), n);
	return n;
}

static size_t put_string(uint8_t *p, const char *s)
{
	const size_t n = strlen(s);

	p[0] = (uint8_t)(n & 0x7f) | 0x80;
	p[1] = (uint8_t)(n >> 7);
	memcpy(p + 2, s, n);
	return n + 2;
}

/* The form since 1.18. */
static size_t make(uint8_t *p, const char *version, const char *module)
{
	size_t n = 32;

	memset(p, 0, 32);
	memcpy(p, "\xff Go buildinf:\x08\x02", 16);
	n += put_string(p + n, version);
	return n + put_string(p + n, module);
}

static int parse(const char *version, const char *module, struct mt_go_build *b)
{
	uint8_t bytes[1024];

	return mt_go_buildinfo(bytes, make(bytes, version, module), at, NULL, b);
}

static void test_versions(void **state)
{
	static const struct {
		const char *text, *version;
		int minor;
		const char *experiments;
	} all[] = {
		{"go1.23.1", "go1.23.1", 23, ""},
		{"go1.27", "go1.27", 27, ""},
		{"go1.26rc1", "go1.26rc1", 26, ""},
		{"go1.26.1 X:nogreenteagc,jsonv2", "go1.26.1", 26, "nogreenteagc,jsonv2"},
		{"devel go1.24-a130fb6 Mon Jul 1 12:00:00 2024", "go1.24-a130fb6", 24, ""},
		{"go1.23-20240626-RC01 cl/646990413 +5a18e79687 X:fieldtrack,boringcrypto",
		 "go1.23-20240626-RC01", 23, "fieldtrack,boringcrypto"},
		{"", "go", 0, ""},
		{"go1.", "go1.", 0, ""},
		{"go1.99999999999", "go1.99999999999", 0, ""},
		{"go1.2\x1b[31m", "go1.2", 2, ""},
		{"\xff\xfe", "go", 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct mt_go_build b;

		assert_int_equal(parse(all[i].text, "", &b), 0);
		assert_string_equal(b.version, all[i].version);
		assert_int_equal(b.minor, all[i].minor);
		assert_string_equal(b.experiments, all[i].experiments);
	}
}

static void test_long(void **state)
{
	char text[300];
	struct mt_go_build b;

	(void)state;
	memset(text, '7', sizeof(text));
	memcpy(text, "go1.", 4);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(parse(text, "", &b), 0);
	assert_int_equal(strlen(b.version), MT_GO_VERSION_SIZE - 1);
	assert_int_equal(b.minor, 0);
}

static void test_old(void **state)
{
	uint8_t bytes[32] = "\xff Go buildinf:\x08";
	struct mt_go_build b;
	char why[MT_WHY_SIZE];
	bool green;

	(void)state;
	memset(file, 0, sizeof(file));
	memcpy(bytes + 16, &(uint64_t){0x1010}, 8);
	memcpy(file + 0x10, &(uint64_t[]){0x1040, 8}, 16);
	memcpy(file + 0x40, "go1.17.3", 8);
	assert_int_equal(mt_go_buildinfo(bytes, sizeof(bytes), at, NULL, &b), 0);
	assert_string_equal(b.version, "go1.17.3");
	assert_int_equal(b.minor, 17);
	assert_int_equal(mt_go_build_check(&b, &green, why), -ENOTSUP);
	assert_string_equal(why, "it was built by go1.17.3: Go is read from 1.19 on");
	/* It points nowhere: old all the same. */
	memcpy(bytes + 16, &(uint64_t){UINT64_MAX}, 8);
	assert_int_equal(mt_go_buildinfo(bytes, sizeof(bytes), at, NULL, &b), 0);
	assert_string_equal(b.version, "go");
	assert_int_equal(mt_go_build_check(&b, &green, why), -ENOTSUP);
	assert_string_equal(why, "it was built by Go 1.17 or older: Go is read from 1.19 on");
	/* A string that is longer than the file. */
	memcpy(bytes + 16, &(uint64_t){0x1010}, 8);
	memcpy(file + 0x10, &(uint64_t[]){0x10f8, UINT64_MAX}, 16);
	assert_int_equal(mt_go_buildinfo(bytes, sizeof(bytes), at, NULL, &b), 0);
	assert_string_equal(b.version, "go");
}

static void test_damaged(void **state)
{
	uint8_t bytes[1024];
	struct mt_go_build b;
	size_t n;

	(void)state;
	n = make(bytes, "go1.23.1", SENTINEL "build\t-race=true\n" SENTINEL);
	for (size_t i = 0; i < n; i++)
		mt_go_buildinfo(bytes, i, at, NULL, &b);
	assert_int_equal(mt_go_buildinfo(bytes, n, at, NULL, &b), 0);
	assert_true(b.race);
	/* A version that ends behind the section. */
	bytes[32] = 10 | 0x80;
	bytes[33] = 0;
	assert_int_equal(mt_go_buildinfo(bytes, 34 + 9, at, NULL, &b), 0);
	assert_string_equal(b.version, "go");
	/* A length that goes on for ever. */
	memset(bytes + 32, 0xff, sizeof(bytes) - 32);
	assert_int_equal(mt_go_buildinfo(bytes, sizeof(bytes), at, NULL, &b), 0);
	assert_string_equal(b.version, "go");
	bytes[1] = 'g';
	assert_int_equal(mt_go_buildinfo(bytes, sizeof(bytes), at, NULL, &b), -ENOENT);
}

static void expect(const char *version, const char *settings, int r, bool green, const char *want)
{
	char module[512], why[MT_WHY_SIZE] = "";
	struct mt_go_build b;
	bool is_green = !green;

	snprintf(module, sizeof(module), SENTINEL "path\tx\n%s" SENTINEL, settings);
	assert_int_equal(parse(version, module, &b), 0);
	assert_int_equal(mt_go_build_check(&b, &is_green, why), r);
	assert_string_equal(why, want);
	if (!r)
		assert_int_equal(is_green, green);
}

static void test_covered(void **state)
{
	(void)state;
	expect("go1.19.8", "build\t-compiler=gc\nbuild\tCGO_ENABLED=1\n", 0, false, "");
	expect("go1.25.1", "", 0, false, "");
	expect("go1.26.1", "", 0, true, "");
	expect("go1.26.1 X:nogreenteagc", "", 0, false, "");
	expect("go1.26.1", "build\tGOEXPERIMENT=nogreenteagc\n", 0, false, "");
	expect("go1.26.1 X:greenteagc", "", 0, true, "");
	expect("go1.24.1 X:noswissmap,boringcrypto", "", 0, false, "");
	expect("", "", 0, true, "");
	expect("go1.23.1", "build\t-buildmode=pie\nbuild\t-race=false\n", 0, false, "");
	expect("go1.18.10", "", -ENOTSUP, false,
	       "it was built by go1.18.10: Go is read from 1.19 on");
	expect("go1.25.1 X:greenteagc", "", -ENOTSUP, false,
	       "it was built with GOEXPERIMENT=greenteagc");
	expect("go1.24.1 X:noswissmap,staticlockranking", "", -ENOTSUP, false,
	       "it was built with GOEXPERIMENT=staticlockranking");
	expect("go1.23.1", "build\t-race=true\n", -ENOTSUP, false, "it was built with -race");
	expect("go1.23.1", "build\t-asan=true\n", -ENOTSUP, false,
	       "it was built with -msan or -asan");
	expect("go1.23.1", "build\t-buildmode=c-shared\n", -ENOTSUP, false,
	       "it is a Go library, not a Go program");
	expect("go1.23.1", "build\t-compiler=gccgo\n", -ENOTSUP, false, "it was built by gccgo");
	expect("go1.18 gccgo (Debian 12.2.0-14) 12.2.0", "", -ENOTSUP, false,
	       "it was built by gccgo");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions), cmocka_unit_test(test_long),
		cmocka_unit_test(test_old),      cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_covered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
