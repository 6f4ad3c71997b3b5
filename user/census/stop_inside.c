/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a thread is: inside malloc or not, and what its system call tells. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "census/stop_internal.h"
#include "sys/procfs.h"

#define STACK_WORDS 24
/* An arena's mutex stands at its heap's start, which is aligned to 64 MiB, 8 with other pages. */
#define HEAP_ALIGN (1u << 20)
#define HEAP_HEAD  0x100u
/* No stack has more of it behind a function. */
#define STACK_SPAN (64u << 20)

enum {
	ALLOC = 1,     /* an allocator makes it */
	REPEAT = 2,    /* can return a plain EINTR, having done nothing, and be made again */
	INTERRUPT = 4, /* its sleep can be interrupted: nothing is half done, EINTR is repeated */
};

struct call {
	uint16_t nr;
	uint8_t flags;
};

/*
 * What a signal without handler does to a call in the kernel: -ERESTART* codes
 * make it again by themselves; -EINTR goes to the caller. From its sources.
 */
static const struct call calls[] = {
	{SYS_mmap, ALLOC},
	{SYS_munmap, ALLOC},
	{SYS_mprotect, ALLOC},
	{SYS_brk, ALLOC},
	{SYS_mremap, ALLOC},
	{SYS_madvise, ALLOC},
	{SYS_sched_yield, ALLOC},
	{SYS_prctl, ALLOC},
	{SYS_getrandom, ALLOC},
	{SYS_epoll_wait, REPEAT | INTERRUPT},
	{SYS_epoll_pwait, REPEAT | INTERRUPT},
	{SYS_epoll_pwait2, REPEAT | INTERRUPT},
	{SYS_semop, REPEAT | INTERRUPT},
	{SYS_semtimedop, REPEAT | INTERRUPT},
	{SYS_msgrcv, REPEAT | INTERRUPT},
	{SYS_msgsnd, REPEAT | INTERRUPT},
	{SYS_rt_sigtimedwait, REPEAT | INTERRUPT},
	{SYS_io_getevents, REPEAT | INTERRUPT},
	{SYS_io_pgetevents, REPEAT | INTERRUPT},
	{SYS_io_uring_enter, REPEAT | INTERRUPT},
	{SYS_accept, REPEAT | INTERRUPT},
	{SYS_accept4, REPEAT | INTERRUPT},
	{SYS_recvfrom, REPEAT | INTERRUPT},
	{SYS_recvmsg, REPEAT | INTERRUPT},
	{SYS_recvmmsg, REPEAT},
	{SYS_read, REPEAT | INTERRUPT},
	{SYS_readv, REPEAT | INTERRUPT},
	{SYS_write, REPEAT},
	{SYS_writev, REPEAT},
	{SYS_sendto, REPEAT},
	{SYS_sendmsg, REPEAT},
	{SYS_sendmmsg, REPEAT},
	{SYS_futex, INTERRUPT},
	{SYS_nanosleep, INTERRUPT},
	{SYS_clock_nanosleep, INTERRUPT},
	{SYS_restart_syscall, INTERRUPT},
	{SYS_poll, INTERRUPT},
	{SYS_ppoll, INTERRUPT},
	{SYS_select, INTERRUPT},
	{SYS_pselect6, INTERRUPT},
	{SYS_pause, INTERRUPT},
	{SYS_rt_sigsuspend, INTERRUPT},
	{SYS_wait4, INTERRUPT},
	{SYS_waitid, INTERRUPT},
};

static unsigned int flags_of(int64_t nr)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].nr == nr)
			return calls[i].flags;
	return 0;
}

bool mt_stop_repeatable(int64_t nr)
{
	return flags_of(nr) & REPEAT;
}

/* With MSG_WAITALL a part may have come, which is then all that comes. */
static bool waits_for_all(const struct mt_stop_thread *t)
{
	return (t->nr == SYS_recvfrom && t->args[3] & MSG_WAITALL) ||
	       (t->nr == SYS_recvmsg && t->args[2] & MSG_WAITALL);
}

