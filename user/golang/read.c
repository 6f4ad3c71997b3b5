/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "census/stop.h"
#include "golang/snapshot.h"
#include "sys/procfs.h"

#define PROVE_TRIES   100u
#define PROVE_WAIT    50000u /* ns between two, so that a writer gets on */
#define SETTLED       5u
#define HOLDS         8u
#define RUNNING_TRIES 20u
/* Of the time that is left, so much is for letting go. */
#define RELEASE_SHARE 16

static int walk_of(const struct mt_go *g, struct mt_go_walk **ret)
{
	const struct mt_go_source src = {
		.mem = &g->mem.mem,
		.vars = &g->vars,
		.layout = &g->layout,
		.green_tea = g->green_tea,
	};

	return mt_go_walk_new(&src, ret);
}

/* Why the globals could not be read: the process has ended, or it may not be read. */
static int gone(const struct mt_go *g)
{
	struct mt_proc_stat stat;

	if (mt_proc_stat_read(g->pid, &stat) || stat.state == 'Z' || stat.state == 'X')
		return -ESRCH;
	return g->mem.mem_fd < 0 ? -EPERM : -EFAULT;
}

static void pause_ns(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/*
 * The last of several walks is not the best where it went wrong. why has the
 * reason already.
 */
static void keep(const struct mt_go *g, const struct mt_go_walk *w, int r, bool first,
		 struct mt_go_stats *ret)
{
	if (!r || first || !w->wrong)
		mt_go_fill(&w->globals, &w->flush, g->minor, ret);
	ret->consistent = !r;
	if (!r)
		ret->why[0] = '\0';
}

/* What keeps being the same is not being written. */
static bool settled(const char *why, char *before, unsigned int *times)
{
	if (strcmp(why, before) != 0)
		*times = 0;
	snprintf(before, MT_WHY_SIZE, "%s", why);
	return ++*times >= SETTLED;
}

static int try_to_prove(struct mt_go_walk *w, char *why)
{
	char before[MT_WHY_SIZE] = "";
	unsigned int times = 0;

	for (unsigned int i = 0; i < PROVE_TRIES; i++) {
		int r = mt_go_walk(w, why);

		if (!r || (r == -EAGAIN && !w->wrong))
			return 0;
		if (r != -EAGAIN)
			return r;
		if (settled(why, before, &times))
			break;
		pause_ns(PROVE_WAIT);
	}
	return -ENOTSUP; /* why says what does not hold */
}

int mt_go_prove(struct mt_go *g, char *why)
{
	MT_CLEANUP(mt_go_walk_free) struct mt_go_walk *w = NULL;
	int r = walk_of(g, &w);

	if (r == -ENOTSUP)
		snprintf(why, MT_WHY_SIZE, "its debug information describes no runtime");
	if (!r)
		r = try_to_prove(w, why);
	if (r == -ENODATA)
		return -EAGAIN;
	if (r == -ERANGE)
		return -ENOTSUP;
	if (r == -EFAULT)
		r = gone(g);
	if (r != -EFAULT)
		return r;
	snprintf(why, MT_WHY_SIZE, "the runtime's variables are not where they should be");
	return -ENOTSUP;
}

static int explain(const struct mt_go *g, int r, char *why)
{
	if (r == -EFAULT) {
		r = gone(g);
		if (r == -EFAULT) /* as in a process that is just ending */
			r = -ESRCH;
	}
	if (r == -ENODATA) {
		snprintf(why, MT_WHY_SIZE, "the runtime has not been initialised");
		r = -EAGAIN;
	}
	return r;
}

static int read_running(const struct mt_go *g, struct mt_go_walk *w, unsigned int tries,
			struct mt_go_stats *ret)
{
	int r = -EAGAIN;

	for (unsigned int i = 0; r == -EAGAIN && (!i || i < tries); i++) {
		r = mt_go_walk(w, ret->why);
		if (!r || r == -EAGAIN)
			keep(g, w, r, !i, ret);
	}
	return r == -EAGAIN ? 0 : explain(g, r, ret->why);
}

int mt_go_read(struct mt_go *g, unsigned int tries, struct mt_go_stats *ret)
{
	MT_CLEANUP(mt_go_walk_free) struct mt_go_walk *w = NULL;
	int r = walk_of(g, &w);

	*ret = (struct mt_go_stats){0};
	return r ? r : read_running(g, w, tries, ret);
}

/* One hold. -EAGAIN also where somebody ran: *ret is filled all the same. */
static int hold(const struct mt_go *g, struct mt_go_walk *w, struct mt_stop *s, uint64_t left_ns,
		bool first, struct mt_go_stats *ret)
{
	uint64_t now = mt_clock_ns(CLOCK_MONOTONIC);
	int r = mt_stop_begin(s, now + left_ns - left_ns / RELEASE_SHARE, ret->why), ran;

	if (r)
		return r == -EAGAIN ? -ETIME : r;
	r = mt_go_walk(w, ret->why);
	if (!r) {
		ran = mt_stop_check(s, ret->why);
		r = ran == -ESRCH ? -EFAULT : ran ? -EAGAIN : 0;
	}
	mt_stop_end(s);
	if (!r || r == -EAGAIN)
		keep(g, w, r, first, ret);
	return r;
}

static int read_held(const struct mt_go *g, struct mt_go_walk *w, struct mt_stop *s,
		     uint64_t max_stop_ns, struct mt_go_stats *ret)
{
	bool any = false;
	int r = -EAGAIN;

	for (unsigned int i = 0; r == -EAGAIN && i < HOLDS && ret->stop_ns < max_stop_ns; i++) {
		r = hold(g, w, s, max_stop_ns - ret->stop_ns, !any, ret);
		any |= !r || r == -EAGAIN;
		ret->stop_ns += mt_stop_ns(s);
	}
	return any && (r == -EAGAIN || r == -ETIME) ? 0 : r;
}

int mt_go_read_held(struct mt_go *g, uint64_t max_stop_ns, struct mt_go_stats *ret)
{
	static const struct mt_stop_zone anywhere = {.anywhere = true};
	MT_CLEANUP(mt_go_walk_free) struct mt_go_walk *w = NULL;
	MT_CLEANUP(mt_stop_free) struct mt_stop *s = NULL;
	char why[MT_WHY_SIZE] = "";
	int r = walk_of(g, &w);

	*ret = (struct mt_go_stats){0};
	if (r)
		return r;
	r = mt_stop_new(g->pid, &anywhere, why, &s);
	if (!r) {
		r = read_held(g, w, s, max_stop_ns, ret);
		if (!r || r == -EFAULT || r == -ENODATA || r == -ESRCH || r == -ENOMEM)
			return explain(g, r, ret->why);
		memcpy(why, ret->why, sizeof(why));
	}
	r = read_running(g, w, RUNNING_TRIES, ret);
	memcpy(ret->why, why, sizeof(why));
	return r;
}
