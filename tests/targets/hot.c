/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hot [THREADS]: threads in a tight allocation loop until standard input ends
 * or SIGTERM. Every block carries a pattern that is checked before it is freed;
 * at the end the program prints its own account and "intact".
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate.h"

#define THREADS_MAX 64
#define HELD        256

static volatile sig_atomic_t stop;

struct account {
	uint64_t mallocs, frees, damaged;
	unsigned int seed;
};

struct block {
	uint64_t words;
	uint64_t word[];
};

static struct block *block_new(struct account *a, uint64_t words)
{
	struct block *b = malloc(sizeof(*b) + words * sizeof(b->word[0]));

	if (!b)
		return NULL;
	a->mallocs++;
	b->words = words;
	for (uint64_t i = 0; i < words; i++)
		b->word[i] = words ^ i ^ (uintptr_t)b;
	return b;
}

static void block_check(struct account *a, const struct block *b)
{
	for (uint64_t i = 0; i < b->words; i++)
		a->damaged += b->word[i] != (b->words ^ i ^ (uintptr_t)b);
}

static void block_free(struct account *a, struct block *b)
{
	if (!b)
		return;
	block_check(a, b);
	a->frees++;
	free(b);
}

static void *worker(void *arg)
{
	struct account *a = arg;
	struct block *held[HELD] = {0};
	uint32_t x = a->seed * 2654435761u + 1;

	while (!stop) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		block_free(a, held[x % HELD]);
		held[x % HELD] = block_new(a, (x >> 10) % 40);
	}
	for (int i = 0; i < HELD; i++)
		block_free(a, held[i]);
	return NULL;
}

/* Also where the main thread is just about to read: then it finds nothing to read from. */
static void on_term(int sig)
{
	(void)sig;
	stop = 1;
	close(STDIN_FILENO);
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 8;
	static struct account a[THREADS_MAX];
	pthread_t t[THREADS_MAX];
	struct account sum = {0};
	sigset_t term;

	if (threads < 1 || threads > THREADS_MAX)
		return 64;
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
	/* the main thread alone is to get it: it waits in a read that must be interrupted */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
	for (int i = 0; i < threads; i++) {
		a[i].seed = (unsigned int)i;
		if (pthread_create(&t[i], NULL, worker, &a[i]))
			return 72;
	}
	pthread_sigmask(SIG_UNBLOCK, &term, NULL);
	gate_say("ready\n");
	while (!stop && gate_wait())
		;
	stop = 1;
	for (int i = 0; i < threads; i++) {
		pthread_join(t[i], NULL);
		sum.mallocs += a[i].mallocs;
		sum.frees += a[i].frees;
		sum.damaged += a[i].damaged;
	}
	gate_say("%s mallocs=%llu frees=%llu\n",
		 sum.damaged == 0 && sum.mallocs == sum.frees ? "intact" : "damaged",
		 (unsigned long long)sum.mallocs, (unsigned long long)sum.frees);
	return sum.damaged != 0;
}
