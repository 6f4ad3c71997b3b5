/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "programs.h"

#define V618 0x061200u

static char libc_path[4096];
static uint64_t libc_base;

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	if (strstr(info->dlpi_name, "libc.so")) {
		snprintf(libc_path, sizeof(libc_path), "%s", info->dlpi_name);
		libc_base = info->dlpi_addr;
	}
	return 0;
}

static int setup(void **state)
{
	dl_iterate_phdr(find_libc, NULL);
	return libc_path[0] ? programs_setup(state) : -1;
}

static int inspect(const char *path, struct mt_alloc_found *found)
{
	struct mt_elf *elf = NULL;
	int r = mt_elf_open(path, &elf);

	assert_int_equal(r, 0);
	memset(found, 0, sizeof(*found));
	r = mt_alloc_inspect(elf, V618, found);
	mt_elf_free(&elf);
	return r;
}

static const struct mt_probe *probe_of(const struct mt_alloc_found *found, const char *func)
{
	for (size_t i = 0; i < found->n_probes; i++)
		if (strcmp(found->probes[i].func, func) == 0)
			return &found->probes[i];
	return NULL;
}

static void check_probe(const struct mt_alloc_found *found, const char *func, enum mt_kind kind,
			bool entry, bool ret)
{
	const struct mt_probe *p = probe_of(found, func);

	assert_non_null(p);
	assert_int_equal(p->kind, kind);
	assert_int_equal(p->entry, entry);
	assert_int_equal(p->ret, ret);
	assert_int_equal(MT_COOKIE_KIND(p->cookie), kind);
	assert_int_equal(MT_COOKIE_FILE(p->cookie), 0);
	assert_int_equal(MT_COOKIE_ADDR(p->cookie), p->place.addr);
}

static void test_libc_probes(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));

	(void)state;
	assert_int_equal(inspect(libc_path, found), 0);
	assert_ptr_equal(found->allocator, &mt_alloc_glibc);
	assert_string_equal(found->id.version, gnu_get_libc_version());
	check_probe(found, "malloc", MT_KIND_MALLOC, false, true);
	check_probe(found, "calloc", MT_KIND_MALLOC, false, true);
	check_probe(found, "free", MT_KIND_FREE, true, false);
	check_probe(found, "realloc", MT_KIND_REALLOC, true, true);
	check_probe(found, "reallocarray", MT_KIND_REALLOCARRAY, true, false);
	check_probe(found, "memalign", MT_KIND_MEMALIGN, true, true);
	check_probe(found, "posix_memalign", MT_KIND_POSIX_MEMALIGN, true, true);
	assert_null(probe_of(found, "cfree")); /* free's address */
	for (size_t i = 0; i < found->n_probes; i++)
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(found->probes[i].offset, found->probes[k].offset);
	mt_alloc_found_free(&found);
}

/* The probes that run a thousand times more often than the others are not stepped. */
static void test_libc_places(void **state)
{
	static const char *const hot[] = {"malloc", "free", "calloc", "realloc"};
	struct mt_alloc_found *found = malloc(sizeof(*found));

	(void)state;
	assert_int_equal(inspect(libc_path, found), 0);
	for (size_t i = 0; i < sizeof(hot) / sizeof(hot[0]); i++)
		assert_int_equal(probe_of(found, hot[i])->place.step, MT_STEP_EMULATED);
	mt_alloc_found_free(&found);
}

static uint64_t link_addr(const char *name)
{
	/* By its path: a sanitizer may stand in front of it. */
	void *lib = dlopen(libc_path, RTLD_NOW | RTLD_NOLOAD);
	void *p = lib ? dlsym(lib, name) : NULL;

	assert_non_null(p);
	return (uint64_t)(uintptr_t)p - libc_base;
}

/* Everything of malloc.c inside, obstack and reallocarray outside. */
static void test_libc_range(void **state)
{
	static const char *const in[] = {"malloc",       "free",        "realloc",
					 "calloc",       "memalign",    "valloc",
					 "malloc_stats", "malloc_info", "posix_memalign"};
	static const char *const out[] = {"reallocarray", "_obstack_begin", "_obstack_newchunk",
					  "strdup",       "qsort",          "fopen"};
	struct mt_alloc_found *found = malloc(sizeof(*found));

	(void)state;
	assert_int_equal(inspect(libc_path, found), 0);
	assert_true(found->text_hi - found->text_lo < 256 * 1024);
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		assert_in_range(link_addr(in[i]), found->text_lo, found->text_hi - 1);
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		assert_not_in_range(link_addr(out[i]), found->text_lo, found->text_hi - 1);
	mt_alloc_found_free(&found);
}

