/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace diff -p PID --func SYMBOL: what each call of a function allocates. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/diff.h"
#include "cli/events.h"
#include "cli/output.h"
#include "render/func.h"
#include "session/func.h"

struct measure {
	const struct mt_diff_config *cfg;
	struct mt_session *session;
	struct mt_events events;
	mt_render_func_fn render;
	struct mt_render_opts opts;
	struct mt_output *out;
	bool lost;
};

static int open_output(struct measure *m)
{
	static const struct mt_render_ops whole = {.name = "func", .document = true};

	m->render = mt_render_func_find(m->cfg->format ? m->cfg->format : "table");
	m->opts = (struct mt_render_opts){
		.unit = m->cfg->unit,
		.color = mt_color_wanted(m->cfg->color, m->cfg->output),
	};
	return mt_output_new(m->cfg->output, &whole, &m->opts, &m->out);
}

/* It may be long until there is something to show. */
static void say_counting(const struct measure *m)
{
	const struct mt_func *what = mt_session_func_what(m->session);
	_cleanup_writer_ struct mt_writer w = {0};

	if (m->cfg->quiet)
		return;
	mt_write_escaped(&w, what->name);
	mt_write_str(&w, " in ");
	mt_write_escaped(&w, what->binary);
	fprintf(stderr, "memtrace: counting the calls of %s; Ctrl-C ends it\n",
		w.buf ? w.buf : "it");
}

/* Until somebody or something ends it. 0 or -errno. */
static int wait_for_end(struct measure *m)
{
	while (mt_session_alive(m->session)) {
		enum mt_event ev;
		int r = mt_events_wait(&m->events, &ev);

		if (!r && ev == MT_EVENT_SESSION)
			r = mt_session_service(m->session);
		if (r)
			return r;
		if (ev == MT_EVENT_STOP || ev == MT_EVENT_DEADLINE)
			return 0;
		if (ev == MT_EVENT_NO_READER)
			return -EPIPE;
	}
	return 0;
}

static int show(struct measure *m)
{
	struct mt_snapshot at = {0};
	struct mt_func f;
	int r = mt_session_func_stop(m->session, &f);

	if (r)
		return r;
	m->lost = mt_func_lost(&f) != 0;
	at.time_ns = f.time_ns;
	at.pid = f.n_pids ? f.pids[0] : 0;
	m->render(mt_output_begin(m->out), &f, &m->opts);
	r = mt_output_end(m->out, &at);
	mt_func_fini(&f);
	return r;
}

/* Attaches, waits and shows. 0 or -errno, logged. */
static int measure(struct measure *m)
{
	const uint64_t start_ns = mt_clock_ns(CLOCK_MONOTONIC);
	int r = mt_attach_pids(m->session, &m->cfg->pids);

	if (!r)
		r = mt_session_func_start(m->session, m->cfg->func);
	if (r)
		return r;
	mt_attach_say(m->session, start_ns);
	if (!m->cfg->output)
		mt_events_watch_reader(&m->events, STDOUT_FILENO);
	mt_attach_drop(m->cfg->output, false);
	say_counting(m);
	mt_events_deadline(&m->events, m->cfg->duration_ns);
	r = wait_for_end(m);
	return r ? r : show(m);
}

static int run(struct measure *m)
{
	const struct mt_session_opts opts = {
		.max_targets = m->cfg->pids.n,
		.no_census = true,
		.func = true,
		.max_stop_ns = m->cfg->max_stop_ns,
	};
	int r = mt_session_new(&opts, &m->session);

	if (r || mt_events_open(&m->events, mt_session_fd(m->session), 0, 0))
		return r ? r : -EIO;
	r = measure(m);
	mt_events_close(&m->events);
	return r;
}

int mt_diff_func(const struct mt_diff_config *cfg)
{
	struct measure m = {.cfg = cfg};
	int r = open_output(&m);

	if (!r)
		r = run(&m);
	mt_session_free(&m.session);
	mt_output_free(&m.out);
	if (r && r != -EPIPE)
		return r == -EINVAL ? MT_EXIT_USAGE : MT_EXIT_FAILED;
	return cfg->strict && m.lost ? MT_EXIT_LOST : MT_EXIT_OK;
}
