/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which file of a process owns its malloc. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "alloc/file.h"
#include "alloc/order.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/writer.h"

#define FILES_MAX 4096

struct process {
	pid_t pid;
	pid_t tid;                       /* whose files under /proc speak for it */
	char comm[64 * 4 + 1];           /* escaped */
	const struct mt_mapping **files; /* in link order: the executable first */
	size_t n_files;
};

#define _cleanup_file_ MT_CLEANUP(mt_alloc_file_close)

static void process_fini(struct process *p)
{
	free(p->files);
}

static void escape(const char *s, char *buf, size_t size)
{
	_cleanup_writer_ struct mt_writer w = {0};

	mt_write_escaped(&w, s);
	snprintf(buf, size, "%s", w.err || !w.buf ? "?" : w.buf);
}

static void read_comm(struct process *p)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)p->pid);
	if (mt_read_file(path, &text, &len)) {
		snprintf(p->comm, sizeof(p->comm), "?");
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	escape(text, p->comm, sizeof(p->comm));
}

/* Distinct files with code, by address. A file's mappings mostly stand together. */
static int list_files(const struct mt_maps *maps, struct process *p)
{
	p->files = calloc(maps->n + 1, sizeof(const struct mt_mapping *));
	if (!p->files)
		return -ENOMEM;
	p->n_files = 0;
	for (size_t i = 0; i < maps->n && p->n_files < FILES_MAX; i++) {
		const struct mt_mapping *m = &maps->v[i];
		size_t k = p->n_files;

		if (!m->exec || !m->inode || m->path[0] != '/')
			continue;
		while (k > 0 && !mt_mapping_same_file(p->files[k - 1], m))
			k--;
		if (k == 0)
			p->files[p->n_files++] = m;
	}
	return 0;
}

static bool is_gone(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return access(path, F_OK) < 0;
}

static int no_file(const struct process *p, const struct mt_mapping *m, int r)
{
	char path[1024];

	if (is_gone(p->pid))
		return mt_err_r(-ESRCH, "pid %d (%s): it has just ended", (int)p->pid, p->comm);
	escape(m->path, path, sizeof(path));
	if (r == -ENOTSUP)
		return mt_err_r(
			r,
			"pid %d (%s): %s is a 32-bit program, or of another architecture: memtrace "
			"traces 64-bit x86-64 ones",
			(int)p->pid, p->comm, path);
	if (r == -EACCES || r == -EPERM)
		return mt_err_r(-EACCES, "pid %d (%s): no permission to read %s%s", (int)p->pid,
				p->comm, path,
				geteuid() ? "; run memtrace as root, or with CAP_SYS_PTRACE and "
					    "CAP_CHECKPOINT_RESTORE"
					  : ", though root: a security policy, a user namespace or "
					    "dropped capabilities forbid it");
	return mt_err_r(r, "pid %d (%s): cannot read %s: %s", (int)p->pid, p->comm, path,
			strerror(-r));
}

/* The file owns malloc: fills *ret, or says why it cannot be traced. */
static int take(const struct process *p, const struct mt_alloc_file *f, struct mt_alloc_found **ret)
{
	char path[1024];
	int r = mt_alloc_file_inspect(f, ret);

	if (!r)
		return 0;
	escape(f->map->path, path, sizeof(path));
	if (r == -ENOENT)
		return mt_err_r(-ENOTSUP,
				"pid %d (%s): its malloc is in %s, of a kind that memtrace cannot "
				"trace; run it with glibc's malloc",
				(int)p->pid, p->comm, path);
	return mt_err_r(r, "pid %d (%s): cannot read the symbols of %s: %s", (int)p->pid, p->comm,
			path, strerror(-r));
}

static int take_static(const struct process *p, const struct mt_alloc_file *f,
		       struct mt_alloc_found **ret)
{
	struct mt_sym sym;

	if (mt_elf_find_func(f->elf, "malloc", &sym) == 0)
		return take(p, f, ret);
	if (!mt_elf_has_symtab(f->elf))
		return mt_err_r(-ENODATA,
				"pid %d (%s): static and stripped: no symbols to find its malloc "
				"by; run an executable with its symbols",
				(int)p->pid, p->comm);
	return mt_err_r(-ENODATA,
			"pid %d (%s): its executable is static and defines no malloc; memtrace "
			"traces programs that use malloc",
			(int)p->pid, p->comm);
}

/* The executable's place in the list, by its path; the lowest file if unknown. */
static size_t find_exe(const struct process *p)
{
	char exe[4096];

	if (mt_proc_exe(p->pid, exe, sizeof(exe)))
		return 0;
	for (size_t i = 0; i < p->n_files; i++)
		if (strcmp(p->files[i]->path, exe) == 0)
			return i;
	return 0;
}

