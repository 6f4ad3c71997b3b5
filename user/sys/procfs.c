/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Formats: proc(5), fs/proc/array.c and fs/proc/task_mmu.c of the kernel. */
#include "sys/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define READ_FILE_MAX   (64u << 20)
#define READ_FILE_FIRST 4096u
#define TIDS_MAX        (1u << 22) /* PID_MAX_LIMIT */

static int read_all(int fd, char **ret, size_t *len)
{
	_cleanup_free_ char *buf = NULL;
	size_t cap = READ_FILE_FIRST, n = 0;

	buf = malloc(cap + 1);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t r = read(fd, buf + n, cap - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
		if (n < cap)
			continue;
		if (cap >= READ_FILE_MAX)
			return -EFBIG;
		cap *= 4;
		char *bigger = realloc(buf, cap + 1);

		if (!bigger)
			return -ENOMEM;
		buf = bigger;
	}
	buf[n] = '\0';
	*ret = TAKE_PTR(buf);
	if (len)
		*len = n;
	return 0;
}

int mt_read_file(const char *path, char **ret, size_t *len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return read_all(fd, ret, len);
}

int mt_proc_read(pid_t pid, const char *name, char **ret, size_t *len)
{
	char path[128];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	r = mt_read_file(path, ret, len);
	return r == -ENOENT ? -ESRCH : r;
}

/* True if the thread has exited, or is not there at all. */
static bool thread_ended(pid_t pid, pid_t tid)
{
	_cleanup_free_ char *text = NULL;
	struct mt_proc_stat stat;
	char path[64];

	/* Unlike /proc/PID/stat it does not sum over all threads. */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	if (mt_read_file(path, &text, NULL) || !text || mt_proc_stat_parse(text, &stat))
		return true;
	return stat.state == 'Z' || stat.state == 'X';
}

pid_t mt_proc_live(pid_t pid)
{
	_cleanup_free_ pid_t *tids = NULL;
	size_t n = 0;
	bool whole;

	if (!thread_ended(pid, pid) || mt_proc_tids(pid, &tids, &n, &whole))
		return pid;
	for (size_t i = 0; i < n; i++) {
		if (!thread_ended(pid, tids[i]))
			return tids[i];
	}
	return pid;
}

