/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The whole MemStats of one snapshot for a person, 80 columns wide. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/field.h"
#include "model/sizeclass.h"
#include "render/render.h"

static const char *const since_texts[] = {
	[MT_SINCE_START] = "the start of the process",
	[MT_SINCE_CENSUS] = "the start of the process, by a census of the heap",
	[MT_SINCE_ATTACH] = "the attach; older blocks are not in them",
};

static const struct {
	const char *name;
	bool released;
} calls[] = {
	[MT_VM_MMAP] = {"mmap", false},       [MT_VM_MUNMAP] = {"munmap", false},
	[MT_VM_MREMAP] = {"mremap", true},    [MT_VM_BRK] = {"brk", true},
	[MT_VM_MADVISE] = {"madvise", false},
};

void mt_render_heading(struct mt_writer *w, const struct mt_render_opts *o, const char *text)
{
	mt_writef(w, o->color ? "\033[1m%s\033[0m\n" : "%s\n", text);
}

static void write_name(struct mt_writer *w, const struct mt_snapshot *s)
{
	if (s->processes) {
		mt_writef(w, "total of %" PRIu64 " process%s", s->processes,
			  s->processes == 1 ? "" : "es");
		return;
	}
	mt_write_escaped(w, s->comm);
	mt_writef(w, "[%d]", s->pid);
}

/* Long names, as a list of allocators, have a line of their own. */
static void write_what(struct mt_writer *w, const struct mt_snapshot *s)
{
	const char *name = s->allocator[0] ? s->allocator : "unknown";
	const char *runtime = s->runtime[0] ? s->runtime : "unknown";
	bool list = strlen(runtime) + strlen(name) > 34; /* as 80 columns have room for */
	_cleanup_writer_ struct mt_writer text = {0};

	mt_writef(&text, "runtime %s", runtime);
	if (!list)
		mt_writef(&text, ", allocator %s", name);
	mt_writef(&text, ", mode %s, %s sizes", s->mode ? s->mode : "unknown",
		  s->sizes ? s->sizes : "unknown");
	mt_write_wrapped(w, 0, MT_RENDER_COLUMNS, text.buf ? text.buf : "");
	if (list) {
		mt_write_str(w, "allocator ");
		mt_write_escaped(w, name);
		mt_write_str(w, "\n");
	}
}

static void write_header(struct mt_writer *w, const struct mt_snapshot *s,
			 const struct mt_render_opts *o)
{
	char time[MT_TIME_SIZE];
	uint64_t lost = mt_snapshot_lost(s);

	mt_write_str(w, o->color ? "\033[1m" : "");
	write_name(w, s);
	mt_write_str(w, o->color ? "\033[0m" : "");
	mt_writef(w, "  %.19sZ%s\n", mt_format_time(time, sizeof(time), s->time_ns),
		  s->final ? ", final" : "");
	write_what(w, s);
	mt_render_since(w, s->since);
	if (s->gc.present)
		mt_render_consistency(w, &s->gc, o);
	if (s->parts_age_ns && !s->gc.present)
		mt_writef(
			w,
			"HeapSys, StackSys, OtherSys: their split as read %.1f s before the end\n",
			(double)s->parts_age_ns / 1e9);
	if (lost)
		mt_writef(w, "LOST %" PRIu64 ": the numbers are inexact, see the end\n", lost);
	else
		mt_write_str(w, "nothing lost\n");
}

void mt_render_field(struct mt_writer *w, const struct mt_field *f,
		     const struct memtrace_memstats *m, const char *help, enum mt_unit unit)
{
	char value[32] = "", human[32] = "";

	if (f->type == MT_FIELD_BOOL)
		snprintf(value, sizeof(value), "%s", mt_field_bool(f, m) ? "true" : "false");
	else if (f->type == MT_FIELD_DOUBLE)
		snprintf(value, sizeof(value), fabs(mt_field_double(f, m)) < 1e6 ? "%.6f" : "%g",
			 mt_field_double(f, m));
	else
		snprintf(value, sizeof(value), "%" PRIu64, mt_field_u64(f, m));
	if (f->unit == MT_FIELD_BYTES && unit != MT_UNIT_B)
		mt_format_bytes(human, sizeof(human), mt_field_u64(f, m), unit);
	mt_writef(w, "%-13s %20s %11s  %s\n", f->name, value, human, help);
}

