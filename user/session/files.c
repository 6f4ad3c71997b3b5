/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files whose code the targets map: each is looked at once, and probed if it has
 * an allocator. With -p its probes are for one process alone, else for all.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/writer.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/procfs.h"

const struct mt_alloc_found *mt_files_find(const struct mt_session *s, uint32_t id)
{
	for (size_t i = 0; i < s->n_probed; i++)
		if (s->probed[i].id == id)
			return s->probed[i].found;
	return NULL;
}

/* How the blocks of the file are sized, before its first probe asks. */
static int enter_file(struct mt_session *s, uint32_t id, const struct mt_alloc_found *found)
{
	struct mt_file f = {
		.layout = (uint32_t)found->id.layout,
		.flags = found->flags,
		.text_lo = found->text_lo,
		.text_len = found->text_hi - found->text_lo,
	};

	memcpy(f.p, found->id.params, sizeof(f.p));
	return bpf_map__update_elem(s->progs.skel->maps.mt_files, &id, sizeof(id), &f, sizeof(f),
				    BPF_ANY);
}

uint32_t mt_files_new_id(struct mt_session *s)
{
	const uint32_t max = bpf_map__max_entries(s->progs.skel->maps.mt_files);

	for (uint32_t tries = 1; tries < max; tries++) {
		s->last_file_id = s->last_file_id % (max - 1) + 1;
		if (!mt_files_find(s, s->last_file_id) && !mt_golang_has_id(s, s->last_file_id) &&
		    !mt_measure_has_id(s, s->last_file_id) && !mt_marks_has_id(s, s->last_file_id))
			return s->last_file_id;
	}
	return 0;
}

/* fd: the file. */
static int attach(struct mt_session *s, const struct mt_probed *p, int fd)
{
	const struct mt_alloc_found *f = p->found;
	const pid_t pid = (pid_t)p->key.tgid;
	int r = enter_file(s, p->id, f);

	if (!r)
		r = mt_keeper_attach(&s->keeper, p->id, pid ? pid : -1, fd, f);
	if (!r || (pid && (r == -ESRCH || kill(pid, 0))))
		return r ? -ESRCH : 0;
	if (pid)
		return mt_err_r(r, "cannot probe %s of pid %d: %s; see memtrace doctor -p %d",
				f->path, pid, strerror(-r), pid);
	return mt_err_r(r, "cannot probe %s: %s", f->path, strerror(-r));
}

static void say_probed(const struct mt_session *s, const struct mt_alloc_found *f)
{
	_cleanup_writer_ struct mt_writer w = {0};

	mt_write_escaped(&w, f->path);
	mt_info("%s%s%s in %s: %zu probes by %s", f->allocator->name, f->id.version[0] ? " " : "",
		f->id.version, w.len ? w.buf : "?", f->n_probes, mt_session_method(s));
}

/* Probes one allocator of a file and keeps it. *found is taken, without what follows it. */
static int add_one(struct mt_session *s, const struct mt_file_key *key, int fd,
		   struct mt_alloc_found **found, uint32_t *id)
{
	struct mt_probed p = {.id = mt_files_new_id(s), .key = *key};
	struct mt_probed *v = reallocarray(s->probed, s->n_probed + 1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	s->probed = v;
	if (!p.id)
		return mt_err_r(-ENOSPC, "too many files with allocators");
	p.found = *found;
	r = p.found->id.layout == MT_LAYOUT_REQUESTED ? mt_blocks_open(s) : 0;
	if (!r)
		r = attach(s, &p, fd);
	if (r)
		return r;
	*found = TAKE_PTR(p.found->next);
	*id = p.id;
	s->probed[s->n_probed++] = p;
	say_probed(s, p.found);
	return 0;
}

/* All of them; *id is the first one's. What is left of *found is the caller's. */
static int add(struct mt_session *s, const struct mt_file_key *key, int fd,
	       struct mt_alloc_found **found, uint32_t *id)
{
	int r = add_one(s, key, fd, found, id);
	uint32_t other;

