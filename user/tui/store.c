/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/field.h"
#include "tui/number.h"

static size_t moment_size(void)
{
	return sizeof(struct mt_store_moment) + 2 * mt_fields_count * sizeof(uint64_t);
}

static uint64_t field_value(const struct mt_field *f, const struct memtrace_memstats *m)
{
	if (f->type == MT_FIELD_BOOL)
		return mt_field_bool(f, m);
	if (f->type == MT_FIELD_DOUBLE) {
		double v = mt_field_double(f, m) * 1e6;

		return v > 0 && v < 1e15 ? (uint64_t)v : 0;
	}
	return mt_field_u64(f, m);
}

static void fill_moment(struct mt_store_moment *m, const struct mt_snapshot *s)
{
	m->time_ns = s->time_ns;
	m->uptime_ns = s->uptime_ns;
	m->alloc = s->memstats.alloc;
	m->total_alloc = s->memstats.total_alloc;
	m->mallocs = s->memstats.mallocs;
	m->objects = s->memstats.heap_objects;
	m->sys = s->memstats.sys;
	m->lost = mt_snapshot_lost(s);
	m->flows = s->flows;
	m->unsized = s->unsized;
	m->vm = s->vm;
	for (size_t i = 0; i < mt_fields_count; i++) {
		m->values[i] = field_value(&mt_fields[i], &s->memstats);
		m->values[mt_fields_count + i] = field_value(&mt_fields[i], &s->native.memstats);
	}
}

static void fill_collector(struct mt_collector *gc, const struct mt_snapshot *s)
{
	const struct memtrace_memstats *m = &s->memstats;

	*gc = (struct mt_collector){
		.how = s->gc,
		.num_gc = m->num_gc,
		.num_forced = m->num_forced_gc,
		.last_ns = m->last_gc,
		.last_pause_ns = m->pause_ns[(m->num_gc + 255) % 256],
		.next = m->next_gc,
	};
}

static void fill_identity(struct mt_process *p, const struct mt_snapshot *s)
{
	p->pid = s->pid;
	p->ppid = s->ppid;
	p->start_time = s->start_time;
	memcpy(p->comm, s->comm, sizeof(p->comm));
	memcpy(p->runtime, s->runtime, sizeof(p->runtime));
	memcpy(p->allocator, s->allocator, sizeof(p->allocator));
	memcpy(p->container, s->container, sizeof(p->container));
	p->why[0] = '\0';
	if (s->census.baseline == MT_BASELINE_UNKNOWN)
		memcpy(p->why, s->census.why, sizeof(p->why));
	p->mode = s->mode;
	p->sizes = s->sizes;
	p->since = s->since;
	fill_collector(&p->gc, s);
	p->native.present = s->native.present;
	p->native.since = s->native.since;
	memcpy(p->native.allocator, s->native.allocator, sizeof(p->native.allocator));
	p->final = s->final;
}

static void process_free(struct mt_process *p)
{
	if (!p)
		return;
	free(p->now);
	free(p->base);
	free(p);
}

void mt_store_fini(struct mt_store *s)
{
	for (size_t i = 0; i < s->n; i++)
		process_free(s->v[i]);
	free(s->v);
	*s = (struct mt_store){0};
}

/* Where the process stands or belongs. */
static size_t place(const struct mt_store *s, pid_t pid, uint64_t start_time)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct mt_process *p = s->v[mid];

		if (p->pid < pid || (p->pid == pid && p->start_time < start_time))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct mt_process *mt_store_find(const struct mt_store *s, pid_t pid, uint64_t start_time)
{
	size_t i = place(s, pid, start_time);

	if (i == s->n || s->v[i]->pid != pid || s->v[i]->start_time != start_time)
		return NULL;
	return s->v[i];
}

struct mt_process *mt_store_parent(const struct mt_store *s, const struct mt_process *p)
{
	size_t i;

	if (p->start_time == UINT64_MAX || p->ppid == p->pid)
		return NULL;
	i = place(s, p->ppid, p->start_time + 1);
	return i && s->v[i - 1]->pid == p->ppid ? s->v[i - 1] : NULL;
}

