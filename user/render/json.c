/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* NDJSON: everything known of a snapshot, one object a line; keys as in contract.md. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "model/names.h"
#include "render/render.h"

static const char *const since_names[] = {
	[MT_SINCE_START] = "start", [MT_SINCE_CENSUS] = "census", [MT_SINCE_ATTACH] = "attach"};
static const char *const source_names[] = {
	[MT_VM_NONE] = NULL, [MT_VM_FEXIT] = "fexit", [MT_VM_TRACEPOINT] = "tracepoint"};
static const char *const call_names[] = {
	[MT_VM_MMAP] = "mmap", [MT_VM_MUNMAP] = "munmap",   [MT_VM_MREMAP] = "mremap",
	[MT_VM_BRK] = "brk",   [MT_VM_MADVISE] = "madvise",
};

static void write_names(struct mt_json *j, const char *key, const char *names)
{
	char one[sizeof(((struct mt_snapshot *)0)->runtimes)];

	mt_json_array_begin(j, key);
	while (names) {
		const char *next;
		size_t n = mt_names_first(names, &next);

		snprintf(one, sizeof(one), "%.*s", (int)n, names);
		mt_json_string(j, NULL, one);
		names = next;
	}
	mt_json_array_end(j);
}

/* A process has one, and for its C code native; only a total's are a list. */
static void write_runtimes(struct mt_json *j, const struct mt_snapshot *s)
{
	mt_json_string(j, "runtime", s->runtime);
	if (s->processes) {
		write_names(j, "runtimes", s->runtimes[0] ? s->runtimes : NULL);
		return;
	}
	mt_json_array_begin(j, "runtimes");
	mt_json_string(j, NULL, s->runtime);
	if (s->native.present)
		mt_json_string(j, NULL, "native");
	mt_json_array_end(j);
}

/* One is a string, several are a list: "glibc 2.36, jemalloc 5.3.0". */
static void write_allocators(struct mt_json *j, const char *names)
{
	const char *next;

	mt_names_first(names, &next);
	if (next)
		write_names(j, "allocator", names);
	else
		mt_json_string(j, "allocator", names);
}

static void write_who(struct mt_json *j, const struct mt_snapshot *s)
{
	char time[MT_TIME_SIZE];

	mt_json_string(j, "time", mt_format_time(time, sizeof(time), s->time_ns));
	mt_json_u64(j, "uptime_ns", s->uptime_ns);
	mt_json_u64(j, "seq", s->seq);
	mt_json_bool(j, "final", s->final);
	mt_json_string(j, "event", s->event[0] ? s->event : NULL);
	mt_json_string(j, "label", s->label[0] ? s->label : NULL);
	mt_json_string(j, "host", s->host);
	mt_json_i64(j, "pid", s->pid);
	mt_json_u64(j, "start_time", s->start_time);
	mt_json_string(j, "comm", s->comm);
	if (s->processes)
		mt_json_u64(j, "processes", s->processes);
	mt_json_string(j, "exe", s->exe);
	mt_json_string(j, "cgroup", s->cgroup);
	mt_json_string(j, "container", s->container[0] ? s->container : NULL);
	write_runtimes(j, s);
	write_allocators(j, s->allocator);
	mt_json_string(j, "mode", s->mode);
	mt_json_string(j, "since", since_names[s->since]);
}

static void write_net(struct mt_json *j, const struct mt_snapshot *s)
{
	mt_json_object_begin(j, "net");
	mt_json_i64(j, "Objects", mt_snapshot_net_objects(s));
	mt_json_i64(j, "Bytes", mt_snapshot_net_bytes(s));
	mt_render_live_array(j, s->flows.cls, &s->unsized, true);
	mt_json_object_end(j);
}

/* The C memory of a Go program; the keys are those of a native one's. */
static void write_native(struct mt_json *j, const struct mt_snapshot *s)
{
	const struct mt_native *n = &s->native;

	if (!n->present) {
		mt_json_null(j, "native");
		return;
	}
	mt_json_object_begin(j, "native");
	write_allocators(j, n->allocator);
	mt_json_string(j, "since", since_names[n->since]);
	mt_render_memstats_object(j, "memstats", &n->memstats);
	mt_render_large_array(j, n->cls, NULL);
	mt_render_live_array(j, n->cls, NULL, false);
	mt_render_heap_object(j, "heap", &s->census);
	mt_json_object_begin(j, "net");
	mt_json_i64(j, "Objects", mt_classes_net_objects(n->cls));
	mt_json_i64(j, "Bytes", mt_classes_net_bytes(n->cls));
	mt_render_live_array(j, n->cls, NULL, true);
	mt_json_object_end(j);
	mt_json_string(j, "sizes", n->sizes);
	mt_json_object_end(j);
}