/* The library frees through free in at least one place of its own: those sites are inside. */
static void test_libc_internal_calls(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));
	uint64_t target = link_addr("free");
	const uint8_t *text = (const uint8_t *)(uintptr_t)libc_base;
	int sites = 0;

	(void)state;
	assert_int_equal(inspect(libc_path, found), 0);
	for (uint64_t at = found->text_lo; at + 5 <= found->text_hi; at++) {
		int32_t disp;

		memcpy(&disp, text + at + 1, sizeof(disp));
		sites += text[at] == 0xe8 && at + 5 + (uint64_t)(int64_t)disp == target;
	}
	/* At 2.36 thread exit calls free twice, realloc once. Later ones go past it. */
	if (strcmp(found->id.version, "2.36") == 0)
		assert_int_equal(sites, 3);
	mt_alloc_found_free(&found);
}

static void test_static(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));

	(void)state;
	if (!programs_run("cc -static -o st program.c && strip -o stripped st")) {
		mt_alloc_found_free(&found);
		skip(); /* no static libc here */
	}
	assert_int_equal(inspect(programs_path("st"), found), 0);
	assert_ptr_equal(found->allocator, &mt_alloc_glibc);
	check_probe(found, "malloc", MT_KIND_MALLOC, false, true);
	check_probe(found, "free", MT_KIND_FREE, true, false);
	assert_true(found->text_lo < found->text_hi);
	assert_int_equal(inspect(programs_path("stripped"), found), -ENOENT);
	mt_alloc_found_free(&found);
}

static void test_others(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));

	(void)state;
	assert_int_equal(inspect("/bin/ls", found), -ENOENT);
	mt_alloc_found_free(&found);
}

/*
 * A library that looks like a glibc of a given version: what it takes to be
 * one, a missing valloc, forwarders through the PLT and without it.
 */
static const char fake_source[] =
	"#include <stddef.h>\n"
	"#define F __attribute__((noinline))\n"
	"char banner[1];\n"
	"const char text[] = \"GNU C Library (x) stable release version \" VERSION \".\";\n"
	"const char *gnu_get_libc_version(void) { return text; }\n"
	"F void *malloc(size_t n) { banner[0] += n; return banner; }\n"
	"F void free(void *p) { if (p) banner[0]++; }\n"
	"__asm__(\".globl free_sized, free_aligned_sized\\n\"\n"
	"	\".type free_sized,@function\\n.type free_aligned_sized,@function\\n\"\n"
	"	\"free_sized: jmp free@plt\\n.size free_sized,.-free_sized\\n\"\n"
	"	\"free_aligned_sized: endbr64\\njmp free@plt\\n\"\n"
	"	\".size free_aligned_sized,.-free_aligned_sized\\n\");\n";

static void test_versions(void **state)
{
	static const struct {
		const char *version;
		enum mt_layout layout;
	} versions[] = {{"2.31", MT_LAYOUT_GLIBC},      {"2.42", MT_LAYOUT_GLIBC},
			{"2.43", MT_LAYOUT_GLIBC_243},  {"2.43.9", MT_LAYOUT_GLIBC_243},
			{"2.100", MT_LAYOUT_GLIBC_243}, {"3.0", MT_LAYOUT_GLIBC_243}};
	struct mt_alloc_found *found = malloc(sizeof(*found));
	char cmd[256];

	(void)state;
	assert_int_equal(programs_write("fake.c", fake_source), 0);
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		snprintf(cmd, sizeof(cmd),
			 "cc -O1 -fno-builtin -shared -fPIC -DVERSION='\"%s\"' -o fake.so fake.c",
			 versions[i].version);
		assert_true(programs_run(cmd));
		assert_int_equal(inspect(programs_path("fake.so"), found), 0);
		assert_string_equal(found->id.version, versions[i].version);
		assert_int_equal(found->id.layout, versions[i].layout);
		/* free_sized and free_aligned_sized end in free, which is probed. */
		assert_int_equal(found->n_probes, 2);
		assert_non_null(probe_of(found, "malloc"));
		assert_non_null(probe_of(found, "free"));
	}
	mt_alloc_found_free(&found);
}