static int insert(struct mt_store *s, size_t i, struct mt_process **ret)
{
	struct mt_process *p;

	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct mt_process **v = reallocarray(s->v, cap, sizeof(struct mt_process *));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	p = calloc(1, sizeof(*p));
	if (p)
		p->now = calloc(1, moment_size());
	if (!p || !p->now) {
		process_free(p);
		return -ENOMEM;
	}
	memmove(&s->v[i + 1], &s->v[i], (s->n - i) * sizeof(struct mt_process *));
	s->v[i] = p;
	s->n++;
	*ret = p;
	return 0;
}

/* a second */
static int64_t rate(uint64_t now, uint64_t then, uint64_t ns)
{
	double v = now > then ? (double)(now - then) * 1e9 / (double)ns : 0;

	return v > 9.2e18 ? INT64_MAX : (int64_t)v;
}

/*
 * Counts that fell are another image's, which began to count anew. Go's, read while
 * it runs, may have been a little too high.
 */
static bool is_new_image(const struct mt_process *p, const struct mt_snapshot *s)
{
	const struct memtrace_memstats *m = &s->memstats;
	const struct mt_store_moment *old = p->now;

	if (strcmp(p->runtime, s->runtime) != 0)
		return true;
	if (s->gc.present)
		return m->num_gc < p->gc.num_gc || m->total_alloc < old->total_alloc / 2;
	return m->total_alloc < old->total_alloc || m->mallocs < old->mallocs;
}

/* What a snapshot says beside the one before; nothing of an old image is compared with it. */
static void compare(struct mt_process *p, const struct mt_snapshot *s)
{
	const struct mt_store_moment *old = p->now;
	const struct memtrace_memstats *m = &s->memstats;
	uint64_t ns;

	p->rated = false;
	if (is_new_image(p, s)) {
		mt_history_clear(&p->history);
		free(p->base);
		p->base = NULL;
		return;
	}
	if (s->uptime_ns <= old->uptime_ns)
		return;
	ns = s->uptime_ns - old->uptime_ns;
	p->alloc_rate = rate(m->total_alloc, old->total_alloc, ns);
	p->mallocs_rate = rate(m->mallocs, old->mallocs, ns);
	p->rated = true;
}

static void note_tracer(struct mt_store *s, const struct mt_snapshot *snap)
{
	if (snap->uptime_ns < s->uptime_ns)
		return;
	s->time_ns = snap->time_ns;
	s->uptime_ns = snap->uptime_ns;
	s->tracer = snap->tracer;
}

int mt_store_put(struct mt_store *s, const struct mt_snapshot *snap)
{
	struct mt_process *p = mt_store_find(s, snap->pid, snap->start_time);
	struct mt_point point = {snap->uptime_ns, snap->memstats.alloc, snap->memstats.sys};
	int r;

	if (p) {
		compare(p, snap);
	} else {
		r = insert(s, place(s, snap->pid, snap->start_time), &p);
		if (r)
			return r;
	}
	fill_identity(p, snap);
	fill_moment(p->now, snap);
	mt_history_add(&p->history, &point, s->step_ns);
	p->round = s->round;
	note_tracer(s, snap);
	return 0;
}

void mt_store_begin(struct mt_store *s)
{
	s->round++;
	s->old_uptime_ns = s->uptime_ns;
	s->old_cpu_ns = s->tracer.cpu_ns;
}

static int64_t cpu_permille(const struct mt_store *s)
{
	uint64_t ns = s->uptime_ns - s->old_uptime_ns;

	if (!s->old_uptime_ns || !ns || s->tracer.cpu_ns < s->old_cpu_ns)
		return -1;
	return (int64_t)((double)(s->tracer.cpu_ns - s->old_cpu_ns) * 1000 / (double)ns);
}

void mt_store_end(struct mt_store *s, const struct mt_process *keep)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct mt_process *p = s->v[i];

		if (p->round != s->round && p == keep)
			p->final = true;
		if (p->round == s->round || p == keep)
			s->v[n++] = p;
		else
			process_free(p);
	}
	s->n = n;
	s->cpu_permille = cpu_permille(s);
}

void mt_store_unmark(struct mt_store *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i]->base);
		s->v[i]->base = NULL;
	}
	s->based = false;
}

int mt_store_mark(struct mt_store *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct mt_process *p = s->v[i];

		if (!p->base)
			p->base = malloc(moment_size());
		if (!p->base) {
			mt_store_unmark(s);
			return -ENOMEM;
		}
		memcpy(p->base, p->now, moment_size());
	}
	s->based = true;
	s->base_ns = s->uptime_ns;
	return 0;
}
