/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The census in a trace: at the attach it gives what the levels count from, in
 * an audit what they are compared with. In both the counters are read while the
 * target stands still outside malloc, so that no call is missed or seen twice.
 */
#include "census/census.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/internal.h"

/* The moment at which a target stands still. */
struct moment {
	struct mt_session *s;
	struct mt_tracee *t;
	struct mt_flows flows; /* as counted up to then */
	uint64_t ns;           /* CLOCK_MONOTONIC */
};

static int begin_counting(void *ctx)
{
	struct moment *m = ctx;

	m->ns = mt_clock_ns(CLOCK_MONOTONIC);
	return mt_read_raw(m->s, m->t, &m->flows);
}

static void take_levels(struct mt_tracee *t, const struct moment *m)
{
	t->base = m->flows;
	t->base_ns = m->ns;
	memcpy(t->levels, t->census.heap.cls, sizeof(t->levels));
	t->since = MT_SINCE_CENSUS;
}

static void unknown(struct mt_tracee *t, const char *why)
{
	t->census.baseline = MT_BASELINE_UNKNOWN;
	snprintf(t->census.why, sizeof(t->census.why), "%s", why);
}

int mt_census_begin(struct mt_session *s, struct mt_tracee *t)
{
	struct moment m = {.s = s, .t = t};
	const struct mt_census_opts opts = {s->opts.max_stop_ns, begin_counting, &m};
	struct mt_census_plan *plan = NULL;
	char why[MT_WHY_SIZE];
	int r;

	mt_census_fini(&t->census);
	r = mt_census_prepare(t->pid, why, &plan);
	if (r) {
		unknown(t, why);
		r = r == -ENOMEM ? r : 0;
	} else {
		r = mt_census_take(plan, &opts, &t->census);
	}
	mt_census_plan_free(&plan);
	if (r && r != -ESRCH)
		return r;
	if (t->census.baseline == MT_BASELINE_CENSUS)
		take_levels(t, &m);
	else if (!mt_tracee_has_ended(t))
		mt_log(s->opts.all ? MT_LOG_INFO : MT_LOG_WARN,
		       "pid %d: the heap from before the attach is not known, levels count from "
		       "the attach: %s",
		       t->pid, t->census.why);
	return 0;
}

void mt_census_want(struct mt_session *s, struct mt_tracee *t)
{
	if (s->opts.no_census)
		return;
	t->wants_census = true;
	mt_life_arm(s, 1);
}

void mt_census_settle(struct mt_tracee *t)
{
	struct mt_heap *h = &t->census.heap;
	uint64_t absent, idle_absent = h->idle - h->idle_resident;

	if (t->census.baseline != MT_BASELINE_CENSUS || t->vm.heap_resident > t->vm.heap_sys)
		return;
	absent = t->vm.heap_sys - t->vm.heap_resident;
	h->unused = absent > idle_absent ? absent - idle_absent : 0;
}

void mt_census_forget(struct mt_tracee *t)
{
	mt_census_fini(&t->census);
	memset(t->levels, 0, sizeof(t->levels));
	memset(&t->base, 0, sizeof(t->base));
	t->base_ns = 0;
	t->audit.done = MT_BASELINE_NONE;
}

static int stop_counting(void *ctx)
{
	struct moment *m = ctx;

	return mt_read_flows(m->s, m->t, &m->flows);
}

/* Census minus count, class by class. */
static void compare(struct mt_audit *a, const struct mt_heap *heap, const struct mt_flows *flows)
{
	for (size_t i = 0; i < MT_CLASSES; i++) {
		a->cls[i].objects =
			(int64_t)heap->cls[i].objects - mt_class_net_objects(&flows->cls[i]);
		a->cls[i].bytes = (int64_t)heap->cls[i].bytes - mt_class_net_bytes(&flows->cls[i]);
	}
	a->objects = (int64_t)heap->objects - mt_classes_net_objects(flows->cls);
	a->bytes = (int64_t)heap->bytes - mt_classes_net_bytes(flows->cls);
}

static int no_audit(struct mt_tracee *t, const char *why)
{
	t->audit.done = MT_BASELINE_UNKNOWN;
	snprintf(t->audit.why, sizeof(t->audit.why), "%s", why);
	return 0;
}

static int audit(struct mt_session *s, struct mt_tracee *t, struct mt_census_plan *plan)
{
	struct moment m = {.s = s, .t = t};
	const struct mt_census_opts opts = {s->opts.max_stop_ns, stop_counting, &m};
	struct mt_census now;
	int r = mt_census_take(plan, &opts, &now);

	if (r || now.baseline != MT_BASELINE_CENSUS) {
		no_audit(t, now.why[0] ? now.why : strerror(-r));
		mt_census_fini(&now);
		return 0;
	}
	compare(&t->audit, &now.heap, &m.flows);
	t->audit.done = MT_BASELINE_CENSUS;
	mt_census_fini(&t->census);
	t->census = now;
	mt_read_levels(s, t, MT_VM_FULL);
	mt_census_settle(t);
	return 0;
}

int mt_session_audit(struct mt_session *s, size_t i)
{
	struct mt_tracee *t = s->tracees[i];
	struct mt_census_plan *plan = NULL;
	char why[MT_WHY_SIZE];
	int r;

	memset(&t->audit, 0, sizeof(t->audit));
	if (t->ended)
		return no_audit(t, "the process has ended");
	if (t->untraced || t->relook)
		return no_audit(t, "the process runs a new image");
	if (mt_golang_is(t) && !t->found)
		return no_audit(t, "it is a Go program, whose runtime counts its blocks itself");
	if (t->since == MT_SINCE_ATTACH)
		return no_audit(t, "levels count from the attach");
	r = mt_census_prepare(t->pid, why, &plan);
	if (r)
		return r == -ENOMEM ? r : no_audit(t, why);
	r = audit(s, t, plan);
	mt_census_plan_free(&plan);
	return r;
}

const struct mt_census *mt_session_census(const struct mt_session *s, size_t i)
{
	return &s->tracees[i]->census;
}
