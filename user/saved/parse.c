/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A line of memtrace -f json as a snapshot again: the counterpart of render/json.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "saved/internal.h"
#include "saved/saved.h"

#define SCHEMA "memtrace/1"

static const char *const since_names[] = {[MT_SINCE_START] = "start",
					  [MT_SINCE_CENSUS] = "census",
					  [MT_SINCE_ATTACH] = "attach",
					  NULL};
static const char *const mode_names[] = {"exact", "sampled", "inline", "mixed", NULL};
static const char *const sizes_names[] = {"usable", "requested", "mixed", NULL};
static const char *const source_names[] = {
	[MT_VM_NONE] = "", [MT_VM_FEXIT] = "fexit", [MT_VM_TRACEPOINT] = "tracepoint", NULL};
static const char *const call_names[] = {
	[MT_VM_MMAP] = "mmap", [MT_VM_MUNMAP] = "munmap",   [MT_VM_MREMAP] = "mremap",
	[MT_VM_BRK] = "brk",   [MT_VM_MADVISE] = "madvise",
};

/* One of the static texts that a snapshot points to; NULL of a null. */
static const char *read_static(struct mt_saved_in *in, const json_t *o, const char *where,
			       const char *key, const char *const *names)
{
	if (!mt_saved_get(in, o, where, key, MT_SAVED_NULLABLE))
		return NULL;
	return names[mt_saved_choice(in, o, where, key, names)];
}

static void read_when(struct mt_saved_in *in, const json_t *o, struct mt_snapshot *s)
{
	const int may = MT_SAVED_OPTIONAL | MT_SAVED_NULLABLE;

	s->time_ns = mt_saved_time(in, o, "", "time", MT_SAVED_NEEDED);
	s->uptime_ns = mt_saved_u64(in, o, "", "uptime_ns", MT_SAVED_NEEDED);
	s->seq = mt_saved_u64(in, o, "", "seq", MT_SAVED_NEEDED);
	s->final = mt_saved_bool(in, o, "", "final", MT_SAVED_OPTIONAL);
	mt_saved_text(in, o, "", "event", s->event, sizeof(s->event), may);
	mt_saved_text(in, o, "", "label", s->label, sizeof(s->label), may);
	mt_saved_text(in, o, "", "host", s->host, sizeof(s->host), may);
}

static void read_who(struct mt_saved_in *in, const json_t *o, struct mt_snapshot *s)
{
	int64_t pid = mt_saved_i64(in, o, "", "pid", MT_SAVED_NEEDED);

	if (pid < INT32_MIN || pid > INT32_MAX)
		mt_saved_bad(in, "", "pid", "is none");
	s->pid = (pid_t)pid;
	s->start_time = mt_saved_u64(in, o, "", "start_time", MT_SAVED_NEEDED);
	mt_saved_text(in, o, "", "comm", s->comm, sizeof(s->comm), MT_SAVED_NEEDED);
	s->processes = mt_saved_u64(in, o, "", "processes", MT_SAVED_OPTIONAL);
	mt_saved_text(in, o, "", "exe", s->exe, sizeof(s->exe), MT_SAVED_NEEDED);
	mt_saved_text(in, o, "", "cgroup", s->cgroup, sizeof(s->cgroup), MT_SAVED_NEEDED);
	mt_saved_text(in, o, "", "container", s->container, sizeof(s->container),
		      MT_SAVED_NULLABLE);
	mt_saved_text(in, o, "", "runtime", s->runtime, sizeof(s->runtime), MT_SAVED_NEEDED);
	if (s->processes)
		mt_saved_names(in, o, "", "runtimes", s->runtimes, sizeof(s->runtimes),
			       MT_SAVED_OPTIONAL);
	mt_saved_names(in, o, "", "allocator", s->allocator, sizeof(s->allocator), MT_SAVED_NEEDED);
	s->mode = read_static(in, o, "", "mode", mode_names);
	s->sizes = read_static(in, o, "", "sizes", sizes_names);
	s->since = (enum mt_since)mt_saved_choice(in, o, "", "since", since_names);
}

static void read_call(struct mt_saved_in *in, const json_t *vm, const char *name,
		      struct mt_vm_flow *f)
{
	const json_t *o = mt_saved_object(in, vm, "vm.", name, MT_SAVED_OPTIONAL);
	char where[32];

