/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace -p PID, -a and -- COMMAND: attach, print, report the end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/events.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "cli/taker.h"
#include "render/render.h"
#include "session/session.h"
#include "target/launch.h"
#include "target/select.h"

#define UNIT_NOT_GIVEN ((enum mt_unit)99)

struct config {
	struct mt_pid_list pids;
	bool all, follow, no_follow, freeze, no_freeze;
	struct mt_select select;
	uint64_t interval_ns, count, duration_ns;
	const char *format, *output, *color, *label;
	int snapshot_on;
	enum mt_unit unit;
	uint64_t max_stop_ns, max_blocks;
	bool no_census, audit, strict, quiet, verbose, help, version;
};

static const char *const color_choices[] = {"auto", "always", "never", NULL};
static const char *format_choices[16]; /* the names in mt_render_all */

#define AT(member) offsetof(struct config, member)
static const struct mt_opt options[] = {
	{'p', "pid", MT_OPT_PIDS, "PID[,PID...]", AT(pids), NULL, "the targets; may be repeated"},
	{'a', "all", MT_OPT_FLAG, NULL, AT(all), NULL,
	 "every process, those started later included"},
	{'n', "comm", MT_OPT_COMMS, "NAME[,NAME...]", AT(select), NULL,
	 "processes of that name; with -a only these are shown"},
	{'g', "cgroup", MT_OPT_CGROUP, "PATH", AT(select), NULL,
	 "processes in that cgroup or below; with -a only these are shown"},
	{'C', "container", MT_OPT_CONTAINERS, "ID[,ID...]", AT(select), NULL,
	 "processes of that container; with -a only these are shown"},
	{'F', "follow", MT_OPT_FLAG, NULL, AT(follow), NULL,
	 "children too, which is the default with a COMMAND"},
	{0, "no-follow", MT_OPT_FLAG, NULL, AT(no_follow), NULL, "COMMAND alone"},
	{'i', "interval", MT_OPT_DURATION, "DURATION", AT(interval_ns), NULL,
	 "time between snapshots: 500ms, 2s, 1m; a bare number is seconds; default 1"},
	{'c', "count", MT_OPT_U64, "N", AT(count), NULL, "stop after N snapshots"},
	{'d', "duration", MT_OPT_DURATION, "DURATION", AT(duration_ns), NULL,
	 "stop after that long"},
	{'f', "format", MT_OPT_CHOICE, "FORMAT", AT(format), format_choices,
	 "output format; default line, with the whole table at the end"},
	{'o', "output", MT_OPT_STRING, "FILE", AT(output), NULL,
	 "write there instead of standard output; %p pid, %t UTC time, %n sequence number"},
	{0, "label", MT_OPT_STRING, "TEXT", AT(label), NULL,
	 "a word that all snapshots carry (json), and diff and report show"},
	{0, "snapshot-on", MT_OPT_SIGNAL, "SIGNAL", AT(snapshot_on), NULL,
	 "take a snapshot at once when memtrace gets SIGNAL, as it does at SIGUSR1"},
	{'u', "unit", MT_OPT_UNIT, "auto|B|KiB|MiB|GiB", AT(unit), NULL,
	 "unit of line and table; line's default is MiB, table's auto"},
	{0, "no-census", MT_OPT_FLAG, NULL, AT(no_census), NULL,
	 "do not read the heap that existed before the attach: levels count from the attach"},
	{0, "max-stop", MT_OPT_DURATION, "DURATION", AT(max_stop_ns), NULL,
	 "the longest that a census or --freeze may hold the target; default 250ms"},
	{0, "freeze", MT_OPT_FLAG, NULL, AT(freeze), NULL,
	 "hold a Go program for the moment of each snapshot; the default for one snapshot"},
	{0, "no-freeze", MT_OPT_FLAG, NULL, AT(no_freeze), NULL,
	 "never; the default for more than one"},
	{0, "max-blocks", MT_OPT_U64, "N", AT(max_blocks), NULL,
	 "live blocks to remember of allocators whose block sizes are unknown; default 1048576"},
	{0, "audit", MT_OPT_FLAG, NULL, AT(audit), NULL,
	 "take a second census at the end, and at each SIGUSR1, and report how far the counted "
	 "level is from it; exit 3 if it is"},
	{0, "strict", MT_OPT_FLAG, NULL, AT(strict), NULL, "exit 3 when anything was lost"},
	{'q', "quiet", MT_OPT_FLAG, NULL, AT(quiet), NULL, "errors only"},
	{'v', "verbose", MT_OPT_FLAG, NULL, AT(verbose), NULL,
	 "say what is attached, and how fast"},
	{0, "color", MT_OPT_CHOICE, "WHEN", AT(color), color_choices,
	 "colour the output; NO_COLOR is honoured"},
	{'h', "help", MT_OPT_FLAG, NULL, AT(help), NULL, "this text"},
	{'V', "version", MT_OPT_FLAG, NULL, AT(version), NULL, "the version"},
	{0},
};

