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

#include "tool.h"

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
	while (!r && fgets(line, sizeof(line), stdin)) {
		r = mt_session_service(s);
		if (!r)
			r = show(s);
	}
	mt_session_free(&s);
	return r ? 1 : 0;
}
