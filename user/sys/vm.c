/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/vm_internal.h"

#define READ_TRIES 5

static bool same_sizes(const struct mt_proc_status *a, const struct mt_proc_status *b)
{
	return a->vm_data == b->vm_data && a->vm_stk == b->vm_stk && a->threads == b->threads;
}

static int read_status(pid_t pid, struct mt_proc_status *status)
{
	int r = mt_proc_status_read(pid, status);

	return !r && !status->has_mm ? -ESRCH : r;
}

/* A list head's address, or 0 for a thread that is gone or has none. */
static uint64_t robust_list(pid_t tid)
{
	void *head = NULL;
	size_t len;

	if (syscall(SYS_get_robust_list, tid, &head, &len) < 0)
		return 0;
	return (uint64_t)(uintptr_t)head;
}

static int read_robust_lists(pid_t pid, uint64_t **ret, size_t *n)
{
	_cleanup_free_ pid_t *tids = NULL;
	uint64_t *heads;
	size_t n_tids;
	bool whole;
	int r;

	r = mt_proc_tids(pid, &tids, &n_tids, &whole);
	if (r)
		return r;
	heads = calloc(n_tids, sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	*n = 0;
	for (size_t i = 0; i < n_tids; i++) {
		/* The first thread's list lies in ld.so's memory, not in its stack. */
		if (tids[i] != pid)
			heads[(*n)++] = robust_list(tids[i]);
	}
	*ret = heads;
	return 0;
}

struct reading {
	struct mt_proc_status status;
	struct mt_vm_areas areas;
	uint64_t pss; /* smaps only */
};

#define _cleanup_reading_ MT_CLEANUP(reading_fini)

static void reading_fini(struct reading *rd)
{
	mt_vm_areas_fini(&rd->areas);
}

static int add_mapping(const struct mt_mapping *m, void *ctx)
{
	struct reading *rd = ctx;

	rd->pss += m->pss;
	return mt_vm_areas_add(&rd->areas, m);
}

static int read_consistent(pid_t pid, struct reading *rd)
{
	struct mt_proc_status before;
	int r = read_status(pid, &before), r_maps = 0;

	for (int i = 0; !r && i < READ_TRIES; i++) {
		rd->areas.n = 0;
		r_maps = mt_maps_each(pid, add_mapping, rd);
		/* Gone, or only the thread that was asked in place of the first. */
		if (r_maps && r_maps != -ESRCH)
			break;
		r = read_status(pid, &rd->status);
		if (!r && !r_maps && same_sizes(&before, &rd->status))
			break;
		before = rd->status;
	}
	return r ? r : r_maps;
}

static int classify(pid_t pid, const struct mt_vm_areas *areas, struct mt_vm_cache *cache,
		    struct mt_vm_parts *parts)
{
	_cleanup_free_ uint64_t *heads = NULL;
	struct mt_mem_process mem;
	struct mt_proc_stat stat;
	size_t n;
	int r;

	r = mt_proc_stat_read(pid, &stat);
	if (!r)
		r = read_robust_lists(pid, &heads, &n);
	if (r)
		return r;
	mt_mem_open(&mem, pid);
	r = mt_vm_classify(areas, &mem.mem, stat.start_brk, heads, n, cache, parts);
	mt_mem_close(&mem);
	return r;
}

/* The parts are of private writable memory: after a torn reading they still are. */
static void set_parts(struct mt_vm *vm, const struct mt_vm_parts *parts)
{
	uint64_t sys = vm->data + vm->stack;

	vm->stack_sys = parts->stack < sys ? parts->stack : sys;
	vm->heap_sys = parts->heap < sys - vm->stack_sys ? parts->heap : sys - vm->stack_sys;
	vm->heap_brk = parts->heap_brk < vm->heap_sys ? parts->heap_brk : vm->heap_sys;
	vm->detail = true;
}

/* Without smaps what it would say stays what it was. */
static void read_full(pid_t pid, struct mt_vm_cache *cache, struct mt_vm *vm)
{
	_cleanup_reading_ struct reading rd = {0};
	struct mt_vm_parts parts;

	/* The pages that this reading may look at have been. */
	cache->fresh = cache->again = 0;
	if (mt_smaps_each(pid, add_mapping, &rd) || classify(pid, &rd.areas, cache, &parts))
		return;
	vm->heap_resident = parts.heap_resident;
	vm->stack_resident = parts.stack_resident;
	vm->pss = rd.pss;
}

static int read_parts(pid_t pid, const struct mt_vm_areas *areas, struct mt_vm_cache *cache,
		      struct mt_vm *vm)
{
	struct mt_vm_parts parts;
	int r = classify(pid, areas, cache, &parts);

	if (r)
		return r;
	set_parts(vm, &parts);
	/* Not every machine shows it; then it stays what it was. */
	mt_cgroup_current(pid, &vm->cgroup_current);
	return 0;
}

static void set_status(struct mt_vm *vm, const struct mt_proc_status *st)
{
	vm->data = st->vm_data;
	vm->stack = st->vm_stk;
	vm->rss = st->vm_rss;
	vm->swap = st->vm_swap;
	vm->shared = st->rss_shmem + st->rss_file;
	vm->known = true;
}

/* The least reading: one small file. */
static int read_totals(pid_t pid, struct mt_vm *out)
{
	struct mt_proc_status st;
	int r = read_status(pid, &st);

	if (!r)
		set_status(out, &st);
	return r;
}

int mt_vm_read_cached(pid_t pid, enum mt_vm_depth depth, struct mt_vm_cache **cache,
		      struct mt_vm *out)
{
	_cleanup_reading_ struct reading rd = {0};
	struct mt_vm vm = *out;
	int r;

	if (depth == MT_VM_STATUS)
		return read_totals(pid, out);
	r = mt_vm_cache_begin(cache);
	if (!r)
		r = read_consistent(pid, &rd);
	if (r)
		return r;
	set_status(&vm, &rd.status);
	r = read_parts(pid, &rd.areas, *cache, &vm);
	if (r)
		return r;
	*out = vm;
	if (depth == MT_VM_FULL)
		read_full(pid, *cache, out);
	return 0;
}

int mt_vm_read(pid_t pid, enum mt_vm_depth depth, struct mt_vm *out)
{
	struct mt_vm_cache *cache = NULL;
	int r = mt_vm_read_cached(pid, depth, &cache, out);

	mt_vm_cache_free(&cache);
	return r;
}
