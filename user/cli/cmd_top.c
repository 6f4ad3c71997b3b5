/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace top: the live view of the session's processes. */
#include <errno.h>
#include <locale.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/aside.h"
#include "cli/cli.h"
#include "cli/events.h"
#include "cli/options.h"
#include "render/render.h"
#include "session/session.h"
#include "sys/caps.h"
#include "target/select.h"
#include "tui/screen.h"
#include "tui/tui.h"

struct config {
	struct mt_pid_list pids;
	uint64_t interval_ns, max_stop_ns;
	struct mt_select select;
	const char *sort, *color;
	bool all, follow, tree, no_census, help;
};

static const char *const color_choices[] = {"auto", "always", "never", NULL};
static const char *sort_choices[32]; /* the names that the view has */

#define AT(member) offsetof(struct config, member)
static const struct mt_opt rows[] = {
	{'p', "pid", MT_OPT_PIDS, "PID[,PID...]", AT(pids), NULL, "the processes; may be repeated"},
	{'a', "all", MT_OPT_FLAG, NULL, AT(all), NULL,
	 "every process, those started later included: the default"},
	{'n', "comm", MT_OPT_COMMS, "NAME[,NAME...]", AT(select), NULL,
	 "processes of that name; with -a only these are shown"},
	{'g', "cgroup", MT_OPT_CGROUP, "PATH", AT(select), NULL,
	 "processes in that cgroup or below; with -a only these are shown"},
	{'C', "container", MT_OPT_CONTAINERS, "ID[,ID...]", AT(select), NULL,
	 "processes of that container; with -a only these are shown"},
	{'F', "follow", MT_OPT_FLAG, NULL, AT(follow), NULL, "with -p: children too"},
	{'i', "interval", MT_OPT_DURATION, "DURATION", AT(interval_ns), NULL,
	 "time between updates: 500ms, 2s; a bare number is seconds; default 1"},
	{0, "sort", MT_OPT_CHOICE, "KEY", AT(sort), sort_choices, "the order at first"},
	{'t', "tree", MT_OPT_FLAG, NULL, AT(tree), NULL, "processes under their parents, at first"},
	{0, "no-census", MT_OPT_FLAG, NULL, AT(no_census), NULL,
	 "do not read the heaps that exist: levels count from the attach"},
	{0, "max-stop", MT_OPT_DURATION, "DURATION", AT(max_stop_ns), NULL,
	 "the longest that a census may hold a process; default 250ms"},
	{0, "color", MT_OPT_CHOICE, "WHEN", AT(color), color_choices,
	 "use colours; NO_COLOR is honoured"},
	{'h', "help", MT_OPT_FLAG, NULL, AT(help), NULL, "this text"},
	{0},
};

struct top {
	struct config cfg;
	struct mt_session_opts opts;
	struct mt_session *session;
	struct mt_events events;
	struct mt_tui *tui;
	struct mt_screen *screen;
};

/*
 * While the screen is drawn errors go into the view, and the last one comes after
 * it, too. Warnings do not: what they say of processes the rows' signs and pages say.
 */
static struct {
	struct mt_tui *tui; /* NULL: standard error */
	char error[512];
} sink;

static void log_message(enum mt_log_level level, const char *msg)
{
	if (!sink.tui && level <= MT_LOG_WARN)
		fprintf(stderr, "memtrace: %s\n", msg);
	if (!sink.tui || level > MT_LOG_ERR)
		return;
	mt_tui_say(sink.tui, msg);
	snprintf(sink.error, sizeof(sink.error), "%s", msg);
}

static int show_help(void)
{
	printf("Usage: memtrace %s %s\n\n%s\n\nOptions:\n", mt_cmd_top.name, mt_cmd_top.usage,
	       mt_cmd_top.help);
	mt_options_help(rows);
	printf("\nKeys: ? lists them; Enter opens a process, q quits. See memtrace(8).\n");
	return MT_EXIT_OK;
}

static void paint(const struct top *t, bool anew)
{
	struct mt_page page;
	int lines, cols;

	mt_screen_size(t->screen, &lines, &cols);
	if (mt_page_init(&page, lines, cols, mt_screen_utf8(t->screen)))
		return; /* what stands there stays */
	mt_tui_paint(t->tui, &page);
	mt_screen_show(t->screen, &page, anew);
	mt_page_fini(&page);
}

/* With -a not what has no allocator, and what was not asked for. */
static bool is_shown(const struct top *t, const struct mt_snapshot *s)
{
	if (!t->opts.all)
		return true;
	return s->allocator[0] &&
	       mt_select_matches(&t->cfg.select, s->comm, s->cgroup, s->container);
}

/*
 * A round of snapshots. While the view is paused only those that have ended are
 * taken, so that the session can let go of them. Of one process that cannot be
 * read the log says why; the others are shown.
 */
