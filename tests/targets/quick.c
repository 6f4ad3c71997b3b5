/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * quick [COUNT [SIZE [STATUS]]]: allocates COUNT blocks of SIZE bytes, frees
 * half of them and ends at once with STATUS.
 * `wait` as a fourth argument: both after a line on standard input.
 */
#include <stdlib.h>

#include "gate.h"

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1000;
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
	int status = argc > 3 ? atoi(argv[3]) : 0;
	void *volatile p;

	if (argc > 4) {
		gate_say("ready\n");
		gate_wait();
	}
	for (int i = 0; i < count; i++) {
		p = malloc(size);
		if (i % 2)
			free(p);
	}
	_exit(status);
}
