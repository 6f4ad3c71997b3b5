/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace diff -p PID EVENT: two snapshots around each event, and their difference. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/diff.h"
#include "cli/diff_output.h"
#include "cli/diff_pairs.h"
#include "cli/events.h"
#include "session/session.h"
#include "target/launch.h"
#include "trigger/trigger.h"

#define REPEAT_MAX 1000 /* all of their snapshots are kept, 30 KiB each and more */

/* Why the waiting for an event was over. */
enum end {
	END_NOT,
	END_CAME,     /* the event */
	END_NO_MORE,  /* it will not come again, as it says itself */
	END_STOPPED,  /* a signal */
	END_DEADLINE, /* --duration */
	END_GONE,     /* no process is left */
};

struct waiter {
	const struct mt_diff_config *cfg;
	const struct mt_trigger_ops *ops;
	void *trigger; /* ops' */
	struct mt_session *session;
	struct mt_events events;
	struct mt_diff_output out;
	struct mt_diff_pairs pairs;
	bool each;     /* every difference is shown by itself, at once */
	int signo;     /* the stop signal that came */
	bool stopping; /* one did, and the event comes of it */
	enum end end;
	char note[160]; /* why there is less than was asked for; empty: there is not */
};

static int show(struct waiter *w, const struct mt_moment *pairs, size_t n)
{
	MT_CLEANUP(mt_diff_free) struct mt_diff *d = NULL;
	int r = mt_diff_new(pairs, n, w->ops->what(w->trigger), &d);

	if (!r && w->note[0])
		r = mt_diff_note(d, "%s", w->note);
	if (r)
		return mt_err_r(r, "out of memory");
	return mt_diff_output_put(&w->out, d);
}

/* The difference so far, without an end to anything. */
static int show_so_far(struct waiter *w)
{
	struct mt_moment pair[2];
	int r;

	if (!mt_diff_pairs_begun(&w->pairs))
		return 0;
	r = mt_diff_pairs_so_far(&w->pairs, pair);
	if (r)
		return r;
	r = show(w, pair, 1);
	mt_moment_fini(&pair[1]);
	return r;
}

/* What the event says becomes a moment. 0 or -errno. */
static int obey(struct waiter *w, enum mt_trigger_says says)
{
	int r = 0;

	if (says == MT_TRIGGER_OLD) {
		r = mt_diff_pairs_begin(&w->pairs);
	} else if (says == MT_TRIGGER_NEW && mt_diff_pairs_begun(&w->pairs)) {
		w->end = END_CAME;
		r = mt_diff_pairs_end(&w->pairs);
	} else if (says == MT_TRIGGER_END) {
		w->end = END_NO_MORE;
	}
	if (says != MT_TRIGGER_WAIT && w->ops->taken)
		w->ops->taken(w->trigger);
	return r;
}

static int service(struct waiter *w)
{
	enum mt_trigger_says says = MT_TRIGGER_WAIT;
	int r = w->ops->service ? w->ops->service(w->trigger, &says) : 0;

	return r ? r : obey(w, says);
}

static int look(struct waiter *w, const struct mt_moment *now)
{
	enum mt_trigger_says says = MT_TRIGGER_WAIT;
	int r = w->ops->look(w->trigger, now, &says);

	return r ? r : obey(w, says);
}

static int take_and_look(struct waiter *w)
{
	MT_CLEANUP(mt_moment_fini) struct mt_moment now = {0};
	int r;

	if (!w->ops->look)
		return 0;
	r = mt_diff_pairs_look(&w->pairs, w->ops->depth(w->trigger), &now);
	return r ? r : look(w, &now);
}

static void stop(struct waiter *w)
{
	w->signo = w->events.signo;
	if (w->ops->stop && w->ops->stop(w->trigger, w->signo, !w->events.from_user))
		w->stopping = true;
	else
		w->end = END_STOPPED;
}

static bool is_busy(const struct waiter *w)
{
	return w->ops->busy && w->ops->busy(w->trigger);
}

static int handle(struct waiter *w, enum mt_event ev)
{
	int r;

	switch (ev) {
	case MT_EVENT_SESSION:
		r = mt_session_service(w->session);
		return r ? r : service(w);
	case MT_EVENT_TRIGGER:
		return service(w);
	case MT_EVENT_TICK:
		return take_and_look(w);
	case MT_EVENT_SNAPSHOT:
		return show_so_far(w);
	case MT_EVENT_STOP:
		stop(w);
		return 0;
	case MT_EVENT_DEADLINE:
		w->end = END_DEADLINE;
		return 0;
	case MT_EVENT_NO_READER:
		return -EPIPE;
	case MT_EVENT_KEY:
	case MT_EVENT_RESIZE: /* nobody asked for them */
		return 0;
	}
	return 0;
}

