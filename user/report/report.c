/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Collecting: who a snapshot is of, what happened since its last one, what has room. */
#include "report/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/internal.h"

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
	for (const unsigned char *b = p; n--; b++)
		h = (h ^ *b) * UINT64_C(0x100000001b3);
	return h;
}

/* Never 0. The total that a file ends with is of that file. */
static uint64_t key_of(const struct mt_report *r, const struct mt_snapshot *s)
{
	const uint64_t file = s->processes ? r->n_files + 1 : 0;
	uint64_t h = hash(UINT64_C(0xcbf29ce484222325), s->host, strlen(s->host));

	h = hash(h, &s->pid, sizeof(s->pid));
	h = hash(h, &s->start_time, sizeof(s->start_time));
	h = hash(h, &file, sizeof(file));
	return h | 1;
}

static struct seen *slot(struct seen *v, size_t size, uint64_t key)
{
	size_t i = (key >> 16) % size;

	while (v[i].key && v[i].key != key)
		i = (i + 1) % size;
	return &v[i];
}

/* Twice as many. 0 or -ENOMEM. */
static int grow_seen(struct mt_report *r)
{
	const size_t size = r->seen_size ? 2 * r->seen_size : SEEN_MIN;
	struct seen *v = calloc(size, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < r->seen_size; i++) {
		struct seen *e;

		if (!r->seen[i].key)
			continue;
		e = slot(v, size, r->seen[i].key);
		*e = r->seen[i];
		if (e->p)
			e->p->seen = e;
	}
	free(r->seen);
	r->seen = v;
	r->seen_size = size;
	return 0;
}

/* *ret is NULL if there is no room for another one. Half of the table is always free. */
static int find(struct mt_report *r, uint64_t key, struct seen **ret)
{
	struct seen *e = slot(r->seen, r->seen_size, key);

	if (!e->key && r->n_seen >= r->seen_size / 2) {
		int full = r->seen_size < SEEN_MAX ? grow_seen(r) : -ENOSPC;

		if (full) {
			*ret = NULL;
			return full == -ENOSPC ? 0 : full;
		}
		e = slot(r->seen, r->seen_size, key);
	}
	r->n_seen += !e->key;
	e->key = key;
	*ret = e;
	return 0;
}

