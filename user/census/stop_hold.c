/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The holder's work: who does not sleep is brought to a ptrace stop, outside malloc. */
#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "census/stop_internal.h"

/* include/linux/errno.h of the kernel: ERESTARTSYS to ERESTART_RESTARTBLOCK */
#define ERESTART_FIRST 512
#define ERESTARTNOHAND 514
#define ERESTART_LAST  516

#define SPIN_NS       50000u     /* for which we look all the while whether threads have stopped */
#define POLL_NS       10000u     /* between looks after that */
#define LOOK_NS       1000000u   /* after which one may be in a sleep that nothing interrupts */
#define RUN_NS        20000u     /* for which those inside are let run, from when they do */
#define START_NS      2000000u   /* in which they should have come to a CPU */
#define GRACE_NS      100000000u /* for those who were told to stop and could not */
#define RUNS_PER_LOOK 32
#define SPOILT_MAX    2 /* holds, until no thread is left asleep that need not be */

/*
 * A call that our stop has interrupted is to go on, not to return EINTR: the
 * kernel makes those again that leave with this code, unless there is a signal
 * with a handler, which has EINTR as ever. Must come before the thread goes on.
 */
static void repeat_call(const struct mt_stop_thread *t, const struct user_regs_struct *regs)
{
	if ((int64_t)regs->rax == -EINTR && mt_stop_repeatable((int64_t)regs->orig_rax))
		ptrace(PTRACE_POKEUSER, t->tid, offsetof(struct user_regs_struct, rax),
		       -(long)ERESTARTNOHAND);
}

/* A call that has been done, or is given up, is no place where a thread is. */
static bool goes_on(const struct user_regs_struct *regs)
{
	int64_t ret = (int64_t)regs->rax;

	return (int64_t)regs->orig_rax >= 0 &&
	       ((ret <= -ERESTART_FIRST && ret >= -ERESTART_LAST) ||
		(ret == -EINTR && mt_stop_repeatable((int64_t)regs->orig_rax)));
}

static void take_regs(struct mt_stop_thread *t, const struct user_regs_struct *regs)
{
	const uint64_t args[] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};

	t->nr = goes_on(regs) ? (int64_t)regs->orig_rax : -1;
	for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		t->args[i] = args[i];
	t->sp = regs->rsp;
	t->pc = regs->rip;
}

/*
 * Back from the system call by which a probed function returns (uretprobe,
 * 6.11): its call has been counted, and the kernel's code at pc only restores
 * two registers and returns to the address in the third word. A system call
 * leaves its return address in rcx, which tells this from the way there.
 */
static void pass_trampoline(const struct mt_stop *s, struct mt_stop_thread *t,
			    const struct user_regs_struct *regs)
{
	uint64_t to;

	if (regs->rcx != regs->rip || !mt_stop_on_uprobes(s, t->pc) ||
	    s->mem.mem.read(&s->mem.mem, t->sp + 2 * sizeof(to), &to, sizeof(to)))
		return;
	t->pc = to;
	t->sp += 3 * sizeof(to);
}

/* status is as si_status of waitid has it: a signal and an event. */
static void on_stop(struct mt_stop *s, struct mt_stop_thread *t, int status)
{
	struct user_regs_struct regs;
	int sig = status & 0xff, event = status >> 8;

	t->state = MT_STOP_GONE;
	/* Waits until the thread is off its CPU; fails if it has been killed. */
	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &regs) ||
	    mt_stop_switches(s, t->tid, &t->switches))
		return;
	repeat_call(t, &regs);
	take_regs(t, &regs);
	pass_trampoline(s, t, &regs);
	t->sig = event ? 0 : sig;
	t->group_stop = event == PTRACE_EVENT_STOP && sig != SIGTRAP;
	t->state = MT_STOP_HELD;
	t->told = false;
	t->inside = mt_stop_inside(s, t);
}

/*
 * True if the thread has stopped or ended meanwhile. Never takes an exit status,
 * as the target may be our own child, nor that of a stop: where it is taken and
 * the tracer ends, the signal that the thread stopped for is lost.
 */