static int take(struct top *t)
{
	size_t n = mt_session_count(t->session), opened = n;
	bool paused = mt_tui_paused(t->tui);
	pid_t pid = mt_tui_opened(t->tui);
	int r = 0;

	if (pid && mt_session_find(t->session, pid, &opened))
		opened = n;
	mt_tui_begin(t->tui);
	for (size_t i = 0; i < n && !r; i++) {
		/* the list shows the sum of the address space, which costs less than its parts */
		enum mt_vm_depth depth = i == opened ? MT_VM_PARTS : MT_VM_STATUS;
		_cleanup_free_ struct mt_snapshot *s = NULL;

		if (paused && !mt_session_ended(t->session, i))
			continue;
		r = mt_session_snapshot(t->session, i, depth, &s);
		if (!r && is_shown(t, s))
			r = mt_tui_put(t->tui, s);
		r = r == -ENOMEM ? mt_err_r(r, "out of memory") : 0;
	}
	mt_tui_end(t->tui);
	/* of those that were named the last numbers stay */
	if (t->opts.all || t->opts.follow)
		mt_session_forget_ended(t->session);
	return r;
}

/* Down to the ms, so that no file replaces the one before. */
static void name_file(char *buf, size_t size)
{
	uint64_t ns = mt_clock_ns(CLOCK_REALTIME);
	time_t s = (time_t)(ns / MT_SECOND_NS);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&s, &tm))
		strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
	snprintf(buf, size, "memtrace-%s.%03uZ.ndjson", text,
		 (unsigned int)(ns % MT_SECOND_NS / 1000000));
}

/* The processes that the view shows, one after the other: there can be many. */
static int write_shown(struct top *t, int fd, size_t *written)
{
	const struct mt_render_opts opts = {.unit = MT_UNIT_AUTO};
	_cleanup_writer_ struct mt_writer w = {0};
	int r = 0;

	for (size_t i = 0; i < mt_session_count(t->session) && !r; i++) {
		_cleanup_free_ struct mt_snapshot *s = NULL;
		const struct mt_snapshot *one[1];

		if (mt_session_snapshot(t->session, i, MT_VM_PARTS, &s) || !mt_tui_shows(t->tui, s))
			continue;
		one[0] = s;
		mt_writer_reset(&w);
		mt_render_json.snapshots(&w, one, 1, &opts);
		r = w.err ? w.err : mt_writer_flush(&w, fd);
		(*written)++;
	}
	return r;
}

static void save(struct top *t)
{
	_cleanup_writer_ struct mt_writer aside = {0};
	char path[64], said[160];
	size_t n = 0;
	int fd, r;

	name_file(path, sizeof(path));
	fd = mt_aside_open(path, &aside);
	r = fd < 0 ? fd : write_shown(t, fd, &n);
	if (fd >= 0 && close(fd) < 0 && !r)
		r = -errno;
	if (!r && rename(aside.buf, path) < 0)
		r = -errno;
	if (r && fd >= 0)
		unlink(aside.buf);
	if (r)
		snprintf(said, sizeof(said), "cannot write %s here: %s", path, strerror(-r));
	else
		snprintf(said, sizeof(said), "saved %s: %zu %s", path, n,
			 n == 1 ? "process" : "processes");
	mt_tui_say(t->tui, said);
}

/* All that was typed. False: the user has had enough. */
static bool handle_keys(struct top *t, bool *anew)
{
	uint32_t key;

	while ((key = mt_screen_key(t->screen)) != MT_KEY_NONE) {
		switch (mt_tui_key(t->tui, key)) {
		case MT_TUI_QUIT:
			return false;
		case MT_TUI_SAVE:
			save(t);
			break;
		case MT_TUI_REFRESH:
			*anew = true;
			break;
		case MT_TUI_NOTHING:
			break;
		}
	}
	return true;
}

static int loop(struct top *t)
{
	bool more = true;
	int r = take(t);

	paint(t, false);
	while (!r && more) {
		bool anew = false;
		enum mt_event ev;

		r = mt_events_wait(&t->events, &ev);
		if (r)
			break;
		switch (ev) {
		case MT_EVENT_SESSION:
			r = mt_session_service(t->session);
			continue;
		case MT_EVENT_TICK:
		case MT_EVENT_SNAPSHOT:
			r = take(t);
			break;
		case MT_EVENT_KEY:
			more = handle_keys(t, &anew);
			break;
		case MT_EVENT_RESIZE:
			anew = true;
			break;
		case MT_EVENT_STOP:
		case MT_EVENT_DEADLINE:
		case MT_EVENT_NO_READER:
		case MT_EVENT_TRIGGER:
			more = false;
			break;
		}
		if (more)
			paint(t, anew);
	}
	return r;
}

