/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "census/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "census/stop_internal.h"
#include "sys/procfs.h"

#define WAIT_NS      20000000u /* for the holder, before its dead threads are looked after */
#define PAUSE_MIN_NS 50000u    /* between looks at a sleeper inside malloc */
#define PAUSE_MAX_NS 2000000u
#define END_WAIT_NS  5000u /* between looks whether the holder is gone */
#define END_WAITS    20000
#define RANK         (-20) /* the holder's nice value: who is held waits for it */

int mt_stop_why(struct mt_stop *s, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	return r;
}

bool mt_stop_late(const struct mt_stop *s)
{
	return mt_clock_ns(CLOCK_MONOTONIC) >= s->deadline;
}

void mt_stop_pause(uint64_t ns)
{
	nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* Fills the caller's text, where no better reason is known from the code. */
static int tell(const struct mt_stop *s, char *why, int r)
{
	if (r)
		snprintf(why, MT_WHY_SIZE, "%s", s->why[0] ? s->why : strerror(-r));
	return r;
}

/* A kernel that does not count leaves its line at zeros. */
static bool counts_switches(void)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long ran, waited, times;

	return !mt_proc_read(getpid(), "schedstat", &text, NULL) &&
	       sscanf(text, "%llu %llu %llu", &ran, &waited, &times) == 3 && times > 0;
}

static int look_at_all(struct mt_stop *s)
{
	size_t fresh;
	int r = mt_stop_list(s, &fresh);

	for (size_t i = 0; !r && i < s->n; i++) {
		r = mt_stop_look(s, &s->v[i]);
		if (r == -EPERM || r == -EACCES)
			return mt_stop_why(s, -EPERM, "no permission to stop it by ptrace");
		if (!r)
			r = mt_stop_traced(s, s->v[i].tid);
		if (r == -ESRCH)
			r = 0;
	}
	if (r)
		return r;
	if (s->pid == getpid())
		return mt_stop_why(s, -EPERM, "memtrace cannot stop itself");
	return mt_stop_alive(s);
}

static int init(struct mt_stop *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char path[64];
	int r;

	s->at_once = cpus > 2 ? (unsigned int)cpus / 2 : 1;
	s->schedstat = counts_switches();
	snprintf(path, sizeof(path), "/proc/%d/task", (int)s->pid);
	s->task_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->task_fd < 0 && errno == ENOENT)
		return mt_stop_why(s, -ESRCH, "there is no such process");
	if (s->task_fd < 0)
		return -errno;
	r = mt_stop_table_init(s);
	return r ? r : look_at_all(s);
}

int mt_stop_new(pid_t pid, const struct mt_stop_zone *zone, char *why, struct mt_stop **ret)
{
	struct mt_stop *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->pid = pid;
	s->zone = *zone;
	s->task_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	sem_init(&s->answered, 0, 0);
	sem_init(&s->let_go, 0, 0);
	mt_mem_open(&s->mem, pid);
	r = tell(s, why, init(s));
	if (r)
		mt_stop_free(&s);
	else
		*ret = s;
	return r;
}

/* Its end lets go of all that it traces. */
static void *hold(void *arg)
{
	struct mt_stop *s = arg;
	struct timespec until;
	int r;

	s->holder_tid = (pid_t)syscall(SYS_gettid);
	prctl(PR_SET_TIMERSLACK, 1);
	setpriority(PRIO_PROCESS, (id_t)s->holder_tid, RANK);
	s->result = mt_stop_gather(s);
	sem_post(&s->answered);
	until.tv_sec = (time_t)(s->deadline / MT_SECOND_NS);
	until.tv_nsec = (long)(s->deadline % MT_SECOND_NS);
	/* whatever the other threads are at: past the deadline the target runs */
	while ((r = sem_clockwait(&s->let_go, CLOCK_MONOTONIC, &until)) && errno == EINTR)
		;
	__atomic_store_n(&s->expired, r != 0, __ATOMIC_RELEASE);
	mt_stop_release(s);
	s->released = mt_clock_ns(CLOCK_MONOTONIC);
	return NULL;
}

/*
 * A thread that calls exec waits for the others' end, which those that are held
 * reach only when their tracer has taken note, while PTRACE_SEIZE waits for the
 * exec (cred_guard_mutex): the holder is stuck, so it is done from here.
 */
static void wait_for_answer(struct mt_stop *s)
{
	for (;;) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += WAIT_NS;
		until.tv_sec += until.tv_nsec / MT_SECOND_NS;
		until.tv_nsec %= MT_SECOND_NS;
		if (!sem_timedwait(&s->answered, &until))
			return;
		pthread_mutex_lock(&s->lock);
		mt_stop_reap(s);
		pthread_mutex_unlock(&s->lock);
	}
}

