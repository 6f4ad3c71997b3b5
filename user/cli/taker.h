/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Taking snapshots of what a trace has, and handing them out. */
#ifndef MT_CLI_TAKER_H
#define MT_CLI_TAKER_H

#include "cli/output.h"
#include "model/total.h"
#include "render/render.h"
#include "session/session.h"
#include "target/select.h"

struct mt_taker {
	struct mt_session *session;
	const struct mt_select *select; /* with all: what is shown */
	const struct mt_render_ops *format;
	struct mt_output *out;   /* in that format; owned */
	struct mt_output *table; /* after the last line of the default format; else NULL; owned */
	bool all, follows;       /* targets may come that were not named: then there is a total */
	bool launched;           /* one of them: its status is more than that of an audit */
	bool audit;              /* was asked for */
	const char *label;       /* of all snapshots; NULL none */
	char event[32];          /* why the next moment is taken now; forgotten with it */
	bool crowd;              /* more than one target was seen */
	uint64_t taken;
	bool lost, drifted, unaudited; /* what came of it */
	struct mt_total total;         /* of the targets that have had their last snapshot */
};

/*
 * One moment: a snapshot of every target, and the last one of those that have
 * ended; with final of all. 0, -EPIPE when nobody reads any more, or -errno.
 */
int mt_take(struct mt_taker *t, bool final, bool audit);
/* The last one of those that have ended, at once, unless all go into one document. */
int mt_take_ended(struct mt_taker *t);
/* After the last snapshots: all of them as one, if there were several. */
int mt_take_total(struct mt_taker *t);

#endif
