/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Attaching a target's probes: one uprobe_multi link per program where the
 * kernel has them, else one perf event per probe.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "memtrace.skel.h"
#include "session/internal.h"

#define DETACH_AT_ONCE 64

/* The probes of one side, entries or returns. */
struct side {
	unsigned long offsets[MT_PROBES_MAX], ref_ctrs[MT_PROBES_MAX];
	uint64_t cookies[MT_PROBES_MAX];
	size_t n;
};

static struct bpf_link *attach_multi(struct bpf_program *prog, pid_t pid, const char *path,
				     const struct side *side, bool ret)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .offsets = side->offsets,
		    .cookies = (const __u64 *)side->cookies, .cnt = side->n, .retprobe = ret);

	for (size_t i = 0; i < side->n; i++)
		if (side->ref_ctrs[i])
			opts.ref_ctr_offsets = side->ref_ctrs;

	return bpf_program__attach_uprobe_multi(prog, pid, path, NULL, &opts);
}

static struct bpf_link *attach_perf(struct bpf_program *prog, pid_t pid, const char *path,
				    const struct side *side, size_t i, bool ret)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = side->cookies[i],
		    .ref_ctr_offset = side->ref_ctrs[i], .retprobe = ret);

	return bpf_program__attach_uprobe_opts(prog, pid, path, side->offsets[i], &opts);
}

static int keep(struct mt_links *l, struct bpf_link *link)
{
	if (!link)
		return -errno;
	l->v[l->n++] = link;
	return 0;
}

static struct bpf_program *prog_of(const struct mt_progs *p, enum mt_links_prog prog, bool ret)
{
	switch (prog) {
	case MT_LINKS_GO_EXIT:
		return p->skel->progs.mt_go_exit;
	case MT_LINKS_FUNC:
		return p->skel->progs.mt_func_probe;
	case MT_LINKS_MARK:
		return p->skel->progs.mt_mark;
	default:
		return ret ? p->skel->progs.mt_alloc_exit : p->skel->progs.mt_alloc_enter;
	}
}

/* One program serves them all. */
static int attach_side(struct mt_links *l, const struct mt_progs *p, bool ret, pid_t pid,
		       const struct mt_links_plan *plan)
{
	struct bpf_program *prog = prog_of(p, plan->prog, ret);
	struct side side = {.n = 0};
	int r = 0;

	for (size_t i = 0; i < plan->n; i++) {
		if (ret ? !plan->v[i].ret : !plan->v[i].entry)
			continue;
		side.offsets[side.n] = plan->v[i].offset;
		side.ref_ctrs[side.n] = plan->v[i].ref_ctr;
		side.cookies[side.n++] = plan->v[i].cookie;
	}
	if (!side.n)
		return 0;
	if (p->multi)
		return keep(l, attach_multi(prog, pid, plan->path, &side, ret));
	for (size_t i = 0; i < side.n && !r; i++)
		r = keep(l, attach_perf(prog, pid, plan->path, &side, i, ret));
	return r;
}

int mt_links_attach(struct mt_links *l, const struct mt_progs *p, pid_t pid,
		    const struct mt_links_plan *plan)
{
	int r;

	l->v = calloc(2 * plan->n + 1, sizeof(struct bpf_link *));
	if (!l->v)
		return -ENOMEM;
	/* returns first: an entry must not open a frame that no return will close */
	r = attach_side(l, p, true, pid, plan);
	if (!r)
		r = attach_side(l, p, false, pid, plan);
	if (r)
		mt_links_detach(l);
	return r;
}

static void *destroy(void *link)
{
	bpf_link__destroy(link);
	return NULL;
}

/* Each waits for a grace period of the kernel: side by side, not one after another. */
static void destroy_all(struct bpf_link **v, size_t n)
{
	pthread_t threads[DETACH_AT_ONCE];
	bool started[DETACH_AT_ONCE];

	for (size_t i = 0; i < n; i++)
		started[i] = !pthread_create(&threads[i], NULL, destroy, v[i]);
	for (size_t i = 0; i < n; i++) {
		if (started[i])
			pthread_join(threads[i], NULL);
		else
			bpf_link__destroy(v[i]);
	}
}

void mt_links_detach_all(struct mt_links *l, size_t n)
{
	struct bpf_link *v[DETACH_AT_ONCE];
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < l[i].n; k++) {
			v[used++] = l[i].v[k];
			if (used == DETACH_AT_ONCE) {
				destroy_all(v, used);
				used = 0;
			}
		}
	}
	destroy_all(v, used);
	for (size_t i = 0; i < n; i++) {
		if (!l[i].v)
			continue;
		free(l[i].v);
		l[i].v = NULL;
		l[i].n = 0;
	}
}

void mt_links_detach(struct mt_links *l)
{
	mt_links_detach_all(l, 1);
}
