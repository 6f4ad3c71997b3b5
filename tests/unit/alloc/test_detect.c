/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "programs.h"

static char last_log[8192];

static void sink(enum mt_log_level level, const char *msg)
{
	(void)level;
	snprintf(last_log, sizeof(last_log), "%s", msg);
}

static int setup(void **state)
{
	mt_log_set_sink(sink);
	return programs_setup(state) || !programs_run("cc -o program program.c");
}

static int detect(const struct program *p, struct mt_alloc_found **found)
{
	struct mt_maps *maps = NULL;
	char want[64];
	int r;

	*found = NULL;
	last_log[0] = '\0';
	assert_int_equal(mt_maps_read(p->pid, &maps), 0);
	r = mt_alloc_detect(p->pid, maps, found);
	mt_maps_free(&maps);
	assert_int_equal(r == 0, *found != NULL);
	assert_int_equal(r == 0, last_log[0] == '\0');
	/* Every message says which process. */
	snprintf(want, sizeof(want), "pid %d (", (int)p->pid);
	assert_true(r == 0 || strncmp(last_log, want, strlen(want)) == 0);
	return r;
}

static int start(const char *name, const char *preload, struct program *p)
{
	char path[512];
	char *argv[] = {path, NULL};

	snprintf(path, sizeof(path), "%s", name[0] == '/' ? name : programs_path(name));
	return program_start(argv, preload, p);
}

/* Starts, detects, stops; what is found is the libc's. */
static void expect_libc(const char *name, const char *preload)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};
	struct stat st;

	assert_int_equal(start(name, preload, &p), 0);
	assert_int_equal(detect(&p, &found), 0);
	assert_ptr_equal(found->allocator, &mt_alloc_glibc);
	assert_non_null(strstr(found->path, "libc"));
	assert_int_equal(stat(found->open_path, &st), 0);
	assert_int_equal(st.st_dev, found->dev);
	assert_int_equal(st.st_ino, found->inode);
	assert_true(found->n_probes >= 5);
	free(found);
	program_stop(&p);
}

static void expect_error(const char *name, const char *preload, int err, const char *text)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};

	assert_int_equal(start(name, preload, &p), 0);
	assert_int_equal(detect(&p, &found), err);
	assert_non_null(strstr(last_log, text));
	program_stop(&p);
}

static void test_dynamic(void **state)
{
	(void)state;
	expect_libc("program", NULL);
}

/* The executable and its directory are gone: its files are found all the same. */
static void test_deleted(void **state)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};

	(void)state;
	if (!programs_run("cc -static -o gone program.c"))
		skip(); /* no static libc here */
	assert_int_equal(start("gone", NULL, &p), 0);
	assert_true(programs_run("rm gone; echo other > gone"));
	if (geteuid() != 0) {
		program_stop(&p);
		skip(); /* map_files needs a capability */
	}
	assert_int_equal(detect(&p, &found), 0);
	assert_string_equal(found->path, programs_path("gone"));
	assert_non_null(strstr(found->open_path, "/map_files/"));
	free(found);
	program_stop(&p);
}

static void test_static(void **state)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};

	(void)state;
	if (!programs_run("cc -static -o st program.c && strip -o stripped st"))
		skip(); /* no static libc here */
	assert_int_equal(start("st", NULL, &p), 0);
	assert_int_equal(detect(&p, &found), 0);
	assert_string_equal(found->path, programs_path("st"));
	free(found);
	program_stop(&p);
	expect_error("stripped", NULL, -ENODATA, "static and stripped");
}

static void test_static_pie(void **state)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};

	(void)state;
	if (!programs_run("cc -static-pie -o pie program.c"))
		skip(); /* no static libc here */
	assert_int_equal(start("pie", NULL, &p), 0);
	assert_int_equal(detect(&p, &found), 0);
	assert_string_equal(found->path, programs_path("pie"));
	free(found);
	program_stop(&p);
}

