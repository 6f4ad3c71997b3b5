/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the targets have their marks, and the probes there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/file.h"
#include "alloc/order.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/words.h"
#include "session/internal.h"
#include "sys/procfs.h"
#include "sys/usdt.h"

#define FILES_MAX 256 /* of one process, with marks that are asked for */

/* The marks of one process's program and libraries. */
struct search {
	const char *begin, *end;
	struct mt_usdts marks;
	int fds[FILES_MAX]; /* the files that have one of the two; owned */
	size_t n_fds;
};

static void search_fini(struct search *q)
{
	for (size_t i = 0; i < q->n_fds; i++)
		close(q->fds[i]);
	mt_usdt_fini(&q->marks);
}

static uint32_t what_of(const struct search *q, const struct mt_usdt *mark)
{
	return (strcmp(mark->name, q->begin) ? 0u : MT_MARK_BEGIN) |
	       (strcmp(mark->name, q->end) ? 0u : MT_MARK_END);
}

/* A file that cannot be read has no marks as far as anybody can tell. */
static int search_file(struct search *q, pid_t tid, const struct mt_mapping *m)
{
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	_cleanup_close_ int fd = mt_alloc_file_fd(tid, m);
	const size_t first = q->marks.n;
	bool wanted = false;
	int r;

	if (fd < 0 || mt_elf_open_fd(fd, &elf))
		return 0;
	r = mt_usdt_read(elf, q->n_fds, &q->marks);
	for (size_t i = first; i < q->marks.n && !wanted; i++)
		wanted = what_of(q, &q->marks.v[i]) != 0;
	if (r || !wanted)
		return r;
	if (q->n_fds == FILES_MAX)
		return -E2BIG;
	q->fds[q->n_fds++] = TAKE_FD(fd);
	return 0;
}

static int search_process(struct search *q, pid_t pid)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	const pid_t tid = mt_proc_live(pid);
	int r = mt_maps_read(tid, &maps);

	for (size_t i = 0; !r && i < maps->n; i++)
		if (mt_mapping_is_first(maps, i))
			r = search_file(q, tid, &maps->v[i]);
	return r;
}

static int attach_plan(struct mt_session *s, pid_t pid, int fd, const struct mt_links_plan *plan)
{
	uint32_t *ids = reallocarray(s->marks.ids, s->marks.n_ids + 1, sizeof(*ids));
	uint32_t id;
	int r;

	if (!ids)
		return -ENOMEM;
	s->marks.ids = ids;
	id = mt_files_new_id(s);
	if (!id)
		return -ENOSPC;
	r = mt_keeper_attach_plan(&s->keeper, id, pid, fd, plan);
	if (!r)
		ids[s->marks.n_ids++] = id;
	return r;
}

/* Two notes may name one place; then it is one probe. */
static void add_place(const struct search *q, const struct mt_usdt *mark,
		      struct mt_links_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->v[i].offset == mark->offset) {
			plan->v[i].cookie |= what_of(q, mark);
			return;
		}
	plan->v[plan->n].offset = mark->offset;
	plan->v[plan->n].ref_ctr = mark->ref_ctr;
	plan->v[plan->n].cookie = what_of(q, mark);
	plan->v[plan->n++].entry = true;
}

static int attach_file(struct mt_session *s, const struct search *q, pid_t pid, size_t file)
{
	struct mt_links_plan plan = {.prog = MT_LINKS_MARK};
	int r = 0;

	for (size_t i = 0; i < q->marks.n && !r; i++) {
		if (q->marks.v[i].file != file || !what_of(q, &q->marks.v[i]))
			continue;
		if (plan.n == MT_PROBES_MAX) {
			r = attach_plan(s, pid, q->fds[file], &plan);
			plan = (struct mt_links_plan){.prog = MT_LINKS_MARK};
		}
		add_place(q, &q->marks.v[i], &plan);
	}
	return r ? r : attach_plan(s, pid, q->fds[file], &plan);
}

static int has_not(const struct search *q, const struct mt_tracee *t)
{
	const char *lacks = mt_usdt_has(&q->marks, q->begin) ? q->end : q->begin;
	char name[4 * MT_USDT_NAME], comm[4 * sizeof(t->comm)], others[1024];

	mt_quote(name, sizeof(name), lacks);
	mt_quote(comm, sizeof(comm), t->comm);
	if (!q->marks.n)
		return mt_err_r(-ENOENT,
				"pid %d (%s): no mark %s: its program and libraries have no marks "
				"(USDT); readelf -n FILE shows those of a file",
				(int)t->pid, comm, name);
	mt_usdt_suggest(&q->marks, lacks, others, sizeof(others));
	return mt_err_r(-ENOENT, "pid %d (%s): no mark %s: it has %s", (int)t->pid, comm, name,
			others);
}

static int cannot_probe(const struct search *q, const struct mt_tracee *t, int r)
{
	char begin[4 * MT_USDT_NAME], end[4 * MT_USDT_NAME];

	return mt_err_r(r, "pid %d: cannot probe its marks %s and %s: %s", (int)t->pid,
			mt_quote(begin, sizeof(begin), q->begin),
			mt_quote(end, sizeof(end), q->end), strerror(-r));
}

/* 0: it has both, and they are probed. -ENOENT: it has not, which is logged if say is set. */
static int add_tracee(struct mt_session *s, const struct mt_tracee *t, const char *begin,
		      const char *end, bool say)
{
	MT_CLEANUP(search_fini) struct search q = {.begin = begin, .end = end};
	int r = search_process(&q, t->pid);

	if (r == -ESRCH)
		return mt_err_r(r, "pid %d has ended", (int)t->pid);
	if (!r && (!mt_usdt_has(&q.marks, begin) || !mt_usdt_has(&q.marks, end)))
		return say ? has_not(&q, t) : -ENOENT;
	for (size_t i = 0; i < q.n_fds && !r; i++)
		r = attach_file(s, &q, t->pid, i);
	return r ? cannot_probe(&q, t, r) : 0;
}

int mt_session_marks_add(struct mt_session *s, const char *begin, const char *end)
{
	size_t found = 0;
	int r;

	for (size_t i = 0; i < s->n; i++) {
		if (s->tracees[i]->ended)
			continue;
		r = add_tracee(s, s->tracees[i], begin, end, false);
		if (r && r != -ENOENT)
			return r;
		found += !r;
	}
	if (found)
		return 0;
	for (size_t i = 0; i < s->n; i++)
		if (!s->tracees[i]->ended)
			return add_tracee(s, s->tracees[i], begin, end, true);
	return mt_err_r(-ESRCH, "all targets have ended");
}
