/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What inspect.c gathers of one file before its probes are placed, and flow.c adds to. */
#ifndef MT_ALLOC_PLAN_H
#define MT_ALLOC_PLAN_H

#include "alloc/alloc.h"

struct mt_plan {
	const struct mt_elf *elf;
	uint32_t kernel;
	uint64_t *starts; /* addresses of the file's functions; owned */
	size_t n_starts;
	/* one for each of the first n probes of found, in their order */
	struct mt_sym syms[MT_PROBES_MAX];
	struct mt_place_request rq[MT_PROBES_MAX];
	size_t n;
	struct mt_alloc_found *found;
	size_t budget; /* instructions that may still be decoded of the file */
};

/* A request to decode from the function at addr. -errno: it is not in the text. */
int mt_plan_request(const struct mt_plan *plan, uint64_t addr, uint64_t size, unsigned int args,
		    struct mt_place_request *rq);
/* Which of the plan's functions begins at addr; plan->n: none. */
size_t mt_plan_find(const struct mt_plan *plan, uint64_t addr);
/*
 * Where a jump or call leads that goes to addr, or through the pointer at addr:
 * PLT entries are seen through. *name is the symbol that the linker binds, or
 * NULL where it binds none; *addr is where it leads within this file, 0: unknown.
 */
void mt_plan_resolve(const struct mt_plan *plan, uint64_t *addr, bool slot, const char **name);
/* Adds a probe at an instruction, an entry one; false: there is no room. */
bool mt_plan_add(struct mt_plan *plan, const char *func, enum mt_kind kind, uint64_t addr,
		 const char *why);

/* Takes the plan's function i out of it. */
void mt_plan_remove(struct mt_plan *plan, size_t i);

/*
 * flow.c: follows the code of the plan's functions. What contains other probed
 * functions is framed, operator new gets its exits, jumps from one function to
 * another are counted once. 0 or -ENOMEM.
 */
int mt_plan_flows(struct mt_plan *plan);

#endif
