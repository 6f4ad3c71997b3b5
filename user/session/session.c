/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session/session.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "census/census.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/procfs.h"

#define MANY_TARGETS 16384
#define SMAPS_NS     10000000000u /* 10 s: smaps holds the target's mmap lock */

__attribute__((format(printf, 2, 0))) static int libbpf_log(enum libbpf_print_level level,
							    const char *fmt, va_list ap)
{
	char buf[512];
	size_t n;

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(buf, sizeof(buf), fmt, ap);
	n = strlen(buf);
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	mt_log(MT_LOG_DEBUG, "%s", buf);
	return 0;
}

int mt_session_new(const struct mt_session_opts *opts, struct mt_session **ret)
{
	struct mt_session *s;
	int r = mt_kernel_require();

	if (r)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	libbpf_set_print(libbpf_log);
	s->opts = *opts;
	if (!s->opts.max_targets)
		s->opts.max_targets = s->opts.follow || s->opts.all ? MANY_TARGETS : 1;
	if (s->opts.marks)
		s->opts.max_targets += MT_MARK_SLOTS;
	if (!s->opts.smaps_ns)
		s->opts.smaps_ns = SMAPS_NS;
	if (!s->opts.max_stop_ns)
		s->opts.max_stop_ns = MT_CENSUS_MAX_STOP_NS;
	s->timer_fd = -1;
	s->blocks_fd = -1;
	s->marks.news_fd = -1;
	uname(&s->host);
	s->start_ns = mt_clock_ns(CLOCK_MONOTONIC);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->cpus = libbpf_num_possible_cpus();
	if (s->cpus > 0)
		s->percpu = calloc((size_t)s->cpus, sizeof(*s->percpu));
	r = s->epoll_fd < 0 || !s->percpu ? -ENOMEM : 0;
	if (!r)
		r = mt_kernel_probe(&s->kernel);
	if (!r)
		r = mt_progs_load(&s->progs, &s->kernel, &s->opts);
	if (!r && !s->progs.zero_at_exec && (s->opts.follow || s->opts.all))
		r = mt_err_r(-ENOTSUP, "this kernel cannot follow children: it takes Linux 5.19");
	if (!r)
		r = mt_slots_open(&s->slots, s->progs.skel, s->opts.max_targets,
				  s->opts.follow || s->opts.all);
	if (!r)
		r = mt_keeper_start(&s->keeper, &s->progs);
	if (!r)
		r = mt_life_open(s);
	if (!r)
		r = mt_marks_open(s);
	if (r) {
		mt_session_free(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void mt_session_free(struct mt_session **sp)
{
	struct mt_session *s = *sp;

	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		mt_tracee_unlist(s, s->tracees[i]);
		mt_tracee_free(&s->tracees[i]);
	}
	mt_golang_close(s);
	mt_measure_close(s);
	mt_marks_free(s);
	mt_keeper_stop(&s->keeper);
	ring_buffer__free(s->life);
	mt_slots_close(&s->slots);
	mt_files_close(s);
	mt_progs_unload(&s->progs);
	if (s->blocks_fd >= 0)
		close(s->blocks_fd);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s->tracees);
	free(s->percpu);
	free(s);
	*sp = NULL;
}

static int check_seccomp(pid_t pid, unsigned int seccomp)
{
	bool kills = false;

	if (!seccomp || mt_kernel_seccomp_kills(&kills) || !kills)
		return 0;
	return mt_err_r(-EPERM,
			"pid %d has a seccomp filter, and this kernel would kill it at a return "
			"probe: update the kernel",
			pid);
}

static int open_tracee(struct mt_session *s, struct mt_tracee *t)
{
	struct mt_proc_status status;
	int r = mt_tracee_describe(t);

	if (!r)
		r = mt_proc_status_read(t->pid, &status);
	if (r)
		return mt_err_r(r, "pid %d ended while being attached to", t->pid);
	r = check_seccomp(t->pid, status.seccomp);
	if (!r && mt_proc_live(t->pid) != t->pid)
		r = mt_err_r(-ENOTSUP,
			     "pid %d: its main thread has exited, and the kernel can't probe the "
			     "others of one process alone",
			     t->pid);
	if (!r)
		r = mt_slots_take(&s->slots, &t->slot);
	if (!r)
		mt_golang_look(s, t);
	return r;
}

/* Its allocators are probed, or it is said why there is none. */
static int find_allocators(struct mt_session *s, struct mt_tracee *t)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	MT_CLEANUP(mt_alloc_found_free) struct mt_alloc_found *found = NULL;
	int r = mt_files_scan(s, t->pid);

	if (t->found)
		return r;
	if (mt_tracee_has_ended(t))
		return mt_err_r(-ESRCH, "pid %d ended while being attached to", t->pid);
	if (r || mt_golang_open(s, t))
		return r;
	r = mt_maps_read(t->pid, &maps);
	if (!r)
		r = mt_alloc_detect(t->pid, maps, &found);
	return r ? r : mt_err_r(-ENOENT, "pid %d: its allocator is gone again", t->pid);
}

