/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The moments before and after an event, taken from a session and kept to be compared. */
#ifndef MT_CLI_DIFF_PAIRS_H
#define MT_CLI_DIFF_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/diff.h"
#include "session/session.h"

struct mt_diff_pairs {
	struct mt_session *session; /* borrowed */
	bool freeze;                /* Go programs are held for what is kept */
	bool joined;                /* the end of a pair is the beginning of the next */
	struct mt_moment *v;        /* all that were kept; owned, what they hold, too */
	size_t n;
	size_t old;              /* in v: where the pair that is on began; n: it has not */
	struct mt_moment *pairs; /* old, new, old, new; owned, what they hold is v's */
	size_t done;             /* whole pairs */
	bool lost;               /* of any snapshot */
};

/* Snapshots of all targets, for the caller. 0 or -errno, logged, as all of these. */
int mt_diff_pairs_look(struct mt_diff_pairs *p, enum mt_vm_depth depth, struct mt_moment *ret);
bool mt_diff_pairs_begun(const struct mt_diff_pairs *p);
/* The first moment of a pair is now; one that was begun is forgotten. */
int mt_diff_pairs_begin(struct mt_diff_pairs *p);
/* The second moment is now: the pair that was begun is whole. */
int mt_diff_pairs_end(struct mt_diff_pairs *p);
/* What end would make, as a pair for the caller: ret[0] is borrowed, ret[1] the caller's. */
int mt_diff_pairs_so_far(struct mt_diff_pairs *p, struct mt_moment ret[2]);
/* Frees the whole pairs, but for a moment with which another one began. */
void mt_diff_pairs_forget(struct mt_diff_pairs *p);
void mt_diff_pairs_fini(struct mt_diff_pairs *p);

#endif
