/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Allocates and fills memory, and frees some of it, until the kernel kills it:
 * for a memory cgroup of its own. It begins at the first line on standard input.
 * `hungry threads` does so in two threads.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gate.h"

static void *eat(void *unused)
{
	for (unsigned int i = 0;; i++) {
		const size_t n = i % 16 ? 16 + (i * 7919) % 9000 : 150000;
		char *p = malloc(n);

		if (!p)
			break;
		memset(p, 1, n);
		if (i % 3 == 0)
			free(p);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t t;

	(void)argv;
	/* no page of its code may have to come again: it is to die at one of the blocks */
	if (mlockall(MCL_CURRENT))
		return 1;
	gate_say("ready\n");
	if (!gate_wait())
		return 0;
	if (argc > 1 && pthread_create(&t, NULL, eat, NULL))
		return 1;
	eat(NULL);
	return 0;
}
