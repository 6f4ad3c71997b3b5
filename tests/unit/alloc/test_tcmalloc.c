/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Debian's tcmallocs: their tables are found, and the reader agrees with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/uio.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable()
#define __lsan_enable()
#endif

#include "alloc/alloc.h"
#include "alloc/tcmalloc_find.h"
#include "programs.h"

static long read_user_u64(__u64 *dst, __u64 addr);
#include "size_tcmalloc.bpf.h"

#define LIB "/usr/lib/x86_64-linux-gnu/libtcmalloc"

#define _cleanup_elf_ __attribute__((cleanup(mt_elf_free)))

static unsigned int reads;

/* As the probes read: an address that is not there is an error. */
static long read_user_u64(__u64 *dst, __u64 addr)
{
	struct iovec to = {dst, sizeof(*dst)};
	struct iovec from = {(void *)(uintptr_t)addr, sizeof(*dst)};

	reads++;
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(*dst) ? 0 : -EFAULT;
}

static int find(const char *path, struct mt_tcmalloc *tc, const char **why)
{
	_cleanup_elf_ struct mt_elf *elf = NULL;
	int r = mt_elf_open(path, &elf);

	if (r == -ENOENT)
		skip();
	assert_int_equal(r, 0);
	return mt_tcmalloc_find(elf, tc, why);
}

static void check_found(const char *path)
{
	struct mt_tcmalloc tc;
	const char *why = NULL;

	if (find(path, &tc, &why))
		fail_msg("%s: %s", path, why);
	assert_int_equal(tc.page_shift, 13);
	assert_int_equal(tc.page_shift + tc.leaf_bits, 31);
	assert_int_equal(tc.cache_bits, 16);
	assert_true(tc.samples);
	assert_int_not_equal(tc.classes, 0);
}

static void libraries(void **state)
{
	(void)state;
	check_found(LIB "_minimal.so.4");
	check_found(LIB ".so.4");
	check_found(LIB "_and_profiler.so.4");
}

static void debugging_variants(void **state)
{
	struct mt_tcmalloc tc;
	const char *why = NULL;

	(void)state;
	assert_int_equal(find(LIB "_minimal_debug.so.4", &tc, &why), -ENOENT);
	assert_non_null(strstr(why, "debugging"));
	assert_int_equal(find(LIB "_debug.so.4", &tc, &why), -ENOENT);
}

static void others(void **state)
{
	struct mt_tcmalloc tc;
	const char *why = NULL;

	(void)state;
	assert_int_equal(find("/proc/self/exe", &tc, &why), -ENOENT);
	assert_non_null(strstr(why, "shows no"));
}

/* Linked in: code of other options, absolute addresses, names in .symtab only. */
static void linked(void **state)
{
	static const char *const ways[] = {"-pie -fPIE", "-no-pie -fno-pie", "-static",
					   "-static-pie -fPIE"};
	char cmd[256];

	(void)state;
	if (access(LIB "_minimal.a", R_OK))
		skip();
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		snprintf(cmd, sizeof(cmd),
			 "g++ -x c++ %s -o linked program.c -x none " LIB "_minimal.a -pthread",
			 ways[i]);
		assert_true(programs_run(cmd));
		check_found(programs_path("linked"));
	}
	assert_true(programs_run("strip linked"));
	assert_int_equal(
		find(programs_path("linked"), &(struct mt_tcmalloc){0}, &(const char *){NULL}),
		-ENOENT);
}

static void identity(void **state)
{
	_cleanup_elf_ struct mt_elf *elf = NULL, *debug = NULL;
	struct mt_alloc_identity id = {0};

	(void)state;
	if (mt_elf_open(LIB "_minimal.so.4", &elf) ||
	    mt_elf_open(LIB "_minimal_debug.so.4", &debug))
		skip();
	assert_true(mt_alloc_tcmalloc.identify(elf, &id));
	assert_int_equal(id.layout, MT_LAYOUT_TCMALLOC);
	assert_null(id.why);
	assert_true(id.version[0] == '2' && id.version[1] == '.' && id.version[2]);
	assert_true(mt_alloc_tcmalloc.identify(debug, &id));
	assert_int_equal(id.layout, MT_LAYOUT_REQUESTED);
	assert_non_null(id.why);
}

