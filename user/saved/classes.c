/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MemStats and counts by class out of a saved snapshot. What was allocated and
 * freed stands there in blocks, but in bytes only the difference: of a class that
 * holds 4096 bytes 4096 are taken for allocated and none for freed.
 */
#include "model/field.h"
#include "model/sizeclass.h"
#include "saved/internal.h"

#define RING 256

static void read_ring(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		      uint64_t v[RING])
{
	const json_t *a = mt_saved_array(in, o, where, key, RING, MT_SAVED_NEEDED);

	if (a && json_array_size(a) != RING)
		mt_saved_bad(in, where, key, "has not 256 elements");
	for (size_t i = 0; i < json_array_size(a) && !in->bad; i++)
		v[i] = mt_saved_value(in, json_array_get(a, i), where, key);
}

static void read_by_size(struct mt_saved_in *in, const json_t *o, const char *where,
			 struct memtrace_memstats *m)
{
	const json_t *a = mt_saved_array(in, o, where, "BySize", MT_BYSIZE, MT_SAVED_NEEDED);

	if (a && json_array_size(a) != MT_BYSIZE)
		mt_saved_bad(in, where, "BySize", "has not Go's 61 classes");
	for (unsigned int i = 0; i < json_array_size(a) && !in->bad; i++) {
		const json_t *c = json_array_get(a, i);

		m->by_size[i].size = mt_saved_u32(in, c, "BySize[].", "Size", MT_SAVED_NEEDED);
		m->by_size[i].mallocs =
			mt_saved_u64(in, c, "BySize[].", "Mallocs", MT_SAVED_NEEDED);
		m->by_size[i].frees = mt_saved_u64(in, c, "BySize[].", "Frees", MT_SAVED_NEEDED);
	}
}

static void read_field(struct mt_saved_in *in, const json_t *o, const char *where,
		       const struct mt_field *f, struct memtrace_memstats *m)
{
	void *p = (char *)m + f->offset;

	switch (f->type) {
	case MT_FIELD_U64:
		*(uint64_t *)p = mt_saved_u64(in, o, where, f->name, MT_SAVED_NEEDED);
		break;
	case MT_FIELD_U32:
		*(uint32_t *)p = mt_saved_u32(in, o, where, f->name, MT_SAVED_NEEDED);
		break;
	case MT_FIELD_DOUBLE:
		*(double *)p = mt_saved_double(in, o, where, f->name);
		break;
	case MT_FIELD_BOOL:
		*(bool *)p = mt_saved_bool(in, o, where, f->name, MT_SAVED_NEEDED);
		break;
	}
}

void mt_saved_memstats(struct mt_saved_in *in, const json_t *o, const char *where,
		       struct memtrace_memstats *m)
{
	for (size_t i = 0; i < mt_fields_count; i++)
		read_field(in, o, where, &mt_fields[i], m);
	read_ring(in, o, where, "PauseNs", m->pause_ns);
	read_ring(in, o, where, "PauseEnd", m->pause_end);
	read_by_size(in, o, where, m);
}

/* The open-ended class is written as 2^63 - 1, blocks in none as null. */
unsigned int mt_saved_class(struct mt_saved_in *in, const json_t *o, const char *where)
{
	const json_t *v = mt_saved_get(in, o, where, "Size", MT_SAVED_NULLABLE);
	uint64_t size = mt_saved_value(in, v, where, "Size");
	unsigned int i;

	if (!v)
		return MT_CLASSES;
	i = mt_class_of(size);
	if (size != INT64_MAX && mt_class_size(i) != size)
		mt_saved_bad(in, where, "Size", "is that of no class");
	return i;
}

/* The counts of a class, or of those in none; NULL: there are none of these here. */
static struct mt_class_counts *counts_of(struct mt_saved_in *in, const json_t *c, const char *where,
					 struct mt_class_counts *cls,
					 struct mt_class_counts *unsized)
{
	unsigned int class = mt_saved_class(in, c, where);

	if (class < MT_CLASSES)
		return &cls[class];
	if (!unsized)
		mt_saved_bad(in, where, "Size", "is that of no class");
	return unsized;
}

/* Counts whose difference is net, where that of those that were read is not. */
static void set_objects(struct mt_class_counts *c, int64_t net)
{
	if (mt_class_net_objects(c) == net)
		return;
	c->mallocs = net > 0 ? (uint64_t)net : 0;
	c->frees = net < 0 ? -(uint64_t)net : 0;
}

