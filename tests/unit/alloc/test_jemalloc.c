/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* jemalloc as it is packaged, and made to say what it must not be believed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc/jemalloc.h"
#include "jemalloc_core.bpf.h"
#include "programs.h"

#define V618 0x061200u

/*
 * What memtrace looks at in jemalloc: VERSION; the tree, whose root an address's
 * bits SHIFT to SHIFT + BITS choose an element of; PAD: large blocks are sized
 * by their extents; OTHER 1: the second function uses another tree, 2: elements
 * of two words.
 */
static const char model_source[] =
	"#include <stdint.h>\n"
	"#define H __attribute__((visibility(\"hidden\")))\n"
	"struct rtree { void *base; char lock[112]; uint64_t *root[1ul << BITS]; };\n"
	"H struct rtree je_arena_emap_global, je_another;\n"
	"H uint64_t je_sz_index2size_tab[232], je_sz_large_pad;\n"
	"const char je_version[] = VERSION;\n"
	"#if PAD\n"
	"H int je_opt_disable_large_size_classes = 1;\n"
	"#endif\n"
	"H __attribute__((noipa)) uint64_t *je_rtree_leaf_elm_lookup_hard(void *tsdn,\n"
	"	struct rtree *t, uint64_t *ctx, uintptr_t key, _Bool dependent, _Bool init)\n"
	"{\n"
	"	uint64_t *leaf = t->root[(key >> SHIFT & ((1ul << BITS) - 1)) << OTHER / 2];\n"
	"	if (init && !leaf) return tsdn;\n"
	"	if (!dependent && !leaf) return 0;\n"
	"	ctx[1] = key;\n"
	"	return leaf + (key >> 12 & ((1ul << (SHIFT - 12)) - 1));\n"
	"}\n"
	"#define USABLE(name, tree) uint64_t name(const void *p, int flags)\\\n"
	"{\\\n"
	"	uint64_t ctx[2], word = *je_rtree_leaf_elm_lookup_hard(0, &tree, ctx,\\\n"
	"		(uintptr_t)p, 1, 0);\\\n"
	"	const uint64_t *e = (const uint64_t *)(word & 0xffffffff80);\\\n"
	"	if (PAD && e[0] > 35) return (e[2] & ~4095ul) - je_sz_large_pad;\\\n"
	"	return je_sz_index2size_tab[word >> 48];\\\n"
	"}\n"
	"USABLE(sallocx, je_arena_emap_global)\n"
	"#if OTHER == 1\n"
	"USABLE(malloc_usable_size, je_another)\n"
	"#else\n"
	"USABLE(malloc_usable_size, je_arena_emap_global)\n"
	"#endif\n"
	"int mallctlnametomib(void) { return 0; }\n"
	"void *malloc(uint64_t n) { return (void *)n; }\n"
	"void free(void *p) { *(volatile char *)p = 0; }\n";

#define RELEASE "5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c"

static void tell(const char *name, const char *prefix, struct mt_jemalloc_layout *ret)
{
	struct mt_elf *elf = NULL;

	assert_int_equal(mt_elf_open(programs_path(name), &elf), 0);
	mt_jemalloc_tell(elf, prefix, ret);
	mt_elf_free(&elf);
}

struct model {
	const char *flags; /* of the compiler */
	const char *version;
	unsigned int shift, bits, pad, other;
};

/* Makes model.so, with symbols, and stripped.so. */
static void make(const struct model *m)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd),
		 "%s -fno-builtin -shared -fPIC -DVERSION='\"%s\"' -DSHIFT=%u -DBITS=%u -DPAD=%u "
		 "-DOTHER=%u -o model.so model.c && strip -o stripped.so model.so",
		 m->flags, m->version, m->shift, m->bits, m->pad, m->other);
	assert_int_equal(programs_write("model.c", model_source), 0);
	assert_true(programs_run(cmd));
}

