/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sound heaps of glibc's with a few words changed: the first byte picks which heap. */
#include "../unit/census/made.h"
#include "census.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct recorded heaps[8];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const names[] = {"glibc-2.31-crossed", "glibc-2.36-aligned",
					    "glibc-2.36-fast", "glibc-2.43-mremaps",
					    "glibc-2.43-crossed"};

	(void)argc;
	(void)argv;
	/* the one that is small, and has a bit of everything, most often */
	for (size_t i = 0; i < 3; i++)
		made_heap(&heaps[i]);
	for (size_t i = 0; i < 5; i++)
		census_load(&heaps[3 + i], names[i]);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size)
		census_mutate(&mt_walker_glibc, &heaps[data[0] % 8], data + 1, size - 1);
	return 0;
}
