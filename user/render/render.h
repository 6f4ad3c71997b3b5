/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Formats: snapshots in, text out. One file per format, listed in render.c. */
#ifndef MT_RENDER_RENDER_H
#define MT_RENDER_RENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/units.h"
#include "base/writer.h"
#include "model/field.h"
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
	 * Writes the n snapshots of one moment, one per target, and behind them
	 * their total, if there is one. Never fails but through w->err.
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

/*
 * The two formats of memtrace census: of a snapshot they show who it is of, its
 * time and its census, and nothing else of it need be filled.
 */
extern const struct mt_render_ops mt_render_census_table;
extern const struct mt_render_ops mt_render_census_json;

/* The rest is what formats share. */

/* The Go MemStats object of s, as encoding/json writes it, under key (NULL at the top). */
struct mt_json;
void mt_render_memstats_object(struct mt_json *j, const char *key,
			       const struct memtrace_memstats *m);
/* {"Size", "Objects", "Bytes"} of one class; MT_CLASSES: of blocks in no class. */
void mt_render_class_object(struct mt_json *j, unsigned int class, int64_t objects, int64_t bytes);
/* "large" and "live" of MT_CLASSES classes; unsized, those in no class, may be NULL. */
void mt_render_large_array(struct mt_json *j, const struct mt_class_counts *cls,
			   const struct mt_class_counts *unsized);
/* Levels by class: as they are where is_signed, else never below 0. */
void mt_render_live_array(struct mt_json *j, const struct mt_class_counts *cls,
			  const struct mt_class_counts *unsized, bool is_signed);
/* Nothing, which is null, without a baseline. */
void mt_render_heap_object(struct mt_json *j, const char *key, const struct mt_census *c);
/* Not written at all where no audit was asked for. */
void mt_render_audit_object(struct mt_json *j, const char *key, const struct mt_audit *a);
/* "gc", null without a collector; and "heap" of a snapshot whose runtime has one. */
void mt_render_gc_object(struct mt_json *j, const struct mt_snapshot *s);
void mt_render_consistency_object(struct mt_json *j, const struct mt_gc *gc);

/* The pauses since the snapshot before, at most 256; the i-th of them, the oldest first. */
struct mt_render_pause {
	uint64_t end_ns, ns; /* since the epoch; how long */
};
size_t mt_render_pauses(const struct mt_snapshot *s);
struct mt_render_pause mt_render_pause(const struct mt_snapshot *s, size_t i);
/* False if no size of the heap makes it collect: GOGC=off. */
bool mt_render_has_next(uint64_t next_gc);

#define MT_RENDER_COLUMNS 80
/* A line of text in bold. */
void mt_render_heading(struct mt_writer *w, const struct mt_render_opts *o, const char *text);
/* One row of the table; help is what it says of the field. */
void mt_render_field(struct mt_writer *w, const struct mt_field *f,
		     const struct memtrace_memstats *m, const char *help, enum mt_unit unit);
/* Mallocs, frees and levels of MT_CLASSES classes, and of those in none, if not NULL. */
void mt_render_class_table(struct mt_writer *w, const struct mt_class_counts *cls,
			   const struct mt_class_counts *unsized, const struct mt_render_opts *o);
/* "levels since ...", and behind the class table the signed sums since an attach. */
void mt_render_since(struct mt_writer *w, enum mt_since since);
void mt_render_net(struct mt_writer *w, enum mt_since since, int64_t objects, int64_t bytes);
/* Of a runtime with a collector: whether its numbers are of one moment; its collections. */
void mt_render_consistency(struct mt_writer *w, const struct mt_gc *gc,
			   const struct mt_render_opts *o);
void mt_render_collector(struct mt_writer *w, const struct mt_snapshot *s,
			 const struct mt_render_opts *o);
/* The section on the C memory of a Go program, if it has any. */
void mt_render_native(struct mt_writer *w, const struct mt_snapshot *s,
		      const struct mt_render_opts *o);
/* "18432", ">2^48"; "Go's large" for MT_CLASSES. */
void mt_render_class_label(char *buf, size_t size, unsigned int class);
/* bytes in the unit, or, where that is more than n columns, in the one that fits. */
const char *mt_render_bytes(char *buf, size_t size, uint64_t bytes, enum mt_unit unit, int n);
/* The arenas, the largest first and many of them cut, and what lies beside them. */
void mt_render_arenas(struct mt_writer *w, const struct mt_heap *h, const struct mt_render_opts *o);
/* One line: for how long the target was held. */
void mt_render_held(struct mt_writer *w, const struct mt_census *c);
/* The table's section on its census and audit, if it has any. */
void mt_render_heap(struct mt_writer *w, const struct mt_snapshot *s,
		    const struct mt_render_opts *o);

#endif
