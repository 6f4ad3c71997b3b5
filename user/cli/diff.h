/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What memtrace diff was asked for, and its three ways: files, events, a function's calls. */
#ifndef MT_CLI_DIFF_H
#define MT_CLI_DIFF_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/options.h"

struct mt_diff_config {
	struct mt_pid_list pids;
	const char *func, *usdt, *when; /* the events; NULL: not this one */
	uint64_t for_ns;
	bool oom;
	uint64_t repeat, interval_ns, duration_ns;
	const char *format, *output, *color;
	enum mt_unit unit;
	uint64_t max_stop_ns;
	bool no_census, no_freeze, strict, quiet, verbose, help;
};

/* diff_files.c: OLD NEW, or FILE with several snapshots. Returns the exit status. */
int mt_diff_files(const struct mt_diff_config *cfg, int n, char **files);
/* diff_event.c: -p PID and an event; command NULL unless it is -- COMMAND. */
int mt_diff_event(const struct mt_diff_config *cfg, char **command);
/* diff_func.c: -p PID --func SYMBOL. */
int mt_diff_func(const struct mt_diff_config *cfg);

#endif
