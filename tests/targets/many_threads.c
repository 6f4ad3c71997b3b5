/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * many_threads N: on a line, N threads at once that each reallocate, so that
 * each needs a frame of its own; then they end. N threads live at a time.
 */
#include <pthread.h>
#include <stdlib.h>

#include "gate.h"

static pthread_barrier_t all;

static void *work(void *arg)
{
	void *p = realloc(realloc(NULL, 100), 5000);

	(void)arg;
	pthread_barrier_wait(&all);
	free(p);
	return NULL;
}

static int round_of_threads(pthread_t *threads, int n)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&all, NULL, (unsigned int)n);
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], &attr, work, NULL))
			return 1;
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;
	pthread_t *threads = calloc((size_t)n, sizeof(*threads));

	if (n < 1 || !threads)
		return 2;
	gate_say("ready\n");
	while (gate_wait()) {
		if (round_of_threads(threads, n))
			return 1;
		gate_say("done\n");
	}
	free(threads);
	return 0;
}
