/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an ELF file to the probes that count its allocator. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/plan.h"
#include "base/cleanup.h"
#include "core.bpf.h"

/* A malloc object is far smaller; a larger range would swallow callers. */
#define TEXT_RANGE_MAX (256u << 10)
/* Honest allocators take 20,000. */
#define WALKED_MAX 100000u

/* Names that any allocator may have. */
static const char *const common_names[] = {
	"malloc",
	"free",
	"cfree",
	"calloc",
	"realloc",
	"reallocarray",
	"memalign",
	"aligned_alloc",
	"posix_memalign",
	"valloc",
	"pvalloc",
	"free_sized",
	"free_aligned_sized",
	"reallocf",
	"vfree",
	"malloc_usable_size",
	"malloc_size",
	"reallocarr",
};

bool mt_alloc_is_common_name(const char *name)
{
	for (size_t i = 0; i < sizeof(common_names) / sizeof(common_names[0]); i++)
		if (strcmp(name, common_names[i]) == 0)
			return true;
	return strncmp(name, "_Zn", 3) == 0 || strncmp(name, "_Zd", 3) == 0;
}

void mt_alloc_found_free(struct mt_alloc_found **found)
{
	while (*found) {
		struct mt_alloc_found *next = (*found)->next;

		free(*found);
		*found = next;
	}
}

static bool is_again(enum mt_kind kind)
{
	return kind == MT_KIND_FREE_AGAIN || kind == MT_KIND_MALLOC_AGAIN ||
	       kind == MT_KIND_REALLOC_AGAIN;
}

static bool has_entry(enum mt_kind kind)
{
	return kind != MT_KIND_MALLOC && kind != MT_KIND_CALLOC;
}

static bool has_return(enum mt_kind kind)
{
	return kind != MT_KIND_FREE && kind != MT_KIND_REALLOCARRAY && !is_again(kind) &&
	       kind != MT_KIND_EXIT && kind != MT_KIND_LEAVE && !mt_core_exits(kind);
}

/* How many arguments the entry probe reads. */
static unsigned int args_of(enum mt_kind kind, enum mt_layout layout)
{
	const struct mt_shape shape = mt_core_shape(kind);
	unsigned int n = shape.block > shape.n ? shape.block : shape.n;

	if (kind == MT_KIND_REALLOCARRAY)
		return 3;
	if (!has_entry(kind))
		return 0;
	/* what is asked for says nothing of a block whose size is known, but to realloc */
	if (!shape.block && !(shape.flags & MT_SHAPE_IN_ARG) && layout != MT_LAYOUT_REQUESTED)
		return 0;
	return shape.m > n ? shape.m : n;
}

/* The kind of a jump back to a function of the kind; 0: they do no harm. */
static enum mt_kind again_kind(enum mt_kind kind)
{
	switch (kind) {
	case MT_KIND_FREE:
		return MT_KIND_FREE_AGAIN;
	case MT_KIND_MALLOC:
		return MT_KIND_MALLOC_AGAIN;
	case MT_KIND_REALLOC:
		return MT_KIND_REALLOC_AGAIN;
	default:
		return 0;
	}
}

static void plan_fini(struct mt_plan *plan)
{
	free(plan->starts);
}

static int list_starts(struct mt_plan *plan)
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

