/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a census found, as JSON: the same keys in a snapshot and on its own. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "render/render.h"

/* An address is text: as a number many readers would round it. */
static void write_arena(struct mt_json *j, const struct mt_heap_arena *a)
{
	char address[24];

	snprintf(address, sizeof(address), "0x%" PRIx64, a->address);
	mt_json_object_begin(j, NULL);
	mt_json_string(j, "address", address);
	mt_json_u64(j, "system", a->system);
	mt_json_u64(j, "in_use", a->in_use);
	mt_json_u64(j, "free", a->free);
	mt_json_u64(j, "top", a->top);
	mt_json_u64(j, "cached", a->cached);
	mt_json_u64(j, "fast", a->fast);
	mt_json_u64(j, "other", a->other);
	mt_json_u64(j, "objects", a->objects);
	mt_json_object_end(j);
}

static void write_found(struct mt_json *j, const struct mt_heap *h)
{
	mt_json_u64(j, "objects", h->objects);
	mt_json_u64(j, "bytes", h->bytes);
	mt_json_object_begin(j, "mapped");
	mt_json_u64(j, "objects", h->mapped_objects);
	mt_json_u64(j, "system", h->mapped_system);
	mt_json_object_end(j);
	mt_json_u64(j, "idle", h->idle);
	mt_json_u64(j, "idle_resident", h->idle_resident);
	mt_json_u64(j, "spans", h->span_bytes);
	mt_json_u64(j, "caches", h->cache_bytes);
	mt_json_array_begin(j, "arenas");
	for (size_t i = 0; i < h->n_arenas; i++)
		write_arena(j, &h->arenas[i]);
	mt_json_array_end(j);
}

void mt_render_heap_object(struct mt_json *j, const char *key, const struct mt_census *c)
{
	char time[MT_TIME_SIZE];
	bool known = c->baseline == MT_BASELINE_CENSUS;

	if (c->baseline == MT_BASELINE_NONE) {
		mt_json_null(j, key);
		return;
	}
	mt_json_object_begin(j, key);
	mt_json_string(j, "baseline", known ? "census" : "unknown");
	if (!known)
		mt_json_string(j, "why", c->why);
	mt_json_string(j, "time", mt_format_time(time, sizeof(time), c->time_ns));
	mt_json_u64(j, "stop_ns", c->stop_ns);
	mt_json_u64(j, "held_ns", c->held_ns);
	mt_json_u64(j, "walk_ns", c->walk_ns);
	mt_json_u64(j, "attempts", c->attempts);
	mt_json_u64(j, "threads", c->threads);
	mt_json_u64(j, "held", c->held);
	if (known)
		write_found(j, &c->heap);
	mt_json_object_end(j);
}

static void write_drift(struct mt_json *j, const struct mt_audit *a)
{
	mt_json_i64(j, "objects", a->objects);
	mt_json_i64(j, "bytes", a->bytes);
	mt_json_array_begin(j, "classes");
	for (unsigned int i = 0; i < MT_CLASSES; i++)
		if (a->cls[i].objects || a->cls[i].bytes)
			mt_render_class_object(j, i, a->cls[i].objects, a->cls[i].bytes);
	mt_json_array_end(j);
}

void mt_render_audit_object(struct mt_json *j, const char *key, const struct mt_audit *a)
{
	if (a->done == MT_BASELINE_NONE)
		return;
	mt_json_object_begin(j, key);
	if (a->done == MT_BASELINE_CENSUS) {
		write_drift(j, a);
	} else {
		mt_json_null(j, "objects");
		mt_json_null(j, "bytes");
		mt_json_string(j, "why", a->why);
	}
	mt_json_object_end(j);
}
