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

#define SMAPS_NS 10000000000u /* 10 s: smaps holds the target's mmap lock */

static void tracee_free(struct mt_tracee **t)
{
	if (!*t)
		return;
	if ((*t)->pidfd >= 0)
		close((*t)->pidfd);
	mt_vm_cache_free(&(*t)->vm_cache);
	mt_census_fini(&(*t)->census);
	free((*t)->found);
	free(*t);
	*t = NULL;
}

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
		s->opts.max_targets = 1;
	if (!s->opts.smaps_ns)
		s->opts.smaps_ns = SMAPS_NS;
	if (!s->opts.max_stop_ns)
		s->opts.max_stop_ns = MT_CENSUS_MAX_STOP_NS;
	s->timer_fd = -1;
	s->start_ns = mt_clock_ns(CLOCK_MONOTONIC);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->cpus = libbpf_num_possible_cpus();
	if (s->cpus > 0)
		s->percpu = calloc((size_t)s->cpus, sizeof(*s->percpu));
	s->tracees = calloc(s->opts.max_targets, sizeof(struct mt_tracee *));
	r = s->epoll_fd < 0 || !s->percpu || !s->tracees ? -ENOMEM : 0;
	if (!r)
		r = mt_kernel_probe(&s->kernel);
	if (!r)
		r = mt_progs_load(&s->progs, &s->kernel, &s->opts);
	if (!r)
		r = mt_keeper_start(&s->keeper, &s->progs, (uint32_t)s->opts.max_targets);
	if (!r)
		r = mt_life_open(s);
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
	for (size_t i = 0; s->tracees && i < s->n; i++)
		tracee_free(&s->tracees[i]);
	mt_keeper_stop(&s->keeper);
	ring_buffer__free(s->life);
	mt_progs_unload(&s->progs);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s->tracees);
	free(s->percpu);
	free(s);
	*sp = NULL;
}

/* Page-rounded end of the brk heap, for the flow of brk; 0 if there is none yet. */
static uint64_t current_brk(pid_t pid)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	uint64_t end = 0;

	if (mt_maps_read(pid, &maps))
		return 0;
	for (size_t i = 0; i < maps->n; i++)
		if (!strcmp(maps->v[i].path, "[heap]"))
			end = maps->v[i].end;
	return end;
}

int mt_tracee_enter(struct mt_session *s, struct mt_tracee *t)
{
	uint32_t key = (uint32_t)t->pid;
	struct mt_target old, k = {
				      .slot = t->slot,
				      .file_id = t->file_id,
				      .brk = current_brk(t->pid),
			      };

	/* what is told of execs before does not concern what begins now */
	if (!bpf_map__lookup_elem(s->progs.skel->maps.mt_targets, &key, sizeof(key), &old,
				  sizeof(old), 0))
		k.execs = old.execs;
	t->execs = k.execs;
	return bpf_map__update_elem(s->progs.skel->maps.mt_targets, &key, sizeof(key), &k,
				    sizeof(k), BPF_ANY);
}

