/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One file that a process has mapped: opening it, and whether an allocator is in it. */
#include "alloc/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/*
 * Opens a regular file, and nothing else: to open a device can be to act on it,
 * and both links and paths are the target's to choose.
 */
static int open_regular(const char *path)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	char self[64];
	int opened;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	opened = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return opened >= 0 ? opened : -errno;
}

/*
 * The files' own links open replaced and deleted ones too, and need a
 * capability. Only without it the path is taken: where the mapping has gone in
 * the meantime, whatever has the path now is not what was mapped.
 */
static int open_mapping(pid_t tid, const struct mt_mapping *m, char *path, size_t size)
{
	int r;

	snprintf(path, size, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)tid, m->start, m->end);
	r = open_regular(path);
	if (m->deleted || (r != -EPERM && r != -EACCES))
		return r;
	snprintf(path, size, "/proc/%d/root%s", (int)tid, m->path);
	return open_regular(path);
}

int mt_alloc_file_fd(pid_t tid, const struct mt_mapping *m)
{
	char path[4160];

	return open_mapping(tid, m, path, sizeof(path));
}

void mt_alloc_file_close(struct mt_alloc_file *f)
{
	mt_elf_free(&f->elf);
}

/*
 * Its symbols say where probes go, in every process that runs the executable,
 * while anybody can have a root of his own, and in it a file that lies. Whom the
 * executable belongs to could have done it harm anyway.
 */