int mt_report_new(struct mt_report **ret)
{
	struct mt_report *r = calloc(1, sizeof(*r));

	if (r) {
		r->files = calloc(FILES_MAX, sizeof(*r->files));
		r->round = calloc(1, sizeof(*r->round));
		r->scratch = calloc(1, sizeof(*r->scratch));
	}
	if (!r || !r->files || !r->round || !r->scratch || grow_seen(r)) {
		mt_report_free(&r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

void mt_report_free(struct mt_report **r)
{
	if (!*r)
		return;
	for (size_t i = 0; i < (*r)->n_processes; i++)
		mt_report_process_free(&(*r)->processes[i]);
	for (size_t i = 0; (*r)->files && i < FILES_MAX; i++)
		free((*r)->files[i]);
	free((*r)->files);
	free((*r)->round);
	free((*r)->scratch);
	free((*r)->seen);
	free(*r);
	*r = NULL;
}

/* What became of the counters since the last snapshot of the same process. */
static void difference(const struct seen *e, const struct mt_snapshot *s, struct point *pt)
{
	struct counters now;

	mt_report_counters(s, &now);
	if (!e->time_ns || s->seq <= e->seq || s->uptime_ns < e->uptime_ns ||
	    s->time_ns < e->time_ns) {
		pt->flags |= POINT_TRACE;
		/* one that began meanwhile: a total has what it did, when is not known */
		if (!e->time_ns && !s->seq && s->since == MT_SINCE_START)
			pt->d = now;
		return;
	}
	if (now.v[RATE_ALLOC] < e->last.v[RATE_ALLOC] ||
	    now.v[RATE_MALLOCS] < e->last.v[RATE_MALLOCS]) {
		pt->flags |= POINT_RESTART;
		return;
	}
	pt->dt_ns = s->time_ns - e->time_ns;
	for (size_t i = 0; i < RATES; i++)
		if (now.v[i] > e->last.v[i])
			pt->d.v[i] = now.v[i] - e->last.v[i];
}

static void remember(struct seen *e, const struct mt_snapshot *s)
{
	e->time_ns = s->time_ns;
	e->seq = s->seq;
	e->uptime_ns = s->uptime_ns;
	e->alloc = s->memstats.alloc;
	if (e->alloc > e->peak)
		e->peak = e->alloc;
	e->lost += !e->lost && mt_snapshot_lost(s);
	mt_report_counters(s, &e->last);
}

static struct process *largest(const struct mt_report *r)
{
	struct process *p = NULL;

	for (size_t i = 0; i < r->n_processes; i++)
		if (!p || r->processes[i]->n_points > p->n_points)
			p = r->processes[i];
	return p;
}

static int process_add(struct mt_report *r, struct process *p, const struct mt_snapshot *s,
		       struct point **pt)
{
	size_t before = p->n_points;
	int ret = mt_report_process_add(p, s, pt);

	r->n_points += p->n_points - before;
	while (!ret && r->n_points > ALL_POINTS) {
		struct process *large = largest(r);

		before = large->n_points;
		mt_report_thin(large, before / 2);
		r->n_points += large->n_points - before;
		if (large->n_points == before)
			break;
	}
	return ret;
}

/* The smallest gives its place if s is twice as large; room for a total is always made. */
static int make_room(struct mt_report *r, uint64_t alloc, bool is_total, bool *made)
{
	size_t least = r->n_processes;

	*made = r->n_processes < PROCESSES_MAX;
	if (*made)
		return 0;
	for (size_t i = 0; i < r->n_processes; i++)
		if (!r->processes[i]->is_total &&
		    (least == r->n_processes || r->processes[i]->peak < r->processes[least]->peak))
			least = i;
	if (least == r->n_processes || (!is_total && alloc / 2 <= r->processes[least]->peak))
		return 0;
	r->processes[least]->seen->p = NULL;
	r->n_points -= r->processes[least]->n_points;
	mt_report_process_free(&r->processes[least]);
	r->processes[least] = r->processes[--r->n_processes];
	*made = true;
	return 0;
}

/* e's process, if it has or gets a place. */
static int place(struct mt_report *r, struct seen *e, const struct mt_snapshot *s)
{
	struct process *p;
	bool made;
	int ret;

	if (e->p)
		return 0;
	ret = make_room(r, s->memstats.alloc, false, &made);
	if (ret || !made)
		return ret;
	ret = mt_report_process_new(&p);
	if (ret)
		return ret;
	snprintf(p->host, sizeof(p->host), "%s", s->host);
	p->pid = s->pid;
	p->start_time = s->start_time;
	p->late = e->time_ns != 0;
	r->processes[r->n_processes++] = p;
	p->seen = e;
	e->p = p;
	return 0;
}

/* The total of the processes that were seen since the round began. */
static int end_round(struct mt_report *r)
{
	struct round *o = r->round;
	struct point *pt;
	bool made;
	int ret;

	if (!o->total.sum.processes || (!o->p && o->total.sum.processes == 1) ||
	    r->n_files > TOTALS_MAX)
		return 0;
	if (!o->p) {
		ret = make_room(r, 0, true, &made);
		if (!ret && made)
			ret = mt_report_process_new(&o->p);
		if (ret || !made)
			return ret;
		o->p->is_total = true;
		o->p->file = (unsigned int)(r->n_files ? r->n_files - 1 : 0);
		r->processes[r->n_processes++] = o->p;
	}
	mt_total_snapshot(&o->total, r->scratch);
	r->scratch->final = false;
	r->scratch->time_ns = o->time_ns;
	ret = mt_report_point_new(r->scratch, &pt);
	if (ret)
		return ret;
	if (!o->last_ns)
		pt->flags |= POINT_TRACE;
	if (o->rated && o->last_ns && o->time_ns > o->last_ns) {
		pt->dt_ns = o->time_ns - o->last_ns;
		pt->d = o->d;
	}
	return process_add(r, o->p, r->scratch, &pt);
}

static void begin_round(struct mt_report *r)
{
	struct round *o = r->round;

	o->number++;
	o->last_ns = o->time_ns;
	o->time_ns = 0;
	o->rated = false;
	memset(&o->d, 0, sizeof(o->d));
	memset(&o->total, 0, sizeof(o->total));
}

int mt_report_file(struct mt_report *r, const char *name)
{
	int ret = end_round(r);

	if (ret)
		return ret;
	begin_round(r);
	r->round->last_ns = 0;
	r->round->p = NULL;
	if (r->n_files < FILES_MAX) {
		r->files[r->n_files] = strdup(name);
		if (!r->files[r->n_files])
			return -ENOMEM;
	}
	r->n_files++;
	return 0;
}

static int add_to_round(struct mt_report *r, struct seen *e, const struct mt_snapshot *s,
			const struct point *pt)
{
	struct round *o = r->round;
	int ret;

	if (s->processes)
		return 0;
	if (e->round == o->number) {
		ret = end_round(r);
		if (ret)
			return ret;
		begin_round(r);
	}
	e->round = o->number;
	mt_total_add(&o->total, s);
	if (s->time_ns > o->time_ns)
		o->time_ns = s->time_ns;
	o->rated = o->rated || pt->dt_ns;
	for (size_t i = 0; i < RATES; i++)
		if (__builtin_add_overflow(o->d.v[i], pt->d.v[i], &o->d.v[i]))
			o->d.v[i] = UINT64_MAX;
	return 0;
}

static void count(struct mt_report *r, const struct mt_snapshot *s)
{
	if (!r->snapshots || s->time_ns < r->first_ns)
		r->first_ns = s->time_ns;
	if (s->time_ns > r->last_ns)
		r->last_ns = s->time_ns;
	r->snapshots++;
}

int mt_report_add(struct mt_report *r, const struct mt_snapshot *s)
{
	struct point *pt = NULL;
	struct seen *e;
	int ret = find(r, key_of(r, s), &e);

	if (ret)
		return ret;
	count(r, s);
	if (!e) {
		r->untold++;
		return 0;
	}
	ret = mt_report_point_new(s, &pt);
	if (ret)
		return ret;
	difference(e, s, pt);
	ret = add_to_round(r, e, s, pt);
	if (!ret)
		ret = place(r, e, s);
	remember(e, s);
	if (!ret && e->p)
		return process_add(r, e->p, s, &pt);
	mt_report_point_free(&pt);
	return ret;
}

int mt_report_write(struct mt_report *r, struct mt_writer *w)
{
	int ret;

	if (!r->snapshots)
		return -ENODATA;
	ret = end_round(r);
	if (ret)
		return ret;
	begin_round(r);
	mt_write_str(w, mt_report_head);
	mt_report_write_data(r, w);
	mt_write_str(w, mt_report_tail);
	return w->err;
}