static void set_bytes(struct mt_class_counts *c, int64_t net)
{
	c->alloc_bytes = net > 0 ? (uint64_t)net : 0;
	c->free_bytes = net < 0 ? -(uint64_t)net : 0;
}

/* How much of more goes into v, which ends at 2^64. */
static uint64_t room(uint64_t v, __int128 more)
{
	uint64_t left = UINT64_MAX - v;

	return more < (__int128)left ? (uint64_t)more : left;
}

/*
 * A class at the limit of a signed number may have been beyond it, which only shows
 * in the sum of all.
 */
static void set_sum(struct mt_class_counts *cls, struct mt_class_counts *unsized, int64_t net)
{
	__int128 miss = net;

	for (unsigned int i = 0; i < MT_CLASSES; i++)
		miss -= mt_class_net_bytes(&cls[i]);
	if (unsized)
		miss -= mt_class_net_bytes(unsized);
	if ((net == INT64_MAX && miss < 0) || (net == INT64_MIN && miss > 0))
		return;
	for (unsigned int i = 0; i <= MT_CLASSES && miss; i++) {
		struct mt_class_counts *c = i < MT_CLASSES ? &cls[i] : unsized;

		if (c && miss > 0 && mt_class_net_bytes(c) == INT64_MAX) {
			uint64_t more = room(c->alloc_bytes, miss);

			c->alloc_bytes += more;
			miss -= more;
		} else if (c && miss < 0 && mt_class_net_bytes(c) == INT64_MIN) {
			uint64_t more = room(c->free_bytes, -miss);

			c->free_bytes += more;
			miss += more;
		}
	}
}

static void read_large(struct mt_saved_in *in, const json_t *o, const char *where,
		       struct mt_class_counts *cls, struct mt_class_counts *unsized)
{
	const json_t *a =
		mt_saved_array(in, o, where, "large", MT_CLASSES - MT_BYSIZE + 1, MT_SAVED_NEEDED);

	for (size_t i = 0; i < json_array_size(a); i++) {
		const json_t *c = json_array_get(a, i);
		struct mt_class_counts *to = counts_of(in, c, "large[].", cls, unsized);

		if (in->bad || !to)
			return;
		to->mallocs = mt_saved_u64(in, c, "large[].", "Mallocs", MT_SAVED_NEEDED);
		to->frees = mt_saved_u64(in, c, "large[].", "Frees", MT_SAVED_NEEDED);
	}
}

static void read_net(struct mt_saved_in *in, const json_t *net, struct mt_class_counts *cls,
		     struct mt_class_counts *unsized)
{
	const json_t *a = mt_saved_array(in, net, "net.", "live", MT_CLASSES + 1, MT_SAVED_NEEDED);
	bool seen[MT_CLASSES + 1] = {false};

	for (size_t i = 0; i < json_array_size(a); i++) {
		const json_t *c = json_array_get(a, i);
		struct mt_class_counts *to = counts_of(in, c, "net.live[].", cls, unsized);

		if (in->bad || !to)
			return;
		seen[to == unsized ? MT_CLASSES : to - cls] = true;
		set_objects(to, mt_saved_i64(in, c, "net.live[].", "Objects", MT_SAVED_NEEDED));
		set_bytes(to, mt_saved_i64(in, c, "net.live[].", "Bytes", MT_SAVED_NEEDED));
	}
	/* A class without a level is not in the list. */
	for (unsigned int i = 0; i < MT_CLASSES; i++)
		if (!seen[i])
			set_objects(&cls[i], 0);
	if (unsized && !seen[MT_CLASSES])
		set_objects(unsized, 0);
}

void mt_saved_classes(struct mt_saved_in *in, const json_t *o, const char *where,
		      const struct memtrace_memstats *m, struct mt_class_counts *cls,
		      struct mt_class_counts *unsized)
{
	const json_t *net = mt_saved_object(in, o, where, "net", MT_SAVED_NEEDED);

	for (unsigned int i = 0; i < MT_BYSIZE; i++) {
		cls[i].mallocs = m->by_size[i].mallocs;
		cls[i].frees = m->by_size[i].frees;
	}
	read_large(in, o, where, cls, unsized);
	read_net(in, net, cls, unsized);
	mt_saved_i64(in, net, "net.", "Objects", MT_SAVED_NEEDED); /* the sum of those */
	set_sum(cls, unsized, mt_saved_i64(in, net, "net.", "Bytes", MT_SAVED_NEEDED));
}
