/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which capabilities this process holds; CAP_SYS_ADMIN stands for the newer ones cut out of it. */
#ifndef MT_SYS_CAPS_H
#define MT_SYS_CAPS_H

#include <stdbool.h>
#include <stddef.h>

struct mt_cap {
	const char *name; /* static: "CAP_BPF" */
	int number;       /* linux/capability.h */
	bool admin;       /* CAP_SYS_ADMIN includes it */
	bool required;    /* nothing works without it */
	const char *why;  /* static: what memtrace does with it */
};

/* What memtrace uses, ends with a NULL name. */
extern const struct mt_cap mt_caps[];

/* True if it is in the effective set, itself or through CAP_SYS_ADMIN. */
bool mt_caps_has(const struct mt_cap *cap);

/*
 * Gives up every capability but those in mt_caps, CAP_KILL, with which a stop
 * signal is passed on to a launched command, if files are still to be written
 * CAP_DAC_OVERRIDE, and if commands are still to be started as another user
 * CAP_SETUID and CAP_SETGID. For good: nothing gives them back. 0 or -errno.
 */
int mt_caps_drop(bool writes_files, bool changes_user);

#endif
