/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process's threads as /proc shows them. Formats: proc(5), fs/proc/base.c of
 * the kernel (proc_pid_syscall, proc_pid_schedstat). "syscall" is of one
 * moment: the kernel looks twice that the thread did not run meanwhile.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "census/stop_internal.h"
#include "sys/procfs.h"

#define TABLE_FIRST   256u
#define THREADS_MAX   (1u << 20)
#define ENTRIES_SIZE  (64u << 10)
#define LISTINGS_MAX  100 /* while threads end, which cuts the list short; see mt_proc_tids */
#define WOKE_TOO_MUCH 3

/* struct linux_dirent64 of getdents64(2) */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

static int read_task(const struct mt_stop *s, pid_t tid, const char *name, char *buf, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/%s", (int)tid, name);
	fd = openat(s->task_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n ? 0 : -ESRCH;
}

/* The third number: how often it was put on a CPU. Counted when it comes, so before it runs. */
static int switches_of_schedstat(const char *text, uint64_t *ret)
{
	unsigned long long ran, waited, times;

	if (sscanf(text, "%llu %llu %llu", &ran, &waited, &times) != 3)
		return -EBADMSG;
	*ret = times;
	return 0;
}

/* Counted when it leaves, so one that runs now is told by its state. */
static int switches_of_status(const char *text, uint64_t *ret)
{
	static const char by_itself[] = "\nvoluntary_ctxt_switches:";
	static const char by_force[] = "\nnonvoluntary_ctxt_switches:";
	const char *a = strstr(text, by_itself), *b = strstr(text, by_force);
	const char *state = strstr(text, "\nState:\t");

	if (!a || !b || !state)
		return -EBADMSG;
	*ret = strtoull(a + sizeof(by_itself) - 1, NULL, 10) +
	       strtoull(b + sizeof(by_force) - 1, NULL, 10);
	if (state[8] == 'R')
		*ret |= 1ull << 63;
	return 0;
}

int mt_stop_switches(const struct mt_stop *s, pid_t tid, uint64_t *ret)
{
	char buf[4096];
	int r = read_task(s, tid, s->schedstat ? "schedstat" : "status", buf, sizeof(buf));

	if (r)
		return r;
	return s->schedstat ? switches_of_schedstat(buf, ret) : switches_of_status(buf, ret);
}

/* "NR ARGS... SP PC", or "-1 SP PC" outside system calls. False: it runs. */
static bool parse_syscall(const char *text, struct mt_stop_thread *t)
{
	uint64_t v[8];
	size_t n = 0;
	char *p, *end;

	t->nr = strtoll(text, &p, 10);
	if (p == text)
		return false;
	for (; n < 8; n++, p = end) {
		v[n] = strtoull(p, &end, 16);
		if (end == p)
			break;
	}
	if (n < 2)
		return false;
	memset(t->args, 0, sizeof(t->args));
	if (n == 8)
		memcpy(t->args, v, sizeof(t->args));
	t->sp = v[n - 2];
	t->pc = v[n - 1];
	return true;
}

int mt_stop_look(struct mt_stop *s, struct mt_stop_thread *t)
{
	char buf[256];
	/* In this order: what it runs after the second is not in the first. */
	int r = mt_stop_switches(s, t->tid, &t->switches);

	if (!r)
		r = read_task(s, t->tid, "syscall", buf, sizeof(buf));
	if (r) {
		t->state = MT_STOP_GONE;
		return r == -ESRCH ? 0 : r;
	}
	t->state = parse_syscall(buf, t) ? MT_STOP_ASLEEP : MT_STOP_AWAKE;
	t->inside = t->state == MT_STOP_ASLEEP && mt_stop_inside(s, t);
	return 0;
}

int mt_stop_verify(struct mt_stop *s, size_t *moved)
{
	*moved = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct mt_stop_thread *t = &s->v[i];
		uint64_t switches;
		int r;

		if (t->state != MT_STOP_ASLEEP)
			continue;
		r = mt_stop_switches(s, t->tid, &switches);
		if (r && r != -ESRCH)
			return r;
		if (!r && switches == t->switches)
			continue;
		t->state = MT_STOP_NEW;
		if (++t->woke >= WOKE_TOO_MUCH)
			t->restless_until = mt_clock_ns(CLOCK_MONOTONIC) + MT_STOP_RESTLESS_NS;
		(*moved)++;
	}
	return 0;
}

static uint64_t signals(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoull(p + strlen(key), NULL, 16) : 0;
}

bool mt_stop_handles(const struct mt_stop *s, pid_t tid)
{
	char buf[4096];

	return !read_task(s, tid, "status", buf, sizeof(buf)) &&
	       (signals(buf, "\nSigBlk:\t") & signals(buf, "\nSigCgt:\t"));
}

int mt_stop_alive(struct mt_stop *s)
{
	struct mt_proc_stat stat;
	int r = mt_proc_stat_read(s->pid, &stat);

	if (!r && stat.state != 'Z' && stat.state != 'X')
		return 0;
	return mt_stop_why(s, -ESRCH, "the process has ended");
}