bool mt_tracee_has_ended(const struct mt_tracee *t)
{
	struct pollfd p = {.fd = t->pidfd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* How the blocks of the file are sized, before its first probe asks. */
static int enter_file(struct mt_session *s, uint32_t id, const struct mt_alloc_found *found)
{
	struct mt_file f = {
		.layout = (uint32_t)found->id.layout,
		.text_lo = found->text_lo,
		.text_len = found->text_hi - found->text_lo,
	};

	memcpy(f.p, found->id.params, sizeof(f.p));
	return bpf_map__update_elem(s->progs.skel->maps.mt_files, &id, sizeof(id), &f, sizeof(f),
				    BPF_ANY);
}

int mt_tracee_attach(struct mt_session *s, struct mt_tracee *t)
{
	int r;

	if (!t->found)
		return -ENOENT;
	t->file_id = ++s->next_file_id;
	r = enter_file(s, t->file_id, t->found);
	if (!r)
		r = mt_keeper_attach(&s->keeper, t->slot, t->pid, t->found, t->file_id);
	if (r && (r == -ESRCH || mt_tracee_has_ended(t)))
		return mt_err_r(-ESRCH, "pid %d ended while being attached to", t->pid);
	if (r)
		return mt_err_r(r, "cannot probe %s of pid %d: %s; see memtrace doctor -p %d",
				t->found->path, t->pid, strerror(-r), t->pid);
	if (t->since == MT_SINCE_START || s->opts.no_census)
		r = mt_tracee_enter(s, t);
	else
		r = mt_census_begin(s, t);
	if (r)
		return mt_err_r(r, "cannot enter pid %d into the map of targets: %s", t->pid,
				strerror(-r));
	return 0;
}

/*
 * From within a pid namespace the programs see the ids of that very namespace
 * only: what runs in one below it has none there.
 */
static int check_pidns(pid_t pid)
{
	struct stat ours, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	if (stat("/proc/self/ns/pid", &ours) || ours.st_ino == MT_PID_INIT_INO ||
	    stat(path, &theirs) || ours.st_ino == theirs.st_ino)
		return 0;
	return mt_err_r(-ENOTSUP,
			"pid %d runs in a pid namespace below memtrace's own: run memtrace inside "
			"it, or on the host",
			pid);
}

static int open_tracee(struct mt_session *s, struct mt_tracee *t)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	struct epoll_event ev = {.events = EPOLLIN};
	struct mt_proc_status status;
	struct mt_proc_stat stat;
	bool kills = false;
	int r;

	t->pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	if (t->pidfd < 0)
		return mt_err_r(-errno, "pid %d: %s", t->pid, strerror(errno));
	r = mt_proc_stat_read(t->pid, &stat);
	if (!r)
		r = mt_proc_status_read(t->pid, &status);
	if (!r)
		r = mt_maps_read(t->pid, &maps);
	if (r)
		return mt_err_r(r, "pid %d ended while being attached to", t->pid);
	t->start_time = stat.start_time;
	memcpy(t->comm, status.comm, sizeof(t->comm));
	mt_proc_exe(t->pid, t->exe, sizeof(t->exe));
	mt_proc_cgroup(t->pid, t->cgroup, sizeof(t->cgroup));
	if (status.seccomp && !mt_kernel_seccomp_kills(&kills) && kills)
		return mt_err_r(-EPERM,
				"pid %d has a seccomp filter, and this kernel would kill it at a "
				"return probe: update the kernel",
				t->pid);
	if (mt_proc_live(t->pid) != t->pid)
		return mt_err_r(
			-ENOTSUP,
			"pid %d: its main thread has exited, and the kernel can't probe the "
			"others of one process alone",
			t->pid);
	r = check_pidns(t->pid);
	if (!r)
		r = mt_alloc_detect(t->pid, maps, &t->found);
	if (r)
		return r;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, t->pidfd, &ev))
		return mt_err_r(-errno, "epoll: %s", strerror(errno));
	return 0;
}

int mt_session_add(struct mt_session *s, pid_t pid, enum mt_since since)
{
	MT_CLEANUP(tracee_free) struct mt_tracee *t = NULL;
	int r = mt_target_require(pid);

	if (r)
		return r;
	if (s->n >= s->opts.max_targets)
		return mt_err_r(-ENOSPC, "no room for another target: pid %d", pid);
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->pid = pid;
	t->pidfd = -1;
	t->since = since;
	t->slot = (uint32_t)s->n;
	r = open_tracee(s, t);
	if (!r)
		r = mt_tracee_attach(s, t);
	if (r)
		return r;
	mt_read_levels(s, t, MT_VM_FULL);
	mt_census_settle(t);
	if (!t->vm.known)
		return mt_err_r(-ESRCH, "pid %d ended while being attached to", pid);
	s->tracees[s->n++] = TAKE_PTR(t);
	return 0;
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
	ring_buffer__consume(s->life);
	for (size_t i = 0; i < s->n; i++) {
		struct mt_tracee *t = s->tracees[i];

		if (!t->ended && mt_tracee_has_ended(t))
			mt_life_handle_exit(s, t);
	}
	return mt_life_relook(s);
}

int mt_session_find(const struct mt_session *s, pid_t pid, size_t *i)
{
	for (*i = 0; *i < s->n; (*i)++)
		if (s->tracees[*i]->pid == pid)
			return 0;
	return -ESRCH;
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

bool mt_session_ended(const struct mt_session *s, size_t i)
{
	return s->tracees[i]->ended;
}

const struct mt_alloc_found *mt_session_allocator(const struct mt_session *s, size_t i)
{
	return s->tracees[i]->found;
}

const char *mt_session_method(const struct mt_session *s)
{
	return s->progs.multi ? "uprobe_multi links" : "perf-event uprobes";
}