static void move_first(const struct mt_mapping **v, size_t i)
{
	const struct mt_mapping *m = v[i];

	memmove(v + 1, v, i * sizeof(const struct mt_mapping *));
	v[0] = m;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * Where the linker's list cannot be read: it maps preloaded libraries first,
 * then the others in the order in which it searches them, and the kernel gives
 * out addresses downwards; upwards in the legacy layout, seen by the linker,
 * mapped before all others, lying below them.
 */
static void sort_by_address(struct process *p)
{
	const struct mt_mapping **v = p->files + 1;
	const size_t n = p->n_files - 1;

	move_first(p->files, find_exe(p));
	if (n < 2 || strncmp(base_name(v[0]->path), "ld-", 3) == 0)
		return;
	for (size_t i = 0; i < n / 2; i++) {
		const struct mt_mapping *m = v[i];

		v[i] = v[n - 1 - i];
		v[n - 1 - i] = m;
	}
}

static void sort_links(struct process *p, const struct mt_maps *maps)
{
	_cleanup_free_ char *auxv = NULL;
	struct mt_mem_process mem;
	size_t len;

	mt_mem_open(&mem, p->pid);
	if (mt_proc_read(p->tid, "auxv", &auxv, &len) ||
	    mt_alloc_order(maps, &mem.mem, (const uint64_t *)(const void *)auxv, len / 8, p->files,
			   p->n_files))
		sort_by_address(p);
	mt_mem_close(&mem);
}

/* Code that a process made itself, which only its own link opens. */
static bool is_made(const struct mt_mapping *m)
{
	return m->deleted && strncmp(m->path, "/memfd:", 7) == 0;
}

/* Whether the file owns malloc, opened into *f. 1: not this one, look at the next. */
static int try_file(const struct process *p, size_t i, struct mt_alloc_file *f)
{
	int r = mt_alloc_file_open(p->tid, f);

	if (r == -ENOMEM)
		return r;
	if (r && (i == 0 || ((r == -EACCES || r == -EPERM) && !is_made(p->files[i]))))
		return no_file(p, p->files[i], r);
	if (r) /* no ELF file: some runtimes map their code from files */
		return 1;
	if (mt_alloc_file_is_linker(f->elf)) /* the executable too, where it was started by hand */
		return 1;
	if (i == 0 && mt_elf_is_static(f->elf))
		return 0;
	return mt_alloc_file_owns_malloc(f->elf) ? 0 : 1;
}

static int search(const struct process *p, struct mt_alloc_file *f)
{
	for (size_t i = 0; i < p->n_files; i++) {
		int r;

		f->map = p->files[i];
		r = try_file(p, i, f);
		if (r != 1)
			return r;
		mt_alloc_file_close(f);
	}
	if (is_gone(p->pid))
		return mt_err_r(-ESRCH, "pid %d (%s): it has just ended", (int)p->pid, p->comm);
	return mt_err_r(-ENOENT,
			"pid %d (%s): none of its libraries defines malloc; memtrace traces "
			"programs that use malloc",
			(int)p->pid, p->comm);
}

/* Lists the process's files and searches them. */
static int find_owner(struct process *p, const struct mt_maps *maps, struct mt_alloc_file *f)
{
	int r;

	p->tid = mt_proc_live(p->pid);
	read_comm(p);
	r = list_files(maps, p);
	if (r)
		return r;
	if (p->n_files == 0 && is_gone(p->pid))
		return mt_err_r(-ESRCH, "pid %d: no such process", (int)p->pid);
	if (p->n_files == 0)
		return mt_err_r(
			-ENOENT,
			"pid %d (%s): it maps no program: a kernel thread, or it has just ended",
			(int)p->pid, p->comm);
	sort_links(p, maps);
	return search(p, f);
}

#define _cleanup_process_ __attribute__((cleanup(process_fini)))

int mt_alloc_detect(pid_t pid, const struct mt_maps *maps, struct mt_alloc_found **ret)
{
	_cleanup_process_ struct process p = {.pid = pid};
	_cleanup_file_ struct mt_alloc_file f = {0};
	int r = find_owner(&p, maps, &f);

	if (r || !f.map)
		return r;
	return mt_elf_is_static(f.elf) ? take_static(&p, &f, ret) : take(&p, &f, ret);
}

int mt_alloc_find_owner(pid_t pid, const struct mt_maps *maps, struct mt_alloc_owner *ret)
{
	_cleanup_process_ struct process p = {.pid = pid};
	_cleanup_file_ struct mt_alloc_file f = {0};
	int r = find_owner(&p, maps, &f);

	if (r || !f.map)
		return r;
	snprintf(ret->path, sizeof(ret->path), "%s", f.map->path);
	ret->map = *f.map;
	ret->map.path = ""; /* the maps' own */
	ret->elf = TAKE_PTR(f.elf);
	return 0;
}
