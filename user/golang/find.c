/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "golang/operands.h"
#include "golang/pclntab.h"
#include "sys/elf.h"

#define PCLNTAB_MAX (256ul << 20)
/* In moduledata (runtime/symtab.go): where the text begins; the same in 1.18 to 1.27. */
#define MODULE_TEXT 176

static const char *const var_names[MT_GO_VARS] = {
	[MT_GO_MEMSTATS] = "runtime.memstats",       [MT_GO_MHEAP] = "runtime.mheap_",
	[MT_GO_CONTROLLER] = "runtime.gcController", [MT_GO_ALLP] = "runtime.allp",
	[MT_GO_PHASE] = "runtime.gcphase",
};

static bool add_try(struct mt_go_image *image, const struct mt_go_layout *layout,
		    const uint64_t v[MT_GO_VARS])
{
	if (image->n_tries == MT_GO_TRIES)
		return false;
	image->tries[image->n_tries++] = (struct mt_go_try){
		.vars =
			{
				.memstats = v[MT_GO_MEMSTATS],
				.mheap = v[MT_GO_MHEAP],
				.gc_controller = v[MT_GO_CONTROLLER],
				.allp = v[MT_GO_ALLP],
				.gcphase = v[MT_GO_PHASE],
			},
		.layout = layout,
	};
	return true;
}

static bool by_symbols(const struct mt_elf *elf, const struct mt_go_layout *const *layouts,
		       size_t n, struct mt_go_image *image)
{
	uint64_t v[MT_GO_VARS];

	mt_elf_find_objects(elf, var_names, MT_GO_VARS, v);
	for (size_t i = 0; i < MT_GO_VARS; i++)
		if (!v[i])
			return false;
	for (size_t i = 0; i < n; i++)
		add_try(image, layouts[i], v);
	return true;
}

/* The table of functions as a copy, and its link-time address. */
struct functions {
	uint8_t *bytes;
	uint64_t addr;
	uint64_t text; /* what offsets in it count from */
	struct mt_go_pclntab table;
};

static void free_functions(struct functions *f)
{
	free(f->bytes);
}

/* Linkers align the table, and may put others in front of it in its section. */
static int find_table(struct functions *f, size_t n, uint64_t addr)
{
	for (size_t i = (8 - addr % 8) % 8; i < n && n - i >= MT_GO_PCLNTAB_HEAD; i += 8) {
		if (!mt_go_is_pclntab(f->bytes + i) ||
		    mt_go_pclntab_open(f->bytes + i, n - i, &f->table))
			continue;
		f->addr = addr + i;
		return 0;
	}
	return -ENOENT;
}

static int open_functions(const struct mt_elf *elf, const char *section, struct functions *f)
{
	struct mt_elf_section s;
	size_t n;
	int r = mt_elf_find_section(elf, section, &s);

	free_functions(f);
	f->bytes = NULL;
	if (!r)
		r = mt_elf_section_copy(elf, &s, PCLNTAB_MAX, &f->bytes, &n);
	return r ? r : find_table(f, n, s.addr);
}

/*
 * Until 1.25 the table says where the text begins, in a place that a relocation
 * may write. Since then the module does, in a section of its own.
 */
static int find_text(const struct mt_elf *elf, struct functions *f)
{
	struct mt_elf_section s;

	if (mt_elf_pointer(elf, f->addr + MT_GO_TEXT_AT, &f->text) == 0 && f->text)
		return 0;
	if (mt_elf_find_section(elf, ".go.module", &s) ||
	    mt_elf_pointer(elf, s.addr + MODULE_TEXT, &f->text) || !f->text)
		return -ENOENT;
	return 0;
}

static int find_functions(const struct mt_elf *elf, struct functions *f)
{
	/* Position-independent programs relocate it; the C linker merges that with the like. */
	static const char *const sections[] = {".gopclntab", ".data.rel.ro.gopclntab",
					       ".data.rel.ro"};
	int r = -ENOENT;

	for (size_t i = 0; r && r != -ENOMEM && i < sizeof(sections) / sizeof(sections[0]); i++)
		r = open_functions(elf, sections[i], f);
	return r ? r : find_text(elf, f);
}

static bool is_data(void *ctx, uint64_t addr, uint64_t len)
{
	return mt_elf_in_bss(ctx, addr, len);
}

/* What the functions name, sorted. */
static int read_refs(const struct mt_elf *elf, struct mt_go_refs *refs)
{
	MT_CLEANUP(free_functions) struct functions f = {0};
	_cleanup_free_ uint8_t *code = malloc(MT_GO_CODE_MAX);
	struct mt_go_func funcs[MT_GO_CODES];
	int r = code ? find_functions(elf, &f) : -ENOMEM;

	if (r)
		return r;
	mt_go_pclntab_find(&f.table, mt_go_code_names, MT_GO_CODES, funcs);
	for (size_t i = 0; i < MT_GO_CODES; i++) {
		const uint64_t addr = f.text + funcs[i].off;
		const size_t n = funcs[i].size < MT_GO_CODE_MAX ? funcs[i].size : MT_GO_CODE_MAX;

		if (n && mt_elf_pread(elf, addr, code, n) == 0)
			mt_go_refs_add(refs, (enum mt_go_code)i, code, n, addr, is_data,
				       (void *)(uintptr_t)elf);
	}
	mt_go_refs_sort(refs);
	return 0;
}

/* Each of what ties with each. False: there is nothing for one of them. */
static bool add_ties(struct mt_go_image *image, const struct mt_go_layout *layout,
		     const struct mt_go_ties t[MT_GO_VARS])
{
	size_t at[MT_GO_VARS] = {0}, k = 0;
	uint64_t v[MT_GO_VARS];

	for (size_t i = 0; i < MT_GO_VARS; i++)
		if (!t[i].n)
			return false;
	while (k < MT_GO_VARS) {
		for (size_t i = 0; i < MT_GO_VARS; i++)
			v[i] = t[i].v[at[i]];
		if (!add_try(image, layout, v))
			break;
		/* Counts up, each variable a digit. */
		for (k = 0; k < MT_GO_VARS && ++at[k] == t[k].n; k++)
			at[k] = 0;
	}
	return true;
}

int mt_go_find_vars(const struct mt_elf *elf, const struct mt_go_layout *const *layouts, size_t n,
		    struct mt_go_image *image)
{
	_cleanup_free_ struct mt_go_refs *refs = NULL;
	struct mt_go_ties ties[MT_GO_VARS];
	int r;

	if (by_symbols(elf, layouts, n, image))
		return 0;
	refs = calloc(1, sizeof(*refs));
	r = refs ? read_refs(elf, refs) : -ENOMEM;
	for (size_t i = 0; !r && i < n; i++) {
		mt_go_refs_solve(refs, layouts[i], is_data, (void *)(uintptr_t)elf, ties);
		add_ties(image, layouts[i], ties);
	}
	if (r)
		return r == -ENOMEM ? r : -ENOENT;
	return image->n_tries ? 0 : -ENOENT;
}

uint64_t mt_go_find_exit(const struct mt_elf *elf)
{
	static const char *const names[] = {"runtime.exit.abi0", "runtime.exit"};
	MT_CLEANUP(free_functions) struct functions f = {0};
	struct mt_go_func func;
	struct mt_sym sym;
	uint64_t offset;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!mt_elf_find_func(elf, names[i], &sym))
			return sym.offset;
	if (find_functions(elf, &f))
		return 0;
	mt_go_pclntab_find(&f.table, &names[1], 1, &func);
	return func.size && !mt_elf_offset(elf, f.text + func.off, &offset) ? offset : 0;
}