	if (!o)
		return;
	snprintf(where, sizeof(where), "vm.%s.", name);
	f->calls = mt_saved_u64(in, o, where, "calls", MT_SAVED_NEEDED);
	f->bytes = mt_saved_u64(in, o, where, "bytes", MT_SAVED_NEEDED);
	f->failed = mt_saved_u64(in, o, where, "failed", MT_SAVED_OPTIONAL);
	f->released = mt_saved_u64(in, o, where, "released", MT_SAVED_OPTIONAL);
}

static void read_vm(struct mt_saved_in *in, const json_t *o, struct mt_snapshot *s)
{
	const int no_sum = MT_SAVED_OPTIONAL | MT_SAVED_NULLABLE;
	struct mt_vm *vm = &s->vm;

	vm->rss = mt_saved_u64(in, o, "vm.", "rss", MT_SAVED_NEEDED);
	vm->pss = mt_saved_u64(in, o, "vm.", "pss", MT_SAVED_NEEDED);
	vm->swap = mt_saved_u64(in, o, "vm.", "swap", MT_SAVED_NEEDED);
	vm->shared = mt_saved_u64(in, o, "vm.", "shared", MT_SAVED_NEEDED);
	vm->data = mt_saved_u64(in, o, "vm.", "data", MT_SAVED_NEEDED);
	vm->stack = mt_saved_u64(in, o, "vm.", "stack", MT_SAVED_NEEDED);
	vm->cgroup_current = mt_saved_u64(in, o, "vm.", "cgroup_current", no_sum);
	vm->known = vm->data || vm->stack || vm->rss;
	s->parts_age_ns = mt_saved_u64(in, o, "vm.", "parts_age_ns", MT_SAVED_OPTIONAL);
	for (unsigned int i = 0; i < MT_VM_CALLS; i++)
		read_call(in, o, call_names[i], &s->flows.vm[i]);
	if (mt_saved_get(in, o, "vm.", "source", MT_SAVED_NULLABLE))
		s->vm_source =
			(enum mt_vm_source)mt_saved_choice(in, o, "vm.", "source", source_names);
}

static void read_loss(struct mt_saved_in *in, const json_t *o, struct mt_snapshot *s)
{
	struct mt_flows *f = &s->flows;

	f->failed_reads = mt_saved_u64(in, o, "loss.", "failed_reads", MT_SAVED_NEEDED);
	f->map_full = mt_saved_u64(in, o, "loss.", "map_full", MT_SAVED_NEEDED);
	f->unreturned = mt_saved_u64(in, o, "loss.", "unreturned", MT_SAVED_NEEDED);
	f->unknown_free = mt_saved_u64(in, o, "loss.", "unknown_free", MT_SAVED_NEEDED);
	f->failed_storage = mt_saved_u64(in, o, "loss.", "failed_storage", MT_SAVED_OPTIONAL);
	f->inherited = mt_saved_u64(in, o, "loss.", "inherited", MT_SAVED_OPTIONAL);
	f->untraced = mt_saved_u64(in, o, "loss.", "untraced", MT_SAVED_OPTIONAL);
	s->gc.missed = mt_saved_u64(in, o, "loss.", "gc_pauses", MT_SAVED_OPTIONAL);
	f->failed = mt_saved_u64(in, o, "loss.", "failed", MT_SAVED_OPTIONAL);
	f->nested = mt_saved_u64(in, o, "loss.", "nested", MT_SAVED_OPTIONAL);
}

static void read_tracer(struct mt_saved_in *in, const json_t *o, struct mt_tracer *t)
{
	t->cpu_ns = mt_saved_u64(in, o, "tracer.", "cpu_ns", MT_SAVED_OPTIONAL);
	t->rss = mt_saved_u64(in, o, "tracer.", "rss", MT_SAVED_OPTIONAL);
	t->map_bytes = mt_saved_u64(in, o, "tracer.", "map_bytes", MT_SAVED_OPTIONAL);
	t->events = mt_saved_u64(in, o, "tracer.", "events", MT_SAVED_OPTIONAL);
	t->prog_ns = mt_saved_u64(in, o, "tracer.", "prog_ns", MT_SAVED_OPTIONAL);
}

