/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The census and the audit of a saved snapshot. */
#include <stdlib.h>
#include <string.h>

#include "saved/internal.h"

#define ARENAS_MAX 32768

static const json_t *arenas_of(struct mt_saved_in *in, const json_t *heap)
{
	return mt_saved_array(in, heap, "heap.", "arenas", ARENAS_MAX, MT_SAVED_NEEDED);
}

static void read_found(struct mt_saved_in *in, const json_t *o, struct mt_heap *h)
{
	const json_t *mapped = mt_saved_object(in, o, "heap.", "mapped", MT_SAVED_NEEDED);

	h->objects = mt_saved_u64(in, o, "heap.", "objects", MT_SAVED_NEEDED);
	h->bytes = mt_saved_u64(in, o, "heap.", "bytes", MT_SAVED_NEEDED);
	h->mapped_objects = mt_saved_u64(in, mapped, "heap.mapped.", "objects", MT_SAVED_NEEDED);
	h->mapped_system = mt_saved_u64(in, mapped, "heap.mapped.", "system", MT_SAVED_NEEDED);
	h->idle = mt_saved_u64(in, o, "heap.", "idle", MT_SAVED_NEEDED);
	h->idle_resident = mt_saved_u64(in, o, "heap.", "idle_resident", MT_SAVED_NEEDED);
	h->span_bytes = mt_saved_u64(in, o, "heap.", "spans", MT_SAVED_NEEDED);
	h->cache_bytes = mt_saved_u64(in, o, "heap.", "caches", MT_SAVED_NEEDED);
}

size_t mt_saved_census(struct mt_saved_in *in, const json_t *o, struct mt_census *c)
{
	static const char *const baselines[] = {"census", "unknown", NULL};

	c->baseline = mt_saved_choice(in, o, "heap.", "baseline", baselines) ? MT_BASELINE_UNKNOWN
									     : MT_BASELINE_CENSUS;
	c->time_ns = mt_saved_time(in, o, "heap.", "time", MT_SAVED_NEEDED);
	c->stop_ns = mt_saved_u64(in, o, "heap.", "stop_ns", MT_SAVED_NEEDED);
	c->held_ns = mt_saved_u64(in, o, "heap.", "held_ns", MT_SAVED_NEEDED);
	c->walk_ns = mt_saved_u64(in, o, "heap.", "walk_ns", MT_SAVED_NEEDED);
	c->attempts = mt_saved_u32(in, o, "heap.", "attempts", MT_SAVED_NEEDED);
	c->threads = mt_saved_u32(in, o, "heap.", "threads", MT_SAVED_NEEDED);
	c->held = mt_saved_u32(in, o, "heap.", "held", MT_SAVED_NEEDED);
	if (c->baseline == MT_BASELINE_UNKNOWN) {
		mt_saved_text(in, o, "heap.", "why", c->why, sizeof(c->why), MT_SAVED_NEEDED);
		return 0;
	}
	read_found(in, o, &c->heap);
	return json_array_size(arenas_of(in, o));
}

/* An address is text in JSON: "0x7f0000000030". */
static uint64_t read_address(struct mt_saved_in *in, const json_t *o)
{
	char text[24], *end;
	uint64_t v;

	mt_saved_text(in, o, "heap.arenas[].", "address", text, sizeof(text), MT_SAVED_NEEDED);
	v = strtoull(text, &end, 16);
	if (strncmp(text, "0x", 2) != 0 || *end)
		mt_saved_bad(in, "heap.arenas[].", "address", "is no address as in 0x7f0000000030");
	return v;
}

void mt_saved_arenas(struct mt_saved_in *in, const json_t *o, struct mt_heap_arena *v, size_t n)
{
	static const char where[] = "heap.arenas[].";
	const json_t *list = arenas_of(in, o);

	for (size_t i = 0; i < n && !in->bad; i++) {
		const json_t *a = json_array_get(list, i);

		v[i].address = read_address(in, a);
		v[i].system = mt_saved_u64(in, a, where, "system", MT_SAVED_NEEDED);
		v[i].in_use = mt_saved_u64(in, a, where, "in_use", MT_SAVED_NEEDED);
		v[i].free = mt_saved_u64(in, a, where, "free", MT_SAVED_NEEDED);
		v[i].top = mt_saved_u64(in, a, where, "top", MT_SAVED_NEEDED);
		v[i].cached = mt_saved_u64(in, a, where, "cached", MT_SAVED_NEEDED);
		v[i].fast = mt_saved_u64(in, a, where, "fast", MT_SAVED_NEEDED);
		v[i].other = mt_saved_u64(in, a, where, "other", MT_SAVED_NEEDED);
		v[i].objects = mt_saved_u64(in, a, where, "objects", MT_SAVED_NEEDED);
	}
}

static void read_drift(struct mt_saved_in *in, const json_t *o, struct mt_audit *a)
{
	const json_t *list =
		mt_saved_array(in, o, "audit.", "classes", MT_CLASSES, MT_SAVED_NEEDED);

	a->objects = mt_saved_i64(in, o, "audit.", "objects", MT_SAVED_NEEDED);
	a->bytes = mt_saved_i64(in, o, "audit.", "bytes", MT_SAVED_NEEDED);
	for (size_t i = 0; i < json_array_size(list) && !in->bad; i++) {
		static const char where[] = "audit.classes[].";
		const json_t *c = json_array_get(list, i);
		unsigned int class = mt_saved_class(in, c, where);

		if (class >= MT_CLASSES) {
			mt_saved_bad(in, where, "Size", "is that of no class");
			return;
		}
		a->cls[class].objects = mt_saved_i64(in, c, where, "Objects", MT_SAVED_NEEDED);
		a->cls[class].bytes = mt_saved_i64(in, c, where, "Bytes", MT_SAVED_NEEDED);
	}
}

void mt_saved_audit(struct mt_saved_in *in, const json_t *o, struct mt_audit *a)
{
	if (mt_saved_get(in, o, "audit.", "objects", MT_SAVED_NULLABLE)) {
		a->done = MT_BASELINE_CENSUS;
		read_drift(in, o, a);
	} else {
		a->done = MT_BASELINE_UNKNOWN;
		mt_saved_text(in, o, "audit.", "why", a->why, sizeof(a->why), MT_SAVED_NEEDED);
	}
}
