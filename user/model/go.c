/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a snapshot shows of a Go program: the runtime's own numbers, C's beside them. */
#include <stdio.h>
#include <string.h>

#include "model/names.h"
#include "model/snapshot.h"

#define RING 256 /* of PauseNs and PauseEnd */

static void set_native(struct mt_snapshot *s)
{
	struct mt_native *n = &s->native;

	n->present = true;
	n->since = s->since;
	n->sizes = s->sizes;
	memcpy(n->allocator, s->allocator, sizeof(n->allocator));
	n->memstats = s->memstats;
	memcpy(n->cls, s->flows.cls, sizeof(n->cls));
}

void mt_snapshot_set_go(struct mt_snapshot *s, const struct memtrace_memstats *m,
			const struct mt_class_counts *cls, const struct mt_class_counts *unsized,
			bool native)
{
	memset(&s->native, 0, sizeof(s->native));
	if (native)
		set_native(s);
	snprintf(s->allocator, sizeof(s->allocator), "go");
	mt_names_add(s->allocator, sizeof(s->allocator), s->native.allocator);
	s->sizes = "usable";
	s->since = MT_SINCE_START;
	s->memstats = *m;
	memcpy(s->flows.cls, cls, sizeof(s->flows.cls));
	s->unsized = *unsized;
	s->gc.present = true;
}

void mt_gc_since(struct mt_gc *gc, const struct memtrace_memstats *m, bool first,
		 uint32_t last_num_gc)
{
	uint32_t n = first ? 0 : m->num_gc - last_num_gc;

	gc->pauses = n < RING ? n : RING;
	if (__builtin_add_overflow(gc->missed, n - gc->pauses, &gc->missed))
		gc->missed = UINT64_MAX;
}
