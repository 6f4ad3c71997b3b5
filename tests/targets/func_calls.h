/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Functions whose calls memtrace measures, and their own record of each call. A
 * program reads lines "FUNCTION THREADS ROUNDS" and answers "done"; "log" prints all
 * calls so far: [[mallocs, frees, alloc_bytes, free_bytes, left], ...].
 */
#ifndef FUNC_CALLS_H
#define FUNC_CALLS_H

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEASURED  static __attribute__((noipa, used))
#define CALLS_MAX 400000

struct call {
	unsigned long mallocs, frees, alloc_bytes, free_bytes, left;
};

static struct call calls[CALLS_MAX];
static unsigned long n_calls;

/* The record of a call that begins; of very many only the last ones are kept. */
static inline struct call *record(void)
{
	return &calls[__atomic_fetch_add(&n_calls, 1, __ATOMIC_RELAXED) % CALLS_MAX];
}

static inline void *took(struct call *c, void *p)
{
	c->mallocs++;
	c->alloc_bytes += malloc_usable_size(p);
	return p;
}

static inline void *take(struct call *c, size_t size)
{
	return took(c, malloc(size));
}

static inline void give(struct call *c, void *p)
{
	c->frees++;
	c->free_bytes += malloc_usable_size(p);
	free(p);
}

/* What is outside: deep enough to run over the stack that a call has left. */
static __attribute__((noinline, unused)) void deep(int n)
{
	volatile char room[256];
	void *p;

	room[0] = (char)n;
	p = malloc(1000 + (size_t)room[0]);
	if (n > 0)
		deep(n - 1);
	free(p);
}

/* The same, and leaves what lies on the stack there as it is, old return addresses too. */
static __attribute__((noinline, unused)) void over(int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	free(malloc(500 + (size_t)room[0]));
}

struct function {
	const char *name;
	void (*run)(int round); /* calls it once, or more */
};

struct turn {
	const struct function *f;
	int rounds;
};

static void *run_turn(void *arg)
{
	const struct turn *t = (const struct turn *)arg;

	for (int i = 0; i < t->rounds; i++) {
		t->f->run(i);
		free(malloc(77));
	}
	return NULL;
}

static void run_threads(const struct function *f, int threads, int rounds)
{
	struct turn t = {f, rounds};
	pthread_t id[64];

	for (int i = 0; i < threads && i < 64; i++)
		pthread_create(&id[i], NULL, run_turn, &t);
	for (int i = 0; i < threads && i < 64; i++)
		pthread_join(id[i], NULL);
	if (!threads)
		run_turn(&t);
}

static void print_log(void)
{
	printf("[");
	for (unsigned long i = 0; i < n_calls && i < CALLS_MAX; i++)
		printf("%s[%lu,%lu,%lu,%lu,%lu]", i ? "," : "", calls[i].mallocs, calls[i].frees,
		       calls[i].alloc_bytes, calls[i].free_bytes, calls[i].left);
	printf("]\n");
	fflush(stdout);
}

static int serve(const struct function *functions)
{
	char line[128], name[64];
	int threads, rounds;

	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		const struct function *f = functions;

		if (strcmp(line, "log\n") == 0) {
			print_log();
			continue;
		}
		if (sscanf(line, "%63s %d %d", name, &threads, &rounds) != 3)
			return 2;
		while (f->name && strcmp(f->name, name) != 0)
			f++;
		if (!f->name)
			return 2;
		run_threads(f, threads, rounds);
		puts("done");
		fflush(stdout);
	}
	return 0;
}

#endif
