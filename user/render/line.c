/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line per snapshot, as Go's PrintMemUsage prints it. */
#include <inttypes.h>

#include "render/render.h"

static void write_bytes(struct mt_writer *w, const char *name, uint64_t v, enum mt_unit unit)
{
	char buf[32];

	mt_writef(w, "%s = %s\t", name, mt_format_bytes(buf, sizeof(buf), v, unit));
}

static void write_line(struct mt_writer *w, const struct mt_snapshot *s,
		       const struct mt_render_opts *o)
{
	const struct memtrace_memstats *m = &s->memstats;
	uint64_t lost = mt_snapshot_lost(s);

	if (s->processes) {
		mt_writef(w, "total[%" PRIu64 "]\t", s->processes);
	} else if (o->prefix) {
		mt_write_escaped(w, s->comm);
		mt_writef(w, "[%d]\t", s->pid);
	}
	write_bytes(w, "Alloc", m->alloc, o->unit);
	write_bytes(w, "TotalAlloc", m->total_alloc, o->unit);
	write_bytes(w, "Sys", m->sys, o->unit);
	mt_writef(w, "NumGC = %" PRIu32, m->num_gc);
	if (lost)
		mt_writef(w, "\tLost = %" PRIu64, lost);
	if (mt_audit_drifted(&s->audit))
		mt_writef(w, "\tDrift = %+" PRId64 " objects, %+" PRId64 " bytes", s->audit.objects,
			  s->audit.bytes);
	if (s->since == MT_SINCE_ATTACH)
		mt_write_str(w, "\t(since attach)");
	mt_write_str(w, "\n");
}

static void snapshots(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		      const struct mt_render_opts *o)
{
	for (size_t i = 0; i < n; i++)
		write_line(w, s[i], o);
}

const struct mt_render_ops mt_render_line = {
	.name = "line", .totals_only = true, .snapshots = snapshots};