	while (!r && *found)
		r = add_one(s, key, fd, found, &other);
	return r;
}

static bool same_key(const struct mt_file_key *a, const struct mt_file_key *b)
{
	return a->inode == b->inode && a->ino == b->ino && a->dev == b->dev && a->gen == b->gen;
}

/* Of those that serve the same processes, the one that is this very file: it was forgotten. */
static const struct mt_probed *same_file(const struct mt_session *s, const struct mt_file_key *key)
{
	for (size_t i = 0; i < s->n_probed; i++) {
		const struct mt_probed *p = &s->probed[i];

		if (p->key.tgid == key->tgid && p->key.moved == key->moved &&
		    same_key(&p->key, key))
			return p;
	}
	return NULL;
}

/* The mapping with the address, with its path: maps must outlive it. */
static const struct mt_mapping *mapping_at(pid_t pid, uint64_t addr, struct mt_maps **maps)
{
	if (!*maps && mt_maps_read(pid, maps))
		return NULL;
	return mt_maps_find(*maps, addr);
}

/*
 * True if fd is the file of the key. A process can map another file where it had
 * the one that the kernel told of: what is found in that one would be said of
 * this one, for all processes. Mapped here, it has a key of its own.
 */
static bool is_of_key(struct mt_session *s, int fd, const struct mt_file_key *key)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *at = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	_cleanup_free_ struct mt_code *v = NULL;
	bool is = false;
	size_t n = 0;

	if (at == MAP_FAILED)
		return false;
	if (mt_code_list(s, getpid(), &v, &n))
		is = true; /* no telling: then it is what it seems */
	for (size_t i = 0; i < n; i++)
		is = is || (v[i].tgid == (uint32_t)getpid() && v[i].start == (uintptr_t)at &&
			    same_key(&v[i].key, key));
	munmap(at, size);
	return is;
}

/*
 * Looks at a file that pid has mapped at addr. *id: of its probes, 0 if it has no
 * allocator, MT_FILE_MISSED. 0 or -errno: it could not be looked at, or not be probed.
 */
static int learn(struct mt_session *s, pid_t pid, uint64_t addr, const struct mt_file_key *key,
		 struct mt_maps **maps, uint32_t *id)
{
	struct bpf_map *known = s->progs.skel->maps.mt_known;
	MT_CLEANUP(mt_alloc_found_free) struct mt_alloc_found *found = NULL;
	_cleanup_close_ int fd = -1;
	const struct mt_probed *same;
	const struct mt_mapping *m;
	int r;

	*id = 0;
	if (!bpf_map__lookup_elem(known, key, sizeof(*key), id, sizeof(*id), 0))
		return 0;
	m = mapping_at(pid, addr, maps);
	if (!m)
		return -ESRCH;
	r = mt_alloc_inspect_file(pid, m, &fd, &found);
	if (r == -ESRCH || r == -ENOMEM)
		return r;
	if (fd < 0 || !is_of_key(s, fd, key))
		return -ESRCH;
	if (!r) {
		same = same_file(s, key);
		*id = same ? same->id : 0;
	}
	r = r || *id ? 0 : add(s, key, fd, &found, id);
	if (r == -ESRCH)
		return r;
	/* it is not tried again for each process that maps it, but that is told */
	if (r)
		*id = MT_FILE_MISSED;
	bpf_map__update_elem(known, key, sizeof(*key), id, sizeof(*id), BPF_ANY);
	return r;
}

/* libc comes last: what takes its place is more telling. */
static bool is_libc(const struct mt_alloc_found *f)
{
	return f->allocator == &mt_alloc_glibc;
}

static void note(struct mt_session *s, struct mt_tracee *t, uint32_t id)
{
	const struct mt_alloc_found *f = id ? mt_files_find(s, id) : NULL;

	t->untraced = t->untraced || id == MT_FILE_MISSED;
	if (!f)
		return;
	t->learned++;
	if (!t->found || (is_libc(t->found) && !is_libc(f)))
		t->found = f;
}

static void set_scope(const struct mt_session *s, const struct mt_tracee *t,
		      struct mt_file_key *key)
{
	struct mt_target k;

	if (t->flags & MT_TARGET_FOLLOW)
		return;
	key->tgid = (uint32_t)t->pid;
	if (mt_tracee_target(s, t, &k))
		key->moved = k.moved;
}

