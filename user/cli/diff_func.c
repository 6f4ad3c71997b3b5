/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace diff -p PID --func SYMBOL: what each call of a function allocates. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/aside.h"
#include "cli/cli.h"
#include "cli/diff.h"
#include "cli/events.h"
#include "render/func.h"
#include "session/func.h"
#include "session/session.h"
#include "sys/caps.h"

static int attach(struct mt_session *s, const struct mt_diff_config *cfg)
{
	for (size_t i = 0; i < cfg->pids.n; i++) {
		int r = mt_session_add(s, cfg->pids.v[i], MT_SINCE_ATTACH);

		if (r)
			return r;
	}
	return mt_session_func_start(s, cfg->func);
}

static void say_counting(const struct mt_session *s, const struct mt_diff_config *cfg)
{
	const struct mt_func *what = mt_session_func_what(s);
	_cleanup_writer_ struct mt_writer w = {0};

	if (cfg->quiet)
		return;
	mt_write_escaped(&w, what->name);
	mt_write_str(&w, " in ");
	mt_write_escaped(&w, what->binary);
	fprintf(stderr, "memtrace: counting the calls of %s; Ctrl-C ends it\n",
		w.buf ? w.buf : "it");
}

/* Until somebody or something ends it. 0 or -errno. */
static int wait_for_end(struct mt_events *e, struct mt_session *s)
{
	while (mt_session_alive(s)) {
		enum mt_event ev;
		int r = mt_events_wait(e, &ev);

		if (!r && ev == MT_EVENT_SESSION)
			r = mt_session_service(s);
		if (r)
			return r;
		if (ev == MT_EVENT_STOP || ev == MT_EVENT_DEADLINE)
			return 0;
		if (ev == MT_EVENT_NO_READER)
			return -EPIPE;
	}
	return 0;
}

/* A document: the file is there with all of it, or as it was. */
static int put_file(struct mt_writer *w, const char *path)
{
	_cleanup_writer_ struct mt_writer name = {0};
	int fd = mt_aside_open(path, &name), r;

	if (fd < 0)
		return fd;
	r = mt_writer_flush(w, fd);
	if (close(fd) < 0 && !r)
		r = -errno;
	if (!r && rename(name.buf, path) < 0)
		r = -errno;
	if (r)
		unlink(name.buf);
	return r;
}

static int put(const struct mt_func *f, const struct mt_diff_config *cfg)
{
	const struct mt_render_opts o = {
		.unit = cfg->unit,
		.color = mt_color_wanted(cfg->color, cfg->output),
	};
	const bool to_file = cfg->output && strcmp(cfg->output, "-") != 0;
	_cleanup_writer_ struct mt_writer w = {0};
	char q[200];
	int r;

	mt_render_func_find(cfg->format ? cfg->format : "table")(&w, f, &o);
	r = w.err;
	if (!r)
		r = to_file ? put_file(&w, cfg->output) : mt_writer_flush(&w, STDOUT_FILENO);
	if (r && r != -EPIPE)
		return mt_err_r(r, "cannot write %s: %s",
				to_file ? mt_quote(q, sizeof(q), cfg->output) : "standard output",
				strerror(-r));
	return 0;
}

/* Attaches, waits and shows. 0 or -errno, logged. */
static int measure(struct mt_session *s, const struct mt_diff_config *cfg, bool *lost)
{
	struct mt_events e;
	struct mt_func f;
	int r = mt_events_open(&e, mt_session_fd(s), 0, cfg->duration_ns);

	if (r)
		return r;
	r = attach(s, cfg);
	if (r)
		return r;
	if (!cfg->output)
		mt_events_watch_reader(&e, STDOUT_FILENO);
	if (mt_caps_drop(cfg->output))
		mt_warn("cannot give up capabilities; going on with all of them");
	say_counting(s, cfg);
	r = wait_for_end(&e, s);
	if (r)
		return r == -EPIPE ? 0 : r;
	r = mt_session_func_stop(s, &f);
	if (r)
		return r;
	*lost = mt_func_lost(&f) != 0;
	r = put(&f, cfg);
	mt_func_fini(&f);
	mt_events_close(&e);
	return r;
}

int mt_diff_func(const struct mt_diff_config *cfg)
{
	const struct mt_session_opts opts = {
		.max_targets = cfg->pids.n,
		.no_census = true,
		.func = true,
		.max_stop_ns = cfg->max_stop_ns,
	};
	struct mt_session *s = NULL;
	bool lost = false;
	int r = mt_session_new(&opts, &s);

	if (!r)
		r = measure(s, cfg, &lost);
	mt_session_free(&s);
	if (r)
		return r == -EINVAL ? MT_EXIT_USAGE : MT_EXIT_FAILED;
	return cfg->strict && lost ? MT_EXIT_LOST : MT_EXIT_OK;
}