static void test_unknown(void **state)
{
	static const char *const libs[] = {"/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
					   "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
					   "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2"};

	(void)state;
	for (size_t i = 0; i < sizeof(libs) / sizeof(libs[0]); i++) {
		char *real = realpath(libs[i], NULL);

		if (real)
			expect_error("program", libs[i], -ENOTSUP, real);
		else
			print_message("%s is not installed\n", libs[i]);
		free(real);
	}
	if (programs_run("musl-gcc -static -o musl program.c"))
		expect_error("musl", NULL, -ENOTSUP, "does not know");
	if (programs_run("musl-gcc -o musl-dynamic program.c"))
		expect_error("musl-dynamic", NULL, -ENOTSUP, "does not know");
}

/* An allocator of the program's own, with pages from the kernel. */
static const char own_source[] =
	"#include <stddef.h>\n"
	"#include <sys/mman.h>\n"
	"static char *top, *end;\n"
	"void *malloc(size_t n)\n"
	"{\n"
	"	void *p;\n"
	"	n = (n + 15) & ~(size_t)15;\n"
	"	if ((size_t)(end - top) < n) {\n"
	"		top = mmap(NULL, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);\n"
	"		end = top + (1 << 20);\n"
	"	}\n"
	"	p = top;\n"
	"	top += n;\n"
	"	return p;\n"
	"}\n"
	"void free(void *p) { (void)p; }\n";

/* Counts, and asks the next one. */
static const char wrapper_source[] =
	"#include <dlfcn.h>\n"
	"#include <stddef.h>\n"
	"unsigned long calls;\n"
	"void *malloc(size_t n)\n"
	"{\n"
	"	static void *(*next)(size_t);\n"
	"	calls++;\n"
	"	if (!next)\n"
	"		next = (void *(*)(size_t))dlsym(RTLD_NEXT, \"malloc\");\n"
	"	return next(n);\n"
	"}\n"
	"void free(void *p)\n"
	"{\n"
	"	static void (*next)(void *);\n"
	"	if (!next)\n"
	"		next = (void (*)(void *))dlsym(RTLD_NEXT, \"free\");\n"
	"	next(p);\n"
	"}\n";

static void build_libraries(void)
{
	assert_int_equal(programs_write("own.c", own_source), 0);
	assert_int_equal(programs_write("wrapper.c", wrapper_source), 0);
	assert_true(programs_run("cc -D_GNU_SOURCE -fno-builtin -shared -fPIC -o own.so own.c"));
	assert_true(programs_run(
		"cc -D_GNU_SOURCE -fno-builtin -shared -fPIC -o wrapper.so wrapper.c"));
	assert_true(programs_run("cc -fno-builtin -rdynamic -o own-exe program.c own.c"));
}

static void test_own(void **state)
{
	char lib[512], both[1200];

	(void)state;
	build_libraries();
	snprintf(lib, sizeof(lib), "%s", programs_path("own.so"));
	expect_error("program", lib, -ENOTSUP, "own.so");
	expect_error("own-exe", NULL, -ENOTSUP, "own-exe");
	/* A wrapper in front of it: who owns the blocks counts. */
	snprintf(both, sizeof(both), "%s:%s", programs_path("wrapper.so"), lib);
	expect_error("program", both, -ENOTSUP, "own.so");
}

static void test_wrapper(void **state)
{
	char lib[512];

	(void)state;
	build_libraries();
	snprintf(lib, sizeof(lib), "%s", programs_path("wrapper.so"));
	expect_libc("program", lib);
	setenv("DUMP_HEAPTRACK_OUTPUT", "/dev/null", 1);
	if (access("/usr/lib/heaptrack/libheaptrack_preload.so", R_OK) == 0)
		expect_libc("program", "/usr/lib/heaptrack/libheaptrack_preload.so");
}

/* A library loaded later does not take malloc over. */
static void test_dlopened(void **state)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};

	(void)state;
	build_libraries();
	assert_int_equal(programs_write("load.c",
					"#include <dlfcn.h>\n"
					"#define main program\n"
					"#include \"program.c\"\n"
					"#undef main\n"
					"int main(int c, char **v)\n"
					"{\n"
					"	return dlopen(LIB, RTLD_NOW) ? program() : 2;\n"
					"}\n"),
			 0);
	assert_true(programs_run("cc -DLIB=\"\\\"$PWD/own.so\\\"\" -o load load.c"));
	assert_int_equal(start("load", NULL, &p), 0);
	assert_int_equal(detect(&p, &found), 0);
	assert_non_null(strstr(found->path, "libc"));
	free(found);
	program_stop(&p);
}

