/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/sizeclass.h"

/* Go's runtime/sizeclasses.go, class_to_size, its first 61 entries. */
static const uint16_t go_sizes[] = {
	0,    8,    16,    24,    32,    48,    64,    80,    96,    112,  128,  144,  160,
	176,  192,  208,   224,   240,   256,   288,   320,   352,   384,  416,  448,  480,
	512,  576,  640,   704,   768,   896,   1024,  1152,  1280,  1408, 1536, 1792, 2048,
	2304, 2688, 3072,  3200,  3456,  4096,  4864,  5376,  6144,  6528, 6784, 6912, 8192,
	9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432,
};

_Static_assert(sizeof(go_sizes) / sizeof(go_sizes[0]) == MT_BYSIZE, "BySize has 61 classes");

uint64_t mt_class_size(unsigned int i)
{
	if (i < MT_BYSIZE)
		return go_sizes[i];
	if (i >= MT_CLASSES - 1)
		return UINT64_MAX;
	return UINT64_C(1) << (MT_LARGE_MIN_SHIFT + i - MT_BYSIZE);
}

unsigned int mt_class_of(uint64_t usable)
{
	unsigned int lo = 0, hi = MT_CLASSES - 1;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (mt_class_size(mid) < usable)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
