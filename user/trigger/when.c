/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* --when CONDITION: from now until it holds for one of the processes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/words.h"
#include "sys/procfs.h"
#include "trigger/condition.h"
#include "trigger/trigger.h"

/* What is remembered of one process. */
struct seen {
	pid_t pid;
	uint64_t start_time;
	uint64_t limit; /* of its memory; 0: not known yet */
	struct mt_growth growth;
};

struct when {
	struct mt_condition c;
	char text[256];    /* as it was given, safe to print */
	struct seen *seen; /* owned */
	size_t n_seen;
	bool looked; /* at least once */
	bool held;   /* at the last look: it has to end before it can come again */
};

static void when_close(void *t)
{
	struct when *w = t;

	free(w->seen);
	free(w);
}

static int when_open(const struct mt_trigger_arg *arg, void **ret)
{
	struct mt_condition_error e;
	struct when *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return mt_err_r(-ENOMEM, "out of memory");
	mt_quote(w->text, sizeof(w->text), arg->text);
	r = mt_condition_parse(arg->text, &w->c, &e);
	if (r) {
		mt_err_r(r, "diff: --when '%s': column %zu: %s", w->text, e.column, e.why);
		when_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

static const char *when_what(const void *t)
{
	return ((const struct when *)t)->text;
}

static enum mt_vm_depth when_depth(const void *t)
{
	return ((const struct when *)t)->c.depth;
}

static struct seen *find_seen(struct when *w, const struct mt_snapshot *s)
{
	struct seen *v;

	for (size_t i = 0; i < w->n_seen; i++)
		if (w->seen[i].pid == s->pid && w->seen[i].start_time == s->start_time)
			return &w->seen[i];
	v = reallocarray(w->seen, w->n_seen + 1, sizeof(*v));
	if (!v)
		return NULL;
	w->seen = v;
	v[w->n_seen] = (struct seen){.pid = s->pid, .start_time = s->start_time};
	return &v[w->n_seen++];
}

/* A limit may change; one that cannot be read any more is as it was. */
static int read_limit(const struct when *w, const struct mt_snapshot *s, struct seen *seen)
{
	uint64_t limit;
	char q[200];
	int r;

	if (!w->c.percent)
		return 0;
	r = mt_cgroup_limit(s->pid, &limit);
	if (!r)
		seen->limit = limit;
	if (!r || seen->limit || s->final)
		return 0;
	return mt_err_r(r,
			"diff: --when '%s': pid %d: no memory limit %s its cgroup %s: give bytes",
			w->text, s->pid, r == -ENODATA ? "is set on" : "can be read of",
			mt_quote(q, sizeof(q), s->cgroup));
}

/* 1: it holds, 0: not, or -errno, logged. */
static int holds(struct when *w, const struct mt_snapshot *s)
{
	struct seen *seen = find_seen(w, s);
	double v;
	int r;

	if (!seen)
		return mt_err_r(-ENOMEM, "out of memory");
	r = read_limit(w, s, seen);
	if (r)
		return r;
	if (s->final || (w->c.percent && !seen->limit) || !mt_condition_value(&w->c, s, &v))
		return 0;
	if (w->c.op == MT_OP_GROWS)
		return mt_condition_grew(&w->c, &seen->growth, s->uptime_ns, v, seen->limit);
	return mt_condition_holds(&w->c, v, seen->limit);
}

/* What grew is to grow for another whole window before it counts as growing again. */
static void forget(struct when *w)
{
	for (size_t i = 0; i < w->n_seen; i++)
		w->seen[i].growth.n = 0;
}

static int when_look(void *t, const struct mt_moment *now, enum mt_trigger_says *says)
{
	struct when *w = t;
	pid_t by = 0;

	*says = MT_TRIGGER_WAIT;
	for (size_t i = 0; i < now->n; i++) {
		int r = holds(w, now->v[i]);

		if (r < 0)
			return r;
		if (r && !by)
			by = now->v[i]->pid;
	}
	if (by && w->c.op == MT_OP_GROWS)
		forget(w);
	if (by && !w->held) {
		*says = MT_TRIGGER_NEW;
		mt_log(w->looked ? MT_LOG_INFO : MT_LOG_WARN, "pid %d: %s holds%s", by, w->text,
		       w->looked ? "" : " already");
	}
	w->looked = true;
	w->held = by != 0 && w->c.op != MT_OP_GROWS;
	return 0;
}

const struct mt_trigger_ops mt_trigger_when = {
	.name = "when",
	.joined = true,
	.awaited = true,
	.open = when_open,
	.what = when_what,
	.look = when_look,
	.depth = when_depth,
	.close = when_close,
};
