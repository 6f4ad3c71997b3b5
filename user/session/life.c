/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of the targets. The end is told by a pidfd, a new image by the
 * ring buffer; the kernel has zeroed the counts of a new image by then.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/procfs.h"

/* A new image is looked at again after 1 ms, 2 ms, 4 ms, … 1 s, until its allocator is mapped. */
#define RELOOK_MIN_NS 1000000u
#define RELOOK_MAX_NS 1000000000u

void mt_life_arm(struct mt_session *s, uint64_t ns)
{
	struct itimerspec it = {.it_value = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}};

	s->relook_ns = ns;
	timerfd_settime(s->timer_fd, 0, &it, NULL);
}

/* Kernels that cannot zero the counts at exec: what is there now becomes the base. */
static void take_base(struct mt_session *s, struct mt_tracee *t)
{
	struct mt_flows now;

	if (!mt_read_raw(s, t, &now))
		t->base = now;
}

/* A crowd of forks must not wait for slots until all of its events are read. */
#define REFILL_AFTER 32

static void refill(struct mt_session *s)
{
	if (++s->forks % REFILL_AFTER == 0)
		mt_slots_refill(&s->slots);
}

/* What /proc shows in clock ticks, USER_HZ. */
static uint64_t ticks_of(uint64_t ns)
{
	return ns / (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* A process that the kernel has entered. It may be gone already. */
static struct mt_tracee *new_child(struct mt_session *s, const struct mt_life *l)
{
	const struct mt_tracee *parent = mt_tracee_find(s, (pid_t)l->target.owner);
	MT_CLEANUP(mt_tracee_free) struct mt_tracee *t = NULL;
	struct mt_tracee *ret;

	if (mt_tracee_new((pid_t)l->tgid, &t))
		return NULL;
	t->slot = l->target.slot;
	t->flags = l->target.flags;
	t->execs = l->target.execs;
	t->since = MT_SINCE_ATTACH;
	if (parent) { /* it has its parent's: reading /proc would take longer than a fork */
		memcpy(t->exe, parent->exe, sizeof(t->exe));
		memcpy(t->cgroup, parent->cgroup, sizeof(t->cgroup));
	} else {
		mt_tracee_describe(t);
	}
	t->start_time = ticks_of(l->target.start);
	t->ppid = (pid_t)l->target.ptgid;
	snprintf(t->comm, sizeof(t->comm), "%.*s", (int)sizeof(l->target.comm), l->target.comm);
	ret = t;
	return mt_tracee_adopt(s, &t) ? NULL : ret;
}

/*
 * Its heap is a copy: the kernel has copied the counts, here is what stands beside
 * them. A census of the parent that came after the fork does not tell of the child.
 */
static void on_fork(struct mt_session *s, const struct mt_life *l)
{
	const struct mt_tracee *parent = mt_tracee_find(s, (pid_t)l->target.owner);
	struct mt_tracee *t = new_child(s, l);

	if (!t || !parent)
		return;
	if (l->time >= parent->base_ns) {
		t->since = parent->since;
		t->base = parent->base;
		t->base_ns = parent->base_ns;
		memset(t->base.vm, 0, sizeof(t->base.vm));
		t->base.events = 0;
		memcpy(t->levels, parent->levels, sizeof(t->levels));
		t->wants_census = parent->wants_census;
	} else {
		mt_census_want(s, t);
	}
	mt_golang_inherit(t, parent);
	t->found = parent->found;
	t->learned = parent->learned;
	t->exec_ns = parent->exec_ns;
	t->untraced = parent->untraced;
}

static void on_exec(struct mt_session *s, struct mt_tracee *t, const struct mt_life *l)
{
	if (s->opts.all && mt_is_memtrace(t->pid)) {
		mt_life_end(s, t, NULL);
		t->reported = true;
		return;
	}
	t->execs = l->target.execs;
	mt_blocks_drop(s, t->slot, t->execs);
	t->exec_ns = l->time;
	t->untraced = s->keeper_gone;
	t->learned = 0;
	t->found = NULL;
	t->full_ns = 0;
	t->parts_ns = 0;
	t->wants_census = false;
	memset(&t->vm, 0, sizeof(t->vm));
	mt_census_forget(t);
	mt_golang_look(s, t);
	mt_vm_cache_free(&t->vm_cache);
	snprintf(t->comm, sizeof(t->comm), "%.*s", (int)sizeof(l->target.comm), l->target.comm);
	if (mt_proc_exe(t->pid, t->exe, sizeof(t->exe)))
		t->exe[0] = '\0';
	mt_proc_cgroup(t->pid, t->cgroup, sizeof(t->cgroup)); /* engines move before they exec */
	t->since = MT_SINCE_START;
	if (!s->progs.zero_at_exec) {
		take_base(s, t);
		t->since = MT_SINCE_ATTACH;
	}
	if (t->flags & MT_TARGET_FOLLOW)
		return;
	if (l->type == MT_LIFE_EXEC_MOVED)
		mt_files_forget(s, t->pid);
	t->relook = true;
	mt_life_arm(s, RELOOK_MIN_NS);
}

static int on_life(void *ctx, void *data, size_t size)
{
	struct mt_session *s = ctx;
	const struct mt_life *l = data;
	struct mt_tracee *t;

	if (size < sizeof(*l))
		return 0;
	t = mt_tracee_find(s, (pid_t)l->tgid);
	if (l->type == MT_LIFE_FORK) {
		on_fork(s, l);
		refill(s);
	} else if (!t && (l->type == MT_LIFE_EXEC || l->type == MT_LIFE_EXEC_MOVED))
		t = new_child(s, l);
	if (!t) {
		mt_files_release(s, l);
		return 0;
	}
	switch (l->type) {
	case MT_LIFE_EXEC:
	case MT_LIFE_EXEC_MOVED:
		on_exec(s, t, l);
		mt_marks_on_exec(s, l);
		break;
	case MT_LIFE_FILE:
		mt_files_on_event(s, t, l);
		break;
	case MT_LIFE_LEAVING:
		mt_golang_on_leaving(s, t);
		mt_files_release(s, l);
		break;
	case MT_LIFE_MARK:
		mt_marks_on_event(s, l);
		break;
	case MT_LIFE_OOM:
		mt_marks_on_oom(s, t, l);
		break;
	case MT_LIFE_EXIT:
		mt_life_end(s, t, &l->target);
		t->ended_ns = l->time;
		break;
	default:
		break;
	}
	return 0;
}

/* Of those whose end could not be told. */
static void end_untold(struct mt_session *s)
{
	struct mt_target k;

	for (size_t i = 0; i < s->n; i++) {
		struct mt_tracee *t = s->tracees[i];

		if (!t->ended && mt_tracee_target(s, t, &k) && (k.flags & MT_TARGET_EXITED))
			mt_life_end(s, t, NULL);
	}
}

/* The ring was full when events were lost: so there is always one more to come here by. */
void mt_life_consume(struct mt_session *s)
{
	const __u64 *lost = &s->progs.skel->bss->mt_life_lost;

	if (s->consuming)
		return;
	s->consuming = true;
	ring_buffer__consume(s->life);
	s->consuming = false;
	/* what waited in vain is behind us: new files are waited for again */
	if (s->progs.skel->bss->mt_unanswered)
		__atomic_store_n(&s->progs.skel->bss->mt_unanswered, 0, __ATOMIC_RELAXED);
	if (__atomic_load_n(lost, __ATOMIC_RELAXED) == s->life_lost)
		return;
	s->life_lost = __atomic_load_n(lost, __ATOMIC_RELAXED);
	end_untold(s);
}

int mt_life_open(struct mt_session *s)
{
	struct epoll_event ev = {.events = EPOLLIN};

	s->life = ring_buffer__new(bpf_map__fd(s->progs.skel->maps.mt_life), on_life, s, NULL);
	if (!s->life)
		return mt_err_r(-errno, "cannot open the ring buffer: %s", strerror(errno));
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer_fd < 0)
		return mt_err_r(-errno, "cannot make a timer: %s", strerror(errno));
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ring_buffer__epoll_fd(s->life), &ev) ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->timer_fd, &ev) ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->keeper.fd, &ev))
		return mt_err_r(-errno, "epoll: %s", strerror(errno));
	return 0;
}

