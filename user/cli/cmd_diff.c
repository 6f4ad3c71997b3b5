/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace diff: what changed between two moments. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/diff.h"

static const char *const color_choices[] = {"auto", "always", "never", NULL};
static const char *const format_choices[] = {"table", "line", "json", NULL};

#define AT(member) offsetof(struct mt_diff_config, member)
static const struct mt_opt options[] = {
	{'p', "pid", MT_OPT_PIDS, "PID[,PID...]", AT(pids), NULL,
	 "what changes in these processes around an EVENT"},
	{0, "func", MT_OPT_STRING, "[BINARY:]SYMBOL", AT(func), NULL,
	 "EVENT: each call of that function in the process, counted in the kernel"},
	{0, "usdt", MT_OPT_STRING, "PROVIDER:BEGIN,PROVIDER:END", AT(usdt), NULL,
	 "EVENT: from one mark in the program to the other"},
	{0, "for", MT_OPT_DURATION, "DURATION", AT(for_ns), NULL, "EVENT: from now for so long"},
	{0, "when", MT_OPT_STRING, "CONDITION", AT(when), NULL,
	 "EVENT: from now until it holds: 'Alloc > 2GiB', 'rss > 80%', "
	 "'Alloc grows 10MiB/min'"},
	{0, "oom", MT_OPT_FLAG, NULL, AT(oom), NULL,
	 "EVENT: from now until the kernel picks the process as an OOM victim"},
	{0, "repeat", MT_OPT_U64, "N", AT(repeat), NULL,
	 "the event N times over: median, minimum and maximum, and whether memory leaks"},
	{'i', "interval", MT_OPT_DURATION, "DURATION", AT(interval_ns), NULL,
	 "how often --when and --oom look; default 1s"},
	{'d', "duration", MT_OPT_DURATION, "DURATION", AT(duration_ns), NULL,
	 "give up waiting for the event after that long; with --func stop counting"},
	{'f', "format", MT_OPT_CHOICE, "FORMAT", AT(format), format_choices,
	 "output format; default table"},
	{'o', "output", MT_OPT_STRING, "FILE", AT(output), NULL,
	 "write there instead of standard output"},
	{'u', "unit", MT_OPT_UNIT, "auto|B|KiB|MiB|GiB", AT(unit), NULL,
	 "unit of table and line; default auto"},
	{0, "no-census", MT_OPT_FLAG, NULL, AT(no_census), NULL,
	 "do not read the heap that existed before the attach: levels count from the attach"},
	{0, "max-stop", MT_OPT_DURATION, "DURATION", AT(max_stop_ns), NULL,
	 "the longest that the process may be held; default 250ms"},
	{0, "no-freeze", MT_OPT_FLAG, NULL, AT(no_freeze), NULL,
	 "do not hold a Go program for the moment of a snapshot"},
	{0, "strict", MT_OPT_FLAG, NULL, AT(strict), NULL, "exit 3 when anything was lost"},
	{'q', "quiet", MT_OPT_FLAG, NULL, AT(quiet), NULL, "errors only"},
	{'v', "verbose", MT_OPT_FLAG, NULL, AT(verbose), NULL,
	 "say what is attached, and how fast"},
	{0, "color", MT_OPT_CHOICE, "WHEN", AT(color), color_choices,
	 "colour the output; NO_COLOR is honoured"},
	{'h', "help", MT_OPT_FLAG, NULL, AT(help), NULL, "this text"},
	{0},
};

static void print_help(void)
{
	printf("Usage: memtrace diff [OPTIONS] OLD NEW\n"
	       "       memtrace diff [OPTIONS] FILE\n"
	       "       memtrace diff [OPTIONS] -p PID[,PID...] EVENT\n"
	       "       memtrace diff [OPTIONS] -p PID[,PID...] -- COMMAND [ARG...]\n"
	       "\n"
	       "Show what changed between two snapshots: saved ones (memtrace -f json; FILE:SEQ "
	       "is\n"
	       "one of several, FILE alone its first and last), or those around an event.\n"
	       "Without an EVENT, on a terminal, each Enter is one.\n"
	       "\n"
	       "Options:\n");
	mt_options_help(options);
}

/* An option that would do nothing is a misunderstanding. */
static int check_useful(const struct mt_diff_config *cfg)
{
	const bool live = cfg->pids.n, looks = cfg->when || cfg->oom;
	const struct {
		bool given, useful;
		const char *msg;
	} rules[] = {
		{cfg->repeat, live, "--repeat is for -p PID"},
		{cfg->repeat, !cfg->func, "--func counts every call: leave --repeat out"},
		{cfg->interval_ns, looks, "--interval is for --when and --oom"},
		{cfg->duration_ns, live, "--duration is for -p PID"},
		{cfg->max_stop_ns, live, "--max-stop is for -p PID"},
		{cfg->no_census, live && !cfg->func,
		 "--no-census is for -p PID, and --func takes no census"},
		{cfg->no_freeze, live && !cfg->func,
		 "--no-freeze is for -p PID, and --func is not for Go programs"},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].given && !rules[i].useful)
			return mt_usage_error("diff", rules[i].msg);
	return MT_EXIT_OK;
}

static int check(const struct mt_diff_config *cfg, bool dashdash, int n)
{
	const int events =
		!!cfg->func + !!cfg->usdt + !!cfg->when + !!cfg->for_ns + cfg->oom + dashdash;

	if (events > 1)
		return mt_usage_error("diff",
				      "give one event: --func, --usdt, --for, --when, --oom or "
				      "-- COMMAND");
	if (!cfg->pids.n && (events || !n))
		return mt_usage_error("diff",
				      "give two files of snapshots, or -p PID and an event; see "
				      "memtrace diff --help");
	if (cfg->pids.n && n && !dashdash)
		return mt_usage_error("diff", "give either files or -p PID; a command follows --");
	if (dashdash && !n)
		return mt_usage_error("diff", "-- needs a COMMAND");
	return check_useful(cfg);
}

static int run(int argc, char **argv)
{
	struct mt_diff_config cfg = {.unit = MT_UNIT_AUTO};
	bool dashdash;
	int first, status;

	mt_messages_show(false, false);
	if (mt_options_parse(options, argc, argv, &cfg, &first, &dashdash)) {
		free(cfg.pids.v);
		return MT_EXIT_USAGE;
	}
	mt_messages_show(cfg.quiet, cfg.verbose);
	if (cfg.help) {
		print_help();
		status = MT_EXIT_OK;
	} else {
		status = check(&cfg, dashdash, argc - first);
		if (status == MT_EXIT_OK)
			status = !cfg.pids.n ? mt_diff_files(&cfg, argc - first, argv + first)
				 : cfg.func  ? mt_diff_func(&cfg)
					     : mt_diff_event(&cfg, dashdash ? argv + first : NULL);
	}
	free(cfg.pids.v);
	return status;
}

const struct mt_cmd mt_cmd_diff = {.name = "diff", .run = run};