bool mt_stop_interruptible(const struct mt_stop_thread *t)
{
	return flags_of(t->nr) & INTERRUPT && !waits_for_all(t);
}

/*
 * Calls that the kernel goes on with as if nothing had been, their timeouts
 * too; of the others those that wait for ever.
 */
bool mt_stop_unnoticed(const struct mt_stop_thread *t)
{
	switch (t->nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int32_t)t->args[3] < 0;
	case SYS_rt_sigtimedwait:
		return !t->args[2];
	case SYS_semtimedop:
		return !t->args[3];
	case SYS_epoll_pwait2:
		return !t->args[3];
	default:
		return !(flags_of(t->nr) & REPEAT) || t->nr == SYS_semop;
	}
}

static bool within(uint64_t addr, uint64_t lo, uint64_t hi)
{
	return addr >= lo && addr < hi;
}

static int add_uprobes(const struct mt_mapping *m, void *ctx)
{
	struct mt_stop *s = ctx;

	/* An own mapping of the target cannot have such a name: a file's begins with '/'. */
	if (strcmp(m->path, "[uprobes]") != 0 && strcmp(m->path, "[uprobes-trampoline]") != 0)
		return 0;
	if (s->n_uprobes == MT_STOP_RANGES)
		return mt_stop_why(s, -EAGAIN, "it has too many mappings for uprobes");
	s->uprobes[s->n_uprobes++] = (struct mt_stop_range){m->start, m->end};
	return 0;
}

int mt_stop_find_uprobes(struct mt_stop *s)
{
	s->n_uprobes = 0;
	if (s->zone.anywhere)
		return 0;
	return mt_maps_each(s->pid, add_uprobes, s);
}

static bool on_lock(const struct mt_stop *s, uint64_t addr)
{
	const struct mt_stop_zone *z = &s->zone;

	if (within(addr, z->data_lo, z->data_hi) || addr % HEAP_ALIGN < HEAP_HEAD)
		return true;
	return z->is_lock && z->is_lock(z->ctx, addr);
}

/* True in a call that no allocator makes. */
static bool elsewhere(const struct mt_stop *s, const struct mt_stop_thread *t)
{
	if (t->nr < 0 || flags_of(t->nr) & ALLOC)
		return false;
	return t->nr != SYS_futex || !on_lock(s, t->args[0]);
}

static bool on_text(const struct mt_stop *s, uint64_t addr)
{
	for (size_t i = 0; i < s->zone.n_text; i++)
		if (within(addr, s->zone.text[i].lo, s->zone.text[i].hi))
			return true;
	return false;
}

bool mt_stop_on_uprobes(const struct mt_stop *s, uint64_t addr)
{
	for (size_t i = 0; i < s->n_uprobes; i++)
		if (within(addr, s->uprobes[i].lo, s->uprobes[i].hi))
			return true;
	return false;
}

/*
 * True if one of the words on top of the stack leads into the allocator's text,
 * or to where the kernel has a probed function return: calloc leaves by a jump
 * to memset, and its block has not been counted yet.
 */
static bool returns_into(const struct mt_stop *s, uint64_t sp)
{
	uint64_t word[STACK_WORDS], n = STACK_WORDS;

	if (s->mem.mem.read(&s->mem.mem, sp, word, sizeof(word))) {
		/* The stack may end before. */
		n = (MT_MEM_PAGE - sp % MT_MEM_PAGE) / sizeof(word[0]);
		if (n > STACK_WORDS || s->mem.mem.read(&s->mem.mem, sp, word, n * sizeof(word[0])))
			return true;
	}
	for (uint64_t i = 0; i < n; i++)
		if (on_text(s, word[i]) || mt_stop_on_uprobes(s, word[i]))
			return true;
	return false;
}

/*
 * A handler's frames hide those of malloc, and may lie on a stack of their own:
 * it is over when the stack pointer has come back to where it was or beyond.
 */
