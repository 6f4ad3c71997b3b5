/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A preload that counts malloc and free in thread-local counters and nothing
 * else: what counting costs where no kernel is asked. glibc only; nothing reads
 * the counters, it is here to be measured.
 */
#include <stddef.h>
#include <stdint.h>

#include <malloc.h>

void *__libc_malloc(size_t n);
void __libc_free(void *p);
void *malloc(size_t n);
void free(void *p);

static __thread __attribute__((tls_model("initial-exec"))) volatile struct {
	uint64_t mallocs, frees, alloc_bytes, free_bytes;
} counts;

void *malloc(size_t n)
{
	void *p = __libc_malloc(n);

	if (p) {
		counts.mallocs++;
		counts.alloc_bytes += malloc_usable_size(p);
	}
	return p;
}

void free(void *p)
{
	if (p) {
		counts.frees++;
		counts.free_bytes += malloc_usable_size(p);
	}
	__libc_free(p);
}
