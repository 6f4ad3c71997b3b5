/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Measuring a function's calls: where it is found in each target, the probes on
 * its entry and exits, and those that see it left otherwise; what was counted.
 */
#include "session/func.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/words.h"
#include "memtrace.skel.h"
#include "session/func_find.h"
#include "session/internal.h"
#include "sys/exits.h"

struct mt_measure {
	struct mt_func what;
	uint32_t *ids; /* of its probes; owned */
	size_t n_ids;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
};

bool mt_measure_has_id(const struct mt_session *s, uint32_t id)
{
	for (size_t i = 0; s->measure && i < s->measure->n_ids; i++)
		if (s->measure->ids[i] == id)
			return true;
	return false;
}

void mt_measure_close(struct mt_session *s)
{
	if (!s->measure)
		return;
	free(s->measure->ids);
	mt_func_fini(&s->measure->what);
	free(s->measure);
	s->measure = NULL;
}

const struct mt_func *mt_session_func_what(const struct mt_session *s)
{
	return s->measure ? &s->measure->what : NULL;
}

static int attach(struct mt_session *s, pid_t pid, int fd, const struct mt_exits *exits)
{
	_cleanup_free_ struct mt_links_plan *plan = calloc(1, sizeof(*plan));
	struct mt_measure *m = s->measure;
	const uint32_t id = mt_files_new_id(s); /* which looks at m->ids */
	uint32_t *ids = reallocarray(m->ids, m->n_ids + 1, sizeof(*ids));

	if (ids)
		m->ids = ids;
	if (!plan || !ids)
		return -ENOMEM;
	if (!id)
		return -ENOSPC;
	_Static_assert(MT_EXITS_MAX <= MT_PROBES_MAX, "a plan holds all exits");
	plan->prog = MT_LINKS_FUNC;
	plan->n = exits->n;
	for (size_t i = 0; i < exits->n; i++) {
		plan->v[i].offset = exits->v[i].offset;
		plan->v[i].cookie = MT_COOKIE(id, exits->v[i].kind, 0);
		plan->v[i].entry = true;
	}
	ids[m->n_ids++] = id;
	return mt_keeper_attach_plan(&s->keeper, id, pid, fd, plan);
}

static int refuse(const struct mt_func_found *found, int r)
{
	const char *why;

	switch (r) {
	case -ENOENT:
		why = "its file holds no code there";
		break;
	case -E2BIG:
		why = "it is too large, or has too many exits";
		break;
	case -EILSEQ:
		why = "some of its code cannot be decoded";
		break;
	case -EOPNOTSUPP:
		why = "the kernel takes no probe at its first instruction";
		break;
	default:
		why = strerror(-r);
	}
	return mt_err_r(r, "--func: %s at 0x%" PRIx64 " cannot be followed: %s", found->name,
			found->sym.addr, why);
}

/* Where the allocator's functions that are probed in the file begin; the caller frees *ret. */
static int list_allocators(const struct mt_session *s, const struct stat *st, uint64_t **ret,
			   size_t *n)
{
	size_t room = 0;

	for (size_t i = 0; i < s->n_probed; i++)
		room += s->probed[i].found->n_probes;
	*ret = calloc(room + 1, sizeof(**ret));
	*n = 0;
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_probed; i++) {
		const struct mt_alloc_found *f = s->probed[i].found;

		if (f->dev != st->st_dev || f->inode != st->st_ino)
			continue;
		for (size_t k = 0; k < f->n_probes; k++)
			(*ret)[(*n)++] = f->probes[k].place.addr - f->probes[k].place.skip;
	}
	return 0;
}

/* malloc itself: what it allocates is there only after it has returned. */
static int check_not_allocator(const struct mt_func_found *found, const struct mt_exits_of *of)
{
	for (size_t i = 0; i < of->n; i++)
		if (of->stops[i] == of->addr)
			return mt_err_r(-ENOTSUP,
					"--func: %s is one of the allocator's own functions, each "
					"call of which is one block: memtrace -p counts them",
					found->name);
	return 0;
}

