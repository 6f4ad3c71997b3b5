/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "render/render.h"

#include <string.h>

const struct mt_render_ops *const mt_render_all[] = {
	&mt_render_line,     &mt_render_table,       &mt_render_json,
	&mt_render_memstats, &mt_render_openmetrics, NULL,
};

const struct mt_render_ops *mt_render_find(const char *name)
{
	for (size_t i = 0; mt_render_all[i]; i++) {
		if (!strcmp(mt_render_all[i]->name, name))
			return mt_render_all[i];
	}
	return NULL;
}
