/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * loop [THREADS]: malloc(64) and free in a tight loop, for as long as asked.
 * Says "ready", then for each line "run PAIRS" on standard input lets every
 * thread do that many pairs and answers "ns WALL cpu CPU": wall time per pair
 * as one thread sees it, and CPU time per pair. Tracers come and go between
 * two lines, so that one process is measured with and without them.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS_MAX 64
#define BLOCK       64

struct worker {
	pthread_t thread;
	uint64_t start, end; /* CLOCK_MONOTONIC, ns */
	uint64_t cpu;        /* ns */
};

static struct worker workers[THREADS_MAX];
static int threads = 1;
static uint64_t pairs; /* of the next round; 0 ends the threads */
static pthread_barrier_t go, done;

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void measure(struct worker *w)
{
	uint64_t cpu = now(CLOCK_THREAD_CPUTIME_ID);

	w->start = now(CLOCK_MONOTONIC);
	for (uint64_t i = 0; i < pairs; i++) {
		char *volatile block = malloc(BLOCK);

		free(block);
	}
	w->end = now(CLOCK_MONOTONIC);
	w->cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
}

static void *work(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&go);
		if (!pairs)
			return NULL;
		measure(arg);
		pthread_barrier_wait(&done);
	}
}

/* One thread is the main one alone: glibc then takes its single-threaded paths. */
static int start_threads(void)
{
	if (threads == 1)
		return 0;
	pthread_barrier_init(&go, NULL, (unsigned int)threads + 1);
	pthread_barrier_init(&done, NULL, (unsigned int)threads + 1);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return -1;
	return 0;
}

static void run(void)
{
	if (threads == 1) {
		measure(&workers[0]);
		return;
	}
	pthread_barrier_wait(&go);
	pthread_barrier_wait(&done);
}

static void answer(void)
{
	uint64_t start = UINT64_MAX, end = 0, cpu = 0;

	for (int i = 0; i < threads; i++) {
		if (workers[i].start < start)
			start = workers[i].start;
		if (workers[i].end > end)
			end = workers[i].end;
		cpu += workers[i].cpu;
	}
	printf("ns %.2f cpu %.2f\n", (double)(end - start) / (double)pairs,
	       (double)cpu / (double)pairs / threads);
}

static void stop_threads(void)
{
	pairs = 0;
	if (threads == 1)
		return;
	pthread_barrier_wait(&go);
	for (int i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	char line[64];

	if (argc > 1)
		threads = atoi(argv[1]);
	if (threads < 1 || threads > THREADS_MAX)
		return 64;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (start_threads())
		return 71;
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %" SCNu64, &pairs) != 1 || !pairs)
			return 64;
		run();
		answer();
	}
	stop_threads();
	return 0;
}
