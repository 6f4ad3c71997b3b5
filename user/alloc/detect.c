/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which file of a process owns its malloc. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "alloc/order.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/writer.h"

#define FILES_MAX 4096

struct file {
	const struct mt_mapping *map; /* its first executable mapping */
	struct mt_elf *elf;
	char open_path[4160];
	struct stat st;
};

struct process {
	pid_t pid;
	pid_t tid;                       /* whose files under /proc speak for it */
	char comm[64 * 4 + 1];           /* escaped */
	const struct mt_mapping **files; /* in link order: the executable first */
	size_t n_files;
};

#define _cleanup_elf_ MT_CLEANUP(mt_elf_free)

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
static int open_mapping(const struct process *p, const struct mt_mapping *m, char *path,
			size_t size)
{
	int r;

	snprintf(path, size, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)p->tid, m->start,
		 m->end);
	r = open_regular(path);
	if (m->deleted || (r != -EPERM && r != -EACCES))
		return r;
	snprintf(path, size, "/proc/%d/root%s", (int)p->tid, m->path);
	return open_regular(path);
}

static void file_fini(struct file *f)
{
	mt_elf_free(&f->elf);
}

#define _cleanup_file_ __attribute__((cleanup(file_fini)))

static int file_open(const struct process *p, struct file *f)
{
	_cleanup_close_ int fd = open_mapping(p, f->map, f->open_path, sizeof(f->open_path));

	if (fd < 0)
		return fd;
	if (fstat(fd, &f->st) < 0)
		return -errno;
	return mt_elf_open_fd(fd, &f->elf);
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

/*
 * glibc's dynamic linker exports a malloc of its own up to 2.34, which the
 * libc's takes the place of.
 */
static bool is_linker(const struct mt_elf *elf)
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

/* The file owns malloc: fills *ret, or says why it cannot be traced. */
static int take(const struct process *p, const struct file *f, struct mt_alloc_found **ret)
{
	_cleanup_free_ struct mt_alloc_found *found = calloc(1, sizeof(*found));
	char path[1024];
	int r;

	if (!found)
		return -ENOMEM;
	r = mt_alloc_inspect(f->elf, mt_kernel_version(), found);
	escape(f->map->path, path, sizeof(path));
	if (r == -ENOENT)
		return mt_err_r(-ENOTSUP,
				"pid %d (%s): its malloc is in %s, an allocator that memtrace does "
				"not know; run it with glibc's malloc",
				(int)p->pid, p->comm, path);
	if (r)
		return mt_err_r(r, "pid %d (%s): cannot read the symbols of %s: %s", (int)p->pid,
				p->comm, path, strerror(-r));
	snprintf(found->path, sizeof(found->path), "%s", f->map->path);
	memcpy(found->open_path, f->open_path, sizeof(found->open_path));
	found->dev = f->st.st_dev;
	found->inode = f->st.st_ino;
	*ret = TAKE_PTR(found);
	return 0;
}

static int take_static(const struct process *p, const struct file *f, struct mt_alloc_found **ret)
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
static int try_file(const struct process *p, size_t i, struct file *f)
{
	int r = file_open(p, f);

	if (r == -ENOMEM)
		return r;
	if (r && (i == 0 || ((r == -EACCES || r == -EPERM) && !is_made(p->files[i]))))
		return no_file(p, p->files[i], r);
	if (r) /* no ELF file: some runtimes map their code from files */
		return 1;
	if (is_linker(f->elf)) /* the executable too, where it was started by hand */
		return 1;
	if (i == 0 && mt_elf_is_static(f->elf))
		return 0;
	return exports_malloc(f->elf) && !is_wrapper(f->elf) ? 0 : 1;
}

static int search(const struct process *p, struct file *f)
{
	for (size_t i = 0; i < p->n_files; i++) {
		int r;

		f->map = p->files[i];
		r = try_file(p, i, f);
		if (r != 1)
			return r;
		file_fini(f);
	}
	if (is_gone(p->pid))
		return mt_err_r(-ESRCH, "pid %d (%s): it has just ended", (int)p->pid, p->comm);
	return mt_err_r(-ENOENT,
			"pid %d (%s): none of its libraries defines malloc; memtrace traces "
			"programs that use malloc",
			(int)p->pid, p->comm);
}

/* Lists the process's files and searches them. */
static int find_owner(struct process *p, const struct mt_maps *maps, struct file *f)
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
	_cleanup_file_ struct file f = {0};
	int r = find_owner(&p, maps, &f);

	if (r || !f.map)
		return r;
	return mt_elf_is_static(f.elf) ? take_static(&p, &f, ret) : take(&p, &f, ret);
}

int mt_alloc_find_owner(pid_t pid, const struct mt_maps *maps, struct mt_alloc_owner *ret)
{
	_cleanup_process_ struct process p = {.pid = pid};
	_cleanup_file_ struct file f = {0};
	int r = find_owner(&p, maps, &f);

	if (r || !f.map)
		return r;
	snprintf(ret->path, sizeof(ret->path), "%s", f.map->path);
	ret->map = *f.map;
	ret->map.path = ""; /* the maps' own */
	ret->elf = TAKE_PTR(f.elf);
	return 0;
}

int mt_alloc_inspect_file(pid_t pid, const struct mt_mapping *map, struct mt_alloc_found **ret)
{
	const struct mt_mapping *files[] = {map, map};
	struct process p = {.pid = pid, .tid = pid, .files = files, .n_files = 2};
	_cleanup_file_ struct file f = {.map = map};
	mt_log_fn sink;
	int r;

	if (map->path[0] != '/')
		return -ENOENT;
	sink = mt_log_set_sink(NULL);
	r = try_file(&p, 1, &f);
	if (!r)
		r = take(&p, &f, ret);
	else if (r == 1)
		r = f.elf && mt_elf_is_static(f.elf) ? take_static(&p, &f, ret) : -ENOENT;
	mt_log_set_sink(sink);
	return r;
}
