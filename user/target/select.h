/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Choosing processes by name, cgroup and container. */
#ifndef MT_TARGET_SELECT_H
#define MT_TARGET_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum mt_select_kind {
	/* The whole name; of one that is longer than the kernel keeps, its first 15 bytes. */
	MT_SELECT_COMM,
	/* That cgroup or one below it, as mt_cgroup_path() takes it. */
	MT_SELECT_CGROUP,
	/* The first 12 or more digits of an engine's id, or the name of a container. */
	MT_SELECT_CONTAINER,
	MT_SELECT_KINDS,
};

struct mt_select_words {
	char **v; /* owned */
	size_t n;
};

/* A process is chosen if for each kind that has words one of them fits. All 0: every one is. */
struct mt_select {
	struct mt_select_words by[MT_SELECT_KINDS];
};

#define MT_SELECT_MAX 1024 /* words of one kind */

bool mt_select_is_empty(const struct mt_select *s);

/*
 * Adds what a user gave: one cgroup, or names or ids separated by commas. On
 * -EINVAL, -E2BIG and -ENOMEM *why says what is wrong, in static text, without a
 * full stop.
 */
int mt_select_add(struct mt_select *s, enum mt_select_kind kind, const char *given,
		  const char **why);
/* Frees what s owns and empties it. */
void mt_select_fini(struct mt_select *s);

/* comm, cgroup and container as in a snapshot. */
bool mt_select_matches(const struct mt_select *s, const char *comm, const char *cgroup,
		       const char *container);

/*
 * The running processes that match, sorted by pid; kernel threads, zombies and the
 * caller itself are left out. The caller frees *pids, which is NULL if there are
 * none. 0 or -errno.
 */
int mt_select_pids(const struct mt_select *s, pid_t **pids, size_t *n);

#endif