static bool in_handler(struct mt_stop_thread *t)
{
	if (!t->handler_sp)
		return false;
	if (!within(t->sp, t->handler_sp, t->handler_sp + STACK_SPAN))
		return true;
	t->handler_sp = 0;
	return false;
}

/*
 * Where the process's memory is another's to change, or dies: a child that
 * vfork made runs in it, and an exec has killed the other threads wherever
 * they were.
 */
static bool lends_memory(const struct mt_stop *s, const struct mt_stop_thread *t)
{
	uint64_t flags = t->args[0];

	switch (t->nr) {
	case SYS_execve:
	case SYS_execveat:
	case SYS_vfork:
		return true;
	case SYS_clone3:
		if (s->mem.mem.read(&s->mem.mem, t->args[0], &flags, sizeof(flags)))
			return true;
		return flags & CLONE_VFORK;
	case SYS_clone:
		return flags & CLONE_VFORK;
	default:
		return false;
	}
}

/* Where the thread is by its registers alone. */
static bool is_inside(const struct mt_stop *s, const struct mt_stop_thread *t)
{
	const struct mt_stop_zone *z = &s->zone;

	if (mt_stop_on_uprobes(s, t->pc))
		return true;
	if (!z->n_text)
		return !elsewhere(s, t);
	if (on_text(s, t->pc))
		return true;
	if (!within(t->pc, z->file_lo, z->file_hi) || elsewhere(s, t))
		return false;
	return returns_into(s, t->sp);
}

/* mov $15,%rax; syscall: rt_sigreturn, to which a handler returns. */
static bool is_restorer(const struct mt_stop *s, uint64_t addr)
{
	static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
	uint8_t have[sizeof(code)];

	return within(addr, s->zone.file_lo, s->zone.file_hi) &&
	       !s->mem.mem.read(&s->mem.mem, addr, have, sizeof(have)) &&
	       !memcmp(have, code, sizeof(code));
}

/* struct rt_sigframe of arch/x86: the restorer's address, then the ucontext. */
#define FRAME_RSP    168
#define FRAME_RIP    176
#define FRAMES_MAX   8
#define HANDLER_SPAN (64u << 10) /* of stack that a handler and what it calls may have */

/* The signal frame nearest above sp: what it interrupted goes to t. False: there is none. */
static bool step_out(const struct mt_stop *s, struct mt_stop_thread *t)
{
	uint64_t word[MT_MEM_PAGE / 8], at = t->sp & ~7ull, end = at + HANDLER_SPAN;

	for (; at < end; at += sizeof(word)) {
		if (s->mem.mem.read(&s->mem.mem, at, word, sizeof(word)))
			return false; /* the stack ends */
		for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
			uint64_t frame = at + 8 * i;

			if (!is_restorer(s, word[i]))
				continue;
			t->nr = -1;
			return !s->mem.mem.read(&s->mem.mem, frame + FRAME_RSP, &t->sp, 8) &&
			       !s->mem.mem.read(&s->mem.mem, frame + FRAME_RIP, &t->pc, 8);
		}
	}
	return false;
}

/*
 * A signal's handler may have come into malloc before we looked, which single
 * threads enter without a lock. While it runs its signal is blocked.
 */
static bool hides_malloc(const struct mt_stop *s, const struct mt_stop_thread *t)
{
	struct mt_stop_thread outer = *t;

	if (!mt_stop_handles(s, t->tid))
		return false;
	for (int i = 0; i < FRAMES_MAX && step_out(s, &outer); i++)
		if (is_inside(s, &outer))
			return true;
	return false;
}

bool mt_stop_inside(const struct mt_stop *s, struct mt_stop_thread *t)
{
	if (s->zone.anywhere)
		return false;
	if (!t->sp && !t->pc)
		return false; /* it has exited */
	return in_handler(t) || lends_memory(s, t) || is_inside(s, t) || hides_malloc(s, t);
}
