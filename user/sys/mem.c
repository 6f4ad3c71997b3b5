/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory is read through /proc/PID/mem: unlike process_vm_readv, which waits for
 * as long as the target likes on a page that userfaultfd is to fill, it may not
 * retry a fault, and fails (handle_userfault() in fs/userfaultfd.c).
 */
#include "sys/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sys/procfs.h"

#define PAGE      MT_MEM_PAGE
#define PAGES_MAX 65u /* asked about at a time: 256 KiB and what they overlap */

/* Bits 63 and 62 of an entry: present, swapped. Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_USED (3ull << 62)

/* struct pm_scan_arg and page_region of linux/fs.h, Linux 6.7. */
struct page_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL      _IOWR('f', 16, struct scan_arg)
#define PAGE_IS_PRESENT (1ull << 3)
#define PAGE_IS_SWAPPED (1ull << 4)
/* The kernel walks empty page tables too: so much of them in one call. */
#define SKIP_MAX (16ull << 30)

static bool is_used(uint64_t entry)
{
	return entry & PAGEMAP_USED;
}

/* Which of n pages hold anything; all of them where the kernel does not say. */
static void used_pages(const struct mt_mem_process *p, uint64_t addr, size_t n, uint64_t *map)
{
	size_t want = n * sizeof(*map);

	if (p->pagemap_fd < 0 ||
	    pread(p->pagemap_fd, map, want, (off_t)(addr / PAGE * sizeof(*map))) != (ssize_t)want)
		memset(map, 0xff, want);
}

static int read_used(const struct mt_mem_process *p, uint64_t addr, void *buf, size_t n)
{
	ssize_t r;

	if (addr > INT64_MAX)
		return -EFAULT;
	r = pread(p->mem_fd, buf, n, (off_t)addr);
	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -EFAULT;
}

/* From addr in as many pages as map tells of: runs of used ones in one reading each. */
static int read_pages(const struct mt_mem_process *p, uint64_t addr, char *out, size_t n,
		      const uint64_t *map)
{
	while (n) {
		const bool used = is_used(*map);
		size_t part = PAGE - addr % PAGE;
		int r = 0;

		for (map++; part < n && is_used(*map) == used; map++)
			part += PAGE;
		part = part < n ? part : n;
		if (used)
			r = read_used(p, addr, out, part);
		else
			memset(out, 0, part);
		if (r)
			return r;
		addr += part;
		out += part;
		n -= part;
	}
	return 0;
}

static int process_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	const struct mt_mem_process *p = m->ctx;
	uint64_t map[PAGES_MAX];
	char *out = buf;

	while (n) {
		size_t room = PAGES_MAX * PAGE - addr % PAGE, part = n < room ? n : room;
		int r;

		used_pages(p, addr, (addr % PAGE + part + PAGE - 1) / PAGE, map);
		r = read_pages(p, addr, out, part, map);
		if (r)
			return r;
		addr += part;
		out += part;
		n -= part;
	}
	return 0;
}

uint64_t mt_mem_used(const struct mt_mem_process *p, uint64_t lo, uint64_t hi)
{
	uint64_t map[MT_MEM_HEADS], used = 0;

	while (lo < hi) {
		size_t n = (hi - lo) / PAGE < MT_MEM_HEADS ? (hi - lo) / PAGE : MT_MEM_HEADS;

		if (!n)
			break;
		used_pages(p, lo, n, map);
		for (size_t i = 0; i < n; i++)
			used += is_used(map[i]) ? PAGE : 0;
		lo += n * PAGE;
	}
	return used;
}

static void process_heads(const struct mt_mem *m, uint64_t addr, size_t n, uint64_t (*out)[2])
{
	const struct mt_mem_process *p = m->ctx;
	uint64_t map[MT_MEM_HEADS];

	memset(out, 0, n * sizeof(*out));
	used_pages(p, addr, n, map);
	for (size_t i = 0; i < n; i++) {
		if (is_used(map[i]) && read_used(p, addr + i * PAGE, out[i], sizeof(out[i])))
			memset(out[i], 0, sizeof(out[i]));
	}
}

static uint64_t process_skip(const struct mt_mem *m, uint64_t addr, uint64_t end)
{
	const struct mt_mem_process *p = m->ctx;
	struct page_region found;
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = addr,
		.end = end - addr < SKIP_MAX ? end : addr + SKIP_MAX,
		.vec = (uint64_t)(uintptr_t)&found,
		.vec_len = 1,
		.max_pages = 1,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};
	int r = ioctl(p->pagemap_fd, SCAN_IOCTL, &arg);

	if (r < 0)
		return addr;
	return r ? found.start : arg.end;
}

void mt_mem_open(struct mt_mem_process *p, pid_t pid)
{
	*p = (struct mt_mem_process){
		.mem = {.read = process_read,
			.heads = process_heads,
			.skip = process_skip,
			.ctx = p},
		.mem_fd = mt_proc_open(pid, "mem"),
		.pagemap_fd = mt_proc_open(pid, "pagemap"),
	};
}

void mt_mem_close(struct mt_mem_process *p)
{
	if (p->mem_fd >= 0)
		close(p->mem_fd);
	if (p->pagemap_fd >= 0)
		close(p->pagemap_fd);
	p->mem_fd = p->pagemap_fd = -1;
}
