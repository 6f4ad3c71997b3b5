/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a copy of mimalloc lays out its pages. */
#ifndef MT_ALLOC_MIMALLOC_H
#define MT_ALLOC_MIMALLOC_H

#include "abi.h"
#include "sys/elf.h"

/*
 * Fills params for bpf/size_mimalloc.bpf.h from what the file's own
 * mi_usable_size does, whose code is followed, not run. Sure: for some hundred
 * made-up heaps the reader and that code give the same.
 * -ENOENT: the file has no such function; -ENOTSUP: it does something else, as
 * that of a build with padding behind its blocks, or of mimalloc 1.
 */
int mt_mimalloc_layout(const struct mt_elf *elf, uint64_t params[MT_FILE_PARAMS]);

#endif