/* Its numbers are those of memstats again; heap says how they were read. */
static void read_gc(struct mt_saved_in *in, const json_t *gc, const json_t *heap, struct mt_gc *ret)
{
	static const char *const names[] = {"approximate", "consistent", NULL};
	const size_t ring = sizeof(((struct memtrace_memstats *)0)->pause_ns) / sizeof(uint64_t);

	ret->present = true;
	ret->pauses = (uint32_t)json_array_size(
		mt_saved_array(in, gc, "gc.", "pauses", ring, MT_SAVED_NEEDED));
	ret->consistent = mt_saved_choice(in, heap, "heap.", "consistency", names);
	ret->stop_ns = mt_saved_u64(in, heap, "heap.", "stop_ns", MT_SAVED_NEEDED);
	if (!ret->consistent)
		mt_saved_text(in, heap, "heap.", "why", ret->why, sizeof(ret->why),
			      MT_SAVED_NEEDED);
}

static void read_native(struct mt_saved_in *in, const json_t *o, struct mt_native *n)
{
	static const char where[] = "native.";

	n->present = true;
	mt_saved_names(in, o, where, "allocator", n->allocator, sizeof(n->allocator),
		       MT_SAVED_NEEDED);
	n->since = (enum mt_since)mt_saved_choice(in, o, where, "since", since_names);
	n->sizes = read_static(in, o, where, "sizes", sizes_names);
	mt_saved_memstats(in, mt_saved_object(in, o, where, "memstats", MT_SAVED_NEEDED),
			  "native.memstats.", &n->memstats);
	mt_saved_classes(in, o, where, &n->memstats, n->cls, NULL);
}

/* The parts that a line has, or does not, by what it is of. */
struct parts {
	const json_t *gc, *heap, *native, *census;
};

static struct parts find_parts(struct mt_saved_in *in, const json_t *root)
{
	struct parts p = {
		.gc = mt_saved_object(in, root, "", "gc", MT_SAVED_NULLABLE),
		.heap = mt_saved_object(in, root, "", "heap", MT_SAVED_NULLABLE),
		.native = mt_saved_object(in, root, "", "native",
					  MT_SAVED_OPTIONAL | MT_SAVED_NULLABLE),
	};

	/* A census is of C's heap, a collector's heap says how it was read. */
	if (p.gc && p.native)
		p.census = mt_saved_object(in, p.native, "native.", "heap",
					   MT_SAVED_OPTIONAL | MT_SAVED_NULLABLE);
	else if (!p.gc)
		p.census = p.heap;
	if (p.gc && !p.heap)
		mt_saved_bad(in, "", "heap", "is null, though \"gc\" is not");
	return p;
}

static void read_all(struct mt_saved_in *in, const json_t *root, const struct parts *p,
		     struct mt_snapshot *s)
{
	const json_t *audit = mt_saved_object(in, root, "", "audit", MT_SAVED_OPTIONAL);

	read_when(in, root, s);
	read_who(in, root, s);
	mt_saved_memstats(in, mt_saved_object(in, root, "", "memstats", MT_SAVED_NEEDED),
			  "memstats.", &s->memstats);
	mt_saved_classes(in, root, "", &s->memstats, s->flows.cls, &s->unsized);
	read_vm(in, mt_saved_object(in, root, "", "vm", MT_SAVED_NEEDED), s);
	read_loss(in, mt_saved_object(in, root, "", "loss", MT_SAVED_NEEDED), s);
	if (audit)
		mt_saved_audit(in, audit, &s->audit);
	if (p->gc)
		read_gc(in, p->gc, p->heap, &s->gc);
	if (p->native)
		read_native(in, p->native, &s->native);
	read_tracer(in, mt_saved_object(in, root, "", "tracer", MT_SAVED_NEEDED), &s->tracer);
}