int mt_proc_open(pid_t pid, const char *name)
{
	pid_t tid = mt_proc_live(pid);
	char path[64];
	int fd;

	if (tid == pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	else
		snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

/* NAME of the thread that runs on where the first has exited; -ESRCH: there is none. */
static int read_of_live(pid_t pid, const char *name, char **ret)
{
	pid_t tid = mt_proc_live(pid);
	char of_task[64];

	if (tid == pid)
		return -ESRCH;
	snprintf(of_task, sizeof(of_task), "task/%d/%s", (int)tid, name);
	return mt_proc_read(pid, of_task, ret, NULL);
}

/* A decimal number at *p, which moves past it. Overflow is an error. */
static int take_u64(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;

	while (*s == ' ' || *s == '\t')
		s++;
	if (!isdigit((unsigned char)*s))
		return -EBADMSG;
	for (; isdigit((unsigned char)*s); s++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -EBADMSG;
	}
	*p = s;
	*ret = v;
	return 0;
}

static int take_u32(const char **p, uint32_t *ret)
{
	uint64_t v;
	int r = take_u64(p, &v);

	if (r)
		return r;
	if (v > UINT32_MAX)
		return -EBADMSG;
	*ret = (uint32_t)v;
	return 0;
}

/* The kernel writes newline and backslash in a comm as \n and \\, others as they are. */
static void copy_comm(const char *p, char *out, size_t size)
{
	size_t n = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	for (; *p && *p != '\n' && n + 1 < size; p++) {
		if (p[0] == '\\' && p[1] == 'n') {
			out[n++] = '\n';
			p++;
		} else if (p[0] == '\\' && p[1] == '\\') {
			out[n++] = '\\';
			p++;
		} else {
			out[n++] = *p;
		}
	}
	out[n] = '\0';
}

enum status_type { STATUS_KB, STATUS_PID, STATUS_UINT, STATUS_UIDS, STATUS_STATE, STATUS_NAME };

struct status_row {
	const char *key;
	enum status_type type;
	size_t offset;
};

#define ROW(k, t, m)                                                                               \
	{                                                                                          \
		k, t, offsetof(struct mt_proc_status, m)                                           \
	}
static const struct status_row status_rows[] = {
	ROW("Name", STATUS_NAME, comm),        ROW("State", STATUS_STATE, state),
	ROW("Tgid", STATUS_PID, tgid),         ROW("PPid", STATUS_PID, ppid),
	ROW("TracerPid", STATUS_PID, tracer),  ROW("Uid", STATUS_UIDS, uid),
	ROW("VmData", STATUS_KB, vm_data),     ROW("VmStk", STATUS_KB, vm_stk),
	ROW("VmRSS", STATUS_KB, vm_rss),       ROW("VmSwap", STATUS_KB, vm_swap),
	ROW("RssShmem", STATUS_KB, rss_shmem), ROW("RssFile", STATUS_KB, rss_file),
	ROW("Threads", STATUS_UINT, threads),  ROW("Seccomp", STATUS_UINT, seccomp),
};

static int parse_kb(const char *p, uint64_t *ret)
{
	uint64_t kb;
	int r = take_u64(&p, &kb);

	if (r)
		return r;
	return __builtin_mul_overflow(kb, 1024, ret) ? -EBADMSG : 0;
}

static int parse_pid(const char *p, pid_t *ret)
{
	uint32_t v;
	int r = take_u32(&p, &v);

	if (r)
		return r;
	if (v > INT32_MAX)
		return -EBADMSG;
	*ret = (pid_t)v;
	return 0;
}

static int parse_uids(const char *p, struct mt_proc_status *out)
{
	uint32_t uid, euid;

	if (take_u32(&p, &uid) || take_u32(&p, &euid))
		return -EBADMSG;
	out->uid = uid;
	out->euid = euid;
	return 0;
}

static int status_value(const struct status_row *row, const char *p, struct mt_proc_status *out)
{
	void *field = (char *)out + row->offset;

	switch (row->type) {
	case STATUS_KB:
		return parse_kb(p, field);
	case STATUS_PID:
		return parse_pid(p, field);
	case STATUS_UINT:
		return take_u32(&p, field);
	case STATUS_UIDS:
		return parse_uids(p, out);
	case STATUS_STATE:
		while (*p == ' ' || *p == '\t')
			p++;
		out->state = *p;
		return isalpha((unsigned char)*p) ? 0 : -EBADMSG;
	case STATUS_NAME:
		copy_comm(p, out->comm, sizeof(out->comm));
		return 0;
	}
	return -EBADMSG;
}

static int status_line(const char *line, struct mt_proc_status *out)
{
	for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
		const struct status_row *row = &status_rows[i];
		size_t n = strlen(row->key);

		if (strncmp(line, row->key, n) != 0 || line[n] != ':')
			continue;
		if (row->offset == offsetof(struct mt_proc_status, vm_data))
			out->has_mm = true;
		return status_value(row, line + n + 1, out);
	}
	return 0;
}

int mt_proc_status_parse(const char *text, struct mt_proc_status *out)
{
	struct mt_proc_status s = {0};

	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		int r = status_line(line, &s);

		if (r)
			return r;
		line = end ? end + 1 : NULL;
	}
	if (!s.state || !s.tgid)
		return -EBADMSG;
	*out = s;
	return 0;
}

int mt_proc_status_read(pid_t pid, struct mt_proc_status *out)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *text_live = NULL;
	struct mt_proc_status st, live;
	int r = mt_proc_read(pid, "status", &text, NULL);

	if (!r)
		r = mt_proc_status_parse(text, &st);
	if (r)
		return r;
	if (st.state == 'Z' && !read_of_live(pid, "status", &text_live) &&
	    !mt_proc_status_parse(text_live, &live) && live.tgid == st.tgid) {
		memcpy(live.comm, st.comm, sizeof(live.comm));
		st = live;
	}
	*out = st;
	return 0;
}

/* Fields of /proc/PID/stat by their number in proc(5); some are signed. */
static int stat_field(struct mt_proc_stat *s, int field, const char **p)
{
	uint64_t v;

	while (**p == ' ')
		(*p)++;
	if (**p == '-')
		(*p)++;
	if (take_u64(p, &v))
		return -EBADMSG;
	switch (field) {
	case 9:
		s->flags = v;
		break;
	case 22:
		s->start_time = v;
		break;
	case 28:
		s->start_stack = v;
		break;
	case 47:
		s->start_brk = v;
		break;
	}
	return 0;
}

int mt_proc_stat_parse(const char *text, struct mt_proc_stat *out)
{
	/* A comm may hold ") R 1": nothing after the last parenthesis is the target's. */
	const char *p = strrchr(text, ')');
	struct mt_proc_stat s = {0};

	if (!p || p[1] != ' ' || !isalpha((unsigned char)p[2]))
		return -EBADMSG;
	s.state = p[2];
	p += 3;
	for (int field = 4; field <= 47; field++) {
		int r = stat_field(&s, field, &p);

		/* Kernels before 3.5 end at field 44; what the rest needs stands before. */
		if (r && field <= 28)
			return r;
		if (r)
			break;
	}
	*out = s;
	return 0;
}

