/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a function's calls allocate, in three formats. */
#ifndef MT_RENDER_FUNC_H
#define MT_RENDER_FUNC_H

#include "base/writer.h"
#include "model/func.h"
#include "render/render.h"

typedef void (*mt_render_func_fn)(struct mt_writer *w, const struct mt_func *f,
				  const struct mt_render_opts *o);

/* table, line or json. NULL: no such format. Never fails but through w->err. */
mt_render_func_fn mt_render_func_find(const char *format);

#endif