struct trace {
	struct config cfg;
	struct mt_session_opts opts;
	struct mt_session *session;
	struct mt_events events;
	pid_t child; /* launched COMMAND, 0 none */
	bool held;   /* it has not been let go yet */
	struct mt_taker taker;
};

static void print_help(void)
{
	printf("Usage: memtrace [OPTIONS] -p PID[,PID...] [INTERVAL [COUNT]]\n"
	       "       memtrace [OPTIONS] -a [INTERVAL [COUNT]]\n"
	       "       memtrace [OPTIONS] -- COMMAND [ARG...]\n"
	       "       memtrace diff OLD NEW | -p PID[,PID...] EVENT\n"
	       "       memtrace report FILE... -o report.html\n"
	       "       memtrace top [-a | -p PID[,PID...]]\n"
	       "       memtrace census -p PID[,PID...]\n"
	       "       memtrace doctor [-p PID]\n"
	       "\n"
	       "Show runtime.MemStats of any running process, from outside.\n"
	       "\n"
	       "Options:\n");
	mt_options_help(options);
	printf("\nSignals: SIGINT and SIGTERM print the final snapshot, SIGUSR1 takes one at "
	       "once.\n"
	       "Exit status: 0 done, 1 could not do it, 2 usage, 3 --strict and something\n"
	       "was lost or --audit found drift; with COMMAND its own. See memtrace(8).\n");
}

/* INTERVAL and COUNT, as vmstat has them. 0 or -EINVAL, printed. */
static int parse_operands(struct config *cfg, int n, char **v)
{
	static const char *const commands[] = {"census", "diff", "doctor", "report", "top", NULL};
	char q[64], *end;

	if (n > 2) {
		fprintf(stderr,
			"memtrace: '%s': too many operands, only INTERVAL and COUNT; "
			"several pids are separated by commas: -p 1,2\n",
			mt_quote(q, sizeof(q), v[2]));
		return -EINVAL;
	}
	if (n > 0 && mt_parse_duration(v[0], &cfg->interval_ns)) {
		const char *near = mt_nearest(v[0], commands);

		fprintf(stderr,
			"memtrace: '%s': bad interval: use 500ms, 2s, 1m or seconds%s%s%s\n",
			mt_quote(q, sizeof(q), v[0]),
			near          ? "; or did you mean memtrace "
			: cfg->pids.n ? ""
				      : "; a command to launch follows --",
			near ? near : "", near ? ", which comes first?" : "");
		return -EINVAL;
	}
	if (n > 1) {
		errno = 0;
		cfg->count = strtoull(v[1], &end, 10);
		if (errno || *end || *v[1] < '0' || *v[1] > '9' || !cfg->count) {
			fprintf(stderr, "memtrace: '%s': bad count: use a number above 0\n",
				mt_quote(q, sizeof(q), v[1]));
			return -EINVAL;
		}
	}
	return 0;
}

