/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an ELF file to the probes that count its allocator. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/cleanup.h"

/* A malloc object is far smaller; a larger range would swallow callers. */
#define TEXT_RANGE_MAX (256u << 10)

struct kind {
	unsigned int args; /* that the entry probe reads */
	bool entry, ret;
};

static const struct kind kinds[] = {
	[MT_KIND_MALLOC] = {0, false, true},        [MT_KIND_FREE] = {1, true, false},
	[MT_KIND_REALLOC] = {2, true, true},        [MT_KIND_REALLOCARRAY] = {3, true, false},
	[MT_KIND_MEMALIGN] = {0, true, true},       [MT_KIND_POSIX_MEMALIGN] = {3, true, true},
	[MT_KIND_FREE_AGAIN] = {0, true, false},    [MT_KIND_MALLOC_AGAIN] = {0, true, false},
	[MT_KIND_REALLOC_AGAIN] = {0, true, false},
};

/* The kind of a jump back to a function of the kind; 0: they do no harm. */
static const enum mt_kind again_kinds[] = {
	[MT_KIND_FREE] = MT_KIND_FREE_AGAIN,
	[MT_KIND_MALLOC] = MT_KIND_MALLOC_AGAIN,
	[MT_KIND_REALLOC] = MT_KIND_REALLOC_AGAIN,
	[MT_KIND_POSIX_MEMALIGN] = 0,
};

/* What is gathered for one file before the probes are placed. */
struct plan {
	const struct mt_elf *elf;
	uint32_t kernel;
	uint64_t *starts;
	size_t n_starts;
	struct mt_sym syms[MT_PROBES_MAX];
	struct mt_place_request rq[MT_PROBES_MAX];
	size_t n;
};

static void plan_fini(struct plan *plan)
{
	free(plan->starts);
}

static int list_starts(struct plan *plan)
{
	const struct mt_sym *syms;
	size_t n;
	int r = mt_elf_funcs(plan->elf, &syms, &n);

	if (r)
		return r;
	plan->starts = calloc(n + 1, sizeof(*plan->starts));
	if (!plan->starts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || syms[i].addr != syms[i - 1].addr)
			plan->starts[plan->n_starts++] = syms[i].addr;
	return 0;
}

static int request(const struct plan *plan, uint64_t addr, uint64_t size, unsigned int args,
		   struct mt_place_request *rq)
{
	*rq = (struct mt_place_request){
		.entry = addr,
		.size = size,
		.starts = plan->starts,
		.n_starts = plan->n_starts,
		.args = args,
		.kernel = plan->kernel,
	};
	return mt_elf_text(plan->elf, addr, &rq->text, &rq->text_len, &rq->text_addr);
}

static bool has_addr(const struct plan *plan, uint64_t addr)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->syms[i].addr == addr)
			return true;
	return false;
}

/*
 * A function that only jumps to another that is probed, if need be through the
 * PLT: its calls are seen there.
 */
static bool forwards(const struct plan *plan, const struct mt_place_request *rq,
		     const struct mt_alloc_found *found)
{
	struct mt_place_request plt;
	const char *name = NULL;
	uint64_t to;
	bool slot;

	if (!mt_place_jump(rq, &to, &slot))
		return false;
	if (!slot && has_addr(plan, to))
		return true;
	if (!slot && (request(plan, to, 0, 0, &plt) || !mt_place_jump(&plt, &to, &slot) || !slot))
		return false;
	name = mt_elf_slot_symbol(plan->elf, to);
	for (size_t i = 0; name && i < found->n_probes; i++)
		if (strcmp(found->probes[i].func, name) == 0)
			return true;
	return false;
}

/* Adds one function unless its address is probed already, as an alias's is. */
static int add_func(struct plan *plan, const struct mt_alloc_func *func,
		    struct mt_alloc_found *found)
{
	const struct kind *kind = &kinds[func->kind];
	struct mt_place_request *rq = &plan->rq[plan->n];
	struct mt_sym sym;

	if (mt_elf_find_func(plan->elf, func->name, &sym))
		return func->required ? -ENOENT : 0;
	if (plan->n == MT_PROBES_MAX || has_addr(plan, sym.addr))
		return func->required ? -ENOENT : 0;
	if (sym.addr > MT_COOKIE_ADDR_MASK || request(plan, sym.addr, sym.size, kind->args, rq))
		return func->required ? -ENOENT : 0;
	if (plan->n && rq->text != plan->rq[0].text) /* no linker does this */
		return -EBADMSG;
	if (func->kind == MT_KIND_FREE && !func->required && forwards(plan, rq, found))
		return 0;
	found->probes[found->n_probes++] = (struct mt_probe){
		.func = func->name,
		.kind = func->kind,
		.offset = sym.offset,
		.entry = kind->entry,
		.ret = kind->ret,
	};
	plan->syms[plan->n++] = sym;
	return 0;
}

struct range {
	uint64_t lo, hi;
};

static void widen(const struct mt_elf *elf, const char *name, struct range *range)
{
	struct mt_sym sym;

	if (mt_elf_find_func(elf, name, &sym) || sym.size > TEXT_RANGE_MAX)
		return;
	if (sym.addr < range->lo)
		range->lo = sym.addr;
	if (sym.addr + sym.size > range->hi)
		range->hi = sym.addr + sym.size;
}