int mt_plan_request(const struct mt_plan *plan, uint64_t addr, uint64_t size, unsigned int args,
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

size_t mt_plan_find(const struct mt_plan *plan, uint64_t addr)
{
	size_t i = 0;

	while (i < plan->n && plan->syms[i].addr != addr)
		i++;
	return i;
}

void mt_plan_resolve(const struct mt_plan *plan, uint64_t *addr, bool slot, const char **name)
{
	struct mt_place_request plt;
	struct mt_sym sym;
	uint64_t to;

	*name = NULL;
	if (!slot) {
		if (mt_plan_find(plan, *addr) < plan->n ||
		    mt_plan_request(plan, *addr, 0, 0, &plt) || !mt_place_jump(&plt, &to, &slot) ||
		    !slot)
			return;
		*addr = to;
	}
	*name = mt_elf_slot_symbol(plan->elf, *addr);
	*addr = *name && mt_elf_find_func(plan->elf, *name, &sym) == 0 ? sym.addr : 0;
}

/*
 * A function that only jumps to another that is probed, if need be through the
 * PLT: its calls are seen there.
 */
static bool forwards(const struct mt_plan *plan, size_t i)
{
	const char *name;
	uint64_t to;
	size_t k;
	bool slot;

	if (!mt_place_jump(&plan->rq[i], &to, &slot))
		return false;
	mt_plan_resolve(plan, &to, slot, &name);
	k = to ? mt_plan_find(plan, to) : plan->n;
	return k < plan->n && k != i;
}

void mt_plan_remove(struct mt_plan *plan, size_t i)
{
	struct mt_alloc_found *found = plan->found;

	memmove(&plan->syms[i], &plan->syms[i + 1], (plan->n - i - 1) * sizeof(plan->syms[0]));
	memmove(&plan->rq[i], &plan->rq[i + 1], (plan->n - i - 1) * sizeof(plan->rq[0]));
	memmove(&found->probes[i], &found->probes[i + 1],
		(found->n_probes - i - 1) * sizeof(found->probes[0]));
	plan->n--;
	found->n_probes--;
}

/* The name that func has in this file; false: it has none. */
static bool name_in_file(const struct mt_alloc_identity *id, const struct mt_alloc_func *func,
			 char *name, size_t size)
{
	const bool operator= strncmp(func->name, "_Z", 2) == 0;

	if ((id->prefix && operator) || (id->foreign_names && mt_alloc_is_common_name(func->name)))
		return false;
	snprintf(name, size, "%s%s", id->prefix ?: "", func->name);
	return true;
}

/* Adds one function unless its address is probed already, as an alias's is. */
static int add_func(struct mt_plan *plan, const struct mt_alloc_func *func)
{
	struct mt_alloc_found *found = plan->found;
	struct mt_place_request *rq = &plan->rq[plan->n];
	struct mt_probe *probe = &found->probes[plan->n];
	char name[sizeof(probe->func)];
	struct mt_sym sym;

	if (!name_in_file(&found->id, func, name, sizeof(name)) ||
	    mt_elf_find_func(plan->elf, name, &sym))
		return func->required ? -ENOENT : 0;
	if (plan->n == MT_PROBES_MAX || mt_plan_find(plan, sym.addr) < plan->n)
		return func->required ? -ENOENT : 0;
	if (sym.addr > MT_COOKIE_ADDR_MASK || mt_plan_request(plan, sym.addr, sym.size, 0, rq))
		return func->required ? -ENOENT : 0;
	if (plan->n && rq->text != plan->rq[0].text) /* no linker does this */
		return -EBADMSG;
	*probe = (struct mt_probe){.kind = func->kind, .offset = sym.offset};
	memcpy(probe->func, name, sizeof(name));
	plan->syms[plan->n++] = sym;
	found->n_probes++;
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
	for (const char *const *name = names; name && *name; name++)
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

static void set_cookie(struct mt_probe *probe)
{
	probe->cookie = MT_COOKIE(0, probe->kind, probe->place.addr);
}

static int place_all(struct mt_plan *plan)
{
	struct mt_alloc_found *found = plan->found;
	_cleanup_free_ struct mt_place *places = calloc(MT_PROBES_MAX, sizeof(*places));
	int r;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++)
		plan->rq[i].args = args_of(found->probes[i].kind, found->id.layout);
	r = mt_place_batch(plan->rq, plan->n, places);
	for (size_t i = 0; i < plan->n && !r; i++) {
		struct mt_probe *probe = &found->probes[i];

		probe->entry = has_entry(probe->kind);
		probe->ret = has_return(probe->kind);
		probe->place = places[i];
		probe->offset += places[i].skip;
		set_cookie(probe);
	}
	return r;
}

bool mt_plan_add(struct mt_plan *plan, const char *func, enum mt_kind kind, uint64_t addr,
		 const char *why)
{
	struct mt_alloc_found *found = plan->found;
	struct mt_probe *probe = &found->probes[found->n_probes];

	for (size_t i = plan->n; i < found->n_probes; i++)
		if (found->probes[i].place.addr == addr)
			return found->probes[i].kind == kind;
	if (found->n_probes == MT_PROBES_MAX)
		return false;
	*probe = (struct mt_probe){.kind = kind, .entry = true};
	snprintf(probe->func, sizeof(probe->func), "%s", func);
	/* one segment holds them all, so that their distances are those in the file */
	probe->offset = plan->syms[0].offset + (addr - plan->syms[0].addr);
	if (mt_place_at(&plan->rq[0], addr, why, &probe->place))
		return false;
	set_cookie(probe);
	found->n_probes++;
	return true;
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

#define JUMPS_MAX 32

/*
 * A static function of the allocator's that jumps to free's entry does it in a
 * call of free that has been seen (glibc 2.43 makes a thread's cache so), or
 * frees what is its own: neither is one more free of the program's. An exported
 * one, on the other hand, may forward the program's call.
 */
static void add_jumps_back(struct mt_plan *plan, size_t of)
{
	const struct mt_alloc_found *found = plan->found;
	const enum mt_kind kind = again_kind(found->probes[of].kind);
	struct mt_place places[JUMPS_MAX];
	size_t n;

	/* glibc 2.34 dropped the hooks, and took the threads in; only memalign jumps to malloc */
	if (!kind || (kind != MT_KIND_FREE_AGAIN && mt_elf_exports(plan->elf, "pthread_create")))
		return;
	n = mt_place_jumps(&plan->rq[of], found->text_lo, found->text_hi, places, JUMPS_MAX);
	for (size_t i = 0; i < n; i++)
		if (!in_other_export(plan->elf, plan->syms[of].addr, places[i].addr))
			mt_plan_add(plan, found->probes[of].func, kind, places[i].addr,
				    "a jump back to the entry: the same call counts once");
}

static void find_text(const struct mt_plan *plan, const struct mt_allocator *allocator)
{
	struct mt_alloc_found *found = plan->found;

	if (found->id.own_text && plan->n) {
		found->text_lo = plan->rq[0].text_addr;
		found->text_hi = plan->rq[0].text_addr + plan->rq[0].text_len;
	} else if (!found->id.prefix && !found->id.foreign_names) {
		mt_alloc_text_range(plan->elf, allocator->funcs, allocator->text_symbols,
				    &found->text_lo, &found->text_hi);
	}
}

static int inspect_as(const struct mt_elf *elf, const struct mt_allocator *allocator,
		      uint32_t kernel, struct mt_alloc_found *found)
{
	bool forward[MT_PROBES_MAX];
	__attribute__((cleanup(plan_fini))) struct mt_plan plan = {
		.elf = elf, .kernel = kernel, .found = found, .budget = WALKED_MAX};
	int r = list_starts(&plan);

	found->allocator = allocator;
	for (const struct mt_alloc_func *f = allocator->funcs; f->name && !r; f++)
		r = add_func(&plan, f);
	if (r)
		return r;
	if (!plan.n)
		return -ENOENT;
	/* one may jump to another of them: all are looked at before one goes */
	for (size_t i = 0; i < plan.n; i++)
		forward[i] = forwards(&plan, i);
	for (size_t i = plan.n; i-- > 0;)
		if (forward[i])
			mt_plan_remove(&plan, i);
	find_text(&plan, allocator);
	r = mt_plan_flows(&plan);
	if (!r && !plan.n)
		r = -ENOENT;
	if (!r)
		r = place_all(&plan);
	for (size_t i = 0; i < plan.n && !r; i++)
		add_jumps_back(&plan, i);
	return r;
}

/* All allocators of the file: the first goes to found, the others behind it. */
int mt_alloc_inspect(const struct mt_elf *elf, uint32_t kernel, struct mt_alloc_found *found)
{
	MT_CLEANUP(mt_alloc_found_free) struct mt_alloc_found *more = NULL;
	struct mt_alloc_found *last = NULL;
	int r;

	for (size_t i = 0; mt_allocators[i]; i++) {
		struct mt_alloc_identity id = {0};
		struct mt_alloc_found *one = found;

		if ((last && mt_allocators[i] == &mt_alloc_generic) ||
		    !mt_allocators[i]->identify(elf, &id))
			continue;
		if (last)
			one = more = calloc(1, sizeof(*more));
		if (!one)
			return -ENOMEM;
		memset(one, 0, sizeof(*one));
		one->id = id;
		r = inspect_as(elf, mt_allocators[i], kernel, one);
		if (r && r != -ENOENT && !last)
			return r;
		if (!r && last)
			last->next = TAKE_PTR(more);
		mt_alloc_found_free(&more);
		last = r ? last : one;
	}
	return last ? 0 : -ENOENT;
}
