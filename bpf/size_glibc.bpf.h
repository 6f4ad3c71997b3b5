/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The usable size of a glibc block: the word before it (malloc/malloc.c). */
#ifndef MT_SIZE_GLIBC_BPF_H
#define MT_SIZE_GLIBC_BPF_H

#include "target.bpf.h"

MT_INLINE long size_glibc(const struct mt_file *f, __u64 bias, __u64 ptr, __u64 *size)
{
	__u64 word;
	long r = read_user_u64(&word, ptr - sizeof(word));

	(void)bias;
	if (!r)
		*size = mt_core_glibc_usable(word, f->layout);
	return r;
}

#endif
