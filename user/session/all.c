/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every process of the machine: those that run when the trace begins. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/writer.h"
#include "session/internal.h"
#include "sys/procfs.h"

bool mt_is_memtrace(pid_t pid)
{
	struct stat ours, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return !stat("/proc/self/exe", &ours) && !stat(path, &theirs) &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* Why a process is left alone, or NULL. */
static const char *excluded(const struct mt_session *s, const struct mt_proc_status *st, pid_t pid)
{
	bool kills = false;

	if (pid == getpid() || pid == s->keeper.pid)
		return "it is memtrace itself";
	if (mt_is_memtrace(pid))
		return "it is another memtrace";
	if (!st->has_mm)
		return st->state == 'Z' ? "it has ended" : "a kernel thread";
	if (st->seccomp && !mt_kernel_seccomp_kills(&kills) && kills)
		return "it has a seccomp filter, and this kernel would kill it at a return probe";
	return NULL;
}

static void say_excluded(pid_t pid, const char *comm, const char *why)
{
	_cleanup_writer_ struct mt_writer w = {0};

	mt_write_escaped(&w, comm);
	mt_info("not traced: pid %d (%s): %s", pid, w.len ? w.buf : "?", why);
}

static int no_room(struct mt_session *s, pid_t pid)
{
	if (!s->crowded)
		mt_warn("more than %zu processes: pid %d and others are not traced",
			s->opts.max_targets, pid);
	s->crowded = true;
	return 0;
}

/* 1: entered; 0: not. */
static int enter(struct mt_session *s, pid_t pid, bool first)
{
	MT_CLEANUP(mt_tracee_free) struct mt_tracee *t = NULL;
	struct mt_proc_status st;
	const char *why;
	int r;

	if (mt_tracee_find(s, pid) || mt_proc_status_read(pid, &st))
		return 0;
	why = excluded(s, &st, pid);
	if (why) {
		if (first && st.state != 'Z')
			say_excluded(pid, st.comm, why);
		return 0;
	}
	r = mt_tracee_new(pid, &t);
	if (r)
		return r;
	t->since = MT_SINCE_ATTACH;
	t->flags = MT_TARGET_FOLLOW;
	t->wants_census = !s->opts.no_census;
	if (mt_tracee_describe(t))
		return 0;
	if (mt_slots_take(&s->slots, &t->slot))
		return no_room(s, pid);
	mt_golang_look(s, t);
	r = mt_tracee_enter(s, t);
	if (!r)
		r = mt_tracee_adopt(s, &t);
	if (!r)
		return 1;
	mt_slots_put(&s->slots, t->slot);
	if (r == -EEXIST) /* forked meanwhile, which is yet to be read */
		return 0;
	return r == -E2BIG ? no_room(s, pid) : r;
}

/* One pass over /proc; how many were entered, or -errno. */
static int pass(struct mt_session *s, bool first)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	int n = 0, r = 0;

	if (!dir)
		return mt_err_r(-errno, "cannot read /proc: %s", strerror(errno));
	while (r >= 0 && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		r = enter(s, (pid_t)atoi(e->d_name), first);
		n += r > 0;
		mt_life_consume(s);
	}
	closedir(dir);
	return r < 0 ? r : n;
}

/* A process that is forked by one not entered yet is found by the next pass. */
#define PASSES_MAX 10

int mt_session_add_all(struct mt_session *s)
{
	int r = 1;

	for (int i = 0; i < PASSES_MAX && r > 0; i++)
		r = pass(s, i == 0);
	if (r < 0)
		return r;
	r = mt_files_scan(s, -1);
	for (size_t i = 0; i < s->n; i++) {
		struct mt_tracee *t = s->tracees[i];

		if (t->learned)
			continue;
		if (mt_golang_is(t))
			t->wants_census = false; /* there is no heap of C */
		else
			say_excluded(t->pid, t->comm,
				     "it has mapped no allocator that memtrace can trace");
	}
	mt_life_arm(s, 1);
	return r;
}

static mt_log_fn outer_sink;

/* That one of many cannot be traced is no error. */
static void inform(enum mt_log_level level, const char *msg)
{
	if (outer_sink)
		outer_sink(level < MT_LOG_INFO ? MT_LOG_INFO : level, msg);
}

int mt_session_add_chosen(struct mt_session *s, const pid_t *pids, size_t n)
{
	size_t added = 0;

	for (size_t i = 0; i < n; i++) {
		int r;

		if (mt_is_memtrace(pids[i]) || pids[i] == s->keeper.pid)
			continue;
		outer_sink = mt_log_set_sink(inform);
		r = mt_session_add(s, pids[i], MT_SINCE_ATTACH);
		mt_log_set_sink(outer_sink);
		if (r == -ENOMEM)
			return r;
		added += !r;
	}
	if (!added)
		return mt_err_r(-ESRCH,
				"none of the %zu chosen processes can be traced; -v says why", n);
	return 0;
}
