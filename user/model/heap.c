/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/heap.h"

#include <stdlib.h>

bool mt_audit_drifted(const struct mt_audit *a)
{
	if (a->done != MT_BASELINE_CENSUS)
		return false;
	for (size_t i = 0; i < MT_CLASSES; i++)
		if (a->cls[i].objects || a->cls[i].bytes)
			return true;
	return false;
}

void mt_census_fini(struct mt_census *c)
{
	free(c->heap.arenas);
	*c = (struct mt_census){0};
}
