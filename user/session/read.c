/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading: the counters summed over CPUs, the levels from /proc, the snapshot. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/container.h"
#include "sys/procfs.h"
#include "sys/vm.h"

static void add_classes(struct mt_class_counts *sum, const struct mt_class_counts *c)
{
	for (size_t i = 0; i < MT_CLASSES; i++) {
		sum[i].mallocs += c[i].mallocs;
		sum[i].frees += c[i].frees;
		sum[i].alloc_bytes += c[i].alloc_bytes;
		sum[i].free_bytes += c[i].free_bytes;
	}
}

static void add_counters(struct mt_flows *f, const struct mt_counters *c)
{
	add_classes(f->cls, c->cls);
	for (size_t i = 0; i < MT_VM_CALLS; i++) {
		f->vm[i].calls += c->vm[i].calls;
		f->vm[i].failed += c->vm[i].failed;
		f->vm[i].bytes += c->vm[i].bytes;
		f->vm[i].released += c->vm[i].released;
	}
	f->failed += c->failed;
	f->nested += c->nested;
	f->internal += c->internal;
	f->failed_reads += c->failed_reads;
	f->failed_storage += c->failed_storage;
	f->unreturned += c->unreturned;
	f->unknown_free += c->unknown_free;
	f->map_full += c->map_full;
	f->inherited += c->inherited;
	f->events += c->events;
}

/* mt_flows is counters throughout, so that a base is subtracted word by word. */
static void subtract(struct mt_flows *f, const struct mt_flows *base)
{
	uint64_t *a = (uint64_t *)(void *)f;
	const uint64_t *b = (const uint64_t *)(const void *)base;

	_Static_assert(sizeof(struct mt_flows) % sizeof(uint64_t) == 0, "all counters");
	for (size_t i = 0; i < sizeof(*f) / sizeof(*a); i++)
		a[i] -= b[i];
}

static int read_slot(struct mt_session *s, uint32_t slot, struct mt_flows *out)
{
	int r = mt_slots_read(&s->slots, slot, s->percpu);

	if (r)
		return r;
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < s->cpus; i++)
		add_counters(out, &s->percpu[i]);
	return 0;
}

int mt_read_raw(struct mt_session *s, const struct mt_tracee *t, struct mt_flows *out)
{
	return read_slot(s, t->slot, out);
}

/*
 * The kernel zeroes the counts at an exec, before user space knows of it: the
 * base and the census are then of an image that is no more.
 */
static bool is_new_image(const struct mt_session *s, const struct mt_tracee *t)
{
	struct mt_target k;

	return s->progs.zero_at_exec && mt_tracee_target(s, t, &k) && k.execs != t->execs;
}

static void add_levels(struct mt_flows *f, const struct mt_heap_class *levels)
{
	for (size_t i = 0; i < MT_CLASSES; i++) {
		f->cls[i].mallocs += levels[i].objects;
		f->cls[i].alloc_bytes += levels[i].bytes;
	}
}

/* Its loader needs a moment to map one. */
#define LOADING_NS 1000000000u

/* An image that has mapped nothing that could be probed. */
static bool has_no_allocator(const struct mt_session *s, const struct mt_tracee *t,
			     const struct mt_flows *f)
{
	struct mt_target k;

	if (!t->exec_ns || mt_golang_is(t) || t->learned || f->events ||
	    !mt_tracee_target(s, t, &k) || k.mapped)
		return false;
	return t->ended || mt_clock_ns(CLOCK_MONOTONIC) - t->exec_ns > LOADING_NS;
}

static bool has_missed(const struct mt_session *s, const struct mt_tracee *t)
{
	struct mt_target k;

	return mt_tracee_target(s, t, &k) && (k.flags & MT_TARGET_MISSED);
}

/* The counters of the image that runs. *old: it is the one that the base and the census are of. */
static int read_image(struct mt_session *s, const struct mt_tracee *t, struct mt_flows *out,
		      bool *old)
{
	const struct mt_life *at = mt_marks_at(s, t);
	int r;

	*old = true;
	if (at && at->copied)
		return read_slot(s, mt_marks_slot(s, at), out);
	*old = !is_new_image(s, t);
	r = mt_read_raw(s, t, out);
	/* an exec came between */
	if (!r && *old && is_new_image(s, t)) {
		*old = false;
		r = mt_read_raw(s, t, out);
	}
	return r;
}

int mt_read_flows(struct mt_session *s, const struct mt_tracee *t, struct mt_flows *out)
{
	bool old;
	int r = read_image(s, t, out, &old);

	if (r)
		return mt_err_r(r, "cannot read the counters: %s", strerror(-r));
	if (old) {
		subtract(out, &t->base);
		add_levels(out, t->levels);
	}
	out->untraced = t->untraced || has_no_allocator(s, t, out) || has_missed(s, t);
	return 0;
}

