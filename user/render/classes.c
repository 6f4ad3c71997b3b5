/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts by size class, as JSON: those of a runtime and those of C alike. */
#include "base/json.h"
#include "model/sizeclass.h"
#include "render/render.h"

/*
 * The open-ended last class is written as 2^63 - 1: many readers hold integers
 * in 64 signed bits, and some refuse a document with a larger one. Blocks in no
 * class have null for a size.
 */
static void write_size(struct mt_json *j, unsigned int class)
{
	uint64_t size = class < MT_CLASSES ? mt_class_size(class) : 0;

	if (class >= MT_CLASSES)
		mt_json_null(j, "Size");
	else
		mt_json_u64(j, "Size", size < INT64_MAX ? size : INT64_MAX);
}

void mt_render_class_object(struct mt_json *j, unsigned int class, int64_t objects, int64_t bytes)
{
	mt_json_object_begin(j, NULL);
	write_size(j, class);
	mt_json_i64(j, "Objects", objects);
	mt_json_i64(j, "Bytes", bytes);
	mt_json_object_end(j);
}

static void write_counts(struct mt_json *j, unsigned int class, const struct mt_class_counts *c)
{
	if (!c->mallocs && !c->frees)
		return;
	mt_json_object_begin(j, NULL);
	write_size(j, class);
	mt_json_u64(j, "Mallocs", c->mallocs);
	mt_json_u64(j, "Frees", c->frees);
	mt_json_object_end(j);
}

void mt_render_large_array(struct mt_json *j, const struct mt_class_counts *cls,
			   const struct mt_class_counts *unsized)
{
	mt_json_array_begin(j, "large");
	for (unsigned int i = MT_BYSIZE; i < MT_CLASSES; i++)
		write_counts(j, i, &cls[i]);
	if (unsized)
		write_counts(j, MT_CLASSES, unsized);
	mt_json_array_end(j);
}

static void write_level(struct mt_json *j, unsigned int class, const struct mt_class_counts *c,
			bool is_signed)
{
	int64_t objects = mt_class_net_objects(c);
	int64_t bytes = mt_class_net_bytes(c);

	if (!is_signed) {
		objects = objects > 0 ? objects : 0;
		bytes = bytes > 0 ? bytes : 0;
	}
	if (objects || bytes)
		mt_render_class_object(j, class, objects, bytes);
}

void mt_render_live_array(struct mt_json *j, const struct mt_class_counts *cls,
			  const struct mt_class_counts *unsized, bool is_signed)
{
	mt_json_array_begin(j, "live");
	for (unsigned int i = 0; i < MT_CLASSES; i++)
		write_level(j, i, &cls[i], is_signed);
	if (unsized)
		write_level(j, MT_CLASSES, unsized, is_signed);
	mt_json_array_end(j);
}