static bool has_stopped(struct mt_stop *s, struct mt_stop_thread *t)
{
	siginfo_t si = {0};

	if (waitid(P_PID, (id_t)t->tid, &si, WSTOPPED | WNOHANG | WNOWAIT | __WALL)) {
		t->state = MT_STOP_GONE;
		return true;
	}
	if (!si.si_pid)
		return false;
	on_stop(s, t, si.si_status);
	return true;
}

void mt_stop_reap(struct mt_stop *s)
{
	for (size_t i = 0; i < s->n; i++) {
		siginfo_t si = {0};
		id_t tid = (id_t)s->v[i].tid;

		/* The process's exit status is its parent's; a thread has no other reader. */
		if (s->v[i].tid == s->pid)
			continue;
		/* A stop is told whether asked for or not; that one must stay untaken. */
		if (!waitid(P_PID, tid, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) && si.si_pid &&
		    si.si_code != CLD_TRAPPED && si.si_code != CLD_STOPPED)
			waitid(P_PID, tid, &si, WEXITED | WNOHANG | __WALL);
	}
}

/* Threads that wait uninterruptibly will stop before they run again: they sleep. */
static int look_at_taken(struct mt_stop *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct mt_stop_thread *t = &s->v[i];
		int r;

		if (t->state != MT_STOP_TAKEN)
			continue;
		r = mt_stop_look(s, t);
		if (r)
			return r;
		/* A thread in a ptrace stop looks asleep. */
		if (t->state == MT_STOP_AWAKE)
			t->state = MT_STOP_TAKEN;
		else if (t->state == MT_STOP_ASLEEP)
			has_stopped(s, t);
	}
	return 0;
}

/* Waits until none is TAKEN; -ETIME. A pause costs more than most threads need to stop. */
static int await(struct mt_stop *s, uint64_t until)
{
	uint64_t now = mt_clock_ns(CLOCK_MONOTONIC), look = now + LOOK_NS, spin = now + SPIN_NS;
	size_t left;
	int r = 0;

	for (;;) {
		left = 0;
		for (size_t i = 0; i < s->n; i++)
			if (s->v[i].state == MT_STOP_TAKEN)
				left += !has_stopped(s, &s->v[i]);
		now = mt_clock_ns(CLOCK_MONOTONIC);
		if (r || !left)
			return r;
		if (now >= until)
			return -ETIME;
		if (now >= look) {
			r = look_at_taken(s);
			look = now + LOOK_NS;
		} else if (now >= spin) {
			mt_stop_pause(POLL_NS);
		}
	}
}

/* Those that were told to stop are soon ASLEEP, HELD or GONE. */
static int interrupt(struct mt_stop *s, struct mt_stop_thread *t)
{
	if (!s->held_since)
		s->held_since = mt_clock_ns(CLOCK_MONOTONIC);
	t->state = MT_STOP_TAKEN;
	t->told = true;
	if (!ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL))
		return 0;
	if (errno != ESRCH)
		return mt_stop_why(s, -errno, "thread %d cannot be stopped", (int)t->tid);
	t->state = MT_STOP_GONE;
	return 0;
}

static int seize(struct mt_stop *s, struct mt_stop_thread *t)
{
	int r = 0;

	if (t->seized || !ptrace(PTRACE_SEIZE, t->tid, NULL, NULL)) {
		t->seized = true;
		return 0;
	}
	/* EPERM is also said of one that has just ended. */
	if (errno == EPERM)
		r = mt_stop_traced(s, t->tid);
	else if (errno != ESRCH)
		r = -errno;
	else
		r = -ESRCH;
	if (r == -ESRCH) {
		t->state = MT_STOP_GONE;
		return 0;
	}
	return r ? r : mt_stop_why(s, -EPERM, "no permission to stop it by ptrace");
}

/*
 * To be taken asleep: it has woken before, or others have, time and again, and
 * it would not notice.
 */
