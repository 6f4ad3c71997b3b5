/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is not comparable between two snapshots, in sentences. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "base/writer.h"
#include "model/diff_internal.h"

/*
 * How far the beginning of one trace, by two of its snapshots, may be apart: what
 * lies between reading two clocks, and what a clock that is slewed gains.
 */
#define APART_NS    UINT64_C(20000000)
#define SLEWED_1_OF 1000

static const char *const since_texts[] = {[MT_SINCE_START] = "the start of the process",
					  [MT_SINCE_CENSUS] = "a census",
					  [MT_SINCE_ATTACH] = "an attach"};

int mt_diff_add_note(char ***notes, size_t *n, const char *fmt, va_list ap)
{
	char **v = reallocarray(*notes, *n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	*notes = v;
	if (vasprintf(&v[*n], fmt, ap) < 0)
		return -ENOMEM;
	++*n;
	return 0;
}

struct notes {
	struct mt_diff_process *d;
	int r; /* the first error sticks */
};

__attribute__((format(printf, 2, 3))) static void note(struct notes *n, const char *fmt, ...)
{
	va_list ap;

	if (n->r)
		return;
	va_start(ap, fmt);
	n->r = mt_diff_add_note(&n->d->notes, &n->d->n_notes, fmt, ap);
	va_end(ap);
}

bool mt_diff_same_process(const struct mt_snapshot *a, const struct mt_snapshot *b)
{
	return a->pid == b->pid && a->start_time == b->start_time && !strcmp(a->host, b->host);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

bool mt_diff_same_trace(const struct mt_snapshot *a, const struct mt_snapshot *b)
{
	const uint64_t apart = distance(a->time_ns - a->uptime_ns, b->time_ns - b->uptime_ns);

	return mt_diff_same_process(a, b) &&
	       apart <= APART_NS + distance(a->time_ns, b->time_ns) / SLEWED_1_OF;
}

static const char *shown(const char *name)
{
	return name && name[0] ? name : "unknown";
}

/* "another WHAT: x, then y", where both are known. */
static void note_text(struct notes *n, const char *what, const char *old, const char *new)
{
	if (old && new &&strcmp(old, new) != 0)
		note(n, "another %s: %s, then %s", what, shown(old), shown(new));
}

static void note_who(struct notes *n, const struct mt_snapshot *old, const struct mt_snapshot *new)
{
	if (old->host[0] && new->host[0])
		note_text(n, "host", old->host, new->host);
	if (old->pid == new->pid && old->start_time != new->start_time)
		note(n, "another process with the same pid: it was started anew");
	else if (old->pid != new->pid)
		note(n, "another process: %s[%d], then %s[%d]", old->comm, old->pid, new->comm,
		     new->pid);
	else if (strcmp(old->comm, new->comm) != 0)
		note(n, "another name: %s, then %s", old->comm, new->comm);
	if (mt_diff_same_process(old, new) && old->exe[0] && new->exe[0])
		note_text(n, "program (it called exec)", old->exe, new->exe);
}

static void note_how(struct notes *n, const struct mt_snapshot *old, const struct mt_snapshot *new)
{
	note_text(n, "runtime", old->runtime, new->runtime);
	note_text(n, "allocator", old->allocator, new->allocator);
	note_text(n, "mode", old->mode, new->mode);
	if (old->sizes && new->sizes)
		note_text(n, "kind of block sizes", old->sizes, new->sizes);
	if (old->since != new->since)
		note(n, "levels count from %s, then from %s", since_texts[old->since],
		     since_texts[new->since]);
}

/* What counts from when the counting began, of two beginnings. */
static void note_base(struct notes *n, const struct mt_snapshot *old, const struct mt_snapshot *new)
{
	bool same = mt_diff_same_trace(old, new);

	if (!same && old->since != MT_SINCE_START && new->since != MT_SINCE_START)
		note(n, "two traces: Mallocs, Frees and TotalAlloc began anew with the second%s",
		     new->since == MT_SINCE_ATTACH ? ", and so did the levels"
						   : "; levels compare");
	else if (mt_diff_same_process(old, new) && same &&
		 (new->memstats.mallocs < old->memstats.mallocs ||
		  new->memstats.total_alloc < old->memstats.total_alloc) &&
		 new->time_ns >= old->time_ns)
		note(n, "the counts began anew in between, as they do when a process calls exec");
}

static void note_time(struct notes *n, const struct mt_snapshot *old, const struct mt_snapshot *new)
{
	char late[MT_DURATION_SIZE];

	if (new->time_ns >= old->time_ns)
		return;
	mt_format_duration(late, sizeof(late), old->time_ns - new->time_ns);
	note(n, "OLD is %s newer than NEW: the change is backwards", late);
}

/* What is to be known of one snapshot. Each writes how, if it is so of s, and returns true. */
#define HOW_SIZE (MT_WHY_SIZE + 80)

static bool how_lost(const struct mt_snapshot *s, char *how)
{
	const uint64_t lost = mt_snapshot_lost(s);

	snprintf(how, HOW_SIZE, "LOST %" PRIu64 ": the numbers are inexact", lost);
	return lost;
}

static bool how_drifted(const struct mt_snapshot *s, char *how)
{
	snprintf(how, HOW_SIZE, "drifted from the audit by %" PRId64 " objects, %" PRId64 " bytes",
		 s->audit.objects, s->audit.bytes);
	return mt_audit_drifted(&s->audit);
}

static bool how_approximate(const struct mt_snapshot *s, char *how)
{
	snprintf(how, HOW_SIZE, "could only be read approximately: %s",
		 s->gc.why[0] ? s->gc.why : "no reason known");
	return s->gc.present && !s->gc.consistent;
}

static bool how_without_proc(const struct mt_snapshot *s, char *how)
{
	snprintf(how, HOW_SIZE, "could not read /proc: Sys, rss and their parts are 0");
	return !s->vm.known;
}

static bool how_without_base(const struct mt_snapshot *s, char *how)
{
	snprintf(how, HOW_SIZE, "could not tell what the heap held before: %s",
		 s->census.why[0] ? s->census.why : "no reason known");
	return s->census.baseline == MT_BASELINE_UNKNOWN;
}

/* What is so of both is said once. */
static void note_quality(struct notes *n, const struct mt_snapshot *old,
			 const struct mt_snapshot *new)
{
	static bool (*const hows[])(const struct mt_snapshot *s, char *how) = {
		how_lost, how_drifted, how_approximate, how_without_proc, how_without_base};
	char of_old[HOW_SIZE], of_new[HOW_SIZE];

	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		const bool is_old = hows[i](old, of_old), is_new = hows[i](new, of_new);
		const bool same = is_old && is_new && !strcmp(of_old, of_new);

		if (is_old)
			note(n, "%s %s", same ? "OLD and NEW" : "OLD", of_old);
		if (is_new && !same)
			note(n, "NEW %s", of_new);
	}
}

int mt_diff_notes(struct mt_diff_process *d)
{
	struct notes n = {.d = d};

	note_time(&n, d->old, d->new);
	note_who(&n, d->first, d->new);
	note_how(&n, d->first, d->new);
	note_base(&n, d->first, d->new);
	note_quality(&n, d->old, d->new);
	return n.r;
}