static void write_vm(struct mt_json *j, const struct mt_snapshot *s)
{
	const struct mt_vm *vm = &s->vm;

	mt_json_object_begin(j, "vm");
	mt_json_u64(j, "rss", vm->rss);
	mt_json_u64(j, "pss", vm->pss);
	mt_json_u64(j, "swap", vm->swap);
	mt_json_u64(j, "shared", vm->shared);
	mt_json_u64(j, "data", vm->data);
	mt_json_u64(j, "stack", vm->stack);
	if (s->processes && !s->cgroup[0])
		mt_json_null(j, "cgroup_current"); /* of several there is none */
	else
		mt_json_u64(j, "cgroup_current", vm->cgroup_current);
	mt_json_u64(j, "parts_age_ns", s->parts_age_ns);
	for (unsigned int i = 0; i < MT_VM_CALLS; i++) {
		const struct mt_vm_flow *f = &s->flows.vm[i];

		mt_json_object_begin(j, call_names[i]);
		mt_json_u64(j, "calls", f->calls);
		mt_json_u64(j, "failed", f->failed);
		mt_json_u64(j, "bytes", f->bytes);
		if (i == MT_VM_MREMAP || i == MT_VM_BRK)
			mt_json_u64(j, "released", f->released);
		mt_json_object_end(j);
	}
	mt_json_string(j, "source", source_names[s->vm_source]);
	mt_json_object_end(j);
}

static void write_loss(struct mt_json *j, const struct mt_snapshot *s)
{
	const struct mt_flows *f = &s->flows;

	mt_json_object_begin(j, "loss");
	mt_json_u64(j, "failed_reads", f->failed_reads);
	mt_json_u64(j, "map_full", f->map_full);
	mt_json_u64(j, "unreturned", f->unreturned);
	mt_json_u64(j, "unknown_free", f->unknown_free);
	mt_json_u64(j, "failed_storage", f->failed_storage);
	mt_json_u64(j, "inherited", f->inherited);
	mt_json_u64(j, "untraced", f->untraced);
	mt_json_u64(j, "gc_pauses", s->gc.missed);
	mt_json_u64(j, "lost", mt_snapshot_lost(s));
	mt_json_u64(j, "failed", f->failed);
	mt_json_u64(j, "nested", f->nested);
	mt_json_object_end(j);
}

static void write_tracer(struct mt_json *j, const struct mt_tracer *t)
{
	mt_json_object_begin(j, "tracer");
	mt_json_u64(j, "cpu_ns", t->cpu_ns);
	mt_json_u64(j, "rss", t->rss);
	mt_json_u64(j, "map_bytes", t->map_bytes);
	mt_json_u64(j, "events", t->events);
	mt_json_u64(j, "prog_ns", t->prog_ns);
	mt_json_object_end(j);
}

static void write_snapshot(struct mt_json *j, const struct mt_snapshot *s)
{
	mt_json_object_begin(j, NULL);
	mt_json_string(j, "schema", "memtrace/1");
	write_who(j, s);
	mt_render_memstats_object(j, "memstats", &s->memstats);
	mt_render_large_array(j, s->flows.cls, &s->unsized);
	mt_render_live_array(j, s->flows.cls, &s->unsized, false);
	write_vm(j, s);
	if (s->gc.present)
		mt_render_consistency_object(j, &s->gc);
	else
		mt_render_heap_object(j, "heap", &s->census);
	write_net(j, s);
	mt_json_string(j, "sizes", s->sizes);
	write_loss(j, s);
	mt_render_audit_object(j, "audit", &s->audit);
	mt_render_gc_object(j, s);
	write_native(j, s);
	write_tracer(j, &s->tracer);
	mt_json_object_end(j);
}

static void snapshots(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		      const struct mt_render_opts *o)
{
	(void)o;
	for (size_t i = 0; i < n; i++) {
		struct mt_json j = {.w = w};

		write_snapshot(&j, s[i]);
		mt_write_str(w, "\n");
	}
}

const struct mt_render_ops mt_render_json = {.name = "json", .snapshots = snapshots};
