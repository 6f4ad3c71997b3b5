/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events of memtrace diff -p: each says when the two snapshots are to be taken.
 * One file per event that ends in a const struct mt_trigger_ops, listed in
 * trigger.c.
 */
#ifndef MT_TRIGGER_TRIGGER_H
#define MT_TRIGGER_TRIGGER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/diff.h"
#include "session/session.h"

/* What an event says when it was asked. */
enum mt_trigger_says {
	MT_TRIGGER_WAIT, /* nothing yet */
	MT_TRIGGER_OLD,  /* this is the first moment; only of an event with own_start */
	MT_TRIGGER_NEW,  /* this is the second moment */
	MT_TRIGGER_END,  /* it will not come any more: no further repetition */
};

struct mt_trigger_ops {
	const char *name;     /* of the option: "when"; "command" for -- COMMAND */
	const char *what;     /* what one repetition is called: "run", "request" */
	bool own_start;       /* the event says the first moment, too; else it is now */
	bool wants_snapshots; /* the condition is on numbers: see look */
	/*
	 * arg: the option's value; for a command argv. The session has its targets.
	 * 0 or -errno, one line logged (-EINVAL: the value is wrong, exit status 2).
	 */
	int (*open)(const char *arg, char **argv, struct mt_session *s, void **ret);
	/* Readable when service has something to do; -1: only the session's own fd is to be
	 * watched. */
	int (*fd)(const void *t);
	/* The first snapshot was taken: let it begin. May be NULL. 0 or -errno, logged. */
	int (*start)(void *t);
	/* The fd, or the session's, was readable. May be NULL. 0 or -errno, logged. */
	int (*service)(void *t, enum mt_trigger_says *says);
	/* At each interval, all targets' snapshots. May be NULL. */
	int (*look)(void *t, const struct mt_moment *now, enum mt_trigger_says *says);
	/* The snapshot that service or look asked for was taken: what waits may go on. May be NULL.
	 */
	void (*taken)(void *t);
	/* The exit status that the whole command is to have; 0 by default. May be NULL. */
	int (*status)(const void *t);
	void (*close)(void *t);
};

/* All of them, NULL-terminated. */
extern const struct mt_trigger_ops *const mt_trigger_all[];

#endif
