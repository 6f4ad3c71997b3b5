/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * marks_tool [--perf] [--late] [--oom] PID [BEGIN,END [REPETITIONS]]: JSON snapshots
 * of a process at its marks, or before and when it is an OOM victim. Before the
 * first it says "ready"; on standard error, of each mark, whether the counters were
 * copied there and the thread was held. --late: threads are not held, and what is
 * of BEGIN or of the victim is read after a line on standard input.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session/marks.h"
#include "sys/usdt.h"
#include "tool.h"

/* Waits for what the kernel tells. */
static int wait_for_news(struct mt_session *s)
{
	struct pollfd p[] = {{.fd = mt_session_fd(s), .events = POLLIN},
			     {.fd = mt_session_news_fd(s), .events = POLLIN}};
	int r = 0;

	while (!r && !p[1].revents) {
		poll(p, 2, -1);
		r = mt_session_service(s);
		poll(p + 1, 1, 0);
	}
	return r;
}

/* What is printed is seen, and answered, when the next mark already counts. */
static int follow_mark(struct mt_session *s, const struct mt_mark *mark)
{
	_cleanup_writer_ struct mt_writer w = {0};
	int r = 0;

	if (mark->what == MT_MARK_LEFT || mark->what == MT_MARK_EXEC)
		mt_writef(&w, "{\"what\": %u}\n", mark->what);
	else
		r = take(s, &w);
	if (mark->what != MT_MARK_BEGIN)
		mt_session_marks_arm(s);
	fprintf(stderr, "%s%s\n", mark->counted ? "counted " : "",
		mt_session_mark_done(s) ? "held" : "late");
	return r ? r : mt_writer_flush(&w, STDOUT_FILENO);
}

static int follow_marks(struct mt_session *s, int n, bool late)
{
	struct mt_mark mark;
	int r = 0;

	while (!r && n > 0) {
		r = wait_for_news(s);
		if (r || !mt_session_mark(s, &mark))
			continue;
		if (late && mark.what == MT_MARK_BEGIN)
			getchar();
		r = follow_mark(s, &mark);
		n -= mark.what == MT_MARK_END || mark.what == MT_MARK_EXEC;
	}
	return r;
}

static int follow_victim(struct mt_session *s, bool late)
{
	size_t i;
	int r = show(s);

	while (!r && !mt_session_victim(s, &i))
		r = wait_for_news(s);
	if (late)
		getchar();
	return r ? r : show(s);
}

static int add_marks(struct mt_session *s, const char *arg)
{
	char begin[MT_USDT_NAME], end[MT_USDT_NAME], why[128];
	int r = mt_usdt_parse(arg, begin, end, why, sizeof(why));

	r = r ? mt_err_r(r, "%s", why) : mt_session_marks_add(s, begin, end);
	if (!r)
		mt_session_marks_arm(s);
	return r;
}

int main(int argc, char **argv)
{
	/* a busy machine may take longer than the 250 ms that are the default */
	struct mt_session_opts opts = {
		.max_targets = 1, .no_census = true, .max_stop_ns = 5000000000u};
	struct mt_session *s = NULL;
	bool late = false;
	int r;

	mt_log_set_sink(log_to_stderr);
	for (; argc > 2 && argv[1][0] == '-'; argc--, argv++) {
		opts.perf_uprobes |= !strcmp(argv[1], "--perf");
		opts.oom |= !strcmp(argv[1], "--oom");
		late |= !strcmp(argv[1], "--late");
	}
	if (late)
		opts.max_stop_ns = 1;
	opts.marks = argc > 2;
	r = mt_session_new(&opts, &s);
	if (!r)
		r = mt_session_add(s, atoi(argv[1]), MT_SINCE_ATTACH);
	if (!r && opts.marks)
		r = add_marks(s, argv[2]);
	if (!r) {
		puts("ready");
		fflush(stdout);
		r = opts.marks ? follow_marks(s, argc > 3 ? atoi(argv[3]) : 1, late)
			       : follow_victim(s, late);
	}
	mt_session_free(&s);
	return r ? 1 : 0;
}
