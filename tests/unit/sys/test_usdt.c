/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "programs.h"
#include "sys/usdt.h"

/* Two places of one mark, and one with a semaphore whose value is told apart from 0. */
static const char source[] =
	"#define _SDT_HAS_SEMAPHORES 1\n"
	"#include <sys/sdt.h>\n"
	"#define S __attribute__((section(\".probes\"), used)) unsigned short\n"
	"S shop_open_semaphore = 0x1234;\n"
	"S shop_close_semaphore = 0x5678;\n"
	"int main(int argc, char **argv)\n"
	"{\n"
	"	DTRACE_PROBE1(shop, open, argc);\n"
	"	if (argc > 1)\n"
	"		DTRACE_PROBE1(shop, close, 1);\n"
	"	else\n"
	"		DTRACE_PROBE2(shop, close, 2, argv);\n"
	"	return 0;\n"
	"}\n";
static const char plain[] = "#include <sys/sdt.h>\n"
			    "void f(int n) { DTRACE_PROBE1(plain, mark, n); }\n";

static int setup(void **state)
{
	if (programs_setup(state) || programs_write("shop.c", source) ||
	    programs_write("plain.c", plain))
		return -1;
	return programs_run("cc -pie -fPIE -o pie shop.c") &&
			       programs_run("cc -no-pie -fno-pic -o fixed shop.c") &&
			       programs_run("cc -static -o static shop.c") &&
			       programs_run("strip -o stripped pie") &&
			       programs_run("cc -shared -fPIC -o lib.so plain.c") &&
			       programs_run("cc -shared -fPIC -nostdlib -o none.so -x c /dev/null")
		       ? 0
		       : -1;
}

static struct mt_usdts read_marks(const char *name)
{
	struct mt_usdts v = {0};
	struct mt_elf *elf = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", programs_dir, name);
	assert_int_equal(mt_elf_open(path, &elf), 0);
	assert_int_equal(mt_usdt_read(elf, 7, &v), 0);
	mt_elf_free(&elf);
	return v;
}

static uint16_t word_at(const char *name, uint64_t offset, size_t n)
{
	uint16_t v = 0;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", programs_dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &v, n, (off_t)offset), n);
	close(fd);
	return v;
}

static void check_shop(const char *name)
{
	struct mt_usdts v = read_marks(name);
	size_t opens = 0, closes = 0;

	for (size_t i = 0; i < v.n; i++) {
		const bool is_open = !strcmp(v.v[i].name, "shop:open");

		/* static ones have those of their libc, if it has any */
		if (strncmp(v.v[i].name, "shop:", 5) != 0)
			continue;
		assert_int_equal(v.v[i].file, 7);
		assert_int_equal(word_at(name, v.v[i].offset, 1), 0x90);
		assert_int_equal(word_at(name, v.v[i].ref_ctr, 2), is_open ? 0x1234 : 0x5678);
		opens += is_open;
		closes += !strcmp(v.v[i].name, "shop:close");
	}
	assert_int_equal(opens, 1);
	assert_int_equal(closes, 2);
	assert_true(mt_usdt_has(&v, "shop:close"));
	assert_false(mt_usdt_has(&v, "shop:clos"));
	mt_usdt_fini(&v);
}

static void test_places(void **state)
{
	struct mt_usdts v;

	(void)state;
	check_shop("pie");
	check_shop("fixed");
	check_shop("static");
	check_shop("stripped");
	v = read_marks("lib.so");
	assert_int_equal(v.n, 1);
	assert_string_equal(v.v[0].name, "plain:mark");
	assert_int_equal(word_at("lib.so", v.v[0].offset, 1), 0x90);
	assert_int_equal(v.v[0].ref_ctr, 0);
	mt_usdt_fini(&v);
	v = read_marks("none.so");
	assert_int_equal(v.n, 0);
	mt_usdt_fini(&v);
}

/* All notes of a file, to be changed. */
struct notes {
	char path[512];
	struct mt_elf_section s;
	uint8_t *bytes;
	size_t n;
};

static struct notes copy_notes(const char *from, const char *to)
{
	struct notes notes;
	struct mt_elf *elf = NULL;
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "cp %s %s", from, to);
	assert_true(programs_run(cmd));
	snprintf(notes.path, sizeof(notes.path), "%s/%s", programs_dir, to);
	assert_int_equal(mt_elf_open(notes.path, &elf), 0);
	assert_int_equal(mt_elf_find_section(elf, ".note.stapsdt", &notes.s), 0);
	assert_int_equal(mt_elf_section_copy(elf, &notes.s, 1 << 20, &notes.bytes, &notes.n), 0);
	mt_elf_free(&elf);
	return notes;
}

static struct mt_usdts read_changed(const struct notes *notes)
{
	int fd = open(notes->path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, notes->bytes, notes->n, (off_t)notes->s.offset), notes->n);
	close(fd);
	return read_marks(strrchr(notes->path, '/') + 1);
}

/* One note: its header, "stapsdt", three addresses and the names. */
#define DESC (sizeof(Elf64_Nhdr) + 8)

/* As a file that was moved after it had been linked. */
static void test_moved(void **state)
{
	struct notes notes = copy_notes("pie", "moved");
	struct mt_usdts v, old = read_marks("pie");
	Elf64_Nhdr nh;
	uint64_t at[3];

	(void)state;
	for (size_t off = 0; off < notes.n; off += DESC + ((nh.n_descsz + 3) & ~3u)) {
		memcpy(&nh, notes.bytes + off, sizeof(nh));
		memcpy(at, notes.bytes + off + DESC, sizeof(at));
		for (size_t i = 0; i < 3; i++)
			at[i] += 0x7000;
		memcpy(notes.bytes + off + DESC, at, sizeof(at));
	}
	v = read_changed(&notes);
	assert_int_equal(v.n, old.n);
	for (size_t i = 0; i < v.n; i++) {
		assert_int_equal(v.v[i].offset, old.v[i].offset);
		assert_int_equal(v.v[i].ref_ctr, old.v[i].ref_ctr);
	}
	mt_usdt_fini(&v);
	mt_usdt_fini(&old);
	free(notes.bytes);
}

