/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a Go program has the runtime's variables: by its symbols, or by its code. */
#ifndef MT_GOLANG_FIND_H
#define MT_GOLANG_FIND_H

#include <stddef.h>

#include "golang/internal.h"

struct mt_elf;

/*
 * Fills image->tries for the n layouts that the program may have, the likeliest
 * first. -ENOENT: the variables cannot be found; -ENOMEM.
 */
int mt_go_find_vars(const struct mt_elf *elf, const struct mt_go_layout *const *layouts, size_t n,
		    struct mt_go_image *image);

/* The offset in the file of runtime.exit, 0: not found. */
uint64_t mt_go_find_exit(const struct mt_elf *elf);

#endif
