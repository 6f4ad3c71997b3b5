/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/layout.h"

const struct mt_go_layout mt_go_layouts[] = {
#include "golang/layouts.inc"
};

const size_t mt_go_layouts_count = sizeof(mt_go_layouts) / sizeof(mt_go_layouts[0]);

const struct mt_go_layout *mt_go_layout_of(int minor)
{
	for (size_t i = 0; i < mt_go_layouts_count; i++)
		if (mt_go_layouts[i].minor == minor)
			return &mt_go_layouts[i];
	return NULL;
}
