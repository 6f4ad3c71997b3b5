/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The whole MemStats of one snapshot for a person, 80 columns wide. */
#include <inttypes.h>
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

/* A list of allocators has a line of its own. */
static void write_what(struct mt_writer *w, const struct mt_snapshot *s)
{
	const char *name = s->allocator[0] ? s->allocator : "unknown";
	bool list = strlen(name) > 28; /* as much as 80 columns have room for */

	mt_write_str(w, "runtime ");
	mt_write_escaped(w, s->runtime[0] ? s->runtime : "unknown");
	if (!list) {
		mt_write_str(w, ", allocator ");
		mt_write_escaped(w, name);
	}
	mt_writef(w, ", mode %s, %s sizes\n", s->mode ? s->mode : "unknown",
		  s->sizes ? s->sizes : "unknown");
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
	mt_writef(w, "levels since %s\n", since_texts[s->since]);
	if (s->parts_age_ns)
		mt_writef(
			w,
			"HeapSys, StackSys, OtherSys: their split as read %.1f s before the end\n",
			(double)s->parts_age_ns / 1e9);
	if (lost)
		mt_writef(w, "LOST %" PRIu64 ": the numbers are inexact, see the end\n", lost);
	else
		mt_write_str(w, "nothing lost\n");
}

static void write_field(struct mt_writer *w, const struct mt_field *f,
			const struct memtrace_memstats *m, enum mt_unit unit)
{
	char value[32] = "", human[32] = "";

	if (f->type == MT_FIELD_BOOL)
		snprintf(value, sizeof(value), "%s", mt_field_bool(f, m) ? "true" : "false");
	else if (f->type == MT_FIELD_DOUBLE)
		snprintf(value, sizeof(value), "%.6f", mt_field_double(f, m));
	else
		snprintf(value, sizeof(value), "%" PRIu64, mt_field_u64(f, m));
	if (f->unit == MT_FIELD_BYTES && unit != MT_UNIT_B)
		mt_format_bytes(human, sizeof(human), mt_field_u64(f, m), unit);
	mt_writef(w, "%-13s %20s %11s  %s\n", f->name, value, human, f->help);
}

void mt_render_class_label(char *buf, size_t size, unsigned int class)
{
	if (class < MT_CLASSES - 1)
		snprintf(buf, size, "%" PRIu64, mt_class_size(class));
	else
		snprintf(buf, size, ">2^%d", MT_LARGE_MIN_SHIFT + MT_LARGE - 2);
}

static void write_classes(struct mt_writer *w, const struct mt_snapshot *s,
			  const struct mt_render_opts *o)
{
	char head[96], size[24], bytes[32];
	bool any = false;

	for (unsigned int i = 0; i < MT_CLASSES; i++) {
		const struct mt_class_counts *c = &s->flows.cls[i];

		if (!c->mallocs && !c->frees)
			continue;
		if (!any) {
			mt_write_str(w, "\n");
			snprintf(head, sizeof(head), "%15s %14s %14s %14s %18s",
				 "Size <=", "Mallocs", "Frees", "Live objects", "Live bytes");
			mt_render_heading(w, o, head);
			any = true;
		}
		mt_render_class_label(size, sizeof(size), i);
		mt_writef(w, "%15s %14llu %14llu %14" PRIu64 " %18s\n", size, c->mallocs, c->frees,
			  mt_level(mt_class_net_objects(c)),
			  mt_format_bytes(bytes, sizeof(bytes), mt_level(mt_class_net_bytes(c)),
					  o->unit));
	}
	if (!any)
		mt_write_str(w, "\nno block was allocated or freed\n");
	if (s->since == MT_SINCE_ATTACH)
		mt_writef(w, "net since the attach: %+" PRId64 " objects, %+" PRId64 " bytes\n",
			  mt_snapshot_net_objects(s), mt_snapshot_net_bytes(s));
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
		{"lost", mt_snapshot_lost(s), "sum of the seven below; 0: exact"},
		{"failed_reads", f->failed_reads, "block headers that could not be read"},
		{"map_full", f->map_full, "no room left in a map"},
		{"failed_storage", f->failed_storage, "no room for a thread's frame"},
		{"unreturned", f->unreturned, "entries whose return never came"},
		{"unknown_free", f->unknown_free, "frees of unknown blocks"},
		{"inherited", f->inherited, "threads that ran on at its fork"},
		{"untraced", f->untraced,
		 s->processes ? "processes with an image not to be traced"
			      : "1: runs an image that could not be traced"},
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
		for (size_t k = 0; k < mt_fields_count; k++)
			write_field(w, &mt_fields[k], &s[i]->memstats, o->unit);
		write_classes(w, s[i], o);
		mt_render_heap(w, s[i], o);
		write_process(w, s[i], o);
		write_calls(w, s[i], o);
		write_losses(w, s[i], o);
	}
}

const struct mt_render_ops mt_render_table = {.name = "table", .snapshots = snapshots};