static void tell_exits(const struct mt_func_found *found, const struct mt_exits *e)
{
	const struct mt_place *p = &e->v[0].place;
	size_t exits = 0;

	for (size_t i = 0; i < e->n; i++)
		exits += (e->v[i].kind & (MT_FUNC_EXIT | MT_FUNC_TAIL)) != 0;
	mt_info("%s: probed at +%u (%s: %s)", found->name, p->skip, p->insn, p->why);
	mt_info("%s: %zu exit%s%s%s; %zu of the %zu probes single-stepped", found->name, exits,
		exits == 1 ? "" : "s", e->tails ? ", some by jumps that cannot be followed" : "",
		e->cut ? "; jumps to other functions count as exits, not all can be followed" : "",
		e->single, e->n);
}

/* Unwinders leave the function without passing its exits. */
static void attach_unwinders(struct mt_session *s, pid_t pid, const struct mt_func_files *files)
{
	_cleanup_free_ struct mt_exits *e = malloc(sizeof(*e));
	char path[1024];

	for (size_t i = 0; e && i < files->n; i++) {
		const struct mt_func_file *file = &files->v[i];

		if (mt_exits_unwind(file->f.elf, mt_kernel_version(), e) || !e->n)
			continue;
		if (!attach(s, pid, file->fd, e))
			mt_info("%s: %zu probes where the stack is unwound",
				mt_quote(path, sizeof(path), file->f.map->path), e->n);
	}
}

static void keep(struct mt_func *what, const struct mt_func_found *found)
{
	if (what->binary[0])
		return;
	snprintf(what->name, sizeof(what->name), "%s", found->name);
	snprintf(what->symbol, sizeof(what->symbol), "%s", found->sym.name);
	snprintf(what->binary, sizeof(what->binary), "%s", found->file->f.map->path);
	what->addr = found->sym.addr;
}

static int attach_found(struct mt_session *s, pid_t pid, const struct mt_func_found *found)
{
	_cleanup_free_ struct mt_exits *e = malloc(sizeof(*e));
	_cleanup_free_ uint64_t *stops = NULL;
	struct mt_exits_of of = {.addr = found->sym.addr, .size = found->sym.size};
	int r = e ? list_allocators(s, &found->file->f.st, &stops, &of.n) : -ENOMEM;

	of.stops = stops;
	if (!r)
		r = check_not_allocator(found, &of);
	if (r)
		return r;
	r = mt_exits_find(found->file->f.elf, &of, mt_kernel_version(), e);
	if (r)
		return refuse(found, r);
	tell_exits(found, e);
	r = attach(s, pid, found->file->fd, e);
	if (r)
		return mt_err_r(r, "cannot probe %s of pid %d: %s; see memtrace doctor -p %d",
				found->name, pid, strerror(-r), pid);
	keep(&s->measure->what, found);
	return 0;
}

static int start_in(struct mt_session *s, const struct mt_tracee *t,
		    const struct mt_symbol_query *q)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	MT_CLEANUP(mt_func_files_free) struct mt_func_files files = {0}, all = {0};
	const struct mt_symbol_query any = {0};
	struct mt_func_found found;
	int r;

	if (mt_golang_is(t))
		return mt_err_r(-ENOTSUP,
				"--func: pid %d is a Go program, whose stacks move: its functions "
				"cannot be followed",
				t->pid);
	r = mt_maps_read(t->pid, &maps);
	if (!r)
		r = mt_func_files_open(t->pid, maps, q, &files);
	if (!r)
		r = mt_func_files_open(t->pid, maps, &any, &all);
	if (r)
		return mt_err_r(r, "cannot read the files of pid %d: %s", t->pid, strerror(-r));
	r = mt_func_find(t->pid, &files, q, &found);
	if (!r)
		r = attach_found(s, t->pid, &found);
	if (!r)
		attach_unwinders(s, t->pid, &all);
	return r;
}