static int open_outputs(struct trace *t, size_t targets)
{
	struct mt_render_opts o = {
		.unit = t->cfg.unit,
		.color = mt_color_wanted(t->cfg.color, t->cfg.output),
		.prefix = targets > 1,
	};
	const struct mt_render_ops *format;
	int r;

	format = mt_render_find(t->cfg.format ? t->cfg.format : "line");
	t->taker.format = format;
	if (t->cfg.unit == UNIT_NOT_GIVEN)
		o.unit = format == &mt_render_line ? MT_UNIT_MIB : MT_UNIT_AUTO;
	r = mt_output_new(t->cfg.output, format, &o, &t->taker.out);
	if (r || t->cfg.format || t->cfg.output)
		return r;
	if (t->cfg.unit == UNIT_NOT_GIVEN)
		o.unit = MT_UNIT_AUTO;
	return mt_output_new(NULL, &mt_render_table, &o, &t->taker.table);
}

/* Only what it left running is still traced. */
static bool command_has_ended(const struct trace *t)
{
	siginfo_t si = {0};

	return !waitid(P_PID, (id_t)t->child, &si, WEXITED | WNOHANG | WNOWAIT) && si.si_pid;
}

/*
 * The first stop signal ends a trace; a launched command ends it by ending. The
 * terminal sends its signals to the command by itself.
 */
static bool stop_now(const struct trace *t)
{
	if (!t->child || command_has_ended(t))
		return true;
	if (t->events.from_user)
		kill(t->child, t->events.signo);
	return false;
}

/* Nothing is left to trace. */
static bool is_over(const struct trace *t)
{
	return !t->opts.all && !mt_session_alive(t->session);
}

static int loop(struct trace *t)
{
	bool more = true;
	int r = 0;

	while (!r && more) {
		enum mt_event ev;
		bool show = false, audit = false;

		r = mt_events_wait(&t->events, &ev);
		if (r)
			return r;
		switch (ev) {
		case MT_EVENT_SESSION:
			r = mt_session_service(t->session);
			break;
		case MT_EVENT_STOP:
			more = !stop_now(t);
			break;
		case MT_EVENT_DEADLINE:
			more = false;
			break;
		case MT_EVENT_NO_READER:
			return -EPIPE;
		case MT_EVENT_SNAPSHOT:
			mt_signal_name(t->events.signo, t->taker.event, sizeof(t->taker.event));
			audit = true;
			show = true;
			break;
		case MT_EVENT_TICK:
			show = true;
			break;
		case MT_EVENT_KEY:
		case MT_EVENT_RESIZE:
		case MT_EVENT_TRIGGER: /* nobody asked for them */
			break;
		}
		more = more && !is_over(t);
		if (!r && more && show) {
			more = !t->cfg.count || t->taker.taken + 1 < t->cfg.count;
			if (more)
				r = mt_take(&t->taker, false, audit);
		}
		/* a snapshot reads of ends, too, of which no event comes any more */
		more = more && !is_over(t);
		if (!r && more)
			r = mt_take_ended(&t->taker);
		more = more && !is_over(t);
	}
	if (!r)
		r = mt_take(&t->taker, true, true);
	return r ? r : mt_take_total(&t->taker);
}

static int add_targets(struct trace *t)
{
	if (t->child)
		return mt_session_add(t->session, t->child, MT_SINCE_START);
	if (t->opts.all)
		return mt_session_add_all(t->session);
	if (!mt_select_is_empty(&t->cfg.select))
		return mt_session_add_chosen(t->session, t->cfg.pids.v, t->cfg.pids.n);
	return mt_attach_pids(t->session, &t->cfg.pids);
}

