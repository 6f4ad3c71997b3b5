/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every allocation function, well and badly used, in many threads at once.
 *
 *   alloc_mix [THREADS [OPERATIONS]]        runs and ends
 *   alloc_mix THREADS OPERATIONS wait       runs once per line on standard input
 *
 * WITHOUT_GNU set: it calls no pvalloc, and no reallocarray that overflows, which are the
 * libc's own under another allocator.
 * Blocks stay live from run to run and are freed by whichever thread finds them.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"

#define SLOTS       1024
#define OWN         64
#define THREADS_MAX 64

static void *slots[SLOTS];
static unsigned long operations = 100000;
/* Sizes that no allocator grants; not constants, or the compiler objects. */
static volatile size_t huge = PTRDIFF_MAX, half = SIZE_MAX / 2;

/* The allocator has no pvalloc: the libc's would give blocks that it cannot free. */
static bool without_gnu;

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

/* Mostly small, sometimes past the mmap threshold, now and then nothing. */
static size_t some_size(struct rnd *r)
{
	uint64_t v = rnd_next(r);

	switch (v % 64) {
	case 0:
		return 0;
	case 1:
		return (v >> 8) % ((size_t)2 << 20);
	case 2:
	case 3:
		return (v >> 8) % 200000;
	case 4:
	case 5:
	case 6:
	case 7:
		return (v >> 8) % 20000;
	default:
		return (v >> 8) % 700;
	}
}

/* Stores a block where any thread may find it; frees what stood there. */
static void put(struct rnd *r, void *p)
{
	free(__atomic_exchange_n(&slots[rnd_next(r) % SLOTS], p, __ATOMIC_ACQ_REL));
}

static void *get(struct rnd *r)
{
	return __atomic_exchange_n(&slots[rnd_next(r) % SLOTS], NULL, __ATOMIC_ACQ_REL);
}

static void *aligned(struct rnd *r, unsigned int how)
{
	size_t align = (size_t)16 << rnd_next(r) % 13;
	void *p = NULL;

	switch (how) {
	case 0:
		return memalign(align, some_size(r));
	case 1:
		return aligned_alloc(align, some_size(r));
	case 2:
		return valloc(some_size(r));
	case 3:
		return without_gnu ? valloc(some_size(r)) : pvalloc(some_size(r));
	default:
		return posix_memalign(&p, align, some_size(r)) ? NULL : p;
	}
}

static void expect_null(const void *p)
{
	if (p) {
		gate_say("granted what cannot be\n");
		_exit(71);
	}
}

static void fail(struct rnd *r, void *p)
{
	void *q = NULL;

	switch (rnd_next(r) % 8) {
	case 0:
		expect_null(malloc(huge));
		break;
	case 1:
		expect_null(calloc(half, 3));
		break;
	case 2:
		expect_null(realloc(p, huge));
		break;
	case 3:
		expect_null(without_gnu ? realloc(p, huge) : reallocarray(p, half, 4));
		break;
	case 4:
		expect_null(memalign(64, huge));
		break;
	case 5:
		expect_null(realloc(NULL, huge));
		break;
	case 6:
		expect_null(posix_memalign(&q, 3, 100) == EINVAL ? NULL : slots);
		break;
	case 7:
		expect_null(posix_memalign(&q, 64, huge) == ENOMEM ? NULL : slots);
		break;
	}
}

/* A block grown step by step past the mmap threshold: the kernel moves it. */
static void *grow(struct rnd *r)
{
	size_t n = 100000 + rnd_next(r) % 100000;
	char *p = malloc(n), *q;

	for (int i = 0; p && i < 4; i++) {
		n += n / 2;
		q = realloc(p, n);
		if (!q)
			break;
		p = q;
		p[n - 1] = 1;
	}
	return p;
}

static void reallocs(struct rnd *r, unsigned int how)
{
	void *p = get(r), *q;
	size_t n = some_size(r);

	switch (how) {
	case 0:
		q = realloc(NULL, n);
		break;
	case 1:
		q = realloc(p, 0);
		break;
	case 2:
		q = reallocarray(p, n / 8 + 1, 8);
		break;
	case 3:
		q = reallocarray(NULL, n / 4 + 1, 4);
		break;
	default:
		q = realloc(p, n ? n : 1);
		break;
	}
	if (how == 0 || how == 3)
		free(p);
	put(r, q);
}

static void operate(struct rnd *r)
{
	uint64_t v = rnd_next(r) % 100;
	void *p;

	if (v < 40) {
		put(r, malloc(some_size(r)));
	} else if (v < 50) {
		put(r, calloc(some_size(r) / 8, 8));
	} else if (v < 65) {
		free(get(r));
	} else if (v < 80) {
		reallocs(r, (unsigned int)(v - 65) % 8);
	} else if (v < 95) {
		put(r, aligned(r, (unsigned int)(v - 80) % 5));
	} else if (v < 97) {
		free(NULL);
	} else if (v < 99) {
		p = get(r);
		fail(r, p);
		put(r, p);
	} else {
		put(r, grow(r));
	}
}

static void *worker(void *arg)
{
	struct rnd r = {0x9e3779b97f4a7c15ull * ((uint64_t)(uintptr_t)arg + 1)};
	void *own[OWN] = {0};

	for (unsigned long i = 0; i < operations; i++)
		operate(&r);
	/* Left to the thread's end: what its cache holds then is nobody's call. */
	for (int i = 0; i < OWN; i++)
		own[i] = malloc((size_t)(i % 8 + 1) * 24);
	for (int i = 0; i < OWN; i++)
		free(own[i]);
	return NULL;
}

static void run(unsigned int threads, uintptr_t round)
{
	pthread_t t[THREADS_MAX];

	for (unsigned int i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, worker, (void *)(round * THREADS_MAX + i)))
			exit(72);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
	unsigned int threads = argc > 1 ? (unsigned int)atoi(argv[1]) : 8;

	if (threads < 1 || threads > THREADS_MAX)
		return 64;
	without_gnu = getenv("WITHOUT_GNU");
	if (argc > 2)
		operations = strtoul(argv[2], NULL, 10);
	if (argc < 4) {
		run(threads, 0);
		return 0;
	}
	gate_say("ready\n");
	for (uintptr_t round = 0; gate_wait(); round++) {
		run(threads, round);
		gate_say("done\n");
	}
	return 0;
}