/* Until the event has come, or will not. */
static int wait_for_it(struct waiter *w)
{
	int r = 0;

	while (!r && w->end == END_NOT) {
		enum mt_event ev;

		/* a command runs to its end, whatever becomes of the processes */
		if (!mt_session_alive(w->session) && !is_busy(w)) {
			r = service(w); /* it may have come with the end */
			if (!r && w->end == END_NOT)
				w->end = END_GONE;
			break;
		}
		r = mt_events_wait(&w->events, &ev);
		if (!r)
			r = handle(w, ev);
	}
	return r;
}

static size_t repetitions(const struct waiter *w)
{
	return w->each ? SIZE_MAX : w->cfg->repeat ? w->cfg->repeat : 1;
}

/*
 * Gives up what is needed no more. To start another user's command takes more than
 * the rest: that is kept until the last one is there. The first one always is.
 */
static void drop(const struct waiter *w)
{
	const bool starts = w->ops == &mt_trigger_command && w->pairs.done + 1 < repetitions(w);

	mt_attach_drop(w->cfg->output, starts && mt_launch_changes_user());
}

/* One repetition. Not joined to the one before it begins with a snapshot of its own. */
static int repeat_once(struct waiter *w, bool first)
{
	const bool begins = !w->ops->own_start && !mt_diff_pairs_begun(&w->pairs);
	int r = begins ? mt_diff_pairs_begin(&w->pairs) : 0;

	w->end = END_NOT;
	if (!r && w->ops->start) {
		r = w->ops->start(w->trigger);
		drop(w);
	}
	if (!r && first && w->ops->look)
		r = look(w, &w->pairs.v[w->pairs.old]);
	if (!r && first && w->end == END_NOT)
		mt_info("waiting for the event");
	return r ? r : wait_for_it(w);
}

static int status_of(const struct waiter *w)
{
	return w->ops->status ? w->ops->status(w->trigger) : 0;
}

static int repeat(struct waiter *w)
{
	bool more = true, first = true;
	int r = 0;

	while (!r && more) {
		r = repeat_once(w, first);
		if (!r && w->end == END_CAME && w->each) {
			r = show(w, w->pairs.pairs, 1);
			mt_diff_pairs_forget(&w->pairs);
		}
		more = w->end == END_CAME && w->pairs.done < repetitions(w) && !w->stopping &&
		       !status_of(w);
		if (!r && more && !mt_session_alive(w->session)) {
			w->end = END_GONE;
			more = false;
		}
		first = false;
	}
	return r;
}

/* Why there is less than was asked for, without a reason NULL. */
static const char *why_short(const struct waiter *w, char *buf, size_t size)
{
	char duration[MT_DURATION_SIZE];

	switch (w->end) {
	case END_GONE:
		snprintf(buf, size, "the process%s ended before the event",
			 w->cfg->pids.n == 1 ? "" : "es");
		return buf;
	case END_DEADLINE:
		snprintf(buf, size, "the event did not come within %s",
			 mt_format_duration(duration, sizeof(duration), w->cfg->duration_ns));
		return buf;
	case END_STOPPED:
		snprintf(buf, size, "SIG%s came before the event", sigabbrev_np(w->signo));
		return buf;
	case END_NO_MORE:
		snprintf(buf, size, "the event will not come any more");
		return buf;
	case END_CAME: /* but not as often as was asked for */
		if (status_of(w))
			snprintf(buf, size, "the command's exit status was %d", status_of(w));
		else
			snprintf(buf, size, "SIG%s came", sigabbrev_np(w->signo));
		return buf;
	case END_NOT:
		break;
	}
	return NULL;
}

/* It is said, and stands in the difference, too. */
static void say_short(struct waiter *w)
{
	const size_t of = repetitions(w);
	char why[80];

	if (!why_short(w, why, sizeof(why)))
		return;
	if (w->pairs.done)
		snprintf(w->note, sizeof(w->note), "%s: %zu of %zu repetitions", why, w->pairs.done,
			 of);
	else if (mt_diff_pairs_begun(&w->pairs))
		snprintf(w->note, sizeof(w->note), "%s: this is the difference so far", why);
	else
		snprintf(w->note, sizeof(w->note), "%s", why);
	mt_warn("%s", w->note);
}

/* All that there is; of a repetition that was cut short only if there is no whole one. */
static int show_all(struct waiter *w)
{
	int r = 0;

	if (w->each && (w->end == END_NO_MORE || w->end == END_CAME))
		return 0;
	if (w->pairs.done < repetitions(w) && !(w->each && w->end == END_STOPPED))
		say_short(w);
	if (!w->pairs.done && mt_diff_pairs_begun(&w->pairs))
		r = mt_diff_pairs_end(&w->pairs);
	return r || !w->pairs.done ? r : show(w, w->pairs.pairs, w->pairs.done);
}

/* What the event left running, with the signals that are meant for it. */
static int wait_for_rest(struct waiter *w)
{
	int r = 0;

	while (!r && is_busy(w)) {
		struct pollfd p[] = {
			{.fd = w->ops->fd(w->trigger), .events = POLLIN},
			{.fd = w->events.signal_fd, .events = POLLIN},
		};
		enum mt_trigger_says says;
		enum mt_event ev;

		if (poll(p, 2, -1) > 0 && (p[1].revents & POLLIN) &&
		    !mt_events_signal(&w->events, &ev) && ev == MT_EVENT_STOP)
			stop(w);
		r = w->ops->service(w->trigger, &says);
	}
	return r;
}

