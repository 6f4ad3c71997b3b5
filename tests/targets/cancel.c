/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Threads that are cancelled while they hold blocks, in the midst of a read: the
 * unwinder frees what their cleanup handlers hold.
 *
 *   cancel THREADS      runs once per line on standard input
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate.h"

static int never[2]; /* nothing is written to it */
static pthread_barrier_t working;

static void *work(void *arg)
{
	const uintptr_t seed = (uintptr_t)arg;
	void *kept = malloc(100 + seed * 13 % 5000), *volatile p;
	char c;

	pthread_cleanup_push(free, kept);
	for (uintptr_t i = 0; i < 50; i++) {
		p = calloc(1 + i, 1 + seed % 97);
		p = realloc(p, 1 + i * 40);
		free(p);
	}
	pthread_barrier_wait(&working);
	while (read(never[0], &c, 1) >= 0)
		;
	pthread_cleanup_pop(1);
	return NULL;
}

static int run(unsigned int threads)
{
	pthread_t *v = calloc(threads, sizeof(*v));
	void *result;
	int rc = 0;

	pthread_barrier_init(&working, NULL, threads + 1);
	for (unsigned int i = 0; v && i < threads; i++)
		if (pthread_create(&v[i], NULL, work, (void *)(uintptr_t)i))
			return 1;
	pthread_barrier_wait(&working);
	for (unsigned int i = 0; v && i < threads; i++) {
		pthread_cancel(v[i]);
		if (pthread_join(v[i], &result) || result != PTHREAD_CANCELED)
			rc = 1;
	}
	pthread_barrier_destroy(&working);
	free(v);
	return rc;
}

int main(int argc, char **argv)
{
	const unsigned int threads = argc > 1 ? (unsigned int)atoi(argv[1]) : 8;

	if (pipe(never))
		return 1;
	gate_say("ready\n");
	while (gate_wait()) {
		if (run(threads))
			return 1;
		gate_say("done\n");
	}
	return 0;
}
