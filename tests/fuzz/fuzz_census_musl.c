/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A sound heap of musl's with a few words changed. */
#include "census.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct recorded heap;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	census_load(&heap, "musl-mix");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	census_mutate(&mt_walker_musl, &heap, data, size);
	return 0;
}