static void say_keys(const struct waiter *w)
{
	if (w->ops == &mt_trigger_enter && !w->cfg->quiet)
		fprintf(stderr, "memtrace: press Enter for what changed, Ctrl-D to end\n");
}

static int watch(struct waiter *w)
{
	const int fd = w->ops->fd ? w->ops->fd(w->trigger) : -1;
	int r = mt_events_open(&w->events, mt_session_fd(w->session),
			       w->ops->look ? w->cfg->interval_ns ?: MT_SECOND_NS : 0,
			       w->cfg->duration_ns);

	if (!r && fd >= 0)
		r = mt_events_watch_trigger(&w->events, fd);
	if (!r && !w->cfg->output)
		mt_events_watch_reader(&w->events, STDOUT_FILENO);
	w->events.interactive = w->ops->stop;
	return r;
}

/* SIGUSR1 asks for what is not there yet: it waits until it is. */
static void hold_snapshot_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int attach(struct waiter *w)
{
	const struct mt_session_opts opts = {
		.max_targets = w->cfg->pids.n,
		.no_census = w->cfg->no_census,
		.max_stop_ns = w->cfg->max_stop_ns,
		.marks = w->cfg->usdt != NULL,
		.oom = w->cfg->oom,
	};
	const uint64_t start_ns = mt_clock_ns(CLOCK_MONOTONIC);
	int r;

	hold_snapshot_signal();
	r = mt_session_new(&opts, &w->session);
	if (!r)
		r = mt_attach_pids(w->session, &w->cfg->pids);
	if (!r && w->ops->attach)
		r = w->ops->attach(w->trigger, w->session);
	w->pairs.session = w->session;
	if (r)
		return r;
	mt_attach_say(w->session, start_ns);
	drop(w);
	return watch(w);
}

/* r is what ended it: 0, -errno, or the exit status of a command that could not run. */
static int finish(struct waiter *w, int r)
{
	int status = status_of(w);
	const bool short_of = w->end == END_DEADLINE ||
			      (w->ops->awaited && (w->end == END_GONE || w->end == END_NO_MORE));

	if (r > 0)
		return r;
	if (status == MT_EXIT_OK && ((r && r != -EPIPE) || (short_of && !w->each)))
		status = MT_EXIT_FAILED;
	if (w->cfg->strict && w->pairs.lost)
		status = MT_EXIT_LOST;
	return status;
}

static int run(struct waiter *w)
{
	int r = attach(w), shown = 0, rest;

	if (r)
		return finish(w, r);
	say_keys(w);
	r = repeat(w);
	if (w->ops->detach)
		w->ops->detach(w->trigger);
	if (!r || (r != -EPIPE && w->pairs.done))
		shown = show_all(w);
	/* what is counted no more costs no more */
	if (is_busy(w))
		mt_session_free(&w->session);
	rest = wait_for_rest(w);
	return finish(w, r ? r : shown ? shown : rest);
}

static const struct mt_trigger_ops *choose(const struct mt_diff_config *cfg, char **command,
					   struct mt_trigger_arg *arg)
{
	arg->argv = command;
	if (command)
		return mt_trigger_find("command");
	arg->ns = cfg->for_ns;
	if (cfg->for_ns)
		return mt_trigger_find("for");
	arg->text = cfg->when ? cfg->when : cfg->usdt;
	return mt_trigger_find(cfg->when   ? "when"
			       : cfg->usdt ? "usdt"
			       : cfg->oom  ? "oom"
					   : "enter");
}

static int check(const struct waiter *w)
{
	if (w->cfg->repeat > REPEAT_MAX)
		return mt_err_r(-EINVAL, "diff: --repeat: at most %d", REPEAT_MAX);
	return 0;
}

int mt_diff_event(const struct mt_diff_config *cfg, char **command)
{
	struct waiter w = {.cfg = cfg};
	struct mt_trigger_arg arg = {0};
	bool opened;
	int r, status;

	w.ops = choose(cfg, command, &arg);
	w.each = w.ops == &mt_trigger_enter && !cfg->repeat;
	w.pairs.freeze = !cfg->no_freeze;
	w.pairs.joined = w.ops->joined;
	r = check(&w);
	if (!r)
		r = w.ops->open(&arg, &w.trigger);
	opened = !r;
	/* behind it: what stands in a file is not lost to an event that cannot be */
	if (!r)
		r = mt_diff_output_open(&w.out, cfg);
	status = r > 0 ? r : r == -EINVAL ? MT_EXIT_USAGE : r ? MT_EXIT_FAILED : run(&w);
	if (opened)
		w.ops->close(w.trigger);
	mt_session_free(&w.session);
	mt_diff_output_close(&w.out);
	mt_diff_pairs_fini(&w.pairs);
	return status;
}
