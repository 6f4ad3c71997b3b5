/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "census/image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/order.h"
#include "base/cleanup.h"
#include "sys/procfs.h"

#define AREAS_MAX (1u << 20)

void mt_image_open(struct mt_image_process *ip, pid_t pid, char *why)
{
	*ip = (struct mt_image_process){.img = {.why = why}};
	mt_mem_open(&ip->mem, pid);
	ip->img.mem = &ip->mem.mem;
	ip->img.idle = &ip->idle;
}

void mt_image_close(struct mt_image_process *ip)
{
	mt_mem_close(&ip->mem);
	free(ip->idle.v);
	free(ip->areas);
	free(ip->robust);
	ip->idle.v = NULL;
	ip->areas = NULL;
	ip->robust = NULL;
}

struct reader {
	struct mt_image_process *ip;
	const struct mt_alloc_owner *owner;
	uint64_t bss; /* where the owner's .bss would begin: behind its data; 0 */
};

static bool is_owner(const struct reader *rd, const struct mt_mapping *m)
{
	return m->inode && mt_mapping_same_file(m, &rd->owner->map);
}

static bool is_anon(const struct mt_mapping *m)
{
	return (!m->inode && (!m->path[0] || !strncmp(m->path, "[anon:", 6) ||
			      !strcmp(m->path, "[heap]") || !strcmp(m->path, "[stack]"))) ||
	       !strcmp(m->path, "/anon_hugepage");
}

static int add_area(const struct mt_mapping *m, void *ctx)
{
	struct reader *rd = ctx;
	struct mt_image_process *ip = rd->ip;
	struct mt_image_area a = {.start = m->start, .end = m->end, .anon = is_anon(m)};

	a.owner = is_owner(rd, m) || (a.anon && m->start == rd->bss);
	rd->bss = is_owner(rd, m) ? m->end : 0;
	if (!m->read || !m->write || m->shared || m->start % MT_MEM_PAGE || m->end % MT_MEM_PAGE)
		return 0;
	a.brk = !strcmp(m->path, "[heap]");
	a.stack = !strcmp(m->path, "[stack]");
	if (a.brk)
		a.owner = false;
	if (ip->n_areas == ip->cap_areas) {
		size_t cap = ip->cap_areas ? 2 * ip->cap_areas : 256;
		struct mt_image_area *v = NULL;

		if (cap <= AREAS_MAX)
			v = realloc(ip->areas, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		ip->areas = v;
		ip->cap_areas = cap;
	}
	ip->areas[ip->n_areas++] = a;
	return 0;
}

static int read_robust(struct mt_image_process *ip, pid_t pid)
{
	_cleanup_free_ pid_t *tids = NULL;
	bool whole;
	size_t n;
	int r = mt_proc_tids(pid, &tids, &n, &whole);

	if (r)
		return r;
	if (!whole)
		return mt_unsound(&ip->img, "its threads cannot be listed");
	free(ip->robust);
	ip->robust = calloc(n + 1, sizeof(*ip->robust));
	if (!ip->robust)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		void *head = NULL;
		size_t len;

		if (!syscall(SYS_get_robust_list, tids[i], &head, &len))
			ip->robust[i] = (uint64_t)(uintptr_t)head;
	}
	ip->img.robust = ip->robust;
	ip->img.n_robust = n;
	return 0;
}

int mt_image_read(struct mt_image_process *ip, pid_t pid, const struct mt_alloc_owner *owner)
{
	struct reader rd = {.ip = ip, .owner = owner};
	struct mt_proc_stat stat;
	int r;

	ip->n_areas = 0;
	ip->idle.n = 0;
	r = mt_maps_each(pid, add_area, &rd);
	if (!r)
		r = read_robust(ip, pid);
	if (!r)
		r = mt_proc_stat_read(pid, &stat);
	if (r)
		return r;
	ip->img.areas = ip->areas;
	ip->img.n_areas = ip->n_areas;
	ip->img.start_brk = stat.start_brk;
	if (!ip->img.random)
		mt_proc_auxv(pid, AT_RANDOM, &ip->img.random);
	return 0;
}

uint64_t mt_image_idle_resident(const struct mt_image_process *ip, uint64_t idle)
{
	uint64_t looked = 0, used = 0;

	for (size_t i = 0; i < ip->idle.n; i++) {
		const struct mt_image_range *rg = &ip->idle.v[i];

		looked += rg->hi - rg->lo;
		used += mt_mem_used(&ip->mem, rg->lo, rg->hi);
	}
	if (!looked || looked == idle)
		return used;
	return (uint64_t)((double)used / (double)looked * (double)idle);
}