static bool is_restless(const struct mt_stop *s, const struct mt_stop_thread *t)
{
	if (t->state != MT_STOP_ASLEEP || t->inside || !mt_stop_interruptible(t))
		return false;
	if (s->spoilt >= SPOILT_MAX && mt_stop_unnoticed(t))
		return true;
	return t->restless_until && mt_clock_ns(CLOCK_MONOTONIC) < t->restless_until;
}

/* One that has fallen asleep meanwhile is left alone, traced or not. */
static int take(struct mt_stop *s, struct mt_stop_thread *t)
{
	int r = seize(s, t);

	if (!r && t->state != MT_STOP_GONE)
		r = mt_stop_look(s, t);
	if (r || t->state == MT_STOP_GONE)
		return r;
	return t->state == MT_STOP_AWAKE || is_restless(s, t) ? interrupt(s, t) : 0;
}

/* Sleepers first, while nobody is held yet; then who is awake. */
static int settle(struct mt_stop *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n; i++) {
		struct mt_stop_thread *t = &s->v[i];

		if (t->state != MT_STOP_NEW || (t->seized && has_stopped(s, t)))
			continue;
		r = mt_stop_look(s, t);
		if (is_restless(s, t))
			t->state = MT_STOP_AWAKE;
		if (!(i % 64) && mt_stop_late(s))
			return -ETIME;
	}
	/* to seize may have to wait, for an exec say: nobody is to be held for that */
	for (size_t i = 0; !r && i < s->n; i++)
		if (s->v[i].state == MT_STOP_AWAKE)
			r = seize(s, &s->v[i]);
	for (size_t i = 0; !r && i < s->n; i++)
		if (s->v[i].state == MT_STOP_AWAKE)
			r = take(s, &s->v[i]);
	return r ? r : await(s, s->deadline);
}

/*
 * Lets some of those inside run, in turn: more than there is room for beside
 * us would only wait for each other.
 */
static size_t let_run(struct mt_stop *s)
{
	size_t running = 0, from = s->turn;

	for (size_t i = 0; i < s->n && running < s->at_once; i++) {
		struct mt_stop_thread *t = &s->v[(from + i) % s->n];

		if (t->state != MT_STOP_HELD || !t->inside || t->group_stop)
			continue;
		s->turn = (from + i + 1) % s->n;
		if (t->sig && !t->handler_sp)
			t->handler_sp = t->sp;
		if (ptrace(PTRACE_CONT, t->tid, NULL, (long)t->sig)) {
			t->state = MT_STOP_GONE;
			continue;
		}
		t->state = MT_STOP_TAKEN;
		running++;
	}
	return running;
}

/* True once those that are let run have been on a CPU; before, a stop gains nothing. */
static bool have_run(const struct mt_stop *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct mt_stop_thread *t = &s->v[i];
		uint64_t switches;

		if (t->state == MT_STOP_TAKEN && !mt_stop_switches(s, t->tid, &switches) &&
		    switches == t->switches)
			return false;
	}
	return true;
}

static void wait_for_run(const struct mt_stop *s)
{
	uint64_t until = mt_clock_ns(CLOCK_MONOTONIC) + START_NS;

	do {
		mt_stop_pause(POLL_NS);
	} while (s->schedstat && !have_run(s) && mt_clock_ns(CLOCK_MONOTONIC) < until);
	mt_stop_pause(RUN_NS);
}

static int stop_again(struct mt_stop *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n; i++) {
		struct mt_stop_thread *t = &s->v[i];

		if (t->state != MT_STOP_TAKEN || has_stopped(s, t))
			continue;
		r = mt_stop_look(s, t);
		if (t->state == MT_STOP_AWAKE)
			r = interrupt(s, t);
	}
	return r ? r : await(s, s->deadline);
}

