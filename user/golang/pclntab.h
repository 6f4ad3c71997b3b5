/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * .gopclntab, the table of functions that every Go program has for its own
 * tracebacks (runtime/symtab.go, cmd/link/internal/ld/pcln.go): where a program
 * without symbols has its functions. Pure functions of bytes that the target chose.
 */
#ifndef MT_GOLANG_PCLNTAB_H
#define MT_GOLANG_PCLNTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mt_go_pclntab {
	const uint8_t *bytes; /* the caller's */
	size_t n;
	uint64_t text_start; /* link-time address that offsets count from; 0: it does not say */
	uint64_t funcs;      /* where in bytes the table of functions begins */
	uint64_t names;      /* and their names */
	size_t n_funcs;
};

#define MT_GO_PCLNTAB_HEAD 8  /* bytes that tell whether it is one */
#define MT_GO_TEXT_AT      24 /* where in it text_start stands */

/* True if p points to MT_GO_PCLNTAB_HEAD bytes of a table of a version that is read. */
bool mt_go_is_pclntab(const uint8_t *p);
/* -ENOENT: it is none of Go 1.18 or newer, of 64 bits; -EBADMSG: damaged. */
int mt_go_pclntab_open(const uint8_t *bytes, size_t n, struct mt_go_pclntab *ret);

struct mt_go_func {
	uint64_t off;  /* of the first instruction, from the text's start */
	uint64_t size; /* bytes; 0: no such function */
};

/* Finds n functions by name, in one pass. Returns how many there are. */
size_t mt_go_pclntab_find(const struct mt_go_pclntab *t, const char *const *names, size_t n,
			  struct mt_go_func *ret);

#endif
