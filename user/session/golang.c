/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Go programs among the targets: their runtime's own numbers take the place of
 * what the probes count, which is then their C memory. Nothing of this is done
 * for a process whose executable is no Go program.
 */
#include "golang/golang.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "session/internal.h"
#include "sys/elf.h"
#include "sys/procfs.h"

#define FILES_MAX 1024 /* executables remembered; those that nobody runs go first */
#define TRIES     20   /* at a consistent reading of a process that runs on */

/* An executable that somebody runs or has run. */
struct mt_go_file {
	struct stat st;
	struct mt_go_image *image; /* owned; NULL: no Go program, or none that can be read */
	char why[MT_WHY_SIZE];     /* of one that cannot be read; else empty */
	size_t users;              /* tracees */
	uint32_t probe;            /* id of the probe for all that run it; 0: none */
};

static void free_file(struct mt_go_file **f)
{
	if (*f)
		mt_go_image_free(&(*f)->image);
	free(*f);
	*f = NULL;
}

/* The same file, unchanged. */
static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int inspect(int fd, struct mt_go_file *f)
{
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	int r = mt_elf_open_fd(fd, &elf);

	if (!r)
		r = mt_go_inspect(elf, f->why, &f->image);
	return r == -ENOMEM ? r : 0;
}

static void drop_probe(struct mt_session *s, uint32_t *id)
{
	if (*id)
		mt_keeper_detach(&s->keeper, *id);
	*id = 0;
}

/* Room for one more, at the place of one that nobody runs if there are many. */
static struct mt_go_file **room(struct mt_session *s)
{
	struct mt_go_file **v;

	for (size_t i = 0; s->n_go_files >= FILES_MAX && i < s->n_go_files; i++)
		if (!s->go_files[i]->users) {
			drop_probe(s, &s->go_files[i]->probe);
			free_file(&s->go_files[i]);
			return &s->go_files[i];
		}
	v = reallocarray(s->go_files, s->n_go_files + 1, sizeof(struct mt_go_file *));
	if (!v)
		return NULL;
	s->go_files = v;
	v[s->n_go_files] = NULL;
	return &v[s->n_go_files++];
}

static struct mt_go_file *look_at(struct mt_session *s, int fd, const struct stat *st)
{
	MT_CLEANUP(free_file) struct mt_go_file *f = calloc(1, sizeof(*f));
	struct mt_go_file **at;

	if (!f)
		return NULL;
	f->st = *st;
	if (inspect(fd, f))
		return NULL;
	at = room(s);
	if (!at)
		return NULL;
	*at = TAKE_PTR(f);
	return *at;
}

void mt_golang_forget(struct mt_tracee *t)
{
	mt_go_free(&t->go.process);
	free(t->go.last);
	if (t->go.file)
		t->go.file->users--;
	memset(&t->go, 0, sizeof(t->go));
}

/*
 * Where the program ends itself, so that its last numbers can be read: in all
 * processes that run it, or in one. What goes wrong is not worth a word: then
 * the numbers at its end are those of the last reading, and say so.
 */
static void probe_exit(struct mt_session *s, struct mt_tracee *t, int fd)
{
	const bool all = t->flags & MT_TARGET_FOLLOW;
	uint32_t *id = all ? &t->go.file->probe : &t->go.probe;
	const struct mt_links_plan plan = {
		.prog = MT_LINKS_GO_EXIT,
		.n = 1,
		.v = {{.offset = mt_go_exit_offset(t->go.file->image), .entry = true}},
	};

	if (*id || !plan.v[0].offset)
		return;
	*id = mt_files_new_id(s);
	if (*id && mt_keeper_attach_plan(&s->keeper, *id, all ? -1 : t->pid, fd, &plan))
		*id = 0;
}

bool mt_golang_has_id(const struct mt_session *s, uint32_t id)
{
	for (size_t i = 0; i < s->n_go_files; i++)
		if (s->go_files[i]->probe == id)
			return true;
	for (size_t i = 0; i < s->n; i++)
		if (s->tracees[i]->go.probe == id)
			return true;
	return false;
}

void mt_golang_end(struct mt_session *s, struct mt_tracee *t)
{
	drop_probe(s, &t->go.probe);
}

static void use(struct mt_tracee *t, struct mt_go_file *f)
{
	mt_golang_forget(t);
	t->go.file = f;
	f->users++;
}

void mt_golang_look(struct mt_session *s, struct mt_tracee *t)
{
	struct mt_go_file *f = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;

	mt_golang_end(s, t);
	mt_golang_forget(t);
	fd = mt_proc_open_exe(t->pid, &st);
	if (fd < 0)
		return;
	for (size_t i = 0; i < s->n_go_files && !f; i++)
		if (is_same(&s->go_files[i]->st, &st))
			f = s->go_files[i];
	if (!f)
		f = look_at(s, fd, &st);
	if (!f)
		return;
	use(t, f);
	if (f->image)
		probe_exit(s, t, fd);
}

