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

#include "base/clock.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/procfs.h"

/* A new image is looked at again after 1 ms, 2 ms, 4 ms, … 1 s, until its allocator is mapped. */
#define RELOOK_MIN_NS 1000000u
#define RELOOK_MAX_NS 1000000000u

static void arm(struct mt_session *s, uint64_t ns)
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

/* False: an exec that came before the target was entered anew. */
static bool is_news(const struct mt_session *s, struct mt_tracee *t)
{
	uint32_t key = (uint32_t)t->pid;
	struct mt_target k;

	if (bpf_map__lookup_elem(s->progs.skel->maps.mt_targets, &key, sizeof(key), &k, sizeof(k),
				 0) ||
	    k.execs == t->execs)
		return false;
	t->execs = k.execs;
	return true;
}

static int on_life(void *ctx, void *data, size_t size)
{
	struct mt_session *s = ctx;
	const struct mt_life *l = data;

	if (size < sizeof(*l))
		return 0;
	for (size_t i = 0; i < s->n; i++) {
		struct mt_tracee *t = s->tracees[i];

		if ((uint32_t)t->pid != l->tgid || t->ended)
			continue;
		if (!is_news(s, t))
			continue;
		t->relook = true;
		t->moved = t->moved || l->type == MT_LIFE_EXEC_MOVED;
		t->untraced = s->keeper_gone;
		t->full_ns = 0;
		t->parts_ns = 0;
		memset(&t->vm, 0, sizeof(t->vm));
		mt_census_forget(t);
		mt_vm_cache_free(&t->vm_cache);
		if (mt_proc_exe(t->pid, t->exe, sizeof(t->exe)))
			t->exe[0] = '\0';
		t->since = MT_SINCE_START;
		if (!s->progs.zero_at_exec) {
			take_base(s, t);
			t->since = MT_SINCE_ATTACH;
		}
		arm(s, RELOOK_MIN_NS);
	}
	return 0;
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

/* The target's last numbers stay in the maps; its probes are of no more use. */
void mt_life_handle_exit(struct mt_session *s, struct mt_tracee *t)
{
	t->ended = true;
	t->ended_ns = mt_clock_ns(CLOCK_MONOTONIC);
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, t->pidfd, NULL);
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

/* The probes that stood before the exec serve the new image too, if it has the same allocator. */
static bool probes_stand(const struct mt_tracee *t, const struct mt_alloc_found *found)
{
	return !t->moved && found->dev == t->found->dev && found->inode == t->found->inode;
}

/* The first calls went by before these probes stood. */
static int attach_new_image(struct mt_session *s, struct mt_tracee *t, struct mt_alloc_found *found)
{
	struct mt_alloc_found *old = t->found;
	int r;

	t->found = found;
	t->since = MT_SINCE_ATTACH;
	r = mt_tracee_attach(s, t);
	/* without probes, those of before do not serve either: they are gone */
	t->moved = r != 0;
	t->found = r ? old : found;
	free(r ? found : old);
	if (r)
		return r;
	mt_read_levels(s, t, MT_VM_FULL);
	mt_census_settle(t);
	return 0;
}

/* 0: settled; -EAGAIN: still loading. */
static int relook(struct mt_session *s, struct mt_tracee *t)
{
	struct mt_alloc_found *found = NULL;
	int r = detect_quietly(t->pid, &found);

	if (r == -ENOENT || r == -ESRCH)
		return -EAGAIN;
	t->relook = false;
	if (!r && probes_stand(t, found)) {
		free(found);
		return 0;
	}
	if (!r)
		r = attach_new_image(s, t, found);
	else
		mt_warn("%s; it is not counted after its exec", refusal);
	t->untraced = r != 0;
	return 0;
}

int mt_life_relook(struct mt_session *s)
{
	bool again = false;
	uint64_t expired;

	if (read(s->timer_fd, &expired, sizeof(expired)) < 0)
		return 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->tracees[i]->relook && !s->tracees[i]->ended &&
		    relook(s, s->tracees[i]) == -EAGAIN)
			again = true;
	if (again)
		arm(s, s->relook_ns < RELOOK_MAX_NS ? 2 * s->relook_ns : RELOOK_MAX_NS);
	return 0;
}