/* -ESRCH when it has ended. */
static int read_status(const struct mt_stop *s, pid_t tid, struct mt_proc_status *st)
{
	char buf[4096];
	int r = read_task(s, tid, "status", buf, sizeof(buf));

	if (!r)
		r = mt_proc_status_parse(buf, st);
	if (!r && (st->state == 'Z' || st->state == 'X'))
		r = -ESRCH;
	return r;
}

int mt_stop_traced(struct mt_stop *s, pid_t tid)
{
	_cleanup_free_ char *text = NULL;
	struct mt_proc_status st, by;
	int r = read_status(s, tid, &st);

	if (r || !st.tracer)
		return r;
	if (mt_proc_read(st.tracer, "status", &text, NULL) || mt_proc_status_parse(text, &by))
		snprintf(by.comm, sizeof(by.comm), "?");
	return mt_stop_why(s, -EBUSY, "it is traced by pid %d (%s)", (int)st.tracer, by.comm);
}

static size_t slot_of(const struct mt_stop *s, pid_t tid)
{
	size_t mask = s->cap * 2 - 1, i = (size_t)((uint32_t)tid * 2654435761u) & mask;

	while (s->index[i] && s->v[s->index[i] - 1].tid != tid)
		i = (i + 1) & mask;
	return i;
}

static void index_all(struct mt_stop *s)
{
	memset(s->index, 0, 2ull * s->cap * sizeof(*s->index));
	for (size_t i = 0; i < s->n; i++)
		s->index[slot_of(s, s->v[i].tid)] = (uint32_t)i + 1;
}

static int make_room(struct mt_stop *s, size_t cap)
{
	struct mt_stop_thread *v;
	uint32_t *index;

	if (cap > THREADS_MAX)
		return mt_stop_why(s, -EAGAIN, "it has more than %u threads", THREADS_MAX);
	v = reallocarray(s->v, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	index = reallocarray(s->index, cap * 2, sizeof(*index));
	if (!index)
		return -ENOMEM;
	s->index = index;
	s->cap = cap;
	index_all(s);
	return 0;
}

static int add(struct mt_stop *s, pid_t tid, size_t *fresh)
{
	size_t slot = slot_of(s, tid);
	struct mt_proc_status st;
	int r = 0;

	if (s->index[slot]) {
		struct mt_stop_thread *t = &s->v[s->index[slot] - 1];

		/* The first thread's id goes to the one that calls exec. */
		if (t->state == MT_STOP_GONE && read_status(s, tid, &st) != -ESRCH) {
			t->state = MT_STOP_NEW;
			(*fresh)++;
		}
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	if (s->n == s->cap) {
		r = make_room(s, s->cap * 2);
		slot = r ? 0 : slot_of(s, tid);
	}
	if (!r) {
		s->v[s->n++] = (struct mt_stop_thread){.tid = tid};
		s->index[slot] = (uint32_t)s->n;
		(*fresh)++;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* One listing; *listed is how many there were in it. */
static int list(struct mt_stop *s, size_t *fresh, size_t *listed)
{
	*listed = 0;
	if (lseek(s->task_fd, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		long n = syscall(SYS_getdents64, s->task_fd, s->entries, ENTRIES_SIZE);

		if (n < 0 && errno == ENOENT)
			return mt_stop_why(s, -ESRCH, "the process has ended");
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		for (long at = 0; at < n;) {
			const struct entry *e = (const void *)(s->entries + at);
			int tid = atoi(e->name), r = tid > 0 ? add(s, tid, fresh) : 0;

			if (r)
				return r;
			*listed += tid > 0;
			at += e->len;
		}
	}
}

int mt_stop_list(struct mt_stop *s, size_t *fresh)
{
	size_t before, listed;
	int r;

	*fresh = 0;
	for (int i = 0; i < LISTINGS_MAX; i++) {
		before = mt_proc_threads(s->task_fd);
		r = list(s, fresh, &listed);
		if (r || (before == listed && mt_proc_threads(s->task_fd) == listed))
			return r;
	}
	(*fresh)++; /* there may be others */
	return 0;
}

void mt_stop_table_reset(struct mt_stop *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct mt_stop_thread t = s->v[i];

		if (t.state != MT_STOP_GONE)
			s->v[n++] = (struct mt_stop_thread){.tid = t.tid,
							    .restless_until = t.restless_until};
	}
	s->n = n;
	s->turn = s->stuck = 0;
	index_all(s);
}

int mt_stop_table_init(struct mt_stop *s)
{
	s->entries = malloc(ENTRIES_SIZE);
	if (!s->entries)
		return -ENOMEM;
	return make_room(s, TABLE_FIRST);
}

void mt_stop_table_fini(struct mt_stop *s)
{
	free(s->entries);
	free(s->v);
	free(s->index);
}
