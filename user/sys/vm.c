/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"

#define READ_TRIES 5
#define PAGE       4096ull

static int process_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	struct iovec local = {buf, n}, remote = {(void *)(uintptr_t)addr, n};
	ssize_t r = process_vm_readv((pid_t)(intptr_t)m->ctx, &local, 1, &remote, 1, 0);

	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -EFAULT;
}

/* Bits 63 and 62 of /proc/PID/pagemap: present, swapped. Documentation/admin-guide/mm/pagemap.rst
 */
#define PAGEMAP_USED (3ull << 62)

/* Which of n pages hold anything; all of them where the kernel does not say. */
static void used_pages(pid_t pid, uint64_t addr, size_t n, uint64_t *map)
{
	_cleanup_close_ int fd = -1;
	ssize_t want = (ssize_t)(n * sizeof(*map));
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, map, (size_t)want, (off_t)(addr / PAGE * sizeof(*map))) != want)
		memset(map, 0xff, (size_t)want);
}

/* The kernel stops at the first range that fails: zeros for it, and on behind it. */
static void read_ranges(pid_t pid, const struct iovec *local, const struct iovec *remote, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r =
			process_vm_readv(pid, local + done, n - done, remote + done, n - done, 0);

		if (r < 0 && errno != EFAULT)
			return;
		done += (r > 0 ? (size_t)r / local->iov_len : 0) + 1;
	}
}

static void process_heads(const struct mt_mem *m, uint64_t addr, size_t n, uint64_t (*out)[2])
{
	struct iovec local[MT_MEM_HEADS], remote[MT_MEM_HEADS];
	uint64_t map[MT_MEM_HEADS];
	pid_t pid = (pid_t)(intptr_t)m->ctx;
	size_t used = 0;

	memset(out, 0, n * sizeof(*out));
	used_pages(pid, addr, n, map);
	for (size_t i = 0; i < n; i++) {
		if (!(map[i] & PAGEMAP_USED))
			continue;
		local[used] = (struct iovec){out[i], sizeof(out[i])};
		remote[used++] =
			(struct iovec){(void *)(uintptr_t)(addr + i * PAGE), sizeof(out[i])};
	}
	read_ranges(pid, local, remote, used);
}

struct mt_mem mt_mem_process(pid_t pid)
{
	return (struct mt_mem){
		.read = process_read, .heads = process_heads, .ctx = (void *)(intptr_t)pid};
}

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
	int r;

	r = mt_proc_tids(pid, &tids, &n_tids);
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
	struct mt_maps *maps;
};

static int read_consistent(pid_t pid, struct reading *rd)
{
	struct mt_proc_status before;
	int r = read_status(pid, &before);

	for (int i = 0; !r && i < READ_TRIES; i++) {
		mt_maps_free(&rd->maps);
		r = mt_maps_read(pid, &rd->maps);
		if (!r)
			r = read_status(pid, &rd->status);
		if (r || same_sizes(&before, &rd->status))
			break;
		before = rd->status;
	}
	return r;
}

static int classify(pid_t pid, const struct mt_maps *maps, struct mt_vm_parts *parts)
{
	_cleanup_free_ uint64_t *heads = NULL;
	struct mt_mem mem = mt_mem_process(pid);
	struct mt_proc_stat stat;
	size_t n;
	int r;

	r = mt_proc_stat_read(pid, &stat);
	if (!r)
		r = read_robust_lists(pid, &heads, &n);
	return r ? r : mt_vm_classify(maps, &mem, stat.start_brk, heads, n, parts);
}

static uint64_t sum_pss(const struct mt_maps *maps)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < maps->n; i++)
		sum += maps->v[i].pss;
	return sum;
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

static int read_full(pid_t pid, struct mt_vm *vm)
{
	struct mt_vm_parts parts;
	struct mt_maps *smaps = NULL;
	int r = mt_smaps_read(pid, &smaps);

	if (r)
		return r;
	r = classify(pid, smaps, &parts);
	if (!r) {
		vm->heap_resident = parts.heap_resident;
		vm->stack_resident = parts.stack_resident;
		vm->pss = sum_pss(smaps);
	}
	mt_maps_free(&smaps);
	return r;
}

static int read_parts(pid_t pid, const struct mt_maps *maps, struct mt_vm *vm)
{
	struct mt_vm_parts parts;
	int r = classify(pid, maps, &parts);

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

int mt_vm_read(pid_t pid, enum mt_vm_depth depth, struct mt_vm *out)
{
	struct mt_vm vm = *out;
	struct reading rd = {0};
	int r;

	if (depth == MT_VM_STATUS)
		return read_totals(pid, out);
	r = read_consistent(pid, &rd);
	if (!r) {
		set_status(&vm, &rd.status);
		r = read_parts(pid, rd.maps, &vm);
	}
	mt_maps_free(&rd.maps);
	if (!r && depth == MT_VM_FULL)
		r = read_full(pid, &vm);
	if (!r)
		*out = vm;
	return r;
}