/*
 * Jumps to free's entry: two, a short one and a long one, from a function without
 * a name, in which the bytes of a third are part of another instruction; and
 * from exported functions, of which one does nothing else.
 */
static const char again_source[] = ".text\n"
				   ".macro FUNC name\n.globl \\name\n"
				   ".type \\name,@function\n\\name:\n.endm\n"
				   ".macro END name\n.size \\name,.-\\name\n.endm\n"
				   "FUNC gnu_get_libc_version\nret\nEND gnu_get_libc_version\n"
				   "FUNC malloc\nret\nEND malloc\n"
				   "push %rbx\npop %rbx\njmp entry\n"
				   ".byte 0x48,0xb8,0xe9\n.long entry - . - 4\n.byte 0,0,0\n"
				   "je entry\ncall entry\n"
				   ".byte 0xe9\n.long entry - . - 4\n"
				   "FUNC free\nentry:\ntest %rdi,%rdi\nje 1f\n1: ret\nEND free\n"
				   "FUNC free_sized\nendbr64\njmp entry\nEND free_sized\n"
				   "FUNC malloc_trim\npop %rdi\njmp entry\nEND malloc_trim\n"
				   "FUNC after\nret\nEND after\njmp entry\n";

static uint8_t byte_at(const char *path, uint64_t offset)
{
	FILE *f = fopen(path, "r");
	int c;

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
	c = fgetc(f);
	fclose(f);
	assert_true(c >= 0);
	return (uint8_t)c;
}

static void test_jumps_back(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));
	const struct mt_probe *p;

	(void)state;
	assert_int_equal(programs_write("again.s", again_source), 0);
	assert_true(programs_run("cc -shared -nostdlib -o again.so again.s"));
	assert_int_equal(inspect(programs_path("again.so"), found), 0);
	/* malloc and free, and two of the jumps */
	assert_int_equal(found->n_probes, 4);
	for (size_t i = 2; i < 4; i++) {
		p = &found->probes[i];
		assert_string_equal(p->func, "free");
		assert_int_equal(p->kind, MT_KIND_FREE_AGAIN);
		assert_true(p->entry && !p->ret);
		assert_int_equal(p->place.step, MT_STEP_EMULATED);
		assert_int_equal(p->place.skip, 0);
		assert_memory_equal(p->place.insn, "jmp ", 4);
		assert_non_null(p->place.why);
		assert_int_equal(byte_at(programs_path("again.so"), p->offset),
				 i == 2 ? 0xeb : 0xe9);
		assert_int_equal(MT_COOKIE_KIND(p->cookie), MT_KIND_FREE_AGAIN);
		assert_int_equal(MT_COOKIE_ADDR(p->cookie), p->place.addr);
	}
	assert_int_equal(found->probes[3].offset + 5,
			 probe_of(found, "free")->offset - probe_of(found, "free")->place.skip);
	mt_alloc_found_free(&found);
}

static void test_no_free(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));

	(void)state;
	assert_int_equal(programs_write("half.c",
					"const char *gnu_get_libc_version(void) { return 0; }\n"
					"void *malloc(unsigned long n) { return 0; }\n"),
			 0);
	assert_true(programs_run("cc -fno-builtin -shared -fPIC -o half.so half.c"));
	assert_int_equal(inspect(programs_path("half.so"), found), -ENOENT);
	mt_alloc_found_free(&found);
}

static size_t count_kind(const struct mt_alloc_found *found, enum mt_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < found->n_probes; i++)
		n += found->probes[i].kind == kind;
	return n;
}

/*
 * An allocator that nobody knows. operator new: a loop that calls malloc and
 * throws; one form goes on to another by a jump, one by the PLT, one that only
 * forwards, and one that ends in a jump through a register. Of the deletes one
 * jumps to free only sometimes, and one always.
 */