/* How many marks are left where the first note's bytes at `at` are these. */
static size_t left_after(size_t at, const void *bytes, size_t n)
{
	struct notes notes = copy_notes("pie", "lies");
	struct mt_usdts v;
	size_t left;

	memcpy(notes.bytes + at, bytes, n);
	v = read_changed(&notes);
	left = v.n;
	mt_usdt_fini(&v);
	free(notes.bytes);
	return left;
}

static void test_lies(void **state)
{
	struct notes notes = copy_notes("pie", "lies");
	uint64_t within;
	const uint32_t huge = UINT32_MAX, one = 1, three = 3, addresses = 24;
	const uint64_t far = 1ull << 50, high = UINT64_MAX - 5;

	(void)state;
	assert_int_equal(left_after(0, "\x08", 1), 3);
	assert_int_equal(left_after(0, &huge, 4), 0);    /* the name's size */
	assert_int_equal(left_after(4, &huge, 4), 0);    /* the description's */
	assert_true(left_after(4, &addresses, 4) < 3);   /* without names */
	assert_true(left_after(4, &one, 4) < 3);         /* without addresses */
	assert_int_equal(left_after(8, &one, 4), 2);     /* of another type */
	assert_int_equal(left_after(8, &three, 4), 3);   /* of the only one */
	assert_int_equal(left_after(12, "x", 1), 2);     /* another's */
	assert_int_equal(left_after(DESC, &far, 8), 2);  /* a place outside of the code */
	assert_int_equal(left_after(DESC, &high, 8), 2); /* one that wraps */
	memcpy(&within, notes.bytes + DESC, sizeof(within));
	free(notes.bytes);
	within++;
	assert_int_equal(left_after(DESC, &within, 8), 2);   /* no mark's no-op stands there */
	assert_int_equal(left_after(DESC + 16, &far, 8), 2); /* a semaphore that is nowhere */
	assert_int_equal(left_after(DESC + 24, "\0", 1), 2); /* no provider */
	assert_int_equal(left_after(DESC + 28, "xxxxxxxxxxxxxxxxxxxx", 12), 2); /* no end */
}

static void test_parse(void **state)
{
	static const char *const wrong[] = {
		"",       "a",      "a:b",       "a:b,",        ",a:b",  "a:b,c",
		"a:b,c:", "a:b,:c", "a:b:c,d:e", "a:b,c:d,e:f", "a,b:c", ":,:",
	};
	char begin[MT_USDT_NAME], end[MT_USDT_NAME], why[128], text[2 * MT_USDT_NAME];

	(void)state;
	assert_int_equal(mt_usdt_parse("shop:open,shop:close", begin, end, why, sizeof(why)), 0);
	assert_string_equal(begin, "shop:open");
	assert_string_equal(end, "shop:close");
	assert_int_equal(mt_usdt_parse("a:b,a:b", begin, end, why, sizeof(why)), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		why[0] = '\0';
		assert_int_equal(mt_usdt_parse(wrong[i], begin, end, why, sizeof(why)), -EINVAL);
		assert_true(why[0]);
	}
	/* the longest name, and one more */
	memset(text, 'x', sizeof(text));
	memcpy(text, "a:b,c:", 6);
	text[4 + MT_USDT_NAME - 1] = '\0';
	assert_int_equal(mt_usdt_parse(text, begin, end, why, sizeof(why)), 0);
	assert_string_equal(end, text + 4);
	text[4 + MT_USDT_NAME - 1] = 'x';
	text[4 + MT_USDT_NAME] = '\0';
	assert_int_equal(mt_usdt_parse(text, begin, end, why, sizeof(why)), -EINVAL);
}

static void test_suggest(void **state)
{
	static struct mt_usdt marks[] = {
		{.name = "other:one"}, {.name = "shop:open"}, {.name = "shop:close"},
		{.name = "shop:open"}, {.name = "a:\x1b[1m"},
	};
	struct mt_usdt many[20] = {0};
	struct mt_usdts v = {.v = marks, .n = 5};
	char text[256];

	(void)state;
	mt_usdt_suggest(&v, "shop:opne", text, sizeof(text));
	assert_string_equal(text, "shop:open, shop:close, a:\\x1B[1m, other:one");
	mt_usdt_suggest(&v, "oter:one", text, sizeof(text));
	assert_string_equal(text, "other:one, a:\\x1B[1m, shop:close, shop:open");
	v = (struct mt_usdts){.v = many, .n = 20};
	for (size_t i = 0; i < 20; i++)
		snprintf(many[i].name, sizeof(many[i].name), "p:%c", 'a' + (int)i);
	mt_usdt_suggest(&v, "q:zzzzzz", text, sizeof(text));
	assert_string_equal(text, "p:a, p:b, p:c, p:d, p:e, p:f, p:g, p:h and 12 more");
	v.n = 9;
	mt_usdt_suggest(&v, "q:zzzzzz", text, sizeof(text));
	assert_string_equal(text, "p:a, p:b, p:c, p:d, p:e, p:f, p:g, p:h, p:i");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),  cmocka_unit_test(test_moved),
		cmocka_unit_test(test_lies),    cmocka_unit_test(test_parse),
		cmocka_unit_test(test_suggest),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