int mt_proc_stat_read(pid_t pid, struct mt_proc_stat *out)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *text_live = NULL;
	struct mt_proc_stat live;
	int r = mt_proc_read(pid, "stat", &text, NULL);

	if (!r)
		r = mt_proc_stat_parse(text, out);
	if (r || out->state != 'Z')
		return r;
	if (!read_of_live(pid, "stat", &text_live) && !mt_proc_stat_parse(text_live, &live)) {
		out->state = live.state;
		out->start_stack = live.start_stack;
		out->start_brk = live.start_brk;
	}
	return 0;
}

/* The directory entries that are numbers, appended to *tids. */
static int collect_tids(DIR *dir, pid_t **tids, size_t *n)
{
	size_t cap = 0;

	for (;;) {
		const char *p;
		struct dirent *e;
		uint64_t tid;

		errno = 0;
		e = readdir(dir);
		if (!e)
			return -errno;
		p = e->d_name;
		if (take_u64(&p, &tid) || *p || tid == 0 || tid > INT32_MAX)
			continue;
		if (*n >= TIDS_MAX)
			return -EFBIG;
		if (*n == cap) {
			pid_t *bigger;

			cap = cap ? cap * 2 : 16;
			bigger = realloc(*tids, cap * sizeof(**tids));
			if (!bigger)
				return -ENOMEM;
			*tids = bigger;
		}
		(*tids)[(*n)++] = (pid_t)tid;
	}
}

size_t mt_proc_threads(int task_fd)
{
	struct stat st;

	return fstat(task_fd, &st) || st.st_nlink < 2 ? 0 : (size_t)st.st_nlink - 2;
}

/*
 * -ESRCH where there is no such directory, or no number in it. The threads that
 * the kernel counted before and after stand in *before and *after.
 */
static int read_tids(const char *path, pid_t **tids, size_t *n, size_t *before, size_t *after)
{
	_cleanup_closedir_ DIR *dir = opendir(path);
	_cleanup_free_ pid_t *v = NULL;
	size_t count = 0;
	int r;

	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	*before = mt_proc_threads(dirfd(dir));
	r = collect_tids(dir, &v, &count);
	*after = mt_proc_threads(dirfd(dir));
	if (r)
		return r == -ENOENT ? -ESRCH : r;
	if (!count)
		return -ESRCH;
	*tids = TAKE_PTR(v);
	*n = count;
	return 0;
}

#define LISTINGS_MAX 100

int mt_proc_tids(pid_t pid, pid_t **tids, size_t *n, bool *whole)
{
	_cleanup_free_ pid_t *v = NULL;
	size_t before = 0, after = 0;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	*whole = false;
	for (int i = 0; i < LISTINGS_MAX && !*whole; i++) {
		free(v);
		v = NULL;
		r = read_tids(path, &v, n, &before, &after);
		if (r)
			return r;
		*whole = before == *n && after == *n;
	}
	*tids = TAKE_PTR(v);
	return 0;
}

int mt_proc_pids(pid_t **pids, size_t *n)
{
	size_t before, after;

	return read_tids("/proc", pids, n, &before, &after);
}

int mt_proc_comm(pid_t pid, char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int r = mt_proc_read(pid, "comm", &text, &n);

	if (r)
		return r;
	/* the kernel ends it; what stands before may be a newline, too */
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	snprintf(buf, size, "%s", text);
	return 0;
}

void mt_proc_cut_deleted(char *path, bool *deleted)
{
	static const char suffix[] = " (deleted)";
	size_t n = strlen(path), m = sizeof(suffix) - 1;
	bool cut = n > m && strcmp(path + n - m, suffix) == 0;

	if (cut)
		path[n - m] = '\0';
	if (deleted)
		*deleted = cut;
}

int mt_proc_auxv(pid_t pid, uint64_t type, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const Elf64_auxv_t *v;
	size_t len = 0;
	int r = mt_proc_read(mt_proc_live(pid), "auxv", &text, &len);

	if (r)
		return r;
	v = (const void *)text;
	for (size_t i = 0; i < len / sizeof(*v); i++)
		if (v[i].a_type == type) {
			*ret = v[i].a_un.a_val;
			return 0;
		}
	return -ENOENT;
}

int mt_proc_open_exe(pid_t pid, struct stat *st)
{
	_cleanup_close_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/exe", (int)pid, (int)mt_proc_live(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, st))
		return errno == ENOENT ? -ESRCH : -errno;
	return S_ISREG(st->st_mode) ? TAKE_FD(fd) : -ENOEXEC;
}

int mt_proc_exe(pid_t pid, char *buf, size_t size)
{
	char path[64];
	pid_t tid;
	ssize_t n;

	if (!size)
		return -ENAMETOOLONG;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, buf, size);
	if (n < 0 && errno == ENOENT && (tid = mt_proc_live(pid)) != pid) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/exe", (int)pid, (int)tid);
		n = readlink(path, buf, size);
	}
	if (n < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	mt_proc_cut_deleted(buf, NULL);
	return 0;
}
