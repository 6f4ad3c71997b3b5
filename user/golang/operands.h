/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a program without symbols has the runtime's variables: the code of
 * functions that every Go program has names them by addresses relative to the
 * instruction, and members of a struct betray where it begins.
 */
#ifndef MT_GOLANG_OPERANDS_H
#define MT_GOLANG_OPERANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "golang/internal.h"

/* The functions that are looked into, of the runtime. */
enum mt_go_code {
	MT_GO_MARK_TERMINATION,
	MT_GO_RELEASE_ALL,
	MT_GO_REFILL,
	MT_GO_PREPARE_FOR_SWEEP,
	MT_GO_STACKPOOLFREE,
	MT_GO_MALLOCINIT,
	MT_GO_ALLOC_SPAN,
	MT_GO_PROCRESIZE,
	MT_GO_GC_START,
	MT_GO_CONTROLLER_COMMIT,
	MT_GO_GCENABLE,
	MT_GO_CODES,
};

extern const char *const mt_go_code_names[MT_GO_CODES];

#define MT_GO_CODE_MAX (64u << 10) /* bytes of a function that are looked at */
#define MT_GO_REFS_MAX 1024u

/* An address that code names. */
struct mt_go_ref {
	uint64_t addr;
	uint32_t from;  /* bits of enum mt_go_code: who names it */
	uint32_t count; /* how often in all */
	bool phase;     /* compared with 0, 4 bytes wide, in stackpoolfree */
};

struct mt_go_refs {
	struct mt_go_ref v[MT_GO_REFS_MAX]; /* ascending once they are sorted */
	size_t n;
};

/* Whether a variable may stand at an address. */
typedef bool (*mt_go_is_data_fn)(void *ctx, uint64_t addr, uint64_t len);

/* Adds what n bytes of code at addr name that is data. */
void mt_go_refs_add(struct mt_go_refs *refs, enum mt_go_code from, const uint8_t *code, size_t n,
		    uint64_t addr, mt_go_is_data_fn is_data, void *ctx);
/* To be called when all have been added. */
void mt_go_refs_sort(struct mt_go_refs *refs);

#define MT_GO_TIES 3u

/* Where a variable may stand: those that most speaks for, the same of each. */
struct mt_go_ties {
	uint64_t v[MT_GO_TIES];
	size_t n;
	unsigned int score;
};

enum mt_go_var {
	MT_GO_MEMSTATS,
	MT_GO_MHEAP,
	MT_GO_CONTROLLER,
	MT_GO_ALLP,
	MT_GO_PHASE,
	MT_GO_VARS
};

/* is_data as above, asked about the whole of a variable. */
void mt_go_refs_solve(const struct mt_go_refs *refs, const struct mt_go_layout *layout,
		      mt_go_is_data_fn is_data, void *ctx, struct mt_go_ties ret[MT_GO_VARS]);

#endif
