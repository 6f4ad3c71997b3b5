/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The traced processes: who they are, and where the kernel has them. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/procfs.h"

int mt_tracee_new(pid_t pid, struct mt_tracee **ret)
{
	struct mt_tracee *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->pid = pid;
	*ret = t;
	return 0;
}

void mt_tracee_free(struct mt_tracee **t)
{
	if (!*t)
		return;
	mt_vm_cache_free(&(*t)->vm_cache);
	mt_census_fini(&(*t)->census);
	mt_golang_forget(*t);
	free(*t);
	*t = NULL;
}

static int by_pid(const void *a, const void *b)
{
	const struct mt_tracee *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int mt_tracee_adopt(struct mt_session *s, struct mt_tracee **t)
{
	struct mt_tracee *old = mt_tracee_find(s, (*t)->pid);

	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct mt_tracee **v = reallocarray(s->tracees, room, sizeof(struct mt_tracee *));

		if (!v)
			return -ENOMEM;
		s->tracees = v;
		s->room = room;
	}
	if (old) /* its end was not told, and its number is another's now */
		mt_life_end(s, old, NULL);
	if (!tsearch(*t, &s->by_pid, by_pid))
		return -ENOMEM;
	s->tracees[s->n++] = TAKE_PTR(*t);
	return 0;
}

struct mt_tracee *mt_tracee_find(const struct mt_session *s, pid_t pid)
{
	const struct mt_tracee key = {.pid = pid};
	struct mt_tracee *const *t = tfind(&key, &s->by_pid, by_pid);

	return t ? *t : NULL;
}

void mt_tracee_unlist(struct mt_session *s, struct mt_tracee *t)
{
	if (mt_tracee_find(s, t->pid) == t)
		tdelete(t, &s->by_pid, by_pid);
}

bool mt_tracee_has_ended(const struct mt_tracee *t)
{
	struct mt_proc_stat st;

	if (t->ended || (kill(t->pid, 0) && errno == ESRCH) || mt_proc_stat_read(t->pid, &st))
		return true;
	return st.state == 'Z' || st.state == 'X' || st.start_time != t->start_time;
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
	struct mt_target k = {
		.slot = t->slot,
		.flags = t->flags,
		.ptgid = (uint32_t)t->ppid,
		.brk = s->opts.all ? 0 : current_brk(t->pid),
	};

	return bpf_map__update_elem(s->progs.skel->maps.mt_targets, &key, sizeof(key), &k,
				    sizeof(k), BPF_NOEXIST);
}

bool mt_tracee_target(const struct mt_session *s, const struct mt_tracee *t, struct mt_target *k)
{
	uint32_t key = (uint32_t)t->pid;

	if (t->ended) {
		*k = t->last;
		return t->last.slot == t->slot;
	}
	return !bpf_map__lookup_elem(s->progs.skel->maps.mt_targets, &key, sizeof(key), k,
				     sizeof(*k), 0) &&
	       k->slot == t->slot;
}

int mt_tracee_describe(struct mt_tracee *t)
{
	struct mt_proc_status status;
	struct mt_proc_stat stat;

	if (mt_proc_stat_read(t->pid, &stat) || mt_proc_status_read(t->pid, &status))
		return -ESRCH;
	t->start_time = stat.start_time;
	t->ppid = status.ppid;
	memcpy(t->comm, status.comm, sizeof(t->comm));
	if (mt_proc_exe(t->pid, t->exe, sizeof(t->exe)))
		t->exe[0] = '\0';
	if (mt_proc_cgroup(t->pid, t->cgroup, sizeof(t->cgroup)))
		t->cgroup[0] = '\0';
	return 0;
}