/* The kernel lets go when the holder is through its exit, which is after the join. */
static void end_holder(struct mt_stop *s)
{
	sem_post(&s->let_go);
	pthread_join(s->holder, NULL);
	for (int i = 0; i < END_WAITS && !syscall(SYS_tgkill, getpid(), s->holder_tid, 0); i++)
		mt_stop_pause(END_WAIT_NS);
	if (s->held_since)
		s->held_ns += s->released - s->held_since;
	s->held_since = 0;
}

/* One holder's life until it holds them all, or cannot. */
static int attempt(struct mt_stop *s)
{
	int r;

	s->why[0] = '\0';
	s->held_since = 0;
	s->expired = false;
	while (!sem_trywait(&s->let_go)) /* of a hold that had expired */
		;
	mt_stop_table_reset(s);
	r = mt_stop_find_uprobes(s);
	if (!r)
		r = mt_stop_traced(s, s->pid);
	if (!r || r == -ESRCH) /* the first thread may have ended before the others */
		r = -pthread_create(&s->holder, NULL, hold, s);
	if (r)
		return r;
	wait_for_answer(s);
	r = s->result;
	if (r)
		end_holder(s);
	return r;
}

/* Lets time pass until the sleeper inside malloc has moved. False: the deadline passes first. */
static bool wait_for_stuck(const struct mt_stop *s)
{
	const struct mt_stop_thread *t = &s->v[s->stuck];
	uint64_t pause = PAUSE_MIN_NS, switches;

	while (!mt_stop_late(s)) {
		mt_stop_pause(pause);
		if (mt_stop_switches(s, t->tid, &switches) || switches != t->switches)
			return true;
		pause = pause < PAUSE_MAX_NS ? pause * 2 : PAUSE_MAX_NS;
	}
	return false;
}

int mt_stop_begin(struct mt_stop *s, uint64_t deadline_ns, char *why)
{
	sigset_t all;
	int r;

	s->deadline = deadline_ns;
	s->held_ns = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &s->mask);
	do {
		r = attempt(s);
	} while (r == -EAGAIN && wait_for_stuck(s));
	s->held = !r;
	if (r)
		pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
	return tell(s, why, r);
}

static int has_run(struct mt_stop *s, struct mt_stop_thread *t)
{
	int r = mt_stop_alive(s);

	t->restless_until = mt_clock_ns(CLOCK_MONOTONIC) + MT_STOP_RESTLESS_NS;
	return r ? r : mt_stop_why(s, -EAGAIN, "thread %d has run meanwhile", (int)t->tid);
}

int mt_stop_check(struct mt_stop *s, char *why)
{
	size_t fresh;
	bool ran = false;
	int r = mt_stop_list(s, &fresh);

	if (!r && fresh)
		r = mt_stop_why(s, -EAGAIN, "a thread has begun meanwhile");
	for (size_t i = 0; i < s->n; i++) {
		struct mt_stop_thread *t = &s->v[i];
		uint64_t switches;

		if (t->state == MT_STOP_GONE)
			continue;
		if (mt_stop_switches(s, t->tid, &switches) || switches != t->switches) {
			r = has_run(s, t);
			ran = true;
		}
	}
	s->spoilt += ran;
	if (__atomic_load_n(&s->expired, __ATOMIC_ACQUIRE))
		r = mt_stop_why(s, -ETIME, "it could not be read");
	return tell(s, why, r);
}

void mt_stop_end(struct mt_stop *s)
{
	if (!s->held)
		return;
	end_holder(s);
	s->held = false;
	pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

uint64_t mt_stop_ns(const struct mt_stop *s)
{
	return s->held_ns + (s->held_since ? mt_clock_ns(CLOCK_MONOTONIC) - s->held_since : 0);
}

void mt_stop_threads(const struct mt_stop *s, unsigned int *threads, unsigned int *held)
{
	*threads = *held = 0;
	for (size_t i = 0; i < s->n; i++) {
		*threads += s->v[i].state != MT_STOP_GONE;
		*held += s->v[i].state == MT_STOP_HELD;
	}
}

void mt_stop_free(struct mt_stop **s)
{
	if (!*s)
		return;
	mt_stop_end(*s);
	mt_stop_table_fini(*s);
	mt_mem_close(&(*s)->mem);
	if ((*s)->task_fd >= 0)
		close((*s)->task_fd);
	sem_destroy(&(*s)->answered);
	sem_destroy(&(*s)->let_go);
	pthread_mutex_destroy(&(*s)->lock);
	free(*s);
	*s = NULL;
}
