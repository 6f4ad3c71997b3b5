/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The text format that Prometheus scrapes, ended by "# EOF". HELP and TYPE name
 * a counter with its _total suffix, as Prometheus and promtool want it: Go's
 * own names have a gauge alloc_bytes and a counter alloc_bytes_total, which a
 * strict OpenMetrics family name could not tell apart.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/utf8.h"
#include "model/field.h"
#include "model/sizeclass.h"
#include "render/render.h"

static void family(struct mt_writer *w, const char *name, const char *type, const char *help)
{
	mt_writef(w, "# HELP memtrace_%s %s\n# TYPE memtrace_%s %s\n", name, help, name, type);
}

/*
 * A label value. The format has no escape for control characters, and a page
 * may be read on a terminal: they become U+FFFD as invalid UTF-8 does.
 */
static void write_value(struct mt_writer *w, const char *s)
{
	while (*s) {
		uint32_t cp = 0;
		size_t n = mt_utf8_decode(s, &cp);

		if (cp == '\n')
			mt_write_str(w, "\\n");
		else if (cp == '"' || cp == '\\')
			mt_writef(w, "\\%c", (char)cp);
		else if (!n || mt_utf8_is_control(cp))
			mt_write_str(w, "\xef\xbf\xbd");
		else
			mt_write_mem(w, s, n);
		s += n ? n : 1;
	}
}

/*
 * A sample's name and labels; the caller writes the value. Prometheus takes an
 * empty label for one that is not there, so that container is left out where
 * there is none.
 */
static void sample(struct mt_writer *w, const char *name, const struct mt_snapshot *s,
		   const char *size)
{
	mt_writef(w, "memtrace_%s{pid=\"%d\",comm=\"", name, s->pid);
	write_value(w, s->comm);
	if (s->container[0]) {
		mt_write_str(w, "\",container=\"");
		write_value(w, s->container);
	}
	if (size)
		mt_writef(w, "\",size=\"%s", size);
	mt_write_str(w, "\"} ");
}

static void write_u64(struct mt_writer *w, const char *name, const struct mt_snapshot *s,
		      const char *size, uint64_t v)
{
	sample(w, name, s, size);
	mt_writef(w, "%" PRIu64 "\n", v);
}

static void write_double(struct mt_writer *w, const char *name, const struct mt_snapshot *s,
			 double v)
{
	sample(w, name, s, NULL);
	mt_write_double(w, isfinite(v) ? v : 0);
	mt_write_str(w, "\n");
}

static void write_field(struct mt_writer *w, const struct mt_field *f,
			const struct mt_snapshot *const *s, size_t n)
{
	family(w, f->metric, f->metric_type == MT_METRIC_COUNTER ? "counter" : "gauge", f->help);
	for (size_t i = 0; i < n; i++) {
		const struct memtrace_memstats *m = &s[i]->memstats;

		if (f->type == MT_FIELD_DOUBLE)
			write_double(w, f->metric, s[i], mt_field_double(f, m));
		else if (f->unit == MT_FIELD_TIME || f->unit == MT_FIELD_NS)
			write_double(w, f->metric, s[i], (double)mt_field_u64(f, m) / 1e9);
		else
			write_u64(w, f->metric, s[i], NULL, mt_field_u64(f, m));
	}
}

/* Classes that saw nothing have no series: with many targets most would be empty. */
static void write_by_size(struct mt_writer *w, const char *name, const struct mt_snapshot *s,
			  bool frees)
{
	for (unsigned int i = 0; i < MT_CLASSES; i++) {
		const struct mt_class_counts *c = &s->flows.cls[i];
		char size[24] = "+Inf";

		if (!c->mallocs && !c->frees)
			continue;
		if (i < MT_CLASSES - 1)
			snprintf(size, sizeof(size), "%" PRIu64, mt_class_size(i));
		write_u64(w, name, s, size, frees ? c->frees : c->mallocs);
	}
}

static void write_tracer(struct mt_writer *w, const struct mt_tracer *t)
{
	family(w, "tracer_cpu_seconds_total", "counter", "CPU time of memtrace itself.");
	mt_write_str(w, "memtrace_tracer_cpu_seconds_total ");
	mt_write_double(w, (double)t->cpu_ns / 1e9);
	mt_write_str(w, "\n");
}

/*
 * How many of the first snapshots are of processes. Totals are left out: whoever
 * reads series adds them up, and would count everything twice.
 */
static size_t processes(const struct mt_snapshot *const *s, size_t n)
{
	while (n && s[n - 1]->processes)
		n--;
	return n;
}

static void snapshots(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		      const struct mt_render_opts *o)
{
	static const char by_size_mallocs[] = "memstats_by_size_mallocs_total";
	static const char by_size_frees[] = "memstats_by_size_frees_total";

	(void)o;
	n = processes(s, n);
	for (size_t i = 0; i < mt_fields_count; i++) {
		if (mt_fields[i].metric_type != MT_METRIC_NONE)
			write_field(w, &mt_fields[i], s, n);
	}
	family(w, by_size_mallocs, "counter", "Blocks allocated, by size class.");
	for (size_t i = 0; i < n; i++)
		write_by_size(w, by_size_mallocs, s[i], false);
	family(w, by_size_frees, "counter", "Blocks freed, by size class.");
	for (size_t i = 0; i < n; i++)
		write_by_size(w, by_size_frees, s[i], true);
	family(w, "lost_total", "counter", "What makes the numbers inexact; 0 is exact.");
	for (size_t i = 0; i < n; i++)
		write_u64(w, "lost_total", s[i], NULL, mt_snapshot_lost(s[i]));
	if (n)
		write_tracer(w, &s[0]->tracer);
	family(w, "targets", "gauge", "Processes that are traced.");
	mt_writef(w, "memtrace_targets %zu\n# EOF\n", n);
}

const struct mt_render_ops mt_render_openmetrics = {
	.name = "openmetrics", .document = true, .snapshots = snapshots};
