/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * heap BLOCKS SIZE [KEEP [SLEEPERS [HOT [SPIN]]]]: a heap to take a census of.
 * BLOCKS blocks of SIZE, SIZE + 16 and SIZE + 32 bytes, of which KEEP percent, at
 * random, stay; SLEEPERS threads asleep, HOT threads that allocate and free
 * without end, and with SPIN one that reads the clock without end. Says
 * "ready LIVE", then answers "reset" by "ok" and "gap" by "gap NS", the longest time
 * since the reset that the spinning thread had between two looks at the clock.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define STACK     (64u << 10)
#define HOT_SLOTS 64u
#define HOT_MAX   2000u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static atomic_int started;
static atomic_uint resets, was_reset; /* asked for, done by the spinning thread */
static _Atomic uint64_t longest;      /* ns */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t draw(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Half of them wait for a futex, half for time. */
static void *sleep_on(void *arg)
{
	(void)arg;
	if (atomic_fetch_add(&started, 1) % 2)
		for (;;)
			poll(NULL, 0, -1);
	pthread_mutex_lock(&lock);
	for (;;)
		pthread_cond_wait(&never, &lock);
	return NULL;
}

static void *allocate(void *arg)
{
	void *slots[HOT_SLOTS] = {0};
	uint32_t state = 2463534242u;

	(void)arg;
	atomic_fetch_add(&started, 1);
	for (;;) {
		uint32_t r = draw(&state), i = r % HOT_SLOTS;

		free(slots[i]);
		slots[i] = malloc(r >> 8 & 1 ? HOT_SLOTS : (r >> 9) % HOT_MAX);
	}
	return NULL;
}

static void *spin(void *arg)
{
	uint64_t last = now(), max = 0;

	(void)arg;
	atomic_fetch_add(&started, 1);
	for (;;) {
		uint64_t t = now();

		if (atomic_load_explicit(&resets, memory_order_relaxed) != was_reset) {
			atomic_store(&longest, max = 0);
			atomic_store(&was_reset, resets);
		} else if (t - last > max) {
			atomic_store(&longest, max = t - last);
		}
		last = t;
	}
	return NULL;
}

static int start(int n, void *(*fn)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;
	int until = atomic_load(&started) + n;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (int i = 0; i < n; i++)
		if (pthread_create(&thread, &attr, fn, NULL))
			return -1;
	while (atomic_load(&started) < until)
		sched_yield();
	return 0;
}

/* The pointers are no part of the heap. */
static void **fill(size_t blocks, size_t size)
{
	void **v = mmap(NULL, blocks * sizeof(*v) + 1, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (v == MAP_FAILED)
		return NULL;
	for (size_t i = 0; i < blocks; i++) {
		v[i] = malloc(size + i % 3 * 16);
		if (!v[i])
			return NULL;
		*(volatile char *)v[i] = 1;
	}
	return v;
}

static size_t thin_out(void **v, size_t blocks, unsigned int keep)
{
	uint32_t state = 88675123u;
	size_t live = 0;

	for (size_t i = 0; i < blocks; i++) {
		if (draw(&state) % 100 < keep)
			live++;
		else
			free(v[i]);
	}
	return live;
}

static void answer(const char *line)
{
	if (!strcmp(line, "reset\n")) {
		unsigned int n = atomic_fetch_add(&resets, 1) + 1;

		while (atomic_load(&was_reset) != n)
			sched_yield();
		puts("ok");
	} else {
		printf("gap %" PRIu64 "\n", (uint64_t)atomic_load(&longest));
	}
}

int main(int argc, char **argv)
{
	unsigned long arg[6] = {0, 0, 100, 0, 0, 0};
	char line[64];
	size_t live;
	void **v;

	for (int i = 1; i < argc && i <= 6; i++)
		arg[i - 1] = strtoul(argv[i], NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	v = fill(arg[0], arg[1]);
	if (!v)
		return 71;
	live = thin_out(v, arg[0], (unsigned int)arg[2]);
	munmap(v, arg[0] * sizeof(*v) + 1);
	if (start((int)arg[3], sleep_on) || start((int)arg[4], allocate) ||
	    start(arg[5] ? 1 : 0, spin))
		return 71;
	printf("ready %zu\n", live);
	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
