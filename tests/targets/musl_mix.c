/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A deterministic mix of allocations whose live blocks it knows, for musl and
 * glibc alike: arguments SEED THREADS SLOTS. Prints "ready"; for each line of
 * input, a number, every thread makes so many steps; then "SIZE COUNT" for each
 * usable size among the live blocks, and "done". "clear" frees them all first.
 * Nothing else here allocates: no stdio, tables in .bss.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 16
#define SLOTS_MAX   2000000u
#define SIZES       (8u << 20)

static void *slots[SLOTS_MAX];
static uint32_t counts[SIZES]; /* by usable size */
static uint32_t per_thread;
static unsigned long steps;

struct worker {
	pthread_t thread;
	void **slots;
	uint64_t random;
};
static struct worker workers[THREADS_MAX];

static uint64_t next(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random >> 8;
}

/* Mostly small, some of all kinds up to a MiB. */
static size_t pick_size(struct worker *w)
{
	static const uint32_t limits[] = {64,  64,  64,   256,  256,  256,
					  256, 600, 2000, 2000, 9000, 40000};
	uint64_t r = next(w);

	if (r % 200 == 0)
		return next(w) % (1u << 20);
	if (r % 50 == 0)
		return next(w) % 140000;
	return next(w) % limits[r / 256 % (sizeof(limits) / sizeof(limits[0]))];
}

static void *allocate(struct worker *w)
{
	size_t size = pick_size(w);
	uint64_t r = next(w);
	void *p;

	if (r % 16 == 0)
		return calloc(size / 8 + 1, 8);
	if (r % 16 == 1 && !posix_memalign(&p, (size_t)32 << next(w) % 8, size))
		return p;
	if (r % 1024 == 2)
		return memalign((size_t)4096 << next(w) % 10, size);
	return malloc(size);
}

static void step(struct worker *w)
{
	void **slot = &w->slots[next(w) % per_thread];
	uint64_t r = next(w) % 8;

	if (!*slot) {
		*slot = allocate(w);
		if (*slot)
			memset(*slot, 0xff, malloc_usable_size(*slot) % 5000);
	} else if (r < 2) {
		*slot = realloc(*slot, pick_size(w) + 1);
	} else if (r < 6) {
		free(*slot);
		*slot = NULL;
	}
}

static void *work(void *arg)
{
	for (unsigned long i = 0; i < steps; i++)
		step(arg);
	return NULL;
}

static void print(const char *text)
{
	size_t n = strlen(text);

	if (write(1, text, n) != (ssize_t)n)
		_exit(1);
}

static char *put_number(char *end, uint64_t v)
{
	do
		*--end = (char)('0' + v % 10);
	while (v /= 10);
	return end;
}

static void report(unsigned int n_threads)
{
	char line[64];

	for (uint32_t i = 0; i < n_threads * per_thread; i++)
		if (slots[i])
			counts[malloc_usable_size(slots[i])]++;
	for (uint32_t i = 0; i < SIZES; i++) {
		char *p;

		if (!counts[i])
			continue;
		line[sizeof(line) - 1] = '\0';
		line[sizeof(line) - 2] = '\n';
		p = put_number(line + sizeof(line) - 2, counts[i]);
		*--p = ' ';
		print(put_number(p, i));
		counts[i] = 0;
	}
	print("done\n");
}

/* The first thread's work is done here: it may be the only one. */
static void turn(unsigned int n)
{
	for (unsigned int i = 1; i < n; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			_exit(1);
	work(&workers[0]);
	for (unsigned int i = 1; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	/* Then each has the next one's blocks, to free what another allocated. */
	for (unsigned int i = 0; n > 1 && i < per_thread; i++) {
		void *first = slots[i];

		for (unsigned int k = 0; k + 1 < n; k++)
			slots[k * per_thread + i] = slots[(k + 1) * per_thread + i];
		slots[(n - 1) * per_thread + i] = first;
	}
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 2 ? (unsigned int)atoi(argv[2]) : 1;
	char line[64];
	ssize_t got;

	per_thread = argc > 3 ? (uint32_t)atoi(argv[3]) : 5000;
	if (!n || n > THREADS_MAX || !per_thread || per_thread > SLOTS_MAX / n)
		return 2;
	for (unsigned int i = 0; i < n; i++) {
		workers[i].slots = slots + i * per_thread;
		workers[i].random = (uint64_t)(argc > 1 ? atoi(argv[1]) : 1) * 1000003 + i + 1;
	}
	print("ready\n");
	while ((got = read(0, line, sizeof(line) - 1)) > 0) {
		line[got] = '\0';
		for (uint32_t i = 0; line[0] == 'c' && i < n * per_thread; i++) {
			free(slots[i]);
			slots[i] = NULL;
		}
		steps = line[0] == 'c' ? 0 : strtoul(line, NULL, 10);
		turn(n);
		report(n);
	}
	return 0;
}
