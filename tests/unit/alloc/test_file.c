/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "alloc/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "programs.h"

static char last_log[1024];

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

/* With pages of its own: the shortest allocator there is. */
static const char own_source[] = "#include <stddef.h>\n"
				 "#include <sys/mman.h>\n"
				 "static char *top;\n"
				 "void *malloc(size_t n)\n"
				 "{\n"
				 "	if (!top)\n"
				 "		top = mmap(NULL, 1 << 24, 3, 0x22, -1, 0);\n"
				 "	top += (n + 31) & ~(size_t)15;\n"
				 "	return top - ((n + 15) & ~(size_t)15);\n"
				 "}\n"
				 "void free(void *p) { (void)p; }\n";

/* Asks the next one. */
static const char wrapper_source[] =
	"#define _GNU_SOURCE\n"
	"#include <dlfcn.h>\n"
	"#include <stddef.h>\n"
	"void *malloc(size_t n) { return ((void *(*)(size_t))dlsym(RTLD_NEXT, \"malloc\"))(n); }\n"
	"void free(void *p) { ((void (*)(void *))dlsym(RTLD_NEXT, \"free\"))(p); }\n";

static int inspect_all(const struct program *p, const char *text, struct mt_alloc_found **found)
{
	struct mt_maps *maps = NULL;
	int n = 0;

	*found = NULL;
	last_log[0] = '\0';
	assert_int_equal(mt_maps_read(p->pid, &maps), 0);
	for (size_t i = 0; i < maps->n; i++) {
		struct mt_alloc_found *one = NULL;
		int r;

		if (!maps->v[i].exec)
			continue;
		r = mt_alloc_inspect_file(p->pid, &maps->v[i], NULL, &one);
		assert_int_equal(r == 0, one != NULL);
		n += one != NULL;
		if (one && strstr(one->path, text) && !*found)
			*found = one;
		else
			mt_alloc_found_free(&one);
	}
	mt_maps_free(&maps);
	assert_string_equal(last_log, "");
	return n;
}

/* Each file by itself: the libc besides what goes before it; not the linker, not a wrapper. */
static void test_each_file(void **state)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};
	char both[1200], path[512];
	char *argv[] = {path, NULL};
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s", programs_path("program"));
	snprintf(both, sizeof(both), "%s:", programs_path("wrapper.so"));
	snprintf(both + strlen(both), sizeof(both) - strlen(both), "%s", programs_path("own.so"));
	assert_int_equal(programs_write("own.c", own_source), 0);
	assert_int_equal(programs_write("wrapper.c", wrapper_source), 0);
	assert_true(programs_run("cc -fno-builtin -shared -fPIC -o own.so own.c &&"
				 "cc -fno-builtin -shared -fPIC -o wrapper.so wrapper.c -ldl"));
	assert_int_equal(program_start(argv, both, &p), 0);
	assert_int_equal(inspect_all(&p, "own.so", &found), 2);
	assert_non_null(found);
	assert_ptr_equal(found->allocator, &mt_alloc_generic);
	assert_string_equal(found->id.version, "own.so");
	assert_int_equal(found->id.layout, MT_LAYOUT_REQUESTED);
	assert_int_equal(stat(found->open_path, &st), 0);
	assert_int_equal(st.st_ino, found->inode);
	mt_alloc_found_free(&found);
	program_stop(&p);
}

/* The symbols of a stripped executable, in a file that its build id names. */
static void test_debug_file(void **state)
{
	struct mt_elf *elf = NULL;
	char name[2 * MT_BUILD_ID_MAX + 16];
	struct mt_sym sym, other;
	int fd;

	(void)state;
	if (!programs_run("cc -static -Wl,--build-id -o full program.c &&"
			  "objcopy --only-keep-debug full full.debug && strip -o bare full &&"
			  "cc -static -Wl,--build-id -DOTHER -g -o second program.c"))
		skip(); /* no static libc here */
	assert_int_equal(mt_elf_open(programs_path("full"), &elf), 0);
	assert_int_equal(mt_elf_find_func(elf, "malloc", &sym), 0);
	assert_int_equal(mt_elf_debug_name(elf, name, sizeof(name)), -ENOENT);
	mt_elf_free(&elf);
	assert_int_equal(mt_elf_open(programs_path("bare"), &elf), 0);
	assert_int_equal(mt_elf_find_func(elf, "malloc", &other), -ENOENT);
	assert_int_equal(mt_elf_debug_name(elf, name, sizeof(name)), 0);
	assert_int_equal(name[2], '/');
	assert_string_equal(name + strlen(name) - 6, ".debug");
	fd = open(programs_path("second"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(mt_elf_add_debug(elf, fd), -ENOENT);
	close(fd);
	fd = open(programs_path("full.debug"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(mt_elf_add_debug(elf, fd), 0);
	close(fd);
	assert_true(mt_elf_may_define(elf, "malloc"));
	assert_int_equal(mt_elf_find_func(elf, "malloc", &other), 0);
	assert_int_equal(other.addr, sym.addr);
	assert_int_equal(other.offset, sym.offset);
	mt_elf_free(&elf);
}

/* What is probed is what was read, whatever the process maps there meanwhile. */
static void test_same_file(void **state)
{
	const size_t size = 1u << 20;
	int own = open("/proc/self/exe", O_RDONLY), other = open("/bin/sh", O_RDONLY), fd = -1;
	char *at = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, own, 0);
	struct mt_mapping m = {.start = (uintptr_t)at, .end = (uintptr_t)at + size, .exec = true};
	struct mt_alloc_found *found = NULL;
	struct stat was, is;

	(void)state;
	assert_true(at != MAP_FAILED && own >= 0 && other >= 0);
	m.path = "/own";
	mt_alloc_inspect_file(getpid(), &m, &fd, &found);
	assert_ptr_equal(mmap(at, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, other, 0),
			 at);
	assert_int_equal(fstat(own, &was), 0);
	assert_int_equal(fstat(fd, &is), 0);
	assert_int_equal(was.st_ino, is.st_ino);
	mt_alloc_found_free(&found);
	munmap(at, size);
	close(own);
	close(other);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_file),
		cmocka_unit_test(test_same_file),
		cmocka_unit_test(test_debug_file),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
