/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "headless.h"
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
	mt_alloc_found_free(&found);
	program_stop(&p);
}

/* The same for another allocator, in the file whose path contains text. */
static void expect_in(const char *name, const char *preload, const char *text)
{
	struct mt_alloc_found *found;
	struct program p = {.pid = -1, .in = -1};

	assert_int_equal(start(name, preload, &p), 0);
	assert_int_equal(detect(&p, &found), 0);
	assert_ptr_not_equal(found->allocator, &mt_alloc_glibc);
	assert_non_null(strstr(found->path, text));
	assert_true(found->n_probes >= 2);
	mt_alloc_found_free(&found);
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
	mt_alloc_found_free(&found);
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
	mt_alloc_found_free(&found);
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
	mt_alloc_found_free(&found);
	program_stop(&p);
}

static void test_others(void **state)
{
	static const char *const libs[] = {"/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
					   "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
					   "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2"};

	(void)state;
	for (size_t i = 0; i < sizeof(libs) / sizeof(libs[0]); i++) {
		char *real = realpath(libs[i], NULL);

		if (real)
			expect_in("program", libs[i], real);
		else
			print_message("%s is not installed\n", libs[i]);
		free(real);
	}
	if (programs_run("musl-gcc -static -o musl program.c"))
		expect_in("musl", NULL, programs_path("musl"));
	if (programs_run("musl-gcc -o musl-dynamic program.c"))
		expect_in("musl-dynamic", NULL, "libc.so");
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
	expect_in("program", lib, "own.so");
	expect_in("own-exe", NULL, "own-exe");
	/* A wrapper in front of it: who owns the blocks counts. */
	snprintf(both, sizeof(both), "%s:%s", programs_path("wrapper.so"), lib);
	expect_in("program", both, "own.so");
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
	mt_alloc_found_free(&found);
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
	expect_in("program", lib, "own.so");
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
	mt_alloc_found_free(&found);
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

/* The maps of a running program, its libc's code said to be elsewhere. */
static struct mt_maps *maps_with_libc_at(pid_t pid, uint64_t addr, const char *path)
{
	struct mt_maps *maps = NULL;

	assert_int_equal(mt_maps_read(pid, &maps), 0);
	for (size_t i = 0; i < maps->n; i++) {
		struct mt_mapping *m = &maps->v[i];

		if (!strstr(m->path, "/libc"))
			continue;
		m->path = path;
		if (addr && m->exec) {
			m->start = addr;
			m->end = addr + 4096;
		}
	}
	return maps;
}

/* The mapping is gone; what has the path now is not what was mapped. */
static void test_unmapped_meanwhile(void **state)
{
	struct mt_alloc_found *found = NULL;
	struct program p = {.pid = -1, .in = -1};
	struct mt_maps *maps;
	char planted[512];

	(void)state;
	if (geteuid() != 0)
		skip(); /* map_files needs a capability */
	build_libraries();
	snprintf(planted, sizeof(planted), "%s", programs_path("own.so"));
	assert_int_equal(start("program", NULL, &p), 0);
	maps = maps_with_libc_at(p.pid, 0x1000, planted);
	assert_int_equal(mt_alloc_detect(p.pid, maps, &found), -ENOENT);
	assert_null(found);
	mt_maps_free(&maps);
	program_stop(&p);
}

/* Detection without the capabilities that map_files asks for, in a child. */
static int detect_by_path(pid_t pid, const struct mt_maps *maps)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};
	struct mt_alloc_found *found = NULL;
	int status;
	pid_t child = fork();

	if (!child) {
		d[0].effective = d[0].permitted = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_OVERRIDE;
		if (syscall(SYS_capset, &h, d))
			_exit(0);
		_exit(-mt_alloc_detect(pid, maps, &found));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

/* Only a regular file is opened: a device may act on it. A pipe here, watched. */
static void test_planted_device(void **state)
{
	struct program p = {.pid = -1, .in = -1};
	struct mt_maps *maps;
	int watch, was;
	char fifo[512], events[4096];

	(void)state;
	if (geteuid() != 0)
		skip(); /* needs to trace without being able to open map_files */
	snprintf(fifo, sizeof(fifo), "%s", programs_path("fifo"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_true(programs_run("ln -s fifo libc.link"));
	assert_int_equal(start("program", NULL, &p), 0);
	watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	assert_true(inotify_add_watch(watch, fifo, IN_OPEN) >= 0);
	maps = maps_with_libc_at(p.pid, 0, programs_path("libc.link"));
	assert_int_equal(detect_by_path(p.pid, maps), -ENOENT);
	was = (int)read(watch, events, sizeof(events));
	assert_int_equal(was, -1);
	assert_int_equal(errno, EAGAIN);
	close(watch);
	mt_maps_free(&maps);
	/* The way by the path works, where there is what should be. */
	assert_int_equal(mt_maps_read(p.pid, &maps), 0);
	assert_int_equal(detect_by_path(p.pid, maps), 0);
	mt_maps_free(&maps);
	program_stop(&p);
}

/* Held at its exec: the linker has mapped nothing yet, which is no refusal. */
static void test_not_mapped_yet(void **state)
{
	char path[512];
	struct program p = {.pid = -1, .in = -1};
	struct mt_alloc_found *found;
	int status;

	(void)state;
	snprintf(path, sizeof(path), "%s", programs_path("program"));
	p.pid = fork();
	if (!p.pid) {
		if (!ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			execl(path, path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(detect(&p, &found), -ENOENT);
	kill(p.pid, SIGKILL);
	assert_int_equal(waitpid(p.pid, NULL, 0), p.pid);
}

/* A static program that has symbols and no malloc never will have one. */
static void test_static_without_malloc(void **state)
{
	(void)state;
	assert_int_equal(programs_write("none.c",
					"static long call(long n, long a, void *b, long c)\n"
					"{\n"
					"	long r;\n"
					"	__asm__ volatile(\"syscall\" : \"=a\"(r)\n"
					"		: \"a\"(n), \"D\"(a), \"S\"(b), \"d\"(c)\n"
					"		: \"rcx\", \"r11\", \"memory\");\n"
					"	return r;\n"
					"}\n"
					"void _start(void)\n"
					"{\n"
					"	static char c;\n"
					"	call(1, 1, &c, 1);\n"
					"	while (call(0, 0, &c, 1) > 0)\n"
					"		;\n"
					"	call(60, 0, 0, 0);\n"
					"}\n"),
			 0);
	assert_true(programs_run("cc -O1 -ffreestanding -fno-stack-protector -nostdlib -static "
				 "-o none none.c"));
	expect_error("none", NULL, -ENODATA, "defines no malloc");
}

/* The first thread has exited; the files are had by another one. */
static void test_without_first_thread(void **state)
{
	struct program p = {.pid = -1, .in = -1};
	struct mt_alloc_found *found;

	(void)state;
	assert_int_equal(programs_write("headless.c",
					"#include <pthread.h>\n"
					"#define main program\n"
					"#include \"program.c\"\n"
					"#undef main\n"
					"static void *run(void *arg) { return program(), arg; }\n"
					"int main(void)\n"
					"{\n"
					"	pthread_t t;\n"
					"	pthread_create(&t, NULL, run, NULL);\n"
					"	pthread_exit(NULL);\n"
					"}\n"),
			 0);
	assert_true(programs_run("cc -pthread -o headless headless.c"));
	assert_int_equal(start("headless", NULL, &p), 0);
	while (!headless_is(p.pid))
		sched_yield();
	assert_int_equal(detect(&p, &found), 0);
	assert_non_null(strstr(found->path, "libc"));
	mt_alloc_found_free(&found);
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
		cmocka_unit_test(test_dynamic),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_static_pie),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_wrapper),
		cmocka_unit_test(test_dlopened),
		cmocka_unit_test(test_linker),
		cmocka_unit_test(test_legacy_layout),
		cmocka_unit_test(test_32_bit),
		cmocka_unit_test(test_hostile_name),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_unmapped_meanwhile),
		cmocka_unit_test(test_planted_device),
		cmocka_unit_test(test_not_mapped_yet),
		cmocka_unit_test(test_static_without_malloc),
		cmocka_unit_test(test_without_first_thread),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
