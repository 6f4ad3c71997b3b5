/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events of memtrace diff -p: each says when the two snapshots are to be taken.
 * One file per event that ends in a const struct mt_trigger_ops, listed in
 * trigger.c. They print nothing but one line of what went wrong.
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

/* What the user gave it. */
struct mt_trigger_arg {
	const char *text; /* the option's value; NULL: it has none */
	uint64_t ns;      /* the same of a duration */
	char **argv;      /* of -- COMMAND, NULL-terminated */
};

struct mt_trigger_ops {
	const char *name; /* of the option: "when"; "command" for -- COMMAND; "enter" for none */
	bool own_start;   /* the event says the first moment, too; else it is now */
	bool joined;      /* the second moment of a repetition is the first of the next */
	bool awaited;     /* it may never come, which is a failure */
	/*
	 * Checks what can be checked before anything is attached. What *ret points to
	 * is the event's own, freed by close. 0; -EINVAL: the value is wrong, exit
	 * status 2; another -errno, 1; or above 0 the exit status. One line logged.
	 */
	int (*open)(const struct mt_trigger_arg *arg, void **ret);
	/*
	 * The session has its targets, and memtrace still all its capabilities. May be
	 * NULL. 0 or -errno, logged.
	 */
	int (*attach)(void *t, struct mt_session *s);
	/* What one repetition is called: "run", "10s". The event's. */
	const char *(*what)(const void *t);
	/*
	 * Readable as long as service has something to do, the same fd from attach to
	 * close. May be NULL, or give -1: only the session's own fd is watched.
	 */
	int (*fd)(const void *t);
	/* The first snapshot of a repetition was taken: let it begin. May be NULL. As open. */
	int (*start)(void *t);
	/*
	 * The fd, or the session's, was readable: must not block. One thing is said at a
	 * time; the fd stays readable while there is more. May be NULL. 0 or -errno, logged.
	 */
	int (*service)(void *t, enum mt_trigger_says *says);
	/*
	 * At each interval, and at once after the first snapshot: all targets' snapshots,
	 * read as deep as depth says and without freezing. May be NULL, both.
	 */
	int (*look)(void *t, const struct mt_moment *now, enum mt_trigger_says *says);
	enum mt_vm_depth (*depth)(const void *t);
	/* The snapshot that was asked for was taken: what waits may go on. May be NULL. */
	void (*taken)(void *t);
	/*
	 * Nothing is waited for any more: what waits may go on, before anything is
	 * printed. May be NULL.
	 */
	void (*detach)(void *t);
	/*
	 * memtrace got the stop signal signo, from a process or from the terminal. True:
	 * wait on, for the event comes of it (a command ends). NULL: end now.
	 */
	bool (*stop)(void *t, int signo, bool from_terminal);
	/* All is printed, but something of it runs on and is to be waited for. May be NULL. */
	bool (*busy)(const void *t);
	/*
	 * The exit status that the whole command is to have; not 0 ends the repetitions.
	 * May be NULL: 0.
	 */
	int (*status)(const void *t);
	void (*close)(void *t);
};

extern const struct mt_trigger_ops mt_trigger_command;
extern const struct mt_trigger_ops mt_trigger_for;
extern const struct mt_trigger_ops mt_trigger_when;
extern const struct mt_trigger_ops mt_trigger_enter;
extern const struct mt_trigger_ops mt_trigger_usdt;
extern const struct mt_trigger_ops mt_trigger_oom;

/* All of them, NULL-terminated. */
extern const struct mt_trigger_ops *const mt_trigger_all[];

/* The event of that option's name, or NULL. */
const struct mt_trigger_ops *mt_trigger_find(const char *name);

#endif
