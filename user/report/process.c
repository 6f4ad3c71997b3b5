/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a report keeps of one process, or of one file's total. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "model/names.h"
#include "render/render.h"
#include "report/internal.h"

int mt_report_process_new(struct process **ret)
{
	struct process *p = calloc(1, sizeof(*p));

	if (p) {
		p->stride = 1;
		p->pause_stride = 1;
		p->metas = calloc(METAS_MAX, sizeof(*p->metas));
		p->marks = calloc(MARKS_MAX, sizeof(*p->marks));
		p->points = calloc(POINTS_MAX + 1, sizeof(struct point *));
	}
	if (!p || !p->metas || !p->marks || !p->points) {
		mt_report_process_free(&p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void mt_report_process_free(struct process **p)
{
	if (!*p)
		return;
	for (size_t i = 0; i < (*p)->n_points; i++)
		mt_report_point_free(&(*p)->points[i]);
	for (size_t i = 0; i < (*p)->n_metas; i++)
		free((*p)->metas[i]);
	free((*p)->points);
	free((*p)->metas);
	free((*p)->marks);
	free((*p)->pauses);
	free((*p)->exe);
	free(*p);
	*p = NULL;
}

static const char *const since_names[] = {
	[MT_SINCE_START] = "start", [MT_SINCE_CENSUS] = "census", [MT_SINCE_ATTACH] = "attach"};

/* Who it is and how it is counted, which seldom changes. */
static void write_meta(struct mt_writer *w, const struct mt_snapshot *s)
{
	struct mt_json j = {.w = w};

	mt_json_object_begin(&j, NULL);
	mt_json_string(&j, "comm", s->comm);
	mt_json_string(&j, "exe", s->exe);
	mt_json_string(&j, "cgroup", s->cgroup);
	mt_json_string(&j, "container", s->container);
	mt_json_string(&j, "runtime", s->runtimes[0] ? s->runtimes : s->runtime);
	mt_json_string(&j, "allocator", s->allocator);
	mt_json_string(&j, "mode", s->mode);
	mt_json_string(&j, "sizes", s->sizes);
	mt_json_string(&j, "since", since_names[s->since]);
	mt_json_string(&j, "why", s->census.baseline == MT_BASELINE_UNKNOWN ? s->census.why : NULL);
	mt_json_bool(&j, "gc", s->gc.present);
	if (s->native.present) {
		mt_json_object_begin(&j, "native");
		mt_json_string(&j, "allocator", s->native.allocator);
		mt_json_string(&j, "sizes", s->native.sizes);
		mt_json_string(&j, "since", since_names[s->native.since]);
		mt_json_object_end(&j);
	}
	mt_json_object_end(&j);
}

static int add_meta(struct process *p, const struct mt_snapshot *s, struct point *pt)
{
	_cleanup_writer_ struct mt_writer w = {0};

	write_meta(&w, s);
	if (w.err)
		return w.err;
	for (size_t i = p->n_metas; i-- > 0;) {
		if (!strcmp(p->metas[i], w.buf)) {
			pt->meta = (unsigned int)i;
			return 0;
		}
	}
	if (p->n_metas == METAS_MAX) {
		p->metas_dropped++;
		pt->meta = METAS_MAX - 1;
		return 0;
	}
	pt->meta = (unsigned int)p->n_metas;
	p->metas[p->n_metas++] = TAKE_PTR(w.buf);
	w.len = w.cap = 0;
	return 0;
}

static void pin(struct process *p, struct point *pt)
{
	if (pt->flags & POINT_PINNED || p->pinned >= PINS_MAX)
		return;
	p->pinned++;
	pt->flags |= POINT_PINNED;
}

static void mark(struct process *p, struct point *pt, enum mark_kind kind, const char *text)
{
	struct mark *m;

	pin(p, pt);
	if (p->n_marks == MARKS_MAX) {
		p->marks_dropped++;
		return;
	}
	m = &p->marks[p->n_marks++];
	m->time_ns = pt->time_ns;
	m->kind = kind;
	snprintf(m->text, sizeof(m->text), "%s", text);
}

/* What is new since the snapshot before; of the first one only what the user said. */
static int add_marks(struct process *p, const struct mt_snapshot *s, struct point *pt)
{
	const bool first = !p->snapshots;

	if (s->event[0])
		mark(p, pt, MARK_EVENT, s->event);
	if (strcmp(p->label, s->label) != 0)
		mark(p, pt, MARK_LABEL, s->label);
	if (!first && p->exe && strcmp(p->exe, s->exe) != 0)
		mark(p, pt, MARK_EXEC, s->comm);
	else if (!first && strcmp(p->comm, s->comm) != 0)
		mark(p, pt, MARK_NAME, s->comm);
	if (!first && pt->flags & POINT_TRACE)
		mark(p, pt, MARK_TRACE, "");
	else if (pt->flags & POINT_RESTART)
		mark(p, pt, MARK_RESTART, "");
	if (s->final)
		mark(p, pt, MARK_END, "");
	snprintf(p->label, sizeof(p->label), "%s", s->label);
	snprintf(p->comm, sizeof(p->comm), "%s", s->comm);
	if (!p->exe || strcmp(p->exe, s->exe) != 0) {
		free(p->exe);
		p->exe = strdup(s->exe);
	}
	return p->exe ? 0 : -ENOMEM;
}

static int add_pauses(struct process *p, const struct mt_snapshot *s, struct point *pt)
{
	const size_t n = mt_render_pauses(s);

	if (!n || p->is_total)
		return 0;
	if (!p->pauses)
		p->pauses = calloc(PAUSES_MAX, sizeof(*p->pauses));
	if (!p->pauses)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct mt_render_pause gc = mt_render_pause(s, i);

		mt_report_pause_add(p, gc.end_ns, gc.ns);
		if (gc.ns > pt->track[TRACKED - 1])
			pt->track[TRACKED - 1] = gc.ns;
	}
	return 0;
}

/* Per second, to compare by only: what the page shows it divides itself. */
static void set_rates(struct process *p, struct point *pt)
{
	for (size_t i = 0; i < RATES; i++) {
		uint64_t *sum = &p->sum.v[i];

		if (__builtin_add_overflow(*sum, pt->d.v[i], sum))
			*sum = UINT64_MAX;
		if (pt->dt_ns) {
			double rate = (double)pt->d.v[i] / (double)pt->dt_ns * 1e6;

			pt->track[LEVELS + i] = rate < 1e19 ? (uint64_t)rate : UINT64_MAX;
		}
	}
	pt->sum = p->sum;
}

int mt_report_process_add(struct process *p, const struct mt_snapshot *s, struct point **pt)
{
	int r = add_meta(p, s, *pt);

	if (!r)
		r = add_marks(p, s, *pt);
	if (!r)
		r = add_pauses(p, s, *pt);
	if (r) {
		mt_report_point_free(pt);
		return r;
	}
	if ((*pt)->flags & POINT_TRACE && p->n_points)
		pin(p, p->points[p->n_points - 1]);
	set_rates(p, *pt);
	if (s->memstats.alloc > p->peak)
		p->peak = s->memstats.alloc;
	if (mt_snapshot_lost(s) > p->lost)
		p->lost = mt_snapshot_lost(s);
	if (s->census.baseline == MT_BASELINE_UNKNOWN)
		snprintf(p->why, sizeof(p->why), "%s", s->census.why);
	p->approximate += s->gc.present && !s->gc.consistent;
	(*pt)->ordinal = p->snapshots++;
	p->points[p->n_points++] = TAKE_PTR(*pt);
	if (p->n_points > POINTS_MAX)
		mt_report_thin(p, POINTS_LEFT);
	return 0;
}