/* What the symbols say and what the code does, each without the other. */
static void test_symbols_and_code(void **state)
{
	static const struct {
		struct model m;
		unsigned int tree;
	} models[] = {
		{{"cc -O2", RELEASE, 30, 18, 0, 0}, MT_JEMALLOC_48},
		{{"cc -O3 -fcf-protection=full", RELEASE, 42, 15, 0, 0}, MT_JEMALLOC_57_53},
		{{"cc -O1", "5.2.1-0-gea6b3e9", 30, 18, 0, 0}, MT_JEMALLOC_48},
		{{"cc -O2", "5.2.0-0-gb0b3e49", 42, 15, 0, 0}, MT_JEMALLOC_57_52},
		{{"cc -O2", "5.3.1-0-g81034ce", 30, 18, 1, 0}, MT_JEMALLOC_48},
		{{"cc -O3", "5.3.1-0-g81034ce", 42, 15, 1, 0}, MT_JEMALLOC_57_53},
		{{"cc -O2", "5.3.0-1-ge13ca99", 30, 18, 0, 0}, MT_JEMALLOC_48},
		{{"cc -O2", "5.3.0-700-gabcdef", 30, 18, 1, 0}, MT_JEMALLOC_48},
		{{"cc -O2", "5.3.0-0-g0", 30, 18, 0, 0}, MT_JEMALLOC_48},
	};
	struct mt_jemalloc_layout symbols, code;

	(void)state;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		make(&models[i].m);
		tell("model.so", "", &symbols);
		tell("stripped.so", "", &code);
		assert_null(symbols.why);
		assert_null(code.why);
		assert_memory_equal(symbols.p, code.p, sizeof(code.p));
		assert_int_equal(code.p[MT_JEMALLOC_P_TREE], models[i].tree);
		assert_int_not_equal(code.p[MT_JEMALLOC_P_ROOT], 0);
		assert_int_not_equal(code.p[MT_JEMALLOC_P_TABLE], 0);
		assert_int_equal(code.p[MT_JEMALLOC_P_PAD] != 0, models[i].m.pad);
		assert_memory_equal(code.version, models[i].m.version, 5);
	}
}

/* Never a guess: each of these is counted by what is requested, and says why. */
static void test_refused(void **state)
{
	static const struct {
		struct model m;
		const char *why; /* a word of it */
	} models[] = {
		{{"cc -O2", "5.4.0-0-g0123456", 30, 18, 0, 0}, "version"},
		{{"cc -O2", "4.5.0-0-g0123456", 30, 18, 0, 0}, "version"},
		{{"cc -O2", "5.3.0", 30, 18, 0, 0}, "version"},
		{{"cc -O2", "5.3.0-0-x", 30, 18, 0, 0}, "version"},
		{{"cc -O2", "5.3.0-0-g1 5.2.1-0-g1", 30, 18, 0, 0}, "version"},
		{{"cc -O2", "5.2.1-9-g0123456", 30, 18, 0, 0}, "between"},
		{{"cc -O2", "5.3.1-1-g0123456", 30, 18, 1, 0}, "between"},
		{{"cc -O2", RELEASE, 34, 14, 0, 0}, "other pages"},
		{{"cc -O2", RELEASE, 31, 18, 0, 0}, "other pages"},
		{{"cc -O2", RELEASE, 42, 14, 0, 0}, "other pages"},
		{{"cc -O2", RELEASE, 30, 18, 1, 0}, "together"},
		{{"cc -O2", "5.3.1-0-g0123456", 30, 18, 0, 0}, "together"},
		{{"cc -O2", RELEASE, 30, 18, 0, 1}, "show where"},
		{{"cc -O2", RELEASE, 42, 15, 0, 2}, "show where"},
		{{"cc -O0", RELEASE, 30, 18, 0, 0}, "show where"},
	};
	struct mt_jemalloc_layout code;

	(void)state;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		make(&models[i].m);
		tell("stripped.so", "", &code);
		assert_non_null(code.why);
		assert_non_null(strstr(code.why, models[i].why));
	}
}

/* A tree whose symbol has a size that no tree has is not believed: the code may say more. */
static void test_odd_symbols(void **state)
{
	const struct model m = {"cc -O2", RELEASE, 32, 16, 0, 0};
	struct mt_jemalloc_layout symbols;

	(void)state;
	make(&m);
	tell("model.so", "", &symbols);
	assert_non_null(symbols.why);
	/* Two of the name: whose is whose cannot be told by symbols. */
	assert_true(programs_run("printf 'char x_arena_emap_global[9];' >two.c && "
				 "cc -shared -fPIC -O2 -fno-builtin -DVERSION='\"" RELEASE "\"' "
				 "-DSHIFT=30 -DBITS=18 -DPAD=0 -DOTHER=0 -o two.so two.c model.c"));
	tell("two.so", "", &symbols);
	assert_null(symbols.why);
	tell("two.so", "not_", &symbols);
	assert_non_null(symbols.why);
}