/* With the old layout of mappings the order of addresses is the other one. */
static void test_legacy_layout(void **state)
{
	int old = personality(0xffffffff);
	char lib[512];

	(void)state;
	build_libraries();
	if (old < 0 || personality((unsigned long)old | ADDR_COMPAT_LAYOUT) < 0)
		skip();
	snprintf(lib, sizeof(lib), "%s", programs_path("own.so"));
	expect_libc("program", NULL);
	expect_error("program", lib, -ENOTSUP, "own.so");
	personality((unsigned long)old);
}

/* Started through the dynamic linker, which is then the executable. */
static void test_linker(void **state)
{
	char path[512];
	char *argv[] = {(char[]){"/lib64/ld-linux-x86-64.so.2"}, path, NULL};
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};

	(void)state;
	snprintf(path, sizeof(path), "%s", programs_path("program"));
	if (program_start(argv, NULL, &p))
		skip(); /* no such linker here */
	assert_int_equal(detect(&p, &found), 0);
	assert_non_null(strstr(found->path, "libc"));
	free(found);
	program_stop(&p);
}

static void test_32_bit(void **state)
{
	(void)state;
	assert_int_equal(
		programs_write(
			"loop32.c",
			"void _start(void)\n"
			"{\n"
			"	static char c;\n"
			"	int r;\n"
			"	__asm__ volatile(\"int $0x80\" : \"=a\"(r)\n"
			"		: \"a\"(4), \"b\"(1), \"c\"(&c), \"d\"(1) : \"memory\");\n"
			"	do\n"
			"		__asm__ volatile(\"int $0x80\" : \"=a\"(r)\n"
			"			: \"a\"(3), \"b\"(0), \"c\"(&c), \"d\"(1) : "
			"\"memory\");\n"
			"	while (r > 0);\n"
			"	__asm__ volatile(\"int $0x80\" : : \"a\"(1), \"b\"(0));\n"
			"}\n"),
		0);
	if (!programs_run("cc -m32 -O1 -ffreestanding -fno-pic -fno-stack-protector -nostdlib "
			  "-static -no-pie -o loop32 loop32.c"))
		skip(); /* no 32-bit compiler here */
	expect_error("loop32", NULL, -ENOTSUP, "64-bit");
}

/* A name that would clear the screen and forge a line arrives as text. */
static void test_hostile_name(void **state)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};
	const char *name = "\x1b[2J\nmemtrace";

	(void)state;
	if (!programs_run("cc -static -o st program.c && strip -o stripped st"))
		skip(); /* no static libc here */
	assert_true(programs_run("cp stripped \"$(printf '\\033[2J\\nmemtrace')\""));
	assert_int_equal(start(name, NULL, &p), 0);
	assert_int_equal(detect(&p, &found), -ENODATA);
	for (const char *c = last_log; *c; c++)
		assert_true((unsigned char)*c >= 0x20);
	program_stop(&p);
}

static void test_gone(void **state)
{
	struct mt_alloc_found *found = NULL;
	struct mt_maps *maps = NULL;
	struct program p = {.pid = -1, .in = -1};

	(void)state;
	assert_int_equal(start("program", NULL, &p), 0);
	assert_int_equal(mt_maps_read(p.pid, &maps), 0);
	program_stop(&p);
	assert_int_equal(mt_alloc_detect(p.pid, maps, &found), -ESRCH);
	assert_null(found);
	mt_maps_free(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dynamic), cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_static),  cmocka_unit_test(test_static_pie),
		cmocka_unit_test(test_unknown), cmocka_unit_test(test_own),
		cmocka_unit_test(test_wrapper), cmocka_unit_test(test_dlopened),
		cmocka_unit_test(test_linker),  cmocka_unit_test(test_legacy_layout),
		cmocka_unit_test(test_32_bit),  cmocka_unit_test(test_hostile_name),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
