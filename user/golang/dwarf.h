/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The runtime's layout as a program's own debug information describes it. */
#ifndef MT_GOLANG_DWARF_H
#define MT_GOLANG_DWARF_H

#include <stddef.h>
#include <stdint.h>

#include "golang/layout.h"

struct mt_elf;

enum mt_go_dwarf_part {
	MT_GO_DWARF_INFO,
	MT_GO_DWARF_ABBREV,
	MT_GO_DWARF_STR,
	MT_GO_DWARF_LINE_STR,
	MT_GO_DWARF_STR_OFFSETS,
	MT_GO_DWARF_PARTS,
};

/* Sections, decompressed; NULL where there is none. */
struct mt_go_dwarf {
	uint8_t *bytes[MT_GO_DWARF_PARTS];
	size_t n[MT_GO_DWARF_PARTS];
};

/* Reads what there is, of the file or of that of its debug symbols. -ENOENT: none; -E2BIG. */
int mt_go_dwarf_load(const struct mt_elf *elf, struct mt_go_dwarf *ret);
void mt_go_dwarf_free(struct mt_go_dwarf *d);
/*
 * -ENOENT: it does not describe the runtime, or not all that is read of it; -EBADMSG:
 * damaged; -ETIME: it took too long. The version is "" and the minor version 0.
 */
int mt_go_dwarf_layout(const struct mt_go_dwarf *d, struct mt_go_layout *ret);

#endif
