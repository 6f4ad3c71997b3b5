/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * census_hot THREADS own|shared|large: each thread holds HELD blocks of a size
 * that no other has and replaces them as fast as it can, freeing one before it
 * allocates one. At "ready" all hold HELD and wait for a line; from then on each
 * has HELD or HELD - 1 at any moment, so that a wrong count shows. "shared":
 * whoever comes by frees another's block and puts one of its own size there.
 * "large": blocks with a mapping of their own. Ends with the input: "intact".
 */
#include <signal.h>

#include "census_turn.h"

#define THREADS_MAX 16
#define HELD        64

/* With 16 bytes more, which the allocator may give, each is still in its class. */
static const unsigned short sizes[THREADS_MAX] = {264, 296, 328, 360, 392, 424, 456,  488,
						  520, 584, 648, 712, 776, 904, 1032, 1160};

static struct worker {
	pthread_t thread;
	size_t size;
	int go[2], ready[2];
	uint64_t *held[HELD];
	unsigned int damaged;
} workers[THREADS_MAX];
static unsigned int threads;
static bool shared, stop;

static uint64_t *block_new(size_t size)
{
	uint64_t *p = malloc(size);

	if (!p)
		_exit(73);
	p[0] = size ^ (uintptr_t)p;
	p[1] = size;
	return p;
}

static void replace(struct worker *w, struct rnd *r)
{
	uint64_t v = rnd_next(r);
	struct worker *whose = shared ? &workers[(v >> 32) % threads] : w;
	uint64_t **s = &whose->held[v % HELD], *old;

	old = __atomic_exchange_n(s, NULL, __ATOMIC_ACQ_REL);
	if (!old)
		return; /* somebody else is at it */
	w->damaged += old[0] != (old[1] ^ (uintptr_t)old);
	free(old);
	__atomic_store_n(s, block_new(whose->size), __ATOMIC_RELEASE);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct rnd r = {w->size * 0x9e3779b97f4a7c15ull};
	char c = 0;

	for (int i = 0; i < HELD; i++)
		w->held[i] = block_new(w->size);
	if (write(w->ready[1], &c, 1) != 1 || read(w->go[0], &c, 1) != 1)
		_exit(74);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		replace(w, &r);
	return NULL;
}

static void start(struct worker *w, size_t size)
{
	char c;

	w->size = size;
	if (pipe(w->go) || pipe(w->ready) || pthread_create(&w->thread, NULL, work, w) ||
	    read(w->ready[0], &c, 1) != 1)
		_exit(75);
}

static int finish(void)
{
	unsigned int damaged = 0;

	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		damaged += workers[i].damaged;
	}
	gate_say(damaged ? "damaged\n" : "intact\n");
	return damaged != 0;
}

int main(int argc, char **argv)
{
	bool large = argc > 2 && strcmp(argv[2], "large") == 0;

	threads = argc > 1 ? (unsigned int)number(argv[1]) : 0;
	if (threads < 1 || threads > THREADS_MAX)
		return 64;
	shared = argc > 2 && strcmp(argv[2], "shared") == 0;
	if (large)
		mallopt(M_MMAP_THRESHOLD, 128 << 10);
	for (unsigned int i = 0; i < threads; i++)
		start(&workers[i], large ? (size_t)(136 + 8 * i) << 10 : sizes[i]);
	gate_say("ready\n");
	for (int n = 0; turn(); n++) {
		for (unsigned int i = 0; n == 0 && i < threads; i++)
			if (write(workers[i].go[1], "", 1) != 1)
				return 76;
		gate_say("done\n");
	}
	return finish();
}