/*
 * The allocator's object begins where the exported function before its first
 * one ends: what lies between are its static functions, which a stripped
 * library does not name.
 */
int mt_alloc_text_range(const struct mt_elf *elf, const struct mt_alloc_func *funcs,
			const char *const *names, uint64_t *lo, uint64_t *hi)
{
	struct range range = {UINT64_MAX, 0};
	const struct mt_sym *syms;
	uint64_t before = 0;
	size_t n;

	for (const struct mt_alloc_func *f = funcs; f && f->name; f++)
		if (f->bounds_text)
			widen(elf, f->name, &range);
	for (const char *const *name = names; *name; name++)
		widen(elf, *name, &range);
	if (range.lo >= range.hi || mt_elf_funcs(elf, &syms, &n))
		return -ENOENT;
	for (size_t i = 0; i < n && syms[i].addr < range.lo; i++) {
		const uint64_t end = syms[i].addr + syms[i].size;

		if (!syms[i].local && end > before && end <= range.lo)
			before = end;
	}
	if (!before || range.hi - before > TEXT_RANGE_MAX)
		return -ENOENT;
	*lo = before;
	*hi = range.hi;
	return 0;
}

static uint64_t cookie_of(const struct mt_probe *probe)
{
	return MT_COOKIE(0, probe->kind, probe->place.addr);
}

static int place_all(const struct plan *plan, struct mt_alloc_found *found)
{
	struct mt_place places[MT_PROBES_MAX];
	int r = mt_place_batch(plan->rq, plan->n, places);

	if (r)
		return r;
	for (size_t i = 0; i < found->n_probes; i++) {
		struct mt_probe *probe = &found->probes[i];

		probe->place = places[i];
		probe->offset += places[i].skip;
		probe->cookie = cookie_of(probe);
	}
	return 0;
}

/* Within an exported function other than the one at own. */
static bool in_other_export(const struct mt_elf *elf, uint64_t own, uint64_t addr)
{
	const struct mt_sym *syms;
	size_t n;

	if (mt_elf_funcs(elf, &syms, &n))
		return true;
	for (size_t i = 0; i < n && syms[i].addr <= addr; i++)
		if (!syms[i].local && syms[i].addr != own &&
		    (syms[i].addr == addr || addr - syms[i].addr < syms[i].size))
			return true;
	return false;
}

/*
 * A static function of the allocator's that jumps to free's entry does it in a
 * call of free that has been seen (glibc 2.43 makes a thread's cache so), or
 * frees what is its own: neither is one more free of the program's. An exported
 * one, on the other hand, may forward the program's call.
 */
static void add_jumps_back(const struct plan *plan, struct mt_alloc_found *found, size_t of)
{
	const enum mt_kind kind = again_kinds[found->probes[of].kind];
	const struct mt_sym *sym = &plan->syms[of];
	struct mt_place places[MT_PROBES_MAX];
	size_t n;

	/* glibc 2.34 dropped the hooks, and took the threads in; only memalign jumps to malloc */
	if (kind != MT_KIND_FREE_AGAIN && mt_elf_exports(plan->elf, "pthread_create"))
		return;
	n = mt_place_jumps(&plan->rq[of], found->text_lo, found->text_hi, places, MT_PROBES_MAX);
	for (size_t i = 0; i < n && found->n_probes < MT_PROBES_MAX; i++) {
		struct mt_probe *probe = &found->probes[found->n_probes];

		if (in_other_export(plan->elf, sym->addr, places[i].addr))
			continue;
		*probe = (struct mt_probe){
			.func = found->probes[of].func,
			.kind = kind,
			.offset = sym->offset + (places[i].addr - sym->addr),
			.entry = kinds[kind].entry,
			.ret = kinds[kind].ret,
			.place = places[i],
		};
		probe->place.why = "a jump back to the entry: the same call counts once";
		probe->cookie = cookie_of(probe);
		found->n_probes++;
	}
}

static int inspect_as(const struct mt_elf *elf, const struct mt_allocator *allocator,
		      uint32_t kernel, struct mt_alloc_found *found)
{
	__attribute__((cleanup(plan_fini))) struct plan plan = {.elf = elf, .kernel = kernel};
	int r = list_starts(&plan);

	found->n_probes = 0;
	found->text_lo = found->text_hi = 0;
	for (const struct mt_alloc_func *f = allocator->funcs; f->name && !r; f++)
		r = add_func(&plan, f, found);
	if (r)
		return r;
	mt_alloc_text_range(elf, allocator->funcs, allocator->text_symbols, &found->text_lo,
			    &found->text_hi);
	r = place_all(&plan, found);
	for (size_t i = 0; i < plan.n && !r; i++)
		if (again_kinds[found->probes[i].kind])
			add_jumps_back(&plan, found, i);
	return r;
}

int mt_alloc_inspect(const struct mt_elf *elf, uint32_t kernel, struct mt_alloc_found *found)
{
	for (size_t i = 0; mt_allocators[i]; i++) {
		memset(&found->id, 0, sizeof(found->id));
		if (!mt_allocators[i]->identify(elf, &found->id))
			continue;
		found->allocator = mt_allocators[i];
		return inspect_as(elf, mt_allocators[i], kernel, found);
	}
	return -ENOENT;
}