void mt_render_class_label(char *buf, size_t size, unsigned int class)
{
	if (class == MT_CLASSES)
		snprintf(buf, size, "Go's large");
	else if (class < MT_CLASSES - 1)
		snprintf(buf, size, "%" PRIu64, mt_class_size(class));
	else
		snprintf(buf, size, ">2^%d", MT_LARGE_MIN_SHIFT + MT_LARGE - 2);
}

#define COUNT_COLUMNS 14

/* More digits than the column has are a hostile number: a target's memory can hold any. */
static const char *format_count(char buf[32], uint64_t v)
{
	if (v < UINT64_C(100000000000000))
		snprintf(buf, 32, "%" PRIu64, v);
	else
		snprintf(buf, 32, "%.4g", (double)v);
	return buf;
}

static void write_class(struct mt_writer *w, unsigned int class, const struct mt_class_counts *c,
			enum mt_unit unit)
{
	char size[24], mallocs[32], frees[32], live[32], bytes[32];

	mt_render_class_label(size, sizeof(size), class);
	mt_writef(w, "%15s %*s %*s %*s %18s\n", size, COUNT_COLUMNS,
		  format_count(mallocs, c->mallocs), COUNT_COLUMNS, format_count(frees, c->frees),
		  COUNT_COLUMNS, format_count(live, mt_level(mt_class_net_objects(c))),
		  mt_format_bytes(bytes, sizeof(bytes), mt_level(mt_class_net_bytes(c)), unit));
}

void mt_render_class_table(struct mt_writer *w, const struct mt_class_counts *cls,
			   const struct mt_class_counts *unsized, const struct mt_render_opts *o)
{
	char head[96];
	bool any = false;

	for (unsigned int i = 0; i < MT_CLASSES + (unsized != NULL); i++) {
		const struct mt_class_counts *c = i < MT_CLASSES ? &cls[i] : unsized;

		if (!c->mallocs && !c->frees)
			continue;
		if (!any) {
			mt_write_str(w, "\n");
			snprintf(head, sizeof(head), "%15s %14s %14s %14s %18s",
				 "Size <=", "Mallocs", "Frees", "Live objects", "Live bytes");
			mt_render_heading(w, o, head);
			any = true;
		}
		write_class(w, i, c, o->unit);
	}
	if (!any)
		mt_write_str(w, "\nno block was allocated or freed\n");
}

void mt_render_net(struct mt_writer *w, enum mt_since since, int64_t objects, int64_t bytes)
{
	if (since == MT_SINCE_ATTACH)
		mt_writef(w, "net since the attach: %+" PRId64 " objects, %+" PRId64 " bytes\n",
			  objects, bytes);
}

void mt_render_since(struct mt_writer *w, enum mt_since since)
{
	mt_writef(w, "levels since %s\n", since_texts[since]);
}

/* Of a total the native view's words say more. */
static void write_fields(struct mt_writer *w, const struct mt_snapshot *s, enum mt_unit unit)
{
	bool go = s->gc.present && !s->processes;

	for (size_t i = 0; i < mt_fields_count; i++) {
		const struct mt_field *f = &mt_fields[i];

		mt_render_field(w, f, &s->memstats, go && f->go_help ? f->go_help : f->help, unit);
	}
}

