/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The formats of memtrace diff. */
#ifndef MT_RENDER_DIFF_H
#define MT_RENDER_DIFF_H

#include "model/diff.h"
#include "render/render.h"

struct mt_render_diff_ops {
	const char *name; /* as --format takes it */
	void (*diff)(struct mt_writer *w, const struct mt_diff *d, const struct mt_render_opts *o);
};

extern const struct mt_render_diff_ops mt_render_diff_table;
extern const struct mt_render_diff_ops mt_render_diff_line;
extern const struct mt_render_diff_ops mt_render_diff_json;

/* All of them, NULL-terminated, the default first. */
extern const struct mt_render_diff_ops *const mt_render_diff_all[];
/* The format of that name, or NULL. */
const struct mt_render_diff_ops *mt_render_diff_find(const char *name);

#endif
