/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * late LIBRARY: two allocators in one process, the second of which a thread loads
 * when it is told to, by a line on standard input. Each further line allocates
 * and frees in both, and says how many blocks of which sizes.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "gate.h"

#define BLOCKS 300
#define OWN    720
#define OTHER  1500

static void *(*volatile other_malloc)(size_t);
static void (*volatile other_free)(void *);

static void use(void *(*get)(size_t), void (*put)(void *), size_t size)
{
	void *v[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
		v[i] = get(size);
	for (int i = 0; i < BLOCKS / 3; i++)
		put(v[i]);
}

static void *load(void *path)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return NULL;
	other_free = (void (*)(void *))(uintptr_t)dlsym(lib, "free");
	other_malloc = (void *(*)(size_t))(uintptr_t)dlsym(lib, "malloc");
	/* from its first call on */
	if (other_malloc && other_free)
		use(other_malloc, other_free, OTHER);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;

	gate_say("ready\n");
	if (argc < 2 || !gate_wait() || pthread_create(&t, NULL, load, argv[1]))
		return 1;
	pthread_join(t, NULL);
	if (!other_malloc || !other_free)
		return 1;
	do {
		use(malloc, free, OWN);
		gate_say("done\n");
	} while (gate_wait());
	return 0;
}