static bool is_trusted(int fd, uid_t owner)
{
	struct stat st;

	return !fstat(fd, &st) && (!st.st_uid || st.st_uid == owner) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Where distributions put what they strip: in the target's own root, or in ours. */
static void add_debug(pid_t tid, const struct mt_alloc_file *f)
{
	struct mt_elf *elf = f->elf;
	char name[2 * MT_BUILD_ID_MAX + 16], root[32], path[sizeof(name) + 128];

	if (mt_elf_debug_name(elf, name, sizeof(name)))
		return;
	snprintf(root, sizeof(root), "/proc/%d/root", (int)tid);
	for (int own = 0; own < 2; own++) {
		_cleanup_close_ int fd = -1;

		snprintf(path, sizeof(path), "%s/usr/lib/debug/.build-id/%s", own ? "" : root,
			 name);
		fd = open_regular(path);
		if (fd >= 0 && is_trusted(fd, f->st.st_uid) && mt_elf_add_debug(elf, fd) == 0)
			return;
	}
}

/* The file of f->map, open as fd. */
static int read_file(pid_t tid, int fd, struct mt_alloc_file *f)
{
	int r;

	if (fstat(fd, &f->st) < 0)
		return -errno;
	r = mt_elf_open_fd(fd, &f->elf);
	/* a library's exports say enough */
	if (!r && mt_elf_is_static(f->elf))
		add_debug(tid, f);
	return r;
}

int mt_alloc_file_open(pid_t tid, struct mt_alloc_file *f)
{
	_cleanup_close_ int fd = open_mapping(tid, f->map, f->open_path, sizeof(f->open_path));

	return fd < 0 ? fd : read_file(tid, fd, f);
}

int mt_alloc_file_open_symbols(pid_t tid, struct mt_alloc_file *f, int *fd)
{
	_cleanup_close_ int own = open_mapping(tid, f->map, f->open_path, sizeof(f->open_path));
	int r = own < 0 ? own : read_file(tid, own, f);

	if (r)
		return r;
	if (!mt_elf_is_static(f->elf)) /* else that was done */
		add_debug(tid, f);
	*fd = TAKE_FD(own);
	return 0;
}

/*
 * glibc's dynamic linker exports a malloc of its own up to 2.34, which the
 * libc's takes the place of.
 */
bool mt_alloc_file_is_linker(const struct mt_elf *elf)
{
	return mt_elf_exports(elf, "__tls_get_addr") && !mt_elf_exports(elf, "fopen");
}

static bool exports_malloc(const struct mt_elf *elf)
{
	return mt_elf_exports(elf, "malloc") && mt_elf_exports(elf, "free");
}

/* A `syscall` instruction anywhere in the text. */
static bool has_syscall(const struct mt_elf *elf)
{
	struct mt_place_request rq = {0};
	_cleanup_free_ uint64_t *starts = NULL;
	const struct mt_sym *syms;
	const uint8_t *hit;
	struct mt_sym sym;
	size_t n;

	if (mt_elf_find_func(elf, "malloc", &sym) || mt_elf_funcs(elf, &syms, &n) ||
	    mt_elf_text(elf, sym.addr, &rq.text, &rq.text_len, &rq.text_addr))
		return true;
	starts = calloc(n + 1, sizeof(*starts));
	if (!starts)
		return true;
	for (size_t i = 0; i < n; i++)
		starts[rq.n_starts++] = syms[i].addr;
	rq.starts = starts;
	rq.entry = sym.addr;
	for (const uint8_t *p = rq.text;; p = hit + 1) {
		hit = memmem(p, rq.text_len - (size_t)(p - rq.text), "\x0f\x05", 2);
		if (!hit)
			return false;
		if (mt_place_is_insn(&rq, rq.text_addr + (uint64_t)(hit - rq.text)))
			return true;
	}
}

/*
 * A library that defines malloc, asks the linker for another one and takes no
 * pages from the kernel itself only forwards.
 */
static bool is_wrapper(const struct mt_elf *elf)
{
	static const char *const nexts[] = {"dlsym", "dlvsym", "__libc_malloc"};
	static const char *const pages[] = {"mmap", "mmap64", "sbrk", "brk"};
	bool next = false;

	for (size_t i = 0; i < sizeof(nexts) / sizeof(nexts[0]); i++)
		next = next || mt_elf_imports(elf, nexts[i]);
	if (!next)
		return false;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (mt_elf_imports(elf, pages[i]) || mt_elf_exports(elf, pages[i]))
			return false;
	return !has_syscall(elf);
}

bool mt_alloc_file_owns_malloc(const struct mt_elf *elf)
{
	return exports_malloc(elf) && !is_wrapper(elf);
}

int mt_alloc_file_inspect(const struct mt_alloc_file *f, struct mt_alloc_found **ret)
{
	MT_CLEANUP(mt_alloc_found_free) struct mt_alloc_found *found = calloc(1, sizeof(*found));
	const char *slash = strrchr(f->map->path, '/');
	int r;

	if (!found)
		return -ENOMEM;
	r = mt_alloc_inspect(f->elf, mt_kernel_version(), found);
	if (r)
		return r;
	for (struct mt_alloc_found *one = found; one; one = one->next) {
		snprintf(one->path, sizeof(one->path), "%s", f->map->path);
		memcpy(one->open_path, f->open_path, sizeof(one->open_path));
		one->dev = f->st.st_dev;
		one->inode = f->st.st_ino;
		if (one->allocator == &mt_alloc_generic)
			snprintf(one->id.version, sizeof(one->id.version), "%s",
				 slash ? slash + 1 : f->map->path);
	}
	*ret = TAKE_PTR(found);
	return 0;
}

/*
 * All allocators that are known have a function whose name ends so, with whatever
 * prefix, and few other files do: a quick look for the many that have none.
 */
static bool may_have_allocator(const struct mt_elf *elf)
{
	return mt_elf_may_define(elf, "malloc") || mt_elf_may_define(elf, "mallocx");
}

int mt_alloc_inspect_file(pid_t pid, const struct mt_mapping *map, int *fd,
			  struct mt_alloc_found **ret)
{
	MT_CLEANUP(mt_alloc_file_close) struct mt_alloc_file f = {.map = map};
	const pid_t tid = mt_proc_live(pid);
	_cleanup_close_ int own = -ENOEXEC;
	int r;

	if (map->path[0] == '/')
		own = open_mapping(tid, map, f.open_path, sizeof(f.open_path));
	r = own < 0 ? own : read_file(tid, own, &f);
	if (fd)
		*fd = own < 0 ? -1 : TAKE_FD(own);
	if (r == -ENOEXEC) /* code that a runtime maps from a file of its own */
		return -ENOENT;
	if (r)
		return r;
	if (mt_alloc_file_is_linker(f.elf) || !may_have_allocator(f.elf) ||
	    (exports_malloc(f.elf) && is_wrapper(f.elf)))
		return -ENOENT;
	return mt_alloc_file_inspect(&f, ret);
}