static int attach(struct mt_session *s, struct mt_tracee *t)
{
	int r = mt_tracee_enter(s, t);

	if (r)
		return mt_err_r(r, "cannot enter pid %d into the map of targets: %s", t->pid,
				strerror(-r));
	r = find_allocators(s, t);
	if (!r && t->since == MT_SINCE_ATTACH && !s->opts.no_census && t->found)
		r = mt_census_begin(s, t);
	if (r)
		return r;
	mt_read_levels(s, t, MT_VM_FULL);
	mt_census_settle(t);
	if (!t->vm.known)
		return mt_err_r(-ESRCH, "pid %d ended while being attached to", t->pid);
	return 0;
}

int mt_session_add(struct mt_session *s, pid_t pid, enum mt_since since)
{
	MT_CLEANUP(mt_tracee_free) struct mt_tracee *t = NULL;
	struct mt_tracee *adopted;
	int r = mt_target_require(pid);

	if (!r)
		r = mt_tracee_new(pid, &t);
	if (r)
		return r;
	t->since = since;
	t->flags = s->opts.follow || s->opts.all ? MT_TARGET_FOLLOW : 0;
	r = open_tracee(s, t);
	adopted = t;
	if (!r)
		r = mt_tracee_adopt(s, &t);
	if (r)
		return r;
	r = attach(s, adopted);
	if (r) { /* what of it stands goes, as if it had ended */
		mt_life_end(s, adopted, NULL);
		adopted->reported = true;
		mt_session_forget_ended(s);
	}
	return r;
}

void mt_session_freeze(struct mt_session *s, bool freeze)
{
	s->opts.freeze = freeze;
}

int mt_session_fd(const struct mt_session *s)
{
	return s->epoll_fd;
}

/* Somebody killed it: nothing is counted any more, and every number says so. */
static void check_keeper(struct mt_session *s)
{
	struct pollfd p = {.fd = s->keeper.fd, .events = POLLIN};

	if (s->keeper_gone || poll(&p, 1, 0) <= 0)
		return;
	s->keeper_gone = true;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->keeper.fd, NULL);
	for (size_t i = 0; i < s->n; i++)
		s->tracees[i]->untraced = true;
	mt_warn("the process that holds the probes was killed: nothing is counted any more");
}

int mt_session_service(struct mt_session *s)
{
	check_keeper(s);
	mt_life_consume(s);
	mt_slots_refill(&s->slots);
	if (s->opts.all || s->opts.follow)
		mt_files_collect(s);
	return mt_life_on_timer(s);
}

int mt_session_find(const struct mt_session *s, pid_t pid, size_t *i)
{
	for (*i = s->n; (*i)-- > 0;)
		if (s->tracees[*i]->pid == pid)
			return 0;
	return -ESRCH;
}

void mt_session_forget_ended(struct mt_session *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct mt_tracee *t = s->tracees[i];

		if (!t->ended || !t->reported) {
			s->tracees[n++] = t;
			continue;
		}
		mt_blocks_drop(s, t->slot, MT_BLOCKS_ALL);
		mt_slots_put(&s->slots, t->slot);
		mt_files_forget(s, t->pid);
		mt_golang_end(s, t);
		mt_tracee_free(&t);
	}
	s->n = n;
	mt_slots_compact(&s->slots);
	mt_slots_refill(&s->slots);
}

size_t mt_session_count(const struct mt_session *s)
{
	return s->n;
}

size_t mt_session_alive(const struct mt_session *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += !s->tracees[i]->ended;
	return n;
}

uint64_t mt_session_ended(const struct mt_session *s, size_t i)
{
	return s->tracees[i]->ended ? s->tracees[i]->ended_ns : 0;
}

const char *mt_session_method(const struct mt_session *s)
{
	return s->progs.multi ? "uprobe_multi links" : "perf-event uprobes";
}
