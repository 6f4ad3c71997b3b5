/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Marks and OOM victims: what the kernel told of, and who waits for it. */
#include "session/marks.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"

int mt_marks_open(struct mt_session *s)
{
	int r = 0;

	if (!s->opts.marks && !s->opts.oom)
		return 0;
	s->marks.news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->marks.news_fd < 0)
		return mt_err_r(-errno, "cannot make an eventfd: %s", strerror(errno));
	for (size_t i = 0; s->opts.marks && i < MT_MARK_SLOTS && !r; i++) {
		r = mt_slots_take(&s->slots, &s->marks.slots[i]);
		if (!r)
			s->progs.skel->bss->mt_mark_slots[i] = s->marks.slots[i] + 1;
	}
	return r;
}

int mt_session_news_fd(const struct mt_session *s)
{
	return s->marks.news_fd;
}

static bool has_victim(const struct mt_session *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->tracees[i]->victim.time_ns && !s->tracees[i]->victim.told)
			return true;
	return false;
}

/* The fd is readable for as long as there is something to be told. */
static void set_news(const struct mt_session *s)
{
	eventfd_t unused;

	if (s->marks.news_fd < 0)
		return;
	if (s->marks.n_pending || has_victim(s))
		eventfd_write(s->marks.news_fd, 1);
	else
		eventfd_read(s->marks.news_fd, &unused);
}

bool mt_marks_has_id(const struct mt_session *s, uint32_t id)
{
	for (size_t i = 0; i < s->marks.n_ids; i++)
		if (s->marks.ids[i] == id)
			return true;
	return false;
}

static void set_state(struct mt_session *s, uint32_t state)
{
	__atomic_store_n(&s->progs.skel->bss->mt_mark_state, state, __ATOMIC_SEQ_CST);
}

void mt_session_marks_arm(struct mt_session *s)
{
	set_state(s, MT_MARK_ANY);
}

const struct mt_life *mt_marks_at(const struct mt_session *s, const struct mt_tracee *t)
{
	const struct mt_life *l = s->marks.pending;

	if (!s->marks.n_pending || (pid_t)l->tgid != t->pid || l->target.execs != t->execs ||
	    (l->addr != MT_MARK_BEGIN && l->addr != MT_MARK_END))
		return NULL;
	return l;
}

uint32_t mt_marks_slot(const struct mt_session *s, const struct mt_life *l)
{
	return s->marks.slots[l->addr == MT_MARK_END];
}

static void add_pending(struct mt_session *s, const struct mt_life *l, enum mt_mark_what what)
{
	struct mt_life *to = &s->marks.pending[s->marks.n_pending];

	if (s->marks.n_pending == MT_MARKS_PENDING) {
		mt_files_release(s, l);
		return;
	}
	*to = *l;
	to->addr = what;
	s->marks.n_pending++;
	set_news(s);
}

void mt_marks_on_event(struct mt_session *s, const struct mt_life *l)
{
	add_pending(s, l, (enum mt_mark_what)l->addr);
}

void mt_marks_on_exec(struct mt_session *s, const struct mt_life *l)
{
	if (!s->marks.n_ids)
		return;
	set_state(s, MT_MARK_OFF);
	add_pending(s, l, MT_MARK_EXEC);
}

void mt_marks_on_oom(struct mt_session *s, struct mt_tracee *t, const struct mt_life *l)
{
	if (t->victim.time_ns)
		return;
	t->victim = (struct mt_victim){
		.time_ns = l->time, .target = l->target, .rss = l->rss, .swap = l->swap};
	set_news(s);
}

bool mt_session_mark(const struct mt_session *s, struct mt_mark *ret)
{
	const struct mt_life *l = s->marks.pending;

	if (!s->marks.n_pending)
		return false;
	*ret = (struct mt_mark){
		.what = (uint32_t)l->addr,
		.pid = (pid_t)l->tgid,
		.held = l->held != 0,
		.counted = l->copied != 0,
		.time_ns = l->time,
	};
	return true;
}

bool mt_session_mark_done(struct mt_session *s)
{
	const struct mt_life l = s->marks.pending[0];
	bool exact;

	if (!s->marks.n_pending)
		return false;
	exact = l.held && mt_clock_ns(CLOCK_MONOTONIC) - l.time < s->opts.max_stop_ns;
	mt_files_release(s, &l);
	s->marks.n_pending--;
	memmove(s->marks.pending, s->marks.pending + 1, s->marks.n_pending * sizeof(l));
	set_news(s);
	return exact;
}

bool mt_session_victim(struct mt_session *s, size_t *i)
{
	for (*i = 0; *i < s->n; (*i)++) {
		struct mt_victim *v = &s->tracees[*i]->victim;

		if (!v->time_ns || v->told)
			continue;
		v->told = true;
		set_news(s);
		return true;
	}
	return false;
}

void mt_session_marks_close(struct mt_session *s)
{
	if (!s->marks.n_ids)
		return;
	set_state(s, MT_MARK_OFF);
	mt_life_consume(s);
	while (s->marks.n_pending)
		mt_session_mark_done(s);
	for (size_t i = 0; i < s->marks.n_ids; i++)
		mt_keeper_detach(&s->keeper, s->marks.ids[i]);
	free(s->marks.ids);
	s->marks.ids = NULL;
	s->marks.n_ids = 0;
}

void mt_marks_free(struct mt_session *s)
{
	if (s->life)
		mt_session_marks_close(s);
	free(s->marks.ids);
	if (s->marks.news_fd >= 0)
		close(s->marks.news_fd);
}