/* The same lookup, as other compilers and options make it; never wrong, at most not found. */
static int find_like(const char *cc, const char *options, struct mt_tcmalloc *tc)
{
	const char *why;
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "%s -w -fno-builtin -shared -fPIC %s -o like.so like.c", cc,
		 options);
	if (!programs_run(cmd))
		fail_msg("cannot run: %s", cmd);
	return find(programs_path("like.so"), tc, &why);
}

static void compilers(void **state)
{
	static const char *const ways[][2] = {
		{"gcc", "-O2"},
		{"gcc", "-O2 -fcf-protection -fno-omit-frame-pointer"},
		{"gcc", "-O3 -fvisibility=hidden -fno-plt -fno-semantic-interposition"},
		{"gcc", "-Os"},
		{"clang", "-O1"},
		{"clang", "-O2"},
		{"clang", "-Os"},
	};
	struct mt_tcmalloc tc;

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (find_like(ways[i][0], ways[i][1], &tc))
			fail_msg("%s %s: not found", ways[i][0], ways[i][1]);
		assert_int_equal(tc.page_shift, 13);
		assert_int_equal(tc.leaf_bits, 18);
		assert_int_equal(tc.cache_bits, 16);
		assert_int_equal(tc.root - tc.cache, 8 << 16);
		assert_int_equal(tc.sizes - tc.classes, 2172 + 128 * 4);
		assert_int_equal(tc.length, 8);
		assert_int_equal(tc.sample, 32);
		assert_int_equal(tc.class_bit, 8 * 42);
		assert_int_equal(tc.sampled_bit, 8 * 43 + 2);
	}
}

static void other_lookups(void **state)
{
	static const char *const options[] = {
		"-DCLASS_MAX=63",  "-DCLASS_MAX=255", "'-DSAMPLED(s)=!(s)->sampled'",
		"-DSMALL_MAX=512", "-DLAYERED",       "'-DSAMPLED(s)=((s)->sampled||(s)->other)'",
		"-DDEBUG",
	};
	struct mt_tcmalloc tc;
	char with[256];

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		snprintf(with, sizeof(with), "-O2 %s", options[i]);
		if (find_like("gcc", with, &tc) != -ENOENT)
			fail_msg("%s: not seen", options[i]);
	}
	assert_int_equal(find_like("gcc", "-O2 -DNEVER", &tc), 0);
	assert_false(tc.samples);
}

/* A copy of the library with other bytes in GetAllocatedSize. */
static void write_patched(const char *from, uint64_t offset, const void *bytes, size_t n)
{
	char cmd[256];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "cp " LIB "_minimal.so.4 patched");
	assert_true(programs_run(cmd));
	f = fopen(programs_path(from), "r+e");
	assert_non_null(f);
	assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

/* Code that does anything else than what the reader does is not taken for it. */
static void patched(void **state)
{
	static const struct {
		const char *have, *want;
		size_t n, at; /* at: of the byte that must differ */
	} changes[] = {
		{"\x7f\x77", "\x3f\x77", 2, 0},                 /* cmp $0x7f; ja: fewer classes */
		{"\xff\xff\x03\x00", "\xff\xff\x01\x00", 4, 2}, /* smaller leaves */
		{"\x48\xc1\xe0\x0d", "\x48\xc1\xe0\x0c", 4, 3}, /* length in other pages */
		{"\x04\x75", "\x06\x75", 2, 0},                 /* two bits say sampled */
		{"\x40\x08\x48", "\x40\x68\x48", 3, 1},         /* no such field */
	};
	_cleanup_elf_ struct mt_elf *elf = NULL;
	uint64_t start;
	const uint8_t *text, *hit;
	struct mt_tcmalloc tc;
	struct mt_sym sym;
	const char *why;
	size_t len, done = 0;

	(void)state;
	if (mt_elf_open(LIB "_minimal.so.4", &elf))
		skip();
	assert_int_equal(
		mt_elf_find_func(elf, "_ZN22TCMallocImplementation16GetAllocatedSizeEPKv", &sym),
		0);
	assert_int_equal(mt_elf_text(elf, sym.addr, &text, &len, &start), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		hit = memmem(text + (sym.addr - start), sym.size, changes[i].have, changes[i].n);
		if (!hit)
			continue;
		write_patched("patched", sym.offset + (uint64_t)(hit - text) - (sym.addr - start),
			      changes[i].want, changes[i].n);
		if (find(programs_path("patched"), &tc, &why) != -ENOENT)
			fail_msg("change %zu is not seen", i);
		done++;
	}
	assert_true(done >= 3);
}

