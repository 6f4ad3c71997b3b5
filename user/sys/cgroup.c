/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The control group whose memory the process is charged to: cgroups(7), proc(5). */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "sys/procfs.h"

/* Takes the next line of *p into line[n], without its newline. */
static bool next_line(const char **p, const char **line, size_t *n)
{
	const char *end;

	if (!**p)
		return false;
	end = strchrnul(*p, '\n');
	*line = *p;
	*n = (size_t)(end - *p);
	*p = *end ? end + 1 : end;
	return true;
}

/* True if the comma-separated list[n] holds the word. */
static bool list_has(const char *list, size_t n, const char *word)
{
	size_t len = strlen(word);

	while (n >= len) {
		const char *comma = memchr(list, ',', n);
		size_t item = comma ? (size_t)(comma - list) : n;

		if (item == len && memcmp(list, word, len) == 0)
			return true;
		if (!comma)
			break;
		list += item + 1;
		n -= item + 1;
	}
	return false;
}

/* "ID:CONTROLLERS:PATH"; the kernel lets no cgroup name hold a newline. */
int mt_proc_cgroup_parse(const char *text, char *buf, size_t size, bool *v1)
{
	const char *line, *path = NULL;
	size_t n, len = 0;

	*v1 = false;
	while (!*v1 && next_line(&text, &line, &n)) {
		const char *list = memchr(line, ':', n);
		const char *colon =
			list ? memchr(list + 1, ':', (size_t)(line + n - list - 1)) : NULL;

		if (!colon)
			return -EBADMSG;
		list++;
		/* A controller belongs to one hierarchy: memory in v1 means that v2 has it not. */
		*v1 = list_has(list, (size_t)(colon - list), "memory");
		if (!*v1 && (colon != list || line[0] != '0'))
			continue;
		path = colon + 1;
		len = (size_t)(line + n - path);
	}
	if (!path)
		return -ENOENT;
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(buf, path, len);
	buf[len] = '\0';
	mt_proc_cut_deleted(buf, NULL);
	return 0;
}

static int read_task(pid_t pid, pid_t tid, char *buf, size_t size, bool *v1)
{
	_cleanup_free_ char *text = NULL;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "task/%d/cgroup", (int)tid);
	r = mt_proc_read(pid, tid == pid ? "cgroup" : name, &text, NULL);
	return r ? r : mt_proc_cgroup_parse(text, buf, size, v1);
}

/* A first thread that has exited is in the root of v1, wherever the others are. */
static int read_cgroup(pid_t pid, char *buf, size_t size, bool *v1)
{
	int r = read_task(pid, pid, buf, size, v1);
	pid_t tid;

	if (r || !*v1 || strcmp(buf, "/") != 0)
		return r;
	tid = mt_proc_live(pid);
	return tid == pid ? 0 : read_task(pid, tid, buf, size, v1);
}

int mt_proc_cgroup(pid_t pid, char *buf, size_t size)
{
	bool v1;

	return read_cgroup(pid, buf, size, &v1);
}

/* Where a hierarchy is mounted, and which part of it is. */
struct mount {
	char root[1024];
	char point[1024];
};

static struct mount memory_v1, unified;
static pthread_once_t mounts_once = PTHREAD_ONCE_INIT;

/* mountinfo writes blank, tab, newline and backslash as three octal digits. */
static void unescape_octal(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/* "36 35 98:0 /root /point options [tags] - type source super-options" */
static void take_mount(char *line)
{
	struct mount m = {0};
	char *dash = strstr(line, " - "), type[32], super[1024];
	struct mount *into;

	if (!dash || sscanf(line, "%*s %*s %*s %1023s %1023s", m.root, m.point) != 2 ||
	    sscanf(dash + 3, "%31s %*s %1023s", type, super) != 2)
		return;
	if (strcmp(type, "cgroup2") == 0)
		into = &unified;
	else if (strcmp(type, "cgroup") == 0 && list_has(super, strlen(super), "memory"))
		into = &memory_v1;
	else
		return;
	if (into->point[0])
		return;
	unescape_octal(m.root);
	unescape_octal(m.point);
	*into = m;
}

static void find_mounts(void)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (mt_read_file("/proc/self/mountinfo", &text, NULL))
		return;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		take_mount(l);
}

