/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a snapshot has of a runtime with a collector, as JSON. */
#include "base/json.h"
#include "render/render.h"

#define RING 256 /* of PauseNs and PauseEnd */

size_t mt_render_pauses(const struct mt_snapshot *s)
{
	return s->gc.pauses < RING ? s->gc.pauses : RING;
}

struct mt_render_pause mt_render_pause(const struct mt_snapshot *s, size_t i)
{
	const struct memtrace_memstats *m = &s->memstats;
	size_t at = (size_t)(m->num_gc - mt_render_pauses(s) + i) % RING;

	return (struct mt_render_pause){m->pause_end[at], m->pause_ns[at]};
}

/*
 * With GOGC=off it is the memory limit that begins a collection; where none is set
 * that is 2^63 less what the runtime keeps apart, or 2^64: no address space has 2^60.
 */
bool mt_render_has_next(uint64_t next_gc)
{
	return next_gc < UINT64_C(1) << 60;
}

/* null for the time of what has not been. */
static void write_time(struct mt_json *j, const char *key, uint64_t ns)
{
	char time[MT_TIME_SIZE];

	mt_json_string(j, key, ns ? mt_format_time(time, sizeof(time), ns) : NULL);
}

static void write_pauses(struct mt_json *j, const struct mt_snapshot *s)
{
	mt_json_array_begin(j, "pauses");
	for (size_t i = 0; i < mt_render_pauses(s); i++) {
		struct mt_render_pause p = mt_render_pause(s, i);

		mt_json_object_begin(j, NULL);
		write_time(j, "end", p.end_ns);
		mt_json_u64(j, "ns", p.ns);
		mt_json_object_end(j);
	}
	mt_json_array_end(j);
}

void mt_render_gc_object(struct mt_json *j, const struct mt_snapshot *s)
{
	const struct memtrace_memstats *m = &s->memstats;

	if (!s->gc.present) {
		mt_json_null(j, "gc");
		return;
	}
	mt_json_object_begin(j, "gc");
	mt_json_u64(j, "count", m->num_gc);
	mt_json_u64(j, "forced", m->num_forced_gc);
	if (s->processes)
		mt_json_null(j, "cpu_fraction"); /* each has its own */
	else
		mt_json_double(j, "cpu_fraction", m->gc_cpu_fraction);
	if (mt_render_has_next(m->next_gc))
		mt_json_u64(j, "next", m->next_gc);
	else
		mt_json_null(j, "next");
	write_time(j, "last", m->last_gc);
	mt_json_bool(j, "enabled", m->enable_gc);
	mt_json_u64(j, "pause_total_ns", m->pause_total_ns);
	write_pauses(j, s);
	mt_json_object_end(j);
}

void mt_render_consistency_object(struct mt_json *j, const struct mt_gc *gc)
{
	mt_json_object_begin(j, "heap");
	mt_json_string(j, "consistency", gc->consistent ? "consistent" : "approximate");
	mt_json_u64(j, "stop_ns", gc->stop_ns);
	if (!gc->consistent)
		mt_json_string(j, "why", gc->why);
	mt_json_object_end(j);
}