static int attach(struct top *t)
{
	int r;

	t->opts = (struct mt_session_opts){
		.max_targets = t->cfg.pids.n,
		.all = t->cfg.all,
		.follow = t->cfg.follow,
		.no_census = t->cfg.no_census,
		.max_stop_ns = t->cfg.max_stop_ns,
	};
	if (t->opts.follow || t->opts.all)
		t->opts.max_targets = 0; /* as many as there is room for */
	r = mt_session_new(&t->opts, &t->session);
	if (!r && t->opts.all)
		r = mt_session_add_all(t->session);
	else if (!r && !mt_select_is_empty(&t->cfg.select))
		r = mt_session_add_chosen(t->session, t->cfg.pids.v, t->cfg.pids.n);
	for (size_t i = 0; mt_select_is_empty(&t->cfg.select) && i < t->cfg.pids.n && !r; i++)
		r = mt_session_add(t->session, t->cfg.pids.v[i], MT_SINCE_ATTACH);
	return r;
}

static int show(struct top *t)
{
	int r = mt_screen_open(mt_color_wanted(t->cfg.color, NULL), &t->screen);

	if (r)
		return r;
	sink.tui = t->tui;
	r = loop(t);
	sink.tui = NULL;
	mt_screen_close(&t->screen);
	if (r && sink.error[0])
		fprintf(stderr, "memtrace: %s\n", sink.error);
	return r;
}

static int top(struct top *t)
{
	const struct mt_tui_opts opts = {
		.interval_ns = t->cfg.interval_ns,
		.sort = t->cfg.sort,
		.tree = t->cfg.tree,
	};
	int r = mt_tui_new(&opts, &t->tui);

	if (r)
		return mt_err_r(r, "out of memory");
	r = attach(t);
	if (r)
		return r;
	if (mt_events_open(&t->events, mt_session_fd(t->session), t->cfg.interval_ns, 0))
		return -EIO;
	r = mt_events_watch_terminal(&t->events, STDIN_FILENO);
	if (!r && mt_caps_drop(true, false))
		mt_warn("cannot give up capabilities; going on with all of them");
	if (!r)
		r = show(t);
	mt_events_close(&t->events);
	return r;
}

/* What the processes are: without -p and without a choice, all of them. */
static int choose(struct config *cfg)
{
	const bool selects = !mt_select_is_empty(&cfg->select);
	int r = 0;

	if (cfg->pids.n && (cfg->all || selects))
		return mt_usage_error("top", "give either -p PID, or -a, -n, -g and -C, not both");
	if (cfg->follow && !cfg->pids.n)
		return mt_usage_error("top", "--follow is for -p: -a has all children");
	if (cfg->pids.n)
		return MT_EXIT_OK;
	cfg->all = cfg->all || !selects;
	if (!cfg->all)
		r = mt_select_pids(&cfg->select, &cfg->pids.v, &cfg->pids.n);
	if (r)
		mt_err_r(r, "cannot list processes: %s", strerror(-r));
	else if (!cfg->all && !cfg->pids.n)
		r = mt_err_r(-ESRCH, "no process is chosen by -n, -g and -C; with -a those to come "
				     "are waited for");
	return r ? MT_EXIT_FAILED : MT_EXIT_OK;
}

static int check(struct config *cfg)
{
	const char *missing = !isatty(STDOUT_FILENO)  ? "output"
			      : !isatty(STDIN_FILENO) ? "input"
						      : NULL;
	int ret = choose(cfg);

	if (ret != MT_EXIT_OK || !missing)
		return ret;
	mt_err_r(-ENOTTY,
		 "top: standard %s is not a terminal: for lines use memtrace -a or memtrace -p PID",
		 missing);
	return MT_EXIT_FAILED;
}

static void list_sort_keys(void)
{
	const char *const *names = mt_tui_sort_names();
	size_t n = sizeof(sort_choices) / sizeof(sort_choices[0]) - 1;

	for (size_t i = 0; i < n && names[i]; i++)
		sort_choices[i] = names[i];
}

static int run(int argc, char **argv)
{
	struct top t = {.cfg = {.interval_ns = MT_SECOND_NS}};
	bool dashdash;
	int first, ret;

	mt_log_set_sink(log_message);
	setlocale(LC_CTYPE, ""); /* and no other: numbers are written as ever */
	list_sort_keys();
	if (mt_options_parse(rows, argc, argv, &t.cfg, &first, &dashdash)) {
		ret = MT_EXIT_USAGE;
	} else if (t.cfg.help) {
		ret = show_help();
	} else if (first < argc) {
		ret = mt_operand_error(mt_cmd_top.name, argv[first]);
	} else {
		ret = check(&t.cfg);
		if (ret == MT_EXIT_OK)
			ret = top(&t) ? MT_EXIT_FAILED : MT_EXIT_OK;
	}
	mt_session_free(&t.session);
	mt_tui_free(&t.tui);
	free(t.cfg.pids.v);
	mt_select_fini(&t.cfg.select);
	return ret;
}

const struct mt_cmd mt_cmd_top = {
	.name = "top",
	.usage = "[OPTIONS] [-a | -p PID[,PID...]]",
	.help = "Processes by what they allocate, live and full-screen.",
	.run = run,
};