static const char unknown_source[] =
	".text\n"
	".macro FUNC name\n.globl \\name\n.type \\name,@function\n\\name:\n.endm\n"
	".macro END name\n.size \\name,.-\\name\n.endm\n"
	"FUNC malloc\npush %rbx\nmov %rdi,%rax\npop %rbx\nret\nEND malloc\n"
	"FUNC free\npush %rbx\npop %rbx\nret\nEND free\n"
	"FUNC calloc\npush %rbx\ncall malloc@plt\npop %rbx\nret\nEND calloc\n"
	"cold: pop %rbx\npop %rbx\nret\n"
	"thrower: push %rax\ncall __cxa_throw@plt\n"
	"FUNC _Znwm\npush %rbx\npush %rdi\n1: call malloc@plt\ntest %rax,%rax\njne cold\n"
	"cmpq $0,(%rsp)\nje 1b\ncmpq $1,(%rsp)\njne 2f\npop %rbx\npop %rbx\nret\n"
	"2: call thrower\nEND _Znwm\n"
	"FUNC _Znam\njmp _Znwm@plt\nEND _Znam\n"
	"FUNC _ZnwmRKSt9nothrow_t\ntest %rdi,%rdi\nje 1f\njmp malloc@plt\n1: ret\n"
	"END _ZnwmRKSt9nothrow_t\n"
	"FUNC _ZnamRKSt9nothrow_t\ntest %rdi,%rdi\nje 1f\njmp local\n1: ret\n"
	"END _ZnamRKSt9nothrow_t\n"
	"local: push %rbx\npop %rbx\nje malloc@plt\njmp cold\n"
	"FUNC _ZnwmSt11align_val_t\ntest %rdi,%rdi\nje 1f\njmp *%rax\n1: ret\n"
	"END _ZnwmSt11align_val_t\n"
	"FUNC _ZdlPv\njmp free@plt\nEND _ZdlPv\n"
	"FUNC _ZdlPvm\ntest %rdi,%rdi\nje 1f\njmp free@plt\n1: ret\nEND _ZdlPvm\n";

static void test_exits(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));

	(void)state;
	assert_int_equal(programs_write("unknown.s", unknown_source), 0);
	assert_true(programs_run("cc -shared -nostdlib -o unknown.so unknown.s"));
	assert_int_equal(inspect(programs_path("unknown.so"), found), 0);
	assert_ptr_equal(found->allocator, &mt_alloc_generic);
	check_probe(found, "malloc", MT_KIND_ALLOC, true, true);
	check_probe(found, "calloc", MT_KIND_ALLOC_N, true, true);
	check_probe(found, "free", MT_KIND_FREE, true, false);
	/* no return probe where an exception may pass */
	check_probe(found, "_Znwm", MT_KIND_NEW, true, false);
	check_probe(found, "_ZnwmRKSt9nothrow_t", MT_KIND_NEW, true, false);
	check_probe(found, "_ZnamRKSt9nothrow_t", MT_KIND_NEW, true, false);
	check_probe(found, "_ZdlPvm", MT_KIND_FREE, true, false);
	/* seen where they jump to */
	assert_null(probe_of(found, "_Znam"));
	assert_null(probe_of(found, "_ZdlPv"));
	/* _Znwm's own, the one in cold, which is local's too, and one each of the nothrow forms */
	assert_int_equal(count_kind(found, MT_KIND_EXIT), 4);
	/* the throw, the jump to the PLT, and the PLT entry that is reached on a condition */
	assert_int_equal(count_kind(found, MT_KIND_LEAVE), 3);
	assert_int_equal(count_kind(found, MT_KIND_FREE_AGAIN), 1);
	assert_int_equal(found->n_missed, 1);
	assert_string_equal(found->missed[0].func, "_ZnwmSt11align_val_t");
	assert_string_equal(found->missed[0].why, "an indirect jump");
	for (size_t i = 0; i < found->n_probes; i++)
		if (found->probes[i].kind == MT_KIND_EXIT)
			assert_int_equal(
				byte_at(programs_path("unknown.so"), found->probes[i].offset),
				0xc3);
	mt_alloc_found_free(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libc_probes), cmocka_unit_test(test_libc_places),
		cmocka_unit_test(test_libc_range),  cmocka_unit_test(test_libc_internal_calls),
		cmocka_unit_test(test_static),      cmocka_unit_test(test_others),
		cmocka_unit_test(test_versions),    cmocka_unit_test(test_no_free),
		cmocka_unit_test(test_jumps_back),  cmocka_unit_test(test_exits),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
