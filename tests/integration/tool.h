/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs share that drive a session for a test. */
#ifndef MT_TESTS_TOOL_H
#define MT_TESTS_TOOL_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "render/render.h"
#include "session/session.h"

static inline void log_to_stderr(enum mt_log_level level, const char *msg)
{
	if (level <= MT_LOG_WARN)
		fprintf(stderr, "tool: %s\n", msg);
}

/* Writes a snapshot of the first target as JSON. 0 or -errno. */
static inline int take(struct mt_session *s, struct mt_writer *w)
{
	const struct mt_render_opts o = {.unit = MT_UNIT_AUTO};
	struct mt_snapshot *snap = NULL;
	const struct mt_snapshot *v[1];
	int r = mt_session_snapshot(s, 0, MT_VM_PARTS, &snap);

	if (r)
		return r;
	v[0] = snap;
	mt_render_json.snapshots(w, v, 1, &o);
	free(snap);
	return 0;
}

/* Takes and prints one. 0 or -errno. */
static inline int show(struct mt_session *s)
{
	_cleanup_writer_ struct mt_writer w = {0};
	int r = take(s, &w);

	return r ? r : mt_writer_flush(&w, STDOUT_FILENO);
}

#endif
