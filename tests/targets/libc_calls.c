/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocks that libc allocates for the program: the call comes from libc's own
 * text and counts all the same. One round per line on standard input; its
 * account of the round goes to standard output.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "gate.h"

#define ROUND 500

int main(void)
{
	static void *p[3 * ROUND];
	unsigned long bytes;

	gate_say("ready\n");
	while (gate_wait()) {
		bytes = 0;
		for (int i = 0; i < ROUND; i++) {
			p[3 * i] = strdup("a string that libc copies for us");
			p[3 * i + 1] = strndup("another one, of which it copies a part", 20);
			p[3 * i + 2] = wcsdup(L"and a wide one");
		}
		for (int i = 0; i < 3 * ROUND; i++) {
			bytes += malloc_usable_size(p[i]);
			if (i % 3)
				free(p[i]);
		}
		gate_say("mallocs=%d frees=%d bytes=%lu\n", 3 * ROUND, 2 * ROUND, bytes);
	}
	return 0;
}