/* Attaches, lets a launched command go, and runs to the end. 0 or -errno, logged. */
static int trace_all(struct trace *t, uint64_t start_ns)
{
	int r;

	t->taker.session = t->session;
	t->taker.select = &t->cfg.select;
	t->taker.all = t->opts.all;
	t->taker.follows = t->opts.follow;
	t->taker.launched = t->child > 0;
	t->taker.audit = t->cfg.audit;
	r = add_targets(t);
	if (r)
		return r;
	mt_attach_say(t->session, start_ns);
	t->events.interactive = t->child > 0;
	t->taker.label = t->cfg.label;
	if (!t->cfg.output)
		mt_events_watch_reader(&t->events, STDOUT_FILENO);
	mt_attach_drop(t->cfg.output, false);
	r = mt_take(&t->taker, t->cfg.count == 1, t->cfg.count == 1);
	if (t->child && (!r || r == -EPIPE)) {
		int go = mt_launch_go(t->child);

		t->held = go != 0;
		r = r ? r : go;
	}
	if (r || t->cfg.count == 1)
		return r ? r : mt_take_total(&t->taker);
	return loop(t);
}

/* Waits for the launched command, passing signals on; its exit status, as a shell gives it. */
static int reap(struct trace *t)
{
	struct pollfd p[] = {
		{.fd = (int)syscall(SYS_pidfd_open, t->child, 0), .events = POLLIN},
		{.fd = t->events.signal_fd, .events = POLLIN},
	};
	int status;

	while (p[0].fd >= 0 && !(p[0].revents & POLLIN)) {
		enum mt_event ev;

		if (poll(p, 2, -1) > 0 && (p[1].revents & POLLIN) &&
		    !mt_events_signal(&t->events, &ev) && ev == MT_EVENT_STOP)
			stop_now(t);
	}
	while (waitpid(t->child, &status, 0) < 0)
		if (errno != EINTR)
			return MT_EXIT_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * r is what ended the trace. A command that has run is never killed for what
 * befell memtrace: its status is ours all the same.
 */
static int finish(struct trace *t, int r)
{
	int failed = (r && r != -EPIPE) || t->taker.unaudited ? MT_EXIT_FAILED : MT_EXIT_OK;
	int status = MT_EXIT_OK;

	if (t->child && t->held) {
		mt_launch_abort(t->child);
	} else if (t->child) {
		if (mt_session_alive(t->session))
			mt_session_free(&t->session);
		status = reap(t);
	}
	if (status == MT_EXIT_OK)
		status = failed;
	if ((t->cfg.strict && t->taker.lost) || t->taker.drifted)
		status = MT_EXIT_LOST;
	return status;
}

static int run_trace(struct trace *t, char **command)
{
	uint64_t start_ns = mt_clock_ns(CLOCK_MONOTONIC);
	int r, status = MT_EXIT_FAILED;

	t->opts = (struct mt_session_opts){
		.max_targets = t->cfg.pids.n,
		.all = t->cfg.all,
		.follow = (command && !t->cfg.no_follow) || t->cfg.follow,
		.no_census = t->cfg.no_census,
		.max_stop_ns = t->cfg.max_stop_ns,
		.max_blocks = t->cfg.max_blocks,
		.freeze = t->cfg.freeze || (t->cfg.count == 1 && !t->cfg.no_freeze),
	};
	if (t->opts.follow || t->opts.all)
		t->opts.max_targets = 0; /* as many as there is room for */
	r = open_outputs(t, t->cfg.pids.n);
	if (r)
		return r == -EINVAL ? MT_EXIT_USAGE : MT_EXIT_FAILED;
	r = mt_session_new(&t->opts, &t->session);
	if (!r && command && mt_launch_start(command, NULL, &t->child, &status))
		r = -ECHILD;
	t->held = t->child > 0;
	if (!r && mt_events_open(&t->events, mt_session_fd(t->session), t->cfg.interval_ns,
				 t->cfg.duration_ns))
		r = -EIO;
	else if (!r && t->cfg.snapshot_on)
		r = mt_events_snapshot_on(&t->events, t->cfg.snapshot_on);
	if (!r)
		r = trace_all(t, start_ns);
	if (!t->child && command)
		return status;
	return finish(t, r);
}

static int check_targets(const struct config *cfg, bool dashdash)
{
	const bool selects = !mt_select_is_empty(&cfg->select);

	if (dashdash && (cfg->pids.n || cfg->all || selects))
		return mt_usage_error(NULL,
				      "give either -- COMMAND or processes that run, not both");
	if (cfg->pids.n && cfg->all)
		return mt_usage_error(NULL, "give either -p PID or -a, not both");
	if (cfg->pids.n && selects)
		return mt_usage_error(
			NULL, "give either -p PID, or -n, -g and -C to choose by, not both");
	if (cfg->follow && cfg->no_follow)
		return mt_usage_error(NULL, "give either --follow or --no-follow, not both");
	if (cfg->all && (cfg->follow || cfg->no_follow))
		return mt_usage_error(NULL,
				      "-a has all children: leave --follow and --no-follow out");
	if (cfg->no_follow && !dashdash)
		return mt_usage_error(
			NULL, "--no-follow is for a COMMAND: -p follows none unless -F is given");
	if (!dashdash && !cfg->pids.n && !cfg->all && !selects)
		return mt_usage_error(
			NULL, "no target: give -p PID, -a or -- COMMAND; see memtrace --help");
	return MT_EXIT_OK;
}

static int check(struct config *cfg, bool dashdash, int n, char **operands)
{
	int status;

	if (dashdash && !n)
		return mt_usage_error(NULL, "-- needs a COMMAND to launch");
	if (!dashdash && parse_operands(cfg, n, operands))
		return MT_EXIT_USAGE;
	status = check_targets(cfg, dashdash);
	if (status)
		return status;
	if (cfg->label && strlen(cfg->label) >= MT_LABEL_SIZE)
		return mt_usage_error(NULL, "--label: at most 127 bytes");
	if (cfg->freeze && cfg->no_freeze)
		return mt_usage_error(NULL, "give either --freeze or --no-freeze, not both");
	if (cfg->audit && cfg->no_census)
		return mt_usage_error(
			NULL, "--audit compares with the census that --no-census leaves out");
	if (cfg->audit && cfg->all)
		return mt_usage_error(
			NULL, "--audit is for -p: it would hold every process of the machine");
	return status;
}

/* Without -a the processes are chosen once, now. */
static int select_pids(struct config *cfg)
{
	int r;

	if (cfg->all || mt_select_is_empty(&cfg->select))
		return MT_EXIT_OK;
	r = mt_select_pids(&cfg->select, &cfg->pids.v, &cfg->pids.n);
	if (r)
		mt_err_r(r, "cannot list processes: %s", strerror(-r));
	else if (!cfg->pids.n)
		mt_err_r(-ESRCH, "no process is chosen by -n, -g and -C; with -a those to come are "
				 "waited for");
	return r || !cfg->pids.n ? MT_EXIT_FAILED : MT_EXIT_OK;
}

static void list_formats(void)
{
	size_t n = sizeof(format_choices) / sizeof(format_choices[0]) - 1;

	for (size_t i = 0; i < n && mt_render_all[i]; i++)
		format_choices[i] = mt_render_all[i]->name;
}

static int run(int argc, char **argv)
{
	struct trace t = {.cfg = {.interval_ns = MT_SECOND_NS, .unit = UNIT_NOT_GIVEN}};
	bool dashdash;
	int first, status;

	mt_messages_show(false, false);
	list_formats();
	if (mt_options_parse(options, argc, argv, &t.cfg, &first, &dashdash))
		return MT_EXIT_USAGE;
	if (t.cfg.help || t.cfg.version) {
		if (t.cfg.help)
			print_help();
		else
			printf("memtrace %s\n", MT_VERSION);
		return MT_EXIT_OK;
	}
	mt_messages_show(t.cfg.quiet, t.cfg.verbose);
	status = check(&t.cfg, dashdash, argc - first, argv + first);
	if (status == MT_EXIT_OK)
		status = select_pids(&t.cfg);
	if (status == MT_EXIT_OK)
		status = run_trace(&t, dashdash ? argv + first : NULL);
	mt_session_free(&t.session);
	mt_output_free(&t.taker.out);
	mt_output_free(&t.taker.table);
	free(t.cfg.pids.v);
	mt_select_fini(&t.cfg.select);
	return status;
}

const struct mt_cmd mt_cmd_trace = {.run = run};