/* The library in this process, beside its own malloc. */
struct lib {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*memalign)(size_t, size_t);
	size_t (*size)(const void *);
	struct mt_file file;
	uint64_t bias;
};

static void open_lib(struct lib *lib, const char *path)
{
	_cleanup_elf_ struct mt_elf *elf = NULL;
	struct mt_alloc_identity id = {0};
	struct link_map *map;
	void *handle;

	__lsan_disable(); /* it keeps an object of its own */
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	__lsan_enable();
	if (!handle || mt_elf_open(path, &elf))
		skip();
	assert_int_equal(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	assert_true(mt_alloc_tcmalloc.identify(elf, &id));
	assert_int_equal(id.layout, MT_LAYOUT_TCMALLOC);
	memcpy(lib->file.p, id.params, sizeof(lib->file.p));
	lib->bias = map->l_addr;
	*(void **)&lib->malloc = dlsym(handle, "tc_malloc");
	*(void **)&lib->free = dlsym(handle, "tc_free");
	*(void **)&lib->memalign = dlsym(handle, "tc_memalign");
	*(void **)&lib->size = dlsym(handle, "tc_malloc_size");
	assert_true(lib->malloc && lib->free && lib->memalign && lib->size);
}

static void check_block(const struct lib *lib, void *p)
{
	__u64 size = 0;

	reads = 0;
	assert_non_null(p);
	assert_int_equal(size_tcmalloc(&lib->file, lib->bias, (uintptr_t)p, &size), 0);
	assert_int_equal(size, lib->size(p));
	assert_true(size > 0 && reads <= 8);
}

static void sizes(void **state)
{
	struct lib lib;
	void *p;
	__u64 size;

	(void)state;
	open_lib(&lib, LIB "_minimal.so.4");
	for (size_t n = 0; n < 600000; n += n < 4096 ? 1 : 509) {
		check_block(&lib, p = lib.malloc(n));
		lib.free(p);
	}
	for (size_t align = 8; align <= 1u << 20; align *= 2) {
		check_block(&lib, p = lib.memalign(align, 3 * align / 2));
		lib.free(p);
	}
	check_block(&lib, p = lib.malloc(100u << 20));
	lib.free(p);
	assert_int_equal(size_tcmalloc(&lib.file, lib.bias, (uintptr_t)&lib, &size), 0);
	assert_int_equal(size, 0); /* on the stack */
	assert_int_equal(size_tcmalloc(&lib.file, lib.bias, 16, &size), 0);
	assert_int_equal(size, 0);
}

/* Run from the tree's top, as all unit tests are. */
static int setup(void **state)
{
	char cmd[512];

	if (programs_setup(state))
		return -1;
	snprintf(cmd, sizeof(cmd), "cp tests/unit/alloc/tcmalloc_like.c '%s/like.c'", programs_dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libraries),     cmocka_unit_test(debugging_variants),
		cmocka_unit_test(others),        cmocka_unit_test(linked),
		cmocka_unit_test(identity),      cmocka_unit_test(patched),
		cmocka_unit_test(sizes),         cmocka_unit_test(compilers),
		cmocka_unit_test(other_lookups),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