static void write_process(struct mt_writer *w, const struct mt_snapshot *s,
			  const struct mt_render_opts *o)
{
	const struct {
		const char *name;
		uint64_t bytes;
	} rows[] = {
		{"VmData", s->vm.data},
		{"VmStk", s->vm.stack},
		{"Rss", s->vm.rss},
		{"Pss", s->vm.pss},
		{"Shared", s->vm.shared},
		{"Swap", s->vm.swap},
		{"cgroup", s->vm.cgroup_current},
	};
	char bytes[32];

	mt_write_str(w, "\n");
	mt_render_heading(w, o, "Address space");
	if (!s->vm.known) {
		mt_write_str(w, "not known: /proc could not be read; Sys and its parts are 0\n");
		return;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (s->processes && !s->cgroup[0] && !strcmp(rows[i].name, "cgroup"))
			continue; /* of several there is no sum: they may lie in one another */
		mt_format_bytes(bytes, sizeof(bytes), rows[i].bytes, o->unit);
		mt_writef(w, "%-13s %20" PRIu64 " %11s\n", rows[i].name, rows[i].bytes,
			  o->unit == MT_UNIT_B ? "" : bytes);
	}
	if (s->processes > 1)
		mt_write_str(w, "Rss and Shared have a page once for each process that maps it\n");
}

static void write_calls(struct mt_writer *w, const struct mt_snapshot *s,
			const struct mt_render_opts *o)
{
	char head[96], bytes[32], released[32];

	mt_write_str(w, "\n");
	if (s->vm_source == MT_VM_NONE) {
		mt_render_heading(w, o, "System calls: not counted");
		return;
	}
	snprintf(head, sizeof(head), "%-13s %13s %10s %20s %20s", "System calls", "Calls", "Failed",
		 "Bytes", "Released");
	mt_render_heading(w, o, head);
	for (unsigned int i = 0; i < MT_VM_CALLS; i++) {
		const struct mt_vm_flow *f = &s->flows.vm[i];

		mt_format_bytes(bytes, sizeof(bytes), f->bytes, o->unit);
		mt_format_bytes(released, sizeof(released), f->released, o->unit);
		mt_writef(w, "%-13s %13llu %10llu %20s %20s\n", calls[i].name, f->calls, f->failed,
			  bytes, calls[i].released ? released : "-");
	}
}

static void write_losses(struct mt_writer *w, const struct mt_snapshot *s,
			 const struct mt_render_opts *o)
{
	const struct mt_flows *f = &s->flows;
	const struct {
		const char *name;
		uint64_t v;
		const char *what;
	} rows[] = {
		{"lost", mt_snapshot_lost(s), "sum of the eight below; 0: exact"},
		{"failed_reads", f->failed_reads, "block headers that could not be read"},
		{"map_full", f->map_full, "no room left in a map"},
		{"failed_storage", f->failed_storage, "no room for a thread's frame"},
		{"unreturned", f->unreturned, "entries whose return never came"},
		{"unknown_free", f->unknown_free, "frees of unknown blocks"},
		{"inherited", f->inherited, "threads that ran on at its fork"},
		{"untraced", f->untraced,
		 s->processes ? "processes with an image not to be traced"
			      : "1: runs an image that could not be traced"},
		{"gc_pauses", s->gc.missed, "pauses that the runtime kept no longer"},
		{"failed", f->failed, "no loss: allocations that returned NULL"},
		{"nested", f->nested, "no loss: calls inside another call"},
		{"internal", f->internal, "no loss: the allocator's own calls"},
	};

	mt_write_str(w, "\n");
	mt_render_heading(w, o, "Losses");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		mt_writef(w, "%-14s %20" PRIu64 "  %s\n", rows[i].name, rows[i].v, rows[i].what);
}

static void snapshots(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		      const struct mt_render_opts *o)
{
	for (size_t i = 0; i < n; i++) {
		mt_write_str(w, i ? "\n" : "");
		write_header(w, s[i], o);
		mt_write_str(w, "\n");
		mt_render_heading(w, o, "MemStats");
		write_fields(w, s[i], o->unit);
		mt_render_class_table(w, s[i]->flows.cls, &s[i]->unsized, o);
		mt_render_net(w, s[i]->since, mt_snapshot_net_objects(s[i]),
			      mt_snapshot_net_bytes(s[i]));
		mt_render_collector(w, s[i], o);
		mt_render_native(w, s[i], o);
		mt_render_heap(w, s[i], o);
		write_process(w, s[i], o);
		write_calls(w, s[i], o);
		write_losses(w, s[i], o);
	}
}

const struct mt_render_ops mt_render_table = {.name = "table", .snapshots = snapshots};
