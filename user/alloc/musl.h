/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MT_ALLOC_MUSL_H
#define MT_ALLOC_MUSL_H

#include <stdbool.h>
#include <stddef.h>

#include "abi.h"
#include "sys/elf.h"

/*
 * True if the file is musl's shared libc, which is the dynamic linker, too;
 * version is then its version, "" if it does not say.
 */
bool mt_musl_is_libc(const struct mt_elf *elf, char *version, size_t size);

/*
 * Which of musl's mallocs the file's malloc_usable_size knows, in params for
 * bpf/size_musl.bpf.h: its code is followed, not run, over made-up heaps, and
 * the reader must agree. -ENOENT: the file has no such function; -ENOTSUP: neither.
 */
int mt_musl_layout(const struct mt_elf *elf, uint64_t params[MT_FILE_PARAMS]);

#endif
