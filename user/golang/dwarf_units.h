/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which unit of .debug_info is worth a look by libdw, and harmless. Pure, bounded. */
#ifndef MT_GOLANG_DWARF_UNITS_H
#define MT_GOLANG_DWARF_UNITS_H

#include <stddef.h>
#include <stdint.h>

struct mt_go_bytes {
	const uint8_t *p;
	size_t n;
};

struct mt_go_unit {
	uint64_t start, end;  /* in .debug_info */
	uint64_t first_entry; /* the unit's own */
	uint64_t abbrev;      /* where its abbreviations begin */
};

/*
 * The first max units in which name stands as a string, with a NUL behind it, and
 * whose abbreviations are few and without DW_AT_sibling. Returns how many; 0 also
 * where there are so many units that libdw would need much memory for them.
 */
size_t mt_go_units_find(struct mt_go_bytes info, struct mt_go_bytes abbrev, const char *name,
			struct mt_go_unit *ret, size_t max);

#endif
