/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Formats: snapshots in, text out. One file per format, listed in render.c. */
#ifndef MT_RENDER_RENDER_H
#define MT_RENDER_RENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/units.h"
#include "base/writer.h"
#include "model/snapshot.h"

struct mt_render_opts {
	enum mt_unit unit; /* of line and table; line's default is MiB */
	bool color;        /* ANSI colours in line and table */
	bool prefix;       /* several targets: comm[pid] in front of a line */
};

struct mt_render_ops {
	const char *name; /* as --format takes it */
	bool document;    /* one whole document per moment (openmetrics), not a stream of records */
	/*
	 * Writes the n snapshots of one moment, one per target. Never fails but
	 * through w->err.
	 */
	void (*snapshots)(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
			  const struct mt_render_opts *o);
	bool totals_only; /* shows Sys and no part of it: less is read of the target */
};

extern const struct mt_render_ops mt_render_line;
extern const struct mt_render_ops mt_render_table;
extern const struct mt_render_ops mt_render_json;
extern const struct mt_render_ops mt_render_memstats;
extern const struct mt_render_ops mt_render_openmetrics;

/* All formats, NULL-terminated, in the order that help lists them. */
extern const struct mt_render_ops *const mt_render_all[];

/* The format of that name, or NULL. */
const struct mt_render_ops *mt_render_find(const char *name);

/* The Go MemStats object of s, as encoding/json writes it, under key (NULL at the top). */
struct mt_json;
void mt_render_memstats_object(struct mt_json *j, const char *key,
			       const struct memtrace_memstats *m);

#endif