void mt_golang_inherit(struct mt_tracee *child, const struct mt_tracee *parent)
{
	if (parent->go.file)
		use(child, parent->go.file);
}

/* Once for each image: a process that is read natively instead is told of. */
static void refuse(const struct mt_session *s, struct mt_tracee *t, const char *why)
{
	t->go.refused = true;
	mt_log(s->opts.all ? MT_LOG_INFO : MT_LOG_WARN,
	       "pid %d is a Go program whose own numbers cannot be read: %s", t->pid, why);
}

static void say_found(const struct mt_tracee *t)
{
	const char *version = mt_go_layout_version(t->go.process);

	mt_info("pid %d: %s, its own numbers are read, by %s%s", t->pid,
		mt_go_version(t->go.file->image),
		version ? "the layout of go" : "its debugging information", version ?: "");
}

/* Finds the runtime in the process, unless that was done. -EAGAIN: not up yet. */
static int open_process(const struct mt_session *s, struct mt_tracee *t)
{
	const struct mt_go_file *f = t->go.file;
	char why[MT_WHY_SIZE] = "";
	int r;

	if (t->go.process)
		return 0;
	if (!f || t->go.refused)
		return -ENOENT;
	if (!f->image) {
		if (f->why[0])
			refuse(s, t, f->why);
		return -ENOENT;
	}
	r = mt_go_attach(f->image, t->pid, why, &t->go.process);
	if (!r)
		say_found(t);
	else if (r != -EAGAIN && r != -ESRCH)
		refuse(s, t, why[0] ? why : strerror(-r));
	return r;
}

bool mt_golang_is(const struct mt_tracee *t)
{
	return t->go.file && t->go.file->image && !t->go.refused;
}

bool mt_golang_open(const struct mt_session *s, struct mt_tracee *t)
{
	open_process(s, t);
	return mt_golang_is(t);
}

/* Into t->go.last. -ENOENT: it was refused just now. */
static int read_last(const struct mt_session *s, struct mt_tracee *t)
{
	struct mt_go_stats now;
	int r = open_process(s, t);

	if (r)
		return r;
	if (!t->go.last)
		t->go.last = calloc(1, sizeof(*t->go.last));
	if (!t->go.last)
		return -ENOMEM;
	r = s->opts.freeze ? mt_go_read_held(t->go.process, s->opts.max_stop_ns, &now)
			   : mt_go_read(t->go.process, TRIES, &now);
	if (r)
		return r;
	*t->go.last = now;
	t->go.last_ns = mt_clock_ns(CLOCK_MONOTONIC);
	return 0;
}

void mt_golang_on_leaving(const struct mt_session *s, struct mt_tracee *t)
{
	t->go.left = !read_last(s, t);
}

/* Its last numbers, if there are any, are of before its end. */
static void say_stale(const struct mt_tracee *t, struct mt_go_stats *stats)
{
	stats->consistent = false;
	if (t->go.last_ns)
		snprintf(stats->why, sizeof(stats->why),
			 "it ended %.3f s after its numbers were read",
			 t->ended_ns > t->go.last_ns ? (double)(t->ended_ns - t->go.last_ns) / 1e9
						     : 0.0);
	else
		snprintf(stats->why, sizeof(stats->why), "it ended before its numbers were read");
}

static void fill(struct mt_tracee *t, const struct mt_go_stats *stats, struct mt_snapshot *snap)
{
	snap->gc.present = true;
	snap->gc.consistent = stats->consistent;
	snap->gc.stop_ns = stats->stop_ns;
	memcpy(snap->gc.why, stats->why, sizeof(snap->gc.why));
	snap->gc.missed = t->go.missed;
	mt_gc_since(&snap->gc, &stats->m, !t->go.seen, t->go.num_gc);
	mt_snapshot_set_go(snap, &stats->m, stats->cls, &stats->unsized,
			   snap->allocator[0] != '\0');
	snprintf(snap->runtime, sizeof(snap->runtime), "%s", mt_go_version(t->go.file->image));
	t->go.seen = true;
	t->go.num_gc = stats->m.num_gc;
	t->go.missed = snap->gc.missed;
}

int mt_golang_fill(const struct mt_session *s, struct mt_tracee *t, struct mt_snapshot *snap)
{
	struct mt_go_stats none = {.consistent = true}; /* before its runtime is up */
	int r;

	r = t->ended ? -ESRCH : read_last(s, t);
	if (r == -ENOMEM)
		return r;
	if (!mt_golang_is(t)) /* or refused just now */
		return 0;
	if (r && r != -EAGAIN && !t->go.left)
		say_stale(t, t->go.last ? t->go.last : &none);
	fill(t, t->go.last ? t->go.last : &none, snap);
	return 0;
}

void mt_golang_close(struct mt_session *s)
{
	for (size_t i = 0; i < s->n_go_files; i++)
		free_file(&s->go_files[i]);
	free(s->go_files);
}