/* The sizes that the kernel has left of a moment. */
static void set_sizes(struct mt_tracee *t, const struct mt_target *k, uint64_t rss, uint64_t swap)
{
	uint64_t others;

	if (rss) {
		t->vm.rss = rss;
		t->vm.swap = swap;
	}
	if (!k->exit_data)
		return;
	/* arenas and mapped blocks stay as they were at the last reading */
	others = t->vm.heap_sys > t->vm.heap_brk ? t->vm.heap_sys - t->vm.heap_brk : 0;
	t->vm.known = true;
	t->vm.data = k->exit_data;
	t->vm.stack = k->exit_stack;
	t->vm.heap_brk = k->exit_brk;
	t->vm.heap_sys = k->exit_brk + others;
	if (t->vm.stack_sys < k->exit_stack)
		t->vm.stack_sys = k->exit_stack;
}

/*
 * A target that has ended or been killed: the sizes that its last thread or the
 * kill left and the name that its last exec gave it (bpf/proc.bpf.h, oom.bpf.h).
 */
static void read_exit_levels(struct mt_tracee *t)
{
	const struct mt_victim *v = &t->victim;
	const struct mt_target k = v->target.exit_data ? v->target : t->last;

	if (k.comm[0])
		snprintf(t->comm, sizeof(t->comm), "%.*s", (int)sizeof(k.comm), k.comm);
	set_sizes(t, &k, v->rss, v->swap);
}

/* The parts may cost 1/200 of the time: what a caller that shows none of them pays. */
#define PARTS_SHARE 200

static enum mt_vm_depth choose_depth(const struct mt_session *s, const struct mt_tracee *t,
				     enum mt_vm_depth depth, uint64_t now)
{
	if (s->opts.all)
		return MT_VM_STATUS;
	if (depth == MT_VM_STATUS &&
	    (!t->parts_ns || now - t->parts_ns >= PARTS_SHARE * t->parts_cost))
		return MT_VM_PARTS;
	if (depth == MT_VM_PARTS && (!t->full_ns || now - t->full_ns >= s->opts.smaps_ns))
		return MT_VM_FULL;
	return depth;
}

void mt_read_levels(struct mt_session *s, struct mt_tracee *t, enum mt_vm_depth depth)
{
	uint64_t now = mt_clock_ns(CLOCK_MONOTONIC);
	struct mt_proc_status status;
	struct mt_vm vm = t->vm;

	/* of a victim /proc would show what its end has left so far, and reading it might hold it
	 */
	if (t->ended || t->victim.target.exit_data) {
		read_exit_levels(t);
		return;
	}
	depth = choose_depth(s, t, depth, now);
	if (mt_vm_read_cached(t->pid, depth, &t->vm_cache, &vm)) {
		if (mt_tracee_has_ended(t)) /* as the kernel tells, or had no room to */
			mt_life_consume(s);
		if (!t->ended && mt_tracee_has_ended(t))
			mt_life_end(s, t, NULL);
		return;
	}
	/* perf events end with the thread that they were opened for, in silence */
	if (!s->progs.multi && mt_proc_live(t->pid) != t->pid)
		t->untraced = true;
	t->vm = vm;
	if (depth == MT_VM_FULL)
		t->full_ns = now;
	if (depth == MT_VM_PARTS)
		t->parts_cost = mt_clock_ns(CLOCK_MONOTONIC) - now;
	if (depth != MT_VM_STATUS)
		t->parts_ns = now;
	if (!mt_proc_status_read(t->pid, &status)) {
		memcpy(t->comm, status.comm, sizeof(t->comm));
		t->ppid = status.ppid;
	}
}

/* One reading serves the snapshots of one moment. */
#define TRACER_NS 10000000u

static void fill_tracer(struct mt_session *s, struct mt_snapshot *snap)
{
	uint64_t now = mt_clock_ns(CLOCK_MONOTONIC);
	struct mt_proc_status self;

	if (!s->tracer_ns || now - s->tracer_ns > TRACER_NS) {
		s->tracer_ns = now;
		if (!mt_proc_status_read(getpid(), &self))
			s->tracer.rss = self.vm_rss;
		s->tracer.prog_ns = mt_progs_ns(&s->progs);
	}
	snap->tracer = s->tracer;
	snap->tracer.cpu_ns = mt_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	snap->tracer.map_bytes = s->progs.map_bytes + s->slots.bytes;
	snap->tracer.events = snap->flows.events;
}