/* The path below the mount point, or NULL where the mount does not show it. */
static const char *below(const struct mount *m, const char *path)
{
	size_t n = strlen(m->root);

	if (!m->point[0] || path[0] != '/' || strstr(path, "/../") || strcmp(path, "/..") == 0 ||
	    (strlen(path) > 3 && !strcmp(path + strlen(path) - 3, "/..")))
		return NULL;
	if (strcmp(m->root, "/") == 0)
		return path;
	if (strncmp(path, m->root, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

/* The directory of the process's cgroup, and within it where the mount point ends. */
static int find_directory(pid_t pid, char *dir, size_t size, size_t *point, bool *v1)
{
	const struct mount *m;
	const char *sub;
	char path[1024];
	int r = read_cgroup(pid, path, sizeof(path), v1);

	if (r)
		return r;
	pthread_once(&mounts_once, find_mounts);
	m = *v1 ? &memory_v1 : &unified;
	sub = below(m, path);
	if (!sub)
		return -ENOENT;
	*point = strlen(m->point);
	return snprintf(dir, size, "%s%s", m->point, sub) < (int)size ? 0 : -ENAMETOOLONG;
}

/* Reads the number that follows the word in a file of the directory. -ENODATA: none does. */
static int read_number(const char *dir, const char *name, const char *word, uint64_t *v)
{
	_cleanup_free_ char *text = NULL;
	char file[2176];
	const char *at;
	int r;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	r = mt_read_file(file, &text, NULL);
	if (r)
		return r;
	at = strstr(text, word);
	return at && sscanf(at + strlen(word), "%lu", v) == 1 ? 0 : -ENODATA;
}

int mt_cgroup_current(pid_t pid, uint64_t *bytes)
{
	char dir[2112];
	size_t point;
	bool v1;
	int r = find_directory(pid, dir, sizeof(dir), &point, &v1);

	if (r)
		return r;
	r = read_number(dir, v1 ? "memory.usage_in_bytes" : "memory.current", "", bytes);
	return r == -ENODATA ? -EBADMSG : r;
}

int mt_cgroup_lowest_max(char *dir, size_t point, uint64_t *bytes)
{
	int r = -ENOENT;

	for (;;) {
		char *slash;
		uint64_t v;
		int one = read_number(dir, "memory.max", "", &v);

		if (!one && (r || v < *bytes)) {
			*bytes = v;
			r = 0;
		} else if (one == -ENODATA && r) { /* "max" */
			r = one;
		}
		slash = strrchr(dir + point, '/');
		if (!slash)
			return r;
		*slash = '\0';
	}
}

int mt_cgroup_limit(pid_t pid, uint64_t *bytes)
{
	char dir[2112];
	uint64_t limit;
	size_t point;
	bool v1;
	int r = find_directory(pid, dir, sizeof(dir), &point, &v1);

	if (r)
		return r;
	/* v1 says itself which of the limits above is the lowest; none is a large number there */
	r = v1 ? read_number(dir, "memory.stat", "hierarchical_memory_limit ", &limit)
	       : mt_cgroup_lowest_max(dir, point, &limit);
	if (r)
		return r;
	if (limit >= 1ull << 62)
		return -ENODATA;
	*bytes = limit;
	return 0;
}

/* What follows the mount point in path, or NULL if it does not lie below it. */
static const char *after_point(const char *path, const char *point)
{
	size_t n = strlen(point);

	if (!n || strncmp(path, point, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

/* Appends the components of path to buf. */
static int append_path(const char *path, char *buf, size_t size)
{
	size_t len = strlen(buf);

	while (*(path += strspn(path, "/"))) {
		size_t n = strcspn(path, "/");

		if ((n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
			return -EINVAL;
		if (len + n + 2 > size)
			return -ENAMETOOLONG;
		buf[len++] = '/';
		memcpy(buf + len, path, n);
		buf[len += n] = '\0';
		path += n;
	}
	return 0;
}

int mt_cgroup_path(const char *given, char *buf, size_t size)
{
	static const struct mount none = {"/", "/sys/fs/cgroup"};
	const struct mount *const mounts[] = {&memory_v1, &unified, &none};
	const char *path = given, *root = "";
	int r;

	pthread_once(&mounts_once, find_mounts);
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		const char *rest = after_point(given, mounts[i]->point);

		if (rest) {
			path = rest;
			root = mounts[i]->root;
			break;
		}
	}
	if (size < 2)
		return -ENAMETOOLONG;
	buf[0] = '\0';
	r = append_path(root, buf, size);
	if (!r)
		r = append_path(path, buf, size);
	if (!r && !buf[0])
		snprintf(buf, size, "/");
	return r;
}
