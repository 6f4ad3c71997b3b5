/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * thread_churn [THREADS]: threads that allocate, free and end, some at a time.
 * At each end the allocator frees the thread's cache by itself; that is no
 * call of the program's. Its own account goes to standard output.
 */
#include <pthread.h>
#include <stdlib.h>

#include "gate.h"

#define AT_ONCE 20
#define BLOCKS  7

static void *worker(void *arg)
{
	void *p[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
		p[i] = malloc((size_t)(i + 1) * 40);
	for (int i = 0; i < BLOCKS; i++)
		free(p[i]);
	return arg;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1000, started;
	pthread_t t[AT_ONCE];

	for (int done = 0; done < threads; done += started) {
		started = threads - done < AT_ONCE ? threads - done : AT_ONCE;
		for (int i = 0; i < started; i++)
			if (pthread_create(&t[i], NULL, worker, NULL))
				return 72;
		for (int i = 0; i < started; i++)
			pthread_join(t[i], NULL);
	}
	gate_say("threads=%d blocks=%d\n", threads, threads * BLOCKS);
	return 0;
}