/* "memtrace/1" is what is read; the number of a later one is above. */
static void check_schema(struct mt_saved_in *in, const json_t *root, const char *text, size_t len)
{
	const json_t *v = json_object_get(root, "schema");
	const char *schema = json_string_value(v);
	_cleanup_writer_ struct mt_writer w = {0};

	if (schema && json_string_length(v) == strlen(SCHEMA) && !strcmp(schema, SCHEMA))
		return;
	in->bad = true;
	if (!schema) {
		snprintf(in->why, in->why_size, "no snapshot: it has no \"schema\"%s",
			 mt_saved_guess(text, len));
		return;
	}
	mt_write_str(&w, "its \"schema\" is \"");
	mt_write_escaped(&w, schema);
	snprintf(in->why, in->why_size, "%.60s\", not \"" SCHEMA "\"%s", w.buf ? w.buf : "",
		 !strncmp(schema, "memtrace/", 9)
			 ? ": a newer memtrace wrote it, which can read it, too"
		 : !strncmp(schema, "memtrace-", 9) ? mt_saved_guess(text, len)
						    : ": memtrace -f json did not write it");
}

static int build(struct mt_saved_in *in, const json_t *root, struct mt_snapshot **ret)
{
	_cleanup_free_ struct mt_snapshot *s = NULL;
	struct parts p = find_parts(in, root);
	struct mt_census census = {0};
	size_t arenas = p.census && !in->bad ? mt_saved_census(in, p.census, &census) : 0;

	if (in->bad)
		return -EINVAL;
	s = calloc(1, sizeof(*s) + arenas * sizeof(struct mt_heap_arena));
	if (!s)
		return -ENOMEM;
	s->census = census;
	s->census.heap.arenas = (struct mt_heap_arena *)(s + 1);
	s->census.heap.n_arenas = arenas;
	if (arenas)
		mt_saved_arenas(in, p.census, s->census.heap.arenas, arenas);
	read_all(in, root, &p, s);
	if (in->bad)
		return -EINVAL;
	*ret = TAKE_PTR(s);
	return 0;
}

/*
 * True if more of it could have made it JSON: a string has no end, or jansson came
 * to the end of the text in the midst of something.
 */
static bool is_cut(const json_error_t *e, const char *text, size_t len, bool open)
{
	const enum json_error_code code = json_error_code(e);
	const bool begun = len && text[0] == '{'; /* in what is no JSON a quote means nothing */

	return (open && begun) || code == json_error_premature_end_of_input ||
	       (code == json_error_invalid_syntax && begun && e->position >= 0 &&
		(size_t)e->position >= len);
}

/* Why jansson did not parse it, without a byte of the text; -ENODATA: it ends too early. */
static int explain(const char *text, size_t len, const json_error_t *e, char *why, size_t size)
{
	_cleanup_writer_ struct mt_writer again = {0};
	const size_t stop = e->position > 0 ? (size_t)e->position : 0;
	size_t at = 0;
	bool open;

	if (json_error_code(e) == json_error_out_of_memory) {
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	if (json_error_code(e) == json_error_duplicate_key) {
		snprintf(why, size, "no snapshot: a key is there twice");
		return -EINVAL;
	}
	mt_saved_rewrite(text, len, stop, &again, &at, &open);
	/* jansson has read what it does not understand. */
	snprintf(why, size, "no JSON at column %zu%s", at ? at : 1, mt_saved_guess(text, len));
	return -EINVAL;
}

int mt_saved_parse(const char *text, size_t len, struct mt_snapshot **ret, char *why,
		   size_t why_size)
{
	struct mt_saved_in in = {.why = why, .why_size = why_size};
	_cleanup_writer_ struct mt_writer w = {0};
	json_error_t error;
	json_t *root;
	size_t at;
	bool open;
	int r = mt_saved_rewrite(text, len, SIZE_MAX, &w, &at, &open);

	if (r == -EINVAL)
		snprintf(why, why_size, "no snapshot: the text at column %zu holds a NUL", at + 1);
	else if (r)
		snprintf(why, why_size, "out of memory");
	if (r)
		return r;
	root = json_loadb(w.buf ? w.buf : "", w.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
			  &error);
	if (!root && is_cut(&error, text, w.len, open)) {
		snprintf(why, why_size, "it ends in the middle, at column %zu%s", len,
			 mt_saved_guess(text, len));
		return -ENODATA;
	}
	if (!root)
		return explain(text, len, &error, why, why_size);
	if (json_is_object(root))
		check_schema(&in, root, text, len);
	else
		snprintf(why, why_size, "no snapshot, which is an object%s",
			 mt_saved_guess(text, len));
	r = in.bad || !json_is_object(root) ? -EINVAL : build(&in, root, ret);
	json_decref(root);
	return r;
}