/* 1: some were inside and have run; everything may be different. 0: no one to let run. */
static int drain(struct mt_stop *s)
{
	for (int i = 0; i < RUNS_PER_LOOK; i++) {
		int r;

		if (!let_run(s))
			return i > 0;
		wait_for_run(s);
		r = stop_again(s);
		if (r)
			return r;
		if (mt_stop_late(s))
			break;
	}
	return 1;
}

/* Of one asleep that keeps the process from standing still. */
static const char *what_it_does(const struct mt_stop_thread *t)
{
	switch (t->nr) {
	case -1:
		return "sleeps inside malloc, in a page fault";
	case SYS_futex:
		return "sleeps inside malloc, before a lock";
	case SYS_vfork:
	case SYS_clone:
	case SYS_clone3:
		return "waits for a child that runs in the same memory";
	case SYS_execve:
	case SYS_execveat:
		return "executes another program";
	default:
		return "sleeps inside malloc";
	}
}

/* 0: nobody is inside. -EAGAIN: somebody is, who sleeps, or is not let run. */
static int look_for_inside(struct mt_stop *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct mt_stop_thread *t = &s->v[i];

		if (!t->inside || (t->state != MT_STOP_ASLEEP && t->state != MT_STOP_HELD))
			continue;
		s->stuck = i;
		if (t->state == MT_STOP_HELD)
			return mt_stop_why(s, -EAGAIN, "thread %d was inside malloc at every look",
					   (int)t->tid);
		return mt_stop_why(s, -EAGAIN, "thread %d %s", (int)t->tid, what_it_does(t));
	}
	return 0;
}

static int overdue(struct mt_stop *s)
{
	int r = look_for_inside(s);

	return r ? r : mt_stop_why(s, -ETIME, "it could not be stopped");
}

/*
 * The kernel makes its mapping at the first hit of a probe, which may have come
 * since: with it known, who was outside may be inside. 1: it is new.
 */
static int look_for_uprobes(struct mt_stop *s)
{
	size_t known = s->n_uprobes;
	int r = mt_stop_find_uprobes(s);

	if (r || s->n_uprobes == known)
		return r;
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].state == MT_STOP_HELD || s->v[i].state == MT_STOP_ASLEEP)
			s->v[i].inside = mt_stop_inside(s, &s->v[i]);
	return 1;
}

int mt_stop_gather(struct mt_stop *s)
{
	for (;;) {
		size_t fresh, moved = 0;
		int r;

		if (mt_stop_late(s))
			return overdue(s);
		r = mt_stop_list(s, &fresh);
		if (!r)
			r = settle(s);
		if (!r && !fresh)
			r = mt_stop_verify(s, &moved);
		if (!r && (fresh || moved))
			continue;
		if (!r)
			r = drain(s);
		if (r == -ETIME)
			return overdue(s);
		if (!r)
			r = look_for_uprobes(s);
		/* the last one to be held may have made another just before */
		if (!r)
			r = mt_stop_list(s, &fresh);
		if (r < 0)
			return r;
		if (!r && !fresh) {
			r = look_for_inside(s);
			return r ? r : mt_stop_alive(s);
		}
	}
}

/* Those that were told to stop and have not yet; who has stopped by itself is seen to. */
static size_t stragglers(struct mt_stop *s)
{
	size_t left = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct mt_stop_thread *t = &s->v[i];

		if (!t->seized || t->state == MT_STOP_HELD || t->state == MT_STOP_GONE)
			continue;
		if (!has_stopped(s, t))
			left += t->told;
		else if (t->state == MT_STOP_HELD)
			ptrace(PTRACE_DETACH, t->tid, NULL, (long)t->sig);
	}
	return left;
}

void mt_stop_release(struct mt_stop *s)
{
	uint64_t until = mt_clock_ns(CLOCK_MONOTONIC) + GRACE_NS;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].state == MT_STOP_HELD)
			ptrace(PTRACE_DETACH, s->v[i].tid, NULL, (long)s->v[i].sig);
	while (stragglers(s) && mt_clock_ns(CLOCK_MONOTONIC) < until)
		mt_stop_pause(POLL_NS);
}
