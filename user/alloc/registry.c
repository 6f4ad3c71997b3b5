/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The allocators that memtrace knows, in the order in which they are tried. */
#include <stddef.h>

#include "alloc/alloc.h"

const struct mt_allocator *const mt_allocators[] = {
	&mt_alloc_mimalloc,
	&mt_alloc_mimalloc_requested,
	&mt_alloc_musl,
	&mt_alloc_glibc,
	&mt_alloc_jemalloc,
	&mt_alloc_tcmalloc,
	&mt_alloc_generic, /* the last one */
	NULL,
};
