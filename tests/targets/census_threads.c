/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * census_threads PATTERN [THREADS]: threads with arenas and caches, asleep while
 * it is the test's turn. What lives in the heap is counted by libmtcount.so.
 */
#include <sys/wait.h>

#include "census_turn.h"

#define THREADS_MAX 64
#define SLOTS       1024

static struct worker {
	pthread_t thread;
	int go[2], done[2];
	unsigned int round;
	struct rnd rnd;
	void *slot[SLOTS];
} workers[THREADS_MAX];
static unsigned int threads = 12;

static void must(int ok)
{
	if (!ok)
		_exit(73);
}

static void *own(struct worker *w)
{
	uint64_t v = rnd_next(&w->rnd);
	void *p;

	switch (v % 64) {
	case 0:
		return malloc(100000 + (v >> 8) % 300000);
	case 1:
		return posix_memalign(&p, (size_t)16 << (v >> 8) % 9, (v >> 16) % 5000) ? NULL : p;
	case 2:
		return calloc(1, (v >> 8) % 20000);
	case 3: /* as a thread's empty cache is */
		return calloc(1, 0x230 + (v >> 8) % 0xe0);
	default:
		return malloc((v >> 8) % (v % 2 ? 130 : 1500));
	}
}

static void mix(struct worker *w, struct worker *other)
{
	for (int i = 0; i < 3000; i++) {
		uint64_t v = rnd_next(&w->rnd);
		void **s = &(v % 8 ? w : other)->slot[(v >> 8) % SLOTS];

		free(__atomic_exchange_n(s, v % 3 ? own(w) : NULL, __ATOMIC_ACQ_REL));
	}
}

/* Past one heap's 64 MiB, of which some are given back. */
static void grow_heaps(struct worker *w)
{
	for (int i = 0; i < SLOTS; i++) {
		free(w->slot[i]);
		w->slot[i] = malloc(100000 + rnd_next(&w->rnd) % 20000);
	}
	for (int i = 0; i < SLOTS; i++)
		if (i % 3 == 0 || (w->round % 2 && i > SLOTS / 3)) {
			free(w->slot[i]);
			w->slot[i] = NULL;
		}
}

static void (*how)(struct worker *w);

static void apart(struct worker *w)
{
	mix(w, w);
}

static void crossed(struct worker *w)
{
	mix(w, &workers[rnd_next(&w->rnd) % threads]);
}

static void *worker(void *arg)
{
	struct worker *w = arg;
	char c;

	while (read(w->go[0], &c, 1) == 1 && c) {
		how(w);
		w->round++;
		must(write(w->done[1], &c, 1) == 1);
	}
	return NULL;
}

static void start(struct worker *w)
{
	if (!w->rnd.x) {
		w->rnd.x = 0x9e3779b97f4a7c15ull * (uint64_t)(w - workers + 1);
		must(pipe(w->go) == 0 && pipe(w->done) == 0);
	}
	must(pthread_create(&w->thread, NULL, worker, w) == 0);
}

/* All at once; the turn is over when each is. */
static void all(unsigned int from, unsigned int to)
{
	char c = 1;

	for (unsigned int i = from; i < to; i++)
		must(write(workers[i].go[1], &c, 1) == 1);
	for (unsigned int i = from; i < to; i++)
		must(read(workers[i].done[0], &c, 1) == 1);
}

static void end(struct worker *w)
{
	must(write(w->go[1], "", 1) == 1 && pthread_join(w->thread, NULL) == 0);
}

static void arenas(unsigned int round)
{
	for (unsigned int i = 0; round == 0 && i < threads; i++)
		start(&workers[i]);
	all(0, threads);
}

/* Half of them end with their blocks live; others start and reuse what is left. */
static void exits(unsigned int round)
{
	for (unsigned int i = 0; round == 0 && i < threads; i++)
		start(&workers[i]);
	all(0, threads);
	for (unsigned int i = round % 2; i < threads; i += 2)
		end(&workers[i]);
	for (unsigned int i = round % 2; i < threads; i += 4)
		start(&workers[i]);
	for (unsigned int i = round % 2; i < threads; i += 4)
		all(i, i + 1);
	for (unsigned int i = round % 2 + 2; i < threads; i += 4)
		start(&workers[i]);
}

/* In the child of a fork, where the threads' arenas and caches have no thread. */
static void orphan(unsigned int round)
{
	struct worker *main_only = &workers[THREADS_MAX - 1];

	if (round == 2)
		for (unsigned int i = 0; i < threads; i++) {
			start(&workers[i]);
			all(i, i + 1);
		}
	main_only->rnd.x += 7919;
	mix(main_only, &workers[round % threads]);
}

#define HEAP_ALIGN (64u << 20) /* of a heap, whose head has its arena's address */
#define RESIDUE    1500        /* words: less than what an ended thread's stack keeps */

/* Arenas beside blocks like empty caches, which are nothing but what was on the stack. */
__attribute__((noinline)) static void leave_residue(struct worker *w)
{
	const void *volatile stack[RESIDUE];
	const void *arena;

	for (int i = 0; i < SLOTS; i++)
		w->slot[i] = calloc(1, 640);
	arena = *(void **)((uintptr_t)w->slot[SLOTS - 1] & ~(uintptr_t)(HEAP_ALIGN - 1));
	for (int i = 0; i < RESIDUE; i++)
		stack[i] = i % 2 ? arena : w->slot[i % SLOTS];
	must(stack[0] != NULL);
}

/* A thread that has ended, while its stack waits to be used again. */
static void residue(unsigned int round)
{
	how = leave_residue;
	start(&workers[round]);
	all(round, round + 1);
	end(&workers[round]);
}

static int forked(void)
{
	pid_t child;
	int status;

	arenas(0);
	child = fork();
	must(child >= 0);
	if (child == 0) {
		orphan(0);
		return take_turns(orphan);
	}
	must(waitpid(child, &status, 0) == child);
	return status != 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (argc > 2)
		threads = (unsigned int)number(argv[2]);
	if (threads < 1 || threads >= THREADS_MAX)
		return 64;
	how = strcmp(name, "apart") == 0   ? apart
	      : strcmp(name, "heaps") == 0 ? grow_heaps
					   : crossed;
	if (strcmp(name, "fork") == 0)
		return forked();
	if (strcmp(name, "residue") == 0) {
		residue(0);
		return take_turns(residue);
	}
	if (strcmp(name, "exits") == 0) {
		exits(0);
		return take_turns(exits);
	}
	if (how == crossed && strcmp(name, "crossed") != 0)
		return 64;
	arenas(0);
	return take_turns(arenas);
}
