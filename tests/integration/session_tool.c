/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * session_tool [--perf] [--no-sleepable] PID: traces a process through the
 * session with its options set by hand, so that the ways of older kernels are
 * tested on this one. One JSON snapshot at the start and one for each line on
 * standard input; ends with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "render/render.h"
#include "session/session.h"

static void log_to_stderr(enum mt_log_level level, const char *msg)
{
	if (level <= MT_LOG_WARN)
		fprintf(stderr, "session_tool: %s\n", msg);
}

static int show(struct mt_session *s)
{
	const struct mt_render_opts o = {.unit = MT_UNIT_AUTO};
	_cleanup_writer_ struct mt_writer w = {0};
	struct mt_snapshot *snap = NULL;
	const struct mt_snapshot *v[1];
	int r;

	r = mt_session_service(s);
	if (!r)
		r = mt_session_snapshot(s, 0, MT_VM_PARTS, &snap);
	if (r)
		return r;
	v[0] = snap;
	mt_render_json.snapshots(&w, v, 1, &o);
	free(snap);
	return mt_writer_flush(&w, STDOUT_FILENO);
}

int main(int argc, char **argv)
{
	struct mt_session_opts opts = {.max_targets = 1};
	struct mt_session *s = NULL;
	char line[16];
	int r;

	mt_log_set_sink(log_to_stderr);
	for (; argc > 2; argc--, argv++) {
		opts.perf_uprobes |= !strcmp(argv[1], "--perf");
		opts.no_sleepable |= !strcmp(argv[1], "--no-sleepable");
	}
	if (argc != 2)
		return 2;
	r = mt_session_new(&opts, &s);
	if (!r)
		r = mt_session_add(s, atoi(argv[1]), MT_SINCE_ATTACH);
	if (!r)
		r = show(s);
	while (!r && fgets(line, sizeof(line), stdin))
		r = show(s);
	mt_session_free(&s);
	return r ? 1 : 0;
}