static bool find_library(char *path, size_t size, const char *name)
{
	char cmd[256];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "cc -print-file-name=%s", name);
	f = popen(cmd, "re");
	if (!f || !fgets(path, (int)size, f))
		path[0] = '\0';
	if (f)
		pclose(f);
	path[strcspn(path, "\n")] = '\0';
	return path[0] == '/';
}

static void check_probe(const struct mt_alloc_found *found, const char *func, enum mt_kind kind)
{
	for (size_t i = 0; i < found->n_probes; i++) {
		if (strcmp(found->probes[i].func, func) != 0)
			continue;
		assert_int_equal(found->probes[i].kind, kind);
		return;
	}
	fail_msg("no probe on %s", func);
}

static void inspect(const char *path, struct mt_alloc_found *found)
{
	struct mt_elf *elf = NULL;

	memset(found, 0, sizeof(*found));
	assert_int_equal(mt_elf_open(path, &elf), 0);
	assert_int_equal(mt_alloc_inspect(elf, V618, found), 0);
	mt_elf_free(&elf);
	assert_ptr_equal(found->allocator, &mt_alloc_jemalloc);
	assert_int_equal(found->id.layout, MT_LAYOUT_JEMALLOC);
	assert_null(found->id.why);
}

static void test_packaged(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));
	char path[256];

	(void)state;
	if (!find_library(path, sizeof(path), "libjemalloc.so.2")) {
		free(found);
		skip();
	}
	inspect(path, found);
	assert_memory_equal(found->id.version, "5.", 2);
	assert_null(found->id.prefix);
	check_probe(found, "malloc", MT_KIND_MALLOC);
	check_probe(found, "mallocx", MT_KIND_MALLOC);
	check_probe(found, "rallocx", MT_KIND_REALLOC);
	check_probe(found, "xallocx", MT_KIND_XALLOCX);
	check_probe(found, "free", MT_KIND_FREE);
	check_probe(found, "dallocx", MT_KIND_FREE);
	check_probe(found, "sdallocx", MT_KIND_FREE);
	free(found);
}

/* The same code twice in one executable would be found by its own names. */
static void check_linked(const char *how, const char *archive, struct mt_alloc_found *found)
{
	struct mt_jemalloc_layout stripped;
	char cmd[700];

	snprintf(cmd, sizeof(cmd),
		 "cc -fno-builtin %s -rdynamic -o linked program.c %s -lstdc++ -lm && "
		 "strip -o bare linked",
		 how, archive);
	assert_true(programs_run(cmd));
	inspect(programs_path("linked"), found);
	tell("bare", "", &stripped);
	assert_null(stripped.why);
	assert_memory_equal(stripped.p, found->id.params, sizeof(stripped.p));
}

static void test_linked(void **state)
{
	struct mt_alloc_found *found = malloc(sizeof(*found));
	char archive[256], cmd[700];

	(void)state;
	if (!find_library(archive, sizeof(archive), "libjemalloc.a")) {
		free(found);
		skip();
	}
	check_linked("-pie -fPIE", archive, found);
	check_linked("-no-pie -fno-pie", archive, found);
	/* As Rust programs have it: all names behind a prefix. */
	snprintf(cmd, sizeof(cmd),
		 "for f in malloc free calloc realloc sallocx malloc_usable_size mallocx "
		 "mallctlnametomib; do echo $f _rjem_$f; done >names && "
		 "objcopy --redefine-syms=names %s renamed.a && "
		 "cc -fno-builtin -Dmalloc=_rjem_malloc -Dfree=_rjem_free -w -o renamed program.c "
		 "renamed.a -lstdc++ -lm",
		 archive);
	assert_true(programs_run(cmd));
	inspect(programs_path("renamed"), found);
	assert_string_equal(found->id.prefix, "_rjem_");
	check_probe(found, "_rjem_mallocx", MT_KIND_MALLOC);
	free(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols_and_code), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_odd_symbols),      cmocka_unit_test(test_packaged),
		cmocka_unit_test(test_linked),
	};

	return cmocka_run_group_tests(tests, programs_setup, programs_teardown);
}