/* What is said of one allocator: its name, and what of its blocks is not exact. */
static void tell_allocator(const struct mt_alloc_found *f, struct mt_snapshot *snap, size_t *len)
{
	const size_t room = sizeof(snap->allocator) - *len;

	*len += (size_t)snprintf(snap->allocator + *len, room, "%s%s%s%s", *len ? ", " : "",
				 f->allocator->name, f->id.version[0] ? " " : "", f->id.version);
	if (*len >= sizeof(snap->allocator))
		*len = sizeof(snap->allocator) - 1;
	if (f->id.layout == MT_LAYOUT_REQUESTED)
		snap->sizes = "requested";
	if (f->n_missed) /* some of its functions are not seen */
		snap->flows.untraced = true;
}

/* The allocators that it has called, or else the one that it would. */
static void name_allocators(const struct mt_session *s, const struct mt_tracee *t,
			    struct mt_snapshot *snap)
{
	const struct mt_alloc_found *found[MT_TARGET_FILES] = {t->found};
	struct mt_target k;
	size_t n = 0, len = 0;

	if (!mt_tracee_target(s, t, &k))
		memset(&k, 0, sizeof(k));
	if (!found[0] && k.mapped)
		found[0] = mt_files_find(s, k.mapped);
	for (size_t i = 0; i < MT_TARGET_FILES && k.files[i]; i++)
		found[n++] = mt_files_find(s, k.files[i]);
	for (size_t i = 0; i < MT_TARGET_FILES && found[i]; i++)
		tell_allocator(found[i], snap, &len);
}

static void fill_identity(const struct mt_session *s, struct mt_tracee *t, struct mt_snapshot *snap)
{
	snap->time_ns = mt_clock_ns(CLOCK_REALTIME);
	snap->uptime_ns = mt_clock_ns(CLOCK_MONOTONIC) - s->start_ns;
	snap->seq = t->seq++;
	snap->final = t->ended;
	memcpy(snap->host, s->host.nodename, sizeof(snap->host));
	snap->pid = t->pid;
	snap->ppid = t->ppid;
	snap->start_time = t->start_time;
	memcpy(snap->comm, t->comm, sizeof(snap->comm));
	memcpy(snap->exe, t->exe, sizeof(snap->exe));
	memcpy(snap->cgroup, t->cgroup, sizeof(snap->cgroup));
	mt_container_id(t->cgroup, snap->container, sizeof(snap->container));
	snprintf(snap->runtime, sizeof(snap->runtime), "native");
	snap->sizes = "usable";
	if (!snap->flows.untraced)
		name_allocators(s, t, snap);
	snap->mode = "exact";
	snap->since = t->since;
	snap->vm_source = s->progs.vm_source;
}

/* A snapshot, and behind it room for what it points to. */
static struct mt_snapshot *new_snapshot(struct mt_tracee *t)
{
	const struct mt_heap *heap = &t->census.heap;
	size_t arenas = heap->n_arenas * sizeof(*heap->arenas);
	struct mt_snapshot *snap = calloc(1, sizeof(*snap) + arenas);

	if (!snap)
		return NULL;
	snap->census = t->census;
	snap->census.heap.arenas = (struct mt_heap_arena *)(snap + 1);
	if (arenas)
		memcpy(snap + 1, heap->arenas, arenas);
	snap->audit = t->audit;
	t->audit.done = MT_BASELINE_NONE;
	return snap;
}

int mt_session_snapshot(struct mt_session *s, size_t i, enum mt_vm_depth depth,
			struct mt_snapshot **ret)
{
	_cleanup_free_ struct mt_snapshot *snap = NULL;
	const struct mt_life *at;
	struct mt_tracee *t;
	uint64_t end_ns;
	int r;

	if (i >= s->n)
		return -EINVAL;
	t = s->tracees[i];
	mt_life_consume(s); /* what is of an old image is not to be shown */
	snap = new_snapshot(t);
	if (!snap)
		return -ENOMEM;
	mt_read_levels(s, t, depth);
	at = mt_marks_at(s, t);
	if (at && !at->held)
		set_sizes(t, &at->target, at->rss, at->swap);
	r = mt_read_flows(s, t, &snap->flows);
	if (r)
		return r;
	snap->vm = t->vm;
	end_ns = t->victim.time_ns ? t->victim.time_ns : t->ended ? t->ended_ns : 0;
	if (t->parts_ns && end_ns > t->parts_ns)
		snap->parts_age_ns = end_ns - t->parts_ns;
	fill_identity(s, t, snap);
	fill_tracer(s, snap);
	mt_snapshot_derive(snap);
	r = mt_golang_fill(s, t, snap);
	if (r)
		return r;
	t->reported = t->ended;
	*ret = TAKE_PTR(snap);
	return 0;
}
