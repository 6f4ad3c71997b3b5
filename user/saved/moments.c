/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "saved/moments.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/writer.h"
#include "saved/saved.h"

/* Between snapshots of one moment; an interval is longer, or has the same processes. */
#define PAUSE_NS      UINT64_C(250000000)
#define PROCESSES_MAX 65536

struct key {
	pid_t pid;
	uint64_t start_time;
};

static struct key key_of(const struct mt_snapshot *s)
{
	return (struct key){s->pid, s->start_time};
}

static int compare(struct key a, struct key b)
{
	if (a.pid != b.pid)
		return a.pid < b.pid ? -1 : 1;
	return (a.start_time > b.start_time) - (a.start_time < b.start_time);
}

/* What was seen of one process. */
struct process {
	struct key key;
	struct mt_snapshot *first, *last; /* owned; last NULL: there is no other */
	size_t began, moment;             /* the moments of both */
	bool later; /* first is not the first: its levels were of no use, see add_last */
};

/* The processes, by key. */
struct processes {
	struct process *v; /* owned */
	size_t n, cap;
};

static size_t place_of(const struct processes *p, struct key key)
{
	size_t lo = 0, hi = p->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (compare(p->v[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void drop(struct processes *p, size_t i)
{
	free(p->v[i].first);
	free(p->v[i].last);
	p->n--;
	memmove(&p->v[i], &p->v[i + 1], (p->n - i) * sizeof(*p->v));
}

/* Opens a place for key at i. 0 or -errno, logged. */
static int insert(struct processes *p, size_t i, struct key key)
{
	if (p->n == PROCESSES_MAX)
		return mt_err_r(-E2BIG, "more than %d processes: compare two moments, FILE:SEQ",
				PROCESSES_MAX);
	if (p->n == p->cap) {
		const size_t cap = p->cap ? 2 * p->cap : 16;
		struct process *v = reallocarray(p->v, cap, sizeof(*v));

		if (!v)
			return mt_err_r(-ENOMEM, "out of memory");
		p->v = v;
		p->cap = cap;
	}
	memmove(&p->v[i + 1], &p->v[i], (p->n - i) * sizeof(*p->v));
	p->v[i] = (struct process){.key = key};
	p->n++;
	return 0;
}

static void fini(struct processes *p)
{
	while (p->n)
		drop(p, p->n - 1);
	free(p->v);
}

/* How moments follow one another. */
struct order {
	size_t moment;    /* the one that is open, from 1; 0 none yet */
	uint64_t time_ns; /* of its last snapshot */
	bool over;        /* a total was behind it */
};

/* True if s begins a moment; again: its process is in the open one. */
static bool begins(struct order *o, const struct mt_snapshot *s, bool again)
{
	const uint64_t apart =
		s->time_ns > o->time_ns ? s->time_ns - o->time_ns : o->time_ns - s->time_ns;
	bool new = !o->moment || o->over || again || apart > PAUSE_NS;

	o->over = false;
	o->time_ns = s->time_ns;
	o->moment += new;
	return new;
}

#define FORGET_MIN 64

struct ends {
	struct processes all;
	struct order order;
	size_t due; /* with so many processes those are looked for that can be forgotten */
	struct mt_saved_seen *seen;
};

/*
 * What ended without having been there at first is in neither end: forget it. Next
 * when they are twice as many, so that many cost no more than they are.
 */
static void forget(struct ends *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->all.n; i++) {
		struct process *p = &e->all.v[i];
		const struct mt_snapshot *s = p->last ? p->last : p->first;

		if (p->began > 1 && s->final && p->moment < e->order.moment) {
			free(p->first);
			free(p->last);
			e->seen->between++;
		} else {
			e->all.v[kept++] = *p;
		}
	}
	e->all.n = kept;
	e->due = kept < FORGET_MIN / 2 ? FORGET_MIN : 2 * kept;
	if (e->due > PROCESSES_MAX)
		e->due = PROCESSES_MAX;
}

/*
 * With -a processes are counted from the attach, until their heap was read: what is
 * of after that has levels that compare with the last.
 */
static void add_last(struct process *p, struct mt_snapshot **s)
{
	if (p->last && p->first->since == MT_SINCE_ATTACH && p->last->since != MT_SINCE_ATTACH &&
	    (*s)->since == p->last->since) {
		free(p->first);
		p->first = TAKE_PTR(p->last);
		p->later = true;
	}
	free(p->last);
	p->last = TAKE_PTR(*s);
}

static int keep_ends(void *ctx, struct mt_snapshot **s, size_t line)
{
	struct ends *e = ctx;
	const struct key key = key_of(*s);
	struct process *p;
	size_t i;
	int r;

	(void)line;
	if ((*s)->processes) {
		e->order.over = true;
		e->seen->totals++;
		return 0;
	}
	e->seen->snapshots++;
	i = place_of(&e->all, key);
	p = i < e->all.n && !compare(e->all.v[i].key, key) ? &e->all.v[i] : NULL;
	begins(&e->order, *s, p && p->moment == e->order.moment);
	if (!p && e->all.n >= e->due) {
		forget(e);
		i = place_of(&e->all, key);
	}
	if (!p) {
		r = insert(&e->all, i, key);
		if (r)
			return r;
		p = &e->all.v[i];
		p->began = e->order.moment;
		p->first = TAKE_PTR(*s);
	} else {
		add_last(p, s);
	}
	p->moment = e->order.moment;
	return 0;
}

static int hand_out(struct ends *e, struct mt_moment *old, struct mt_moment *new)
{
	int r = 0;

	for (size_t i = 0; i < e->all.n && !r; i++) {
		struct process *p = &e->all.v[i];

		if (p->began > 1 && p->moment < e->order.moment) {
			e->seen->between++;
			continue;
		}
		e->seen->pairs += p->last != NULL;
		e->seen->later += p->later;
		r = mt_moment_add(p->last || p->began == 1 ? old : new, &p->first);
		if (!r && p->last)
			r = mt_moment_add(new, &p->last);
	}
	return r ? mt_err_r(r, "out of memory") : 0;
}

int mt_saved_ends(const char *path, struct mt_moment *old, struct mt_moment *new,
		  struct mt_saved_seen *seen)
{
	struct ends e = {.seen = seen};
	int r;

	*seen = (struct mt_saved_seen){0};
	r = mt_saved_each(path, false, keep_ends, &e);
	seen->moments = e.order.moment;
	if (!r)
		r = hand_out(&e, old, new);
	fini(&e.all);
	return r;
}

struct choice {
	const uint64_t *seq;
	struct processes open; /* of the open moment; first alone is set */
	struct order order;
	uint64_t highest; /* seq of the open moment */
	size_t lines[2];  /* of the moments that were chosen: the first, another */
	size_t line;      /* of the open moment */
	struct mt_moment *ret;
	struct mt_saved_seen *seen;
};

/* The open moment is over: it is kept, if it is the one. 0 or -errno, logged. */
static int close_moment(struct choice *c)
{
	int r = 0;

	if (c->open.n && (!c->seq || *c->seq == c->highest)) {
		if (c->seq && c->lines[0]) {
			c->lines[1] = c->line;
		} else {
			mt_moment_fini(c->ret);
			for (size_t i = 0; i < c->open.n && !r; i++)
				r = mt_moment_add(c->ret, &c->open.v[i].first);
			c->lines[0] = c->line;
		}
	}
	while (c->open.n)
		drop(&c->open, c->open.n - 1);
	c->highest = 0;
	return r ? mt_err_r(r, "out of memory") : 0;
}

static int keep_chosen(void *ctx, struct mt_snapshot **s, size_t line)
{
	struct choice *c = ctx;
	const struct key key = key_of(*s);
	size_t i = place_of(&c->open, key);
	bool again = i < c->open.n && !compare(c->open.v[i].key, key);
	int r = 0;

	if ((*s)->processes) {
		c->order.over = true;
		c->seen->totals++;
		return 0;
	}
	c->seen->snapshots++;
	if (begins(&c->order, *s, again)) {
		r = close_moment(c);
		c->line = line;
		i = 0;
	}
	if (!r)
		r = insert(&c->open, i, key);
	if (r)
		return r;
	c->highest = (*s)->seq > c->highest ? (*s)->seq : c->highest;
	c->open.v[i].first = TAKE_PTR(*s);
	return 0;
}

static int tell(const struct choice *c, const char *path)
{
	_cleanup_writer_ struct mt_writer name = {0};
	const char *shown;

	mt_write_escaped(&name, path);
	shown = name.buf ? name.buf : "";
	if (!c->lines[0])
		return mt_err_r(-ENOENT, "%s: no snapshot with seq %" PRIu64 " in it", shown,
				*c->seq);
	if (c->lines[1])
		return mt_err_r(-EEXIST,
				"%s: snapshots with seq %" PRIu64 " begin in line %zu and again in "
				"line %zu, as of two traces: copy one out with sed -n %zup",
				shown, *c->seq, c->lines[0], c->lines[1], c->lines[1]);
	return 0;
}

int mt_saved_moment(const char *path, const uint64_t *seq, struct mt_moment *ret,
		    struct mt_saved_seen *seen)
{
	struct choice c = {.seq = seq, .ret = ret, .seen = seen};
	int r;

	*seen = (struct mt_saved_seen){0};
	r = mt_saved_each(path, seq != NULL, keep_chosen, &c);
	if (!r)
		r = close_moment(&c);
	if (!r && (c.lines[0] || seq))
		r = tell(&c, path);
	seen->moments = c.order.moment;
	fini(&c.open);
	return r;
}
