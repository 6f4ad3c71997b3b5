/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * jemalloc's own functions, well and badly used, in many threads at once.
 *
 *   jemalloc_mix THREADS OPERATIONS      runs once per line on standard input
 *
 * libmtcount.so does not forward them: what they do is noted here, by sallocx.
 * Built with ALL, for a jemalloc that is linked in, malloc and its kin are noted,
 * too; with PREFIX, they have prefixed names, and the libc's are called besides.
 */
#include <errno.h>
#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"
#include "mtcount.h"

#define SLOTS       512
#define THREADS_MAX 64

static void *slots[SLOTS];
static unsigned long operations;
static pthread_barrier_t meeting;
/* Not a constant, or the compiler objects. */
static volatile size_t huge = PTRDIFF_MAX;

#ifdef PREFIX
#define ALL
void *je_malloc(size_t n);
void *je_calloc(size_t n, size_t size);
void *je_realloc(void *p, size_t n);
void *je_aligned_alloc(size_t align, size_t n);
int je_posix_memalign(void **ret, size_t align, size_t n);
void je_free(void *p);
void *je_mallocx(size_t n, int flags);
void *je_rallocx(void *p, size_t n, int flags);
size_t je_xallocx(void *p, size_t n, size_t extra, int flags);
size_t je_sallocx(const void *p, int flags);
void je_dallocx(void *p, int flags);
void je_sdallocx(void *p, size_t n, int flags);
#define JE(f) je_##f
#else
#define JE(f) f
#endif

struct rnd {
	uint64_t x;
};

static uint64_t rnd_next(struct rnd *r)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return r->x;
}

static void note(size_t freed, size_t malloced)
{
	if (mtcount_note)
		mtcount_note(freed, malloced);
}

static void *noted(void *p)
{
	note(0, p ? JE(sallocx)(p, 0) : 0);
	return p;
}

/* Every size class of up to 16 MiB comes up; most are small. */
static size_t some_size(struct rnd *r)
{
	const uint64_t v = rnd_next(r);
	const unsigned int top = v % 64 ? 12 : 21;

	return ((v >> 8) % 8 + 1) << (v >> 16) % top;
}

static int some_flags(struct rnd *r)
{
	const uint64_t v = rnd_next(r);
	int flags = v % 4 ? 0 : MALLOCX_LG_ALIGN((int)((v >> 8) % 15));

	if (v % 8 == 1)
		flags |= MALLOCX_ZERO;
	if (v % 16 == 2)
		flags |= MALLOCX_TCACHE_NONE;
	return flags;
}

static void *get(struct rnd *r)
{
	return __atomic_exchange_n(&slots[rnd_next(r) % SLOTS], NULL, __ATOMIC_ACQ_REL);
}

/* Frees it in one of the ways there are. */
static void drop(struct rnd *r, void *p)
{
	const size_t size = p ? JE(sallocx)(p, 0) : 0;

	if (!p)
		return;
	switch (rnd_next(r) % 4) {
	case 0:
		JE(free)(p);
#ifndef ALL
		return; /* counted where it is forwarded */
#endif
		break;
	case 1:
		JE(dallocx)(p, rnd_next(r) % 2 ? MALLOCX_TCACHE_NONE : 0);
		break;
	default:
		JE(sdallocx)(p, size, 0);
		break;
	}
	note(size, 0);
}

static void put(struct rnd *r, void *p)
{
	drop(r, __atomic_exchange_n(&slots[rnd_next(r) % SLOTS], p, __ATOMIC_ACQ_REL));
}

static void move(struct rnd *r)
{
	void *p = get(r), *q;
	const size_t old = p ? JE(sallocx)(p, 0) : 0;

	if (!p)
		return;
	q = JE(rallocx)(p, some_size(r), some_flags(r));
	if (!q)
		_exit(71);
	if (q != p || JE(sallocx)(q, 0) != old)
		note(old, JE(sallocx)(q, 0));
	put(r, q);
}

/* In place, which it may refuse, wholly or in part. */
static void resize(struct rnd *r)
{
	void *p = get(r);
	const size_t old = p ? JE(sallocx)(p, 0) : 0;
	const size_t n = rnd_next(r) % 2 ? old + old / 2 : old / 2 + 1;
	size_t now;

	if (!p)
		return;
	/* What it returns is not to be relied on: 5.3.0 says the old size after growing in part. */
	JE(xallocx)(p, n, rnd_next(r) % 3 ? 0 : old, 0);
	now = JE(sallocx)(p, 0);
	if (now != old)
		note(old, now);
	put(r, p);
}

static void fail(struct rnd *r)
{
	void *p = get(r);

	if (noted(JE(mallocx)(huge, 0)))
		_exit(72);
	if (p && JE(rallocx)(p, huge, 0))
		_exit(73);
	if (p)
		note(0, 0);
	put(r, p);
}

static void others(struct rnd *r)
{
	void *p = NULL;

#ifdef PREFIX
	free(malloc(some_size(r)));
#endif

	switch (rnd_next(r) % 5) {
	case 0:
		p = JE(malloc)(some_size(r));
		break;
	case 1:
		p = JE(calloc)(some_size(r) / 4 + 1, 4);
		break;
	case 2:
		p = JE(aligned_alloc)(64, some_size(r));
		break;
	case 3:
		p = JE(realloc)(NULL, some_size(r));
		break;
	default:
		if (JE(posix_memalign)(&p, 4096, some_size(r)))
			_exit(74);
		break;
	}
#ifdef ALL
	noted(p);
#endif
	put(r, p);
}

static void work(struct rnd *r)
{
	for (unsigned long i = 0; i < operations; i++) {
		const uint64_t v = rnd_next(r) % 16;

		if (v < 7)
			put(r, noted(JE(mallocx)(some_size(r), some_flags(r))));
		else if (v < 10)
			move(r);
		else if (v < 12)
			resize(r);
		else if (v < 15)
			others(r);
		else if (rnd_next(r) % 8)
			drop(r, get(r));
		else
			fail(r);
	}
}

/* One round between two meetings; what a thread's start allocates is over then. */
static void *worker(void *arg)
{
	struct rnd r = {0x9e3779b97f4a7c15ull * ((uint64_t)(uintptr_t)arg + 1)};

	for (;;) {
		pthread_barrier_wait(&meeting);
		work(&r);
		pthread_barrier_wait(&meeting);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const unsigned int threads = argc > 2 ? (unsigned int)atoi(argv[1]) : 0;
	pthread_t t;

	if (threads < 1 || threads > THREADS_MAX)
		return 64;
	operations = strtoul(argv[2], NULL, 10);
	pthread_barrier_init(&meeting, NULL, threads + 1);
	for (unsigned int i = 0; i < threads; i++)
		if (pthread_create(&t, NULL, worker, (void *)(uintptr_t)i))
			return 75;
	gate_say("ready\n");
	while (gate_wait()) {
		pthread_barrier_wait(&meeting);
		pthread_barrier_wait(&meeting);
		gate_say("done\n");
	}
	return 0;
}
