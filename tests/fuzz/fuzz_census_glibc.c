/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Recorded images as a hostile target could make them, walked as glibc's and as musl's. */
#include "census.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recorded r;

	if (!recorded_parse(&r, data, size) && !census_is_large(&r)) {
		census_walk(&mt_walker_glibc, &r);
		r.img.deadline_ns = 0;
		r.reads_max = 0;
		census_walk(&mt_walker_musl, &r);
	}
	recorded_free(&r);
	return 0;
}