static void set_on(struct mt_session *s, uint32_t on)
{
	__atomic_store_n(&s->progs.skel->bss->mt_func_on, on, __ATOMIC_RELEASE);
}

int mt_session_func_start(struct mt_session *s, const char *spec)
{
	struct mt_symbol_query q;
	const char *why;
	int r = 0;

	if (s->measure)
		return -EBUSY;
	if (mt_symbol_parse(spec, &q, &why))
		return mt_err_r(-EINVAL, "--func: %s: use [BINARY:]SYMBOL or BINARY:0xADDRESS",
				why);
	s->measure = calloc(1, sizeof(*s->measure));
	if (!s->measure)
		return -ENOMEM;
	for (size_t i = 0; i < s->n && !r; i++)
		r = start_in(s, s->tracees[i], &q);
	if (r)
		return r;
	s->measure->start_ns = mt_clock_ns(CLOCK_MONOTONIC);
	set_on(s, 1);
	return 0;
}

#define SETTLE_TRIES 100

/* What runs on a CPU now still counts: it is read until it stays the same. */
static int read_counts(struct mt_session *s, struct mt_func_counts *v, size_t size)
{
	_cleanup_free_ struct mt_func_counts *before = calloc(1, size);
	const uint32_t first = 0;
	int r = before ? 0 : -ENOMEM;

	for (int i = 0; i < SETTLE_TRIES && !r; i++) {
		memcpy(before, v, size);
		r = bpf_map__lookup_elem(s->progs.skel->maps.mt_func_counts, &first, sizeof(first),
					 v, size, 0);
		if (!r && i && memcmp(before, v, size) == 0)
			break;
	}
	return r;
}

static void add_losses(struct mt_func_loss *loss, const struct mt_flows *f)
{
	loss->failed_reads += f->failed_reads;
	loss->failed_storage += f->failed_storage;
	loss->unreturned += f->unreturned;
	loss->unknown_free += f->unknown_free;
	loss->map_full += f->map_full;
	loss->untraced += f->untraced;
}

static int list_targets(struct mt_session *s, struct mt_func *ret)
{
	ret->pids = calloc(s->n + 1, sizeof(*ret->pids));
	if (!ret->pids)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++) {
		const struct mt_tracee *t = s->tracees[i];
		struct mt_flows flows;

		if (!ret->n_pids)
			memcpy(ret->comm, t->comm, sizeof(ret->comm));
		ret->pids[ret->n_pids++] = t->pid;
		if (!mt_read_flows(s, t, &flows))
			add_losses(&ret->loss, &flows);
		for (const struct mt_alloc_found *a = t->found; a; a = a->next)
			ret->loss.untraced += a->n_missed != 0;
	}
	return 0;
}

int mt_session_func_stop(struct mt_session *s, struct mt_func *ret)
{
	const size_t size = (size_t)s->cpus * sizeof(struct mt_func_counts);
	_cleanup_free_ struct mt_func_counts *v = calloc(1, size);
	int r = v ? 0 : -ENOMEM;

	mt_life_consume(s);
	set_on(s, 0);
	*ret = s->measure->what;
	ret->pids = NULL;
	ret->n_pids = 0;
	ret->time_ns = mt_clock_ns(CLOCK_REALTIME);
	ret->duration_ns = mt_clock_ns(CLOCK_MONOTONIC) - s->measure->start_ns;
	if (!r)
		r = read_counts(s, v, size);
	if (!r)
		r = list_targets(s, ret);
	if (r) {
		mt_func_fini(ret);
		return mt_err_r(r, "cannot read what was counted: %s", strerror(-r));
	}
	mt_func_fill(ret, v, (size_t)s->cpus);
	return 0;
}