/* Its last numbers stay in its slot until they are shown. */
void mt_life_end(struct mt_session *s, struct mt_tracee *t, const struct mt_target *last)
{
	uint32_t key = (uint32_t)t->pid;
	struct mt_target k;

	if (last)
		t->last = *last;
	else if (mt_tracee_target(s, t, &k)) {
		t->last = k;
		bpf_map__delete_elem(s->progs.skel->maps.mt_targets, &key, sizeof(key), 0);
	}
	t->ended = true;
	t->ended_ns = mt_clock_ns(CLOCK_MONOTONIC);
	mt_tracee_unlist(s, t);
}

static char refusal[256];

static void keep_refusal(enum mt_log_level level, const char *msg)
{
	if (level == MT_LOG_ERR)
		snprintf(refusal, sizeof(refusal), "%s", msg);
}

/* Detection whose errors are not the user's yet: the image may still be loading. */
static int detect_quietly(pid_t pid, struct mt_alloc_found **found)
{
	struct mt_maps *maps = NULL;
	mt_log_fn sink;
	int r = mt_maps_read(pid, &maps);

	if (r)
		return r;
	sink = mt_log_set_sink(keep_refusal);
	r = mt_alloc_detect(pid, maps, found);
	mt_log_set_sink(sink);
	mt_maps_free(&maps);
	return r;
}

/*
 * Where children are not followed, one target is all there is: what its new image
 * lacks is worth a line. 0: settled; -EAGAIN: still loading.
 */
static int relook(struct mt_session *s, struct mt_tracee *t)
{
	struct mt_alloc_found *found = NULL;
	int r = detect_quietly(t->pid, &found);

	if (r == -ENOENT || r == -ESRCH)
		return -EAGAIN;
	t->relook = false;
	mt_alloc_found_free(&found);
	if (r == -ENODATA && mt_golang_open(s, t))
		return 0; /* of a static one the runtime tells all */
	if (!r && !t->found)
		r = mt_files_scan(s, t->pid);
	else if (r)
		mt_warn("%s; it is not counted after its exec", refusal);
	t->untraced = t->untraced || r != 0;
	return 0;
}

/* One of those that wait for their census: others may end, exec or map something meanwhile. */
static bool take_one_census(struct mt_session *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct mt_tracee *t = s->tracees[i];

		if (!t->wants_census || t->ended)
			continue;
		t->wants_census = false;
		if (!mt_census_begin(s, t))
			mt_census_settle(t);
		return true;
	}
	return false;
}

int mt_life_on_timer(struct mt_session *s)
{
	bool again = false;
	uint64_t expired;

	if (read(s->timer_fd, &expired, sizeof(expired)) < 0)
		return 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->tracees[i]->relook && !s->tracees[i]->ended &&
		    relook(s, s->tracees[i]) == -EAGAIN)
			again = true;
	if (take_one_census(s))
		mt_life_arm(s, 1);
	else if (again)
		mt_life_arm(s, s->relook_ns < RELOOK_MAX_NS ? 2 * s->relook_ns : RELOOK_MAX_NS);
	return 0;
}