int mt_files_scan(struct mt_session *s, pid_t pid)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	_cleanup_free_ struct mt_code *v = NULL;
	struct mt_tracee *t = NULL;
	size_t n = 0;
	int r = mt_code_list(s, pid, &v, &n), first = 0;

	if (r)
		return mt_err_r(r, "cannot list what processes have mapped: %s", strerror(-r));
	for (size_t i = 0; i < n; i++) {
		uint32_t id;

		if (pid > 0 && v[i].tgid != (uint32_t)pid)
			continue;
		if (i == 0 || v[i].tgid != v[i - 1].tgid || !t) {
			mt_maps_free(&maps);
			t = mt_tracee_find(s, (pid_t)v[i].tgid);
			/* threads wait in the kernel for what they have mapped meanwhile */
			mt_life_consume(s);
		}
		if (!t || t->ended)
			continue;
		set_scope(s, t, &v[i].key);
		r = learn(s, t->pid, v[i].start, &v[i].key, &maps, &id);
		if (r && !first && r != -ESRCH && pid > 0)
			first = r;
		note(s, t, id);
	}
	return first;
}

void mt_files_release(struct mt_session *s, const struct mt_life *l)
{
	if (l->held)
		bpf_map__update_elem(s->progs.skel->maps.mt_released, &l->tid, sizeof(l->tid),
				     &l->held, sizeof(l->held), BPF_ANY);
}

/* It was not held until its probes stood: what it did before has gone by. */
static void came_late(struct mt_session *s, struct mt_tracee *t)
{
	t->since = MT_SINCE_ATTACH;
	mt_census_want(s, t);
}

void mt_files_on_event(struct mt_session *s, struct mt_tracee *t, const struct mt_life *l)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	uint32_t before = t->learned, id = 0;

	if (!l->key.ino)
		mt_files_scan(s, t->pid);
	else
		learn(s, t->pid, l->addr, &l->key, &maps, &id);
	note(s, t, id);
	if (t->learned != before &&
	    (!l->held || mt_clock_ns(CLOCK_MONOTONIC) - l->time >= s->opts.max_stop_ns))
		came_late(s, t);
	mt_files_release(s, l);
}

/* Takes the probes of those away that keep says so of. */
static void drop(struct mt_session *s, bool (*keep)(const struct mt_probed *, pid_t), pid_t tgid)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_probed; i++) {
		struct mt_probed *p = &s->probed[i];

		if (keep(p, tgid)) {
			s->probed[n++] = *p;
			continue;
		}
		mt_keeper_detach(&s->keeper, p->id);
		mt_alloc_found_free(&p->found);
	}
	s->n_probed = n;
}

static bool is_of_others(const struct mt_probed *p, pid_t tgid)
{
	return p->key.tgid != (uint32_t)tgid;
}

void mt_files_forget(struct mt_session *s, pid_t tgid)
{
	drop(s, is_of_others, tgid);
}

static bool is_mapped(const struct mt_probed *p, pid_t unused)
{
	(void)unused;
	return p->mapped;
}

#define COLLECT_NS 300000000000u /* five minutes */

/* What the tracees call their allocators goes with the files. */
static void unname(struct mt_session *s, const struct mt_alloc_found *found)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->tracees[i]->found == found)
			s->tracees[i]->found = NULL;
}

/*
 * The kernel tells of a file that it does not know: they are forgotten there
 * before it is seen who has them mapped, so that nobody maps one unnoticed.
 */
void mt_files_collect(struct mt_session *s)
{
	struct bpf_map *known = s->progs.skel->maps.mt_known;
	const uint64_t now = mt_clock_ns(CLOCK_MONOTONIC);
	_cleanup_free_ struct mt_code *v = NULL;
	size_t n = 0;

	if (!s->collected_ns)
		s->collected_ns = now;
	if (now - s->collected_ns < COLLECT_NS || !s->n_probed)
		return;
	s->collected_ns = now;
	for (size_t i = 0; i < s->n_probed; i++) {
		bpf_map__delete_elem(known, &s->probed[i].key, sizeof(s->probed[i].key), 0);
		s->probed[i].mapped = false;
	}
	if (mt_code_list(s, -1, &v, &n))
		return;
	for (size_t i = 0; i < s->n_probed; i++) {
		struct mt_probed *p = &s->probed[i];

		for (size_t k = 0; k < n && !p->mapped; k++)
			p->mapped = p->key.tgid || same_key(&p->key, &v[k].key);
		if (p->mapped)
			bpf_map__update_elem(known, &p->key, sizeof(p->key), &p->id, sizeof(p->id),
					     BPF_ANY);
		else
			unname(s, p->found);
	}
	drop(s, is_mapped, 0);
}

void mt_files_close(struct mt_session *s)
{
	for (size_t i = 0; i < s->n_probed; i++)
		mt_alloc_found_free(&s->probed[i].found);
	free(s->probed);
}
