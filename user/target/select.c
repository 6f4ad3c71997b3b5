/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "target/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/container.h"
#include "sys/procfs.h"

#define COMM_MAX 15 /* TASK_COMM_LEN without its NUL */
#define ID_MIN   12 /* as docker ps shows it */

#define HEX  "0123456789abcdef"
#define NAME "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

bool mt_select_is_empty(const struct mt_select *s)
{
	for (size_t k = 0; k < MT_SELECT_KINDS; k++)
		if (s->by[k].n)
			return false;
	return true;
}

void mt_select_fini(struct mt_select *s)
{
	for (size_t k = 0; k < MT_SELECT_KINDS; k++) {
		for (size_t i = 0; i < s->by[k].n; i++)
			free(s->by[k].v[i]);
		free(s->by[k].v);
	}
	*s = (struct mt_select){0};
}

static int add_word(struct mt_select_words *w, const char *word, size_t n, const char **why)
{
	_cleanup_free_ char *copy = NULL;
	char **v;

	if (w->n >= MT_SELECT_MAX) {
		*why = "too many of them: at most 1024";
		return -E2BIG;
	}
	*why = "out of memory";
	copy = strndup(word, n);
	if (!copy)
		return -ENOMEM;
	v = reallocarray(w->v, w->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v[w->n] = TAKE_PTR(copy);
	w->v = v;
	w->n++;
	*why = NULL;
	return 0;
}

static int add_cgroup(struct mt_select_words *w, const char *given, const char **why)
{
	char path[1024];
	int r = mt_cgroup_path(given, path, sizeof(path));

	*why = r == -EINVAL ? "has . or .. in it: give the path that /proc/PID/cgroup shows"
			    : "too long for the path of a cgroup";
	return r ? -EINVAL : add_word(w, path, strlen(path), why);
}

/* What is wrong with a comm or the id of a container, or NULL. */
static const char *fault(enum mt_select_kind kind, const char *s, size_t n)
{
	size_t digits = strspn(s, HEX);

	if (!n)
		return kind == MT_SELECT_COMM ? "a name is missing" : "an id is missing";
	if (kind == MT_SELECT_COMM)
		return NULL;
	if (strspn(s, NAME) < n)
		return "not the id of a container: give the digits that its engine shows";
	if (digits < n)
		return n >= 80 ? "too long for the name of a container" : NULL;
	if (n > MT_CONTAINER_ID_LEN)
		return "an id has 64 digits at most";
	/* some of lxc's are numbered: 101 */
	if (n < ID_MIN && strspn(s, "0123456789") < n)
		return "give 12 or more digits of the container's id";
	return NULL;
}

int mt_select_add(struct mt_select *s, enum mt_select_kind kind, const char *given,
		  const char **why)
{
	struct mt_select_words *w = &s->by[kind];
	int r = 0;

	if (!*given) {
		*why = "nothing is given";
		return -EINVAL;
	}
	if (kind == MT_SELECT_CGROUP)
		return add_cgroup(w, given, why);
	for (const char *p = given;; p++) {
		size_t n = strcspn(p, ",");

		*why = fault(kind, p, n);
		r = *why ? -EINVAL : add_word(w, p, n, why);
		p += n;
		if (r || !*p)
			return r;
	}
}

static bool is_comm(const char *word, const char *comm)
{
	if (strlen(word) > COMM_MAX)
		return strlen(comm) == COMM_MAX && strncmp(word, comm, COMM_MAX) == 0;
	return strcmp(word, comm) == 0;
}

static bool is_below(const char *word, const char *cgroup)
{
	size_t n = strlen(word);

	if (strcmp(word, "/") == 0)
		return true;
	return strncmp(word, cgroup, n) == 0 && (!cgroup[n] || cgroup[n] == '/');
}

static bool is_container(const char *word, const char *container)
{
	size_t n = strlen(word);

	if (strcmp(word, container) == 0)
		return true;
	return n >= ID_MIN && strspn(container, HEX) == MT_CONTAINER_ID_LEN &&
	       strncmp(word, container, n) == 0;
}

static bool any(const struct mt_select_words *w, bool (*fits)(const char *, const char *),
		const char *value)
{
	for (size_t i = 0; i < w->n; i++)
		if (fits(w->v[i], value))
			return true;
	return w->n == 0;
}

bool mt_select_matches(const struct mt_select *s, const char *comm, const char *cgroup,
		       const char *container)
{
	return any(&s->by[MT_SELECT_COMM], is_comm, comm) &&
	       any(&s->by[MT_SELECT_CGROUP], is_below, cgroup) &&
	       any(&s->by[MT_SELECT_CONTAINER], is_container, container);
}

/* Reads no more of a process than decides; what has ended meanwhile is not chosen. */
static bool chosen(const struct mt_select *s, pid_t pid)
{
	char comm[64] = "", cgroup[1024] = "", container[80] = "";
	struct mt_proc_status status;

	if (s->by[MT_SELECT_COMM].n && mt_proc_comm(pid, comm, sizeof(comm)))
		return false;
	if (!any(&s->by[MT_SELECT_COMM], is_comm, comm))
		return false;
	if (s->by[MT_SELECT_CGROUP].n || s->by[MT_SELECT_CONTAINER].n) {
		if (mt_proc_cgroup(pid, cgroup, sizeof(cgroup)))
			return false;
		mt_container_id(cgroup, container, sizeof(container));
	}
	return mt_select_matches(s, comm, cgroup, container) &&
	       !mt_proc_status_read(pid, &status) && status.has_mm;
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

int mt_select_pids(const struct mt_select *s, pid_t **pids, size_t *n)
{
	_cleanup_free_ pid_t *v = NULL;
	size_t all = 0, kept = 0;
	int r = mt_proc_pids(&v, &all);

	if (r)
		return r;
	for (size_t i = 0; i < all; i++)
		if (v[i] != getpid() && chosen(s, v[i]))
			v[kept++] = v[i];
	if (kept)
		qsort(v, kept, sizeof(*v), by_number);
	*pids = kept ? TAKE_PTR(v) : NULL;
	*n = kept;
	return 0;
}
