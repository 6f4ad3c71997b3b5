/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Attaching a target's probes: one uprobe_multi link per program where the
 * kernel has them, else one perf event per probe.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"

/* Which probes one program serves. */
struct role {
	bool ret;
	bool framed; /* functions that may contain another one */
	bool freeing;
};

static bool serves(const struct role *role, const struct mt_probe *p)
{
	bool framed = p->kind != MT_KIND_MALLOC && p->kind != MT_KIND_FREE;

	if (role->ret ? !p->ret : !p->entry)
		return false;
	return role->framed == framed && role->freeing == (p->kind == MT_KIND_FREE);
}

static struct bpf_link *attach_multi(struct bpf_program *prog, pid_t pid, const char *path,
				     const unsigned long *offsets, const uint64_t *cookies,
				     size_t n, bool ret)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .offsets = offsets,
		    .cookies = (const __u64 *)cookies, .cnt = n, .retprobe = ret);

	return bpf_program__attach_uprobe_multi(prog, pid, path, NULL, &opts);
}

static struct bpf_link *attach_perf(struct bpf_program *prog, pid_t pid, const char *path,
				    unsigned long offset, uint64_t cookie, bool ret)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = cookie, .retprobe = ret);

	return bpf_program__attach_uprobe_opts(prog, pid, path, offset, &opts);
}

static int keep(struct mt_links *l, struct bpf_link *link)
{
	if (!link)
		return -errno;
	l->v[l->n++] = link;
	return 0;
}

static int attach_role(struct mt_links *l, const struct mt_progs *p, struct bpf_program *prog,
		       const struct role *role, pid_t pid, const struct mt_alloc_found *found,
		       uint32_t file_id)
{
	unsigned long offsets[MT_PROBES_MAX];
	uint64_t cookies[MT_PROBES_MAX];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < found->n_probes; i++) {
		const struct mt_probe *probe = &found->probes[i];

		if (!serves(role, probe))
			continue;
		offsets[n] = probe->offset;
		cookies[n++] = probe->cookie | MT_COOKIE(file_id, 0, 0, 0);
	}
	if (!n)
		return 0;
	if (p->multi)
		return keep(l, attach_multi(prog, pid, found->open_path, offsets, cookies, n,
					    role->ret));
	for (size_t i = 0; i < n && !r; i++)
		r = keep(l, attach_perf(prog, pid, found->open_path, offsets[i], cookies[i],
					role->ret));
	return r;
}

int mt_links_attach(struct mt_links *l, const struct mt_progs *p, pid_t pid,
		    const struct mt_alloc_found *found, uint32_t file_id)
{
	/* returns before entries: what is freed was counted */
	const struct {
		struct bpf_program *prog;
		struct role role;
	} plan[] = {
		{p->skel->progs.mt_frame_exit, {.ret = true, .framed = true}},
		{p->skel->progs.mt_frame_enter, {.framed = true}},
		{p->skel->progs.mt_alloc_exit, {.ret = true}},
		{p->skel->progs.mt_free_enter, {.freeing = true}},
	};
	int r;

	for (size_t i = 0; i < sizeof(plan) / sizeof(plan[0]); i++) {
		r = attach_role(l, p, plan[i].prog, &plan[i].role, pid, found, file_id);
		if (r) {
			mt_links_detach(l);
			if (r == -ESRCH)
				return mt_err_r(r, "pid %d ended while being attached to", pid);
			return mt_err_r(r,
					"cannot probe %s of pid %d: %s; see memtrace doctor -p %d",
					found->path, pid, strerror(-r), pid);
		}
	}
	return 0;
}

void mt_links_detach(struct mt_links *l)
{
	for (size_t i = 0; i < l->n; i++)
		bpf_link__destroy(l->v[i]);
	l->n = 0;
}
