/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Marks that a program or library has in its code by <sys/sdt.h> (USDT), as its
 * .note.stapsdt section lists them: SystemTap's "UserSpaceProbeImplementation".
 */
#ifndef MT_SYS_USDT_H
#define MT_SYS_USDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/elf.h"

#define MT_USDT_NAME 128 /* with NUL; marks whose names are longer are passed over */
#define MT_USDT_MAX  16384

/* One place of a mark: a mark may have several, as where a function was inlined. */
struct mt_usdt {
	char name[MT_USDT_NAME]; /* "PROVIDER:NAME", as the file has it: escape it to show it */
	uint64_t offset;         /* in the file: where a uprobe goes */
	uint64_t ref_ctr;        /* in the file: its semaphore; 0: it has none */
	size_t file;             /* the caller's number of it */
};

struct mt_usdts {
	struct mt_usdt *v; /* owned */
	size_t n, room;
};

/*
 * Adds the marks of a file, at most MT_USDT_MAX with those that are there. Those
 * whose places are not in its code, or no no-op, are passed over. 0 or -ENOMEM: a file that has
 * none, or whose notes are damaged, adds what could be read.
 */
int mt_usdt_read(const struct mt_elf *elf, size_t file, struct mt_usdts *v);
void mt_usdt_fini(struct mt_usdts *v);

bool mt_usdt_has(const struct mt_usdts *v, const char *name);

/*
 * Splits "PROVIDER:BEGIN,PROVIDER:END" into two names. 0 or -EINVAL, with what is
 * wrong in why, a clause.
 */
int mt_usdt_parse(const char *arg, char begin[MT_USDT_NAME], char end[MT_USDT_NAME], char *why,
		  size_t size);

/* Which marks there are, the ones most like name first, escaped: "a:b, a:c and 3 more". */
void mt_usdt_suggest(const struct mt_usdts *v, const char *name, char *text, size_t size);

#endif
