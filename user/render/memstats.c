/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* runtime.MemStats as Go's encoding/json writes it: same keys, order and types. */
#include "base/json.h"
#include "model/field.h"
#include "render/render.h"

static void write_ring(struct mt_json *j, const char *key, const uint64_t v[256])
{
	mt_json_array_begin(j, key);
	for (size_t i = 0; i < 256; i++)
		mt_json_u64(j, NULL, v[i]);
	mt_json_array_end(j);
}

static void write_by_size(struct mt_json *j, const struct memtrace_memstats *m)
{
	mt_json_array_begin(j, "BySize");
	for (size_t i = 0; i < MT_BYSIZE; i++) {
		mt_json_object_begin(j, NULL);
		mt_json_u64(j, "Size", m->by_size[i].size);
		mt_json_u64(j, "Mallocs", m->by_size[i].mallocs);
		mt_json_u64(j, "Frees", m->by_size[i].frees);
		mt_json_object_end(j);
	}
	mt_json_array_end(j);
}

static void write_field(struct mt_json *j, const struct mt_field *f,
			const struct memtrace_memstats *m)
{
	if (f->type == MT_FIELD_DOUBLE)
		mt_json_double(j, f->name, mt_field_double(f, m));
	else if (f->type == MT_FIELD_BOOL)
		mt_json_bool(j, f->name, mt_field_bool(f, m));
	else
		mt_json_u64(j, f->name, mt_field_u64(f, m));
}

void mt_render_memstats_object(struct mt_json *j, const char *key,
			       const struct memtrace_memstats *m)
{
	mt_json_object_begin(j, key);
	for (size_t i = 0; i < mt_fields_count; i++) {
		write_field(j, &mt_fields[i], m);
		/* The table holds scalars; Go's two rings stand behind this one. */
		if (mt_fields[i].offset == offsetof(struct memtrace_memstats, pause_total_ns)) {
			write_ring(j, "PauseNs", m->pause_ns);
			write_ring(j, "PauseEnd", m->pause_end);
		}
	}
	write_by_size(j, m);
	mt_json_object_end(j);
}

static void snapshots(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		      const struct mt_render_opts *o)
{
	(void)o;
	for (size_t i = 0; i < n; i++) {
		struct mt_json j = {.w = w};

		mt_render_memstats_object(&j, NULL, &s[i]->memstats);
		mt_write_str(w, "\n");
	}
}

const struct mt_render_ops mt_render_memstats = {.name = "memstats", .snapshots = snapshots};
