/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all subcommands say on standard error. */
#include <stdio.h>

#include "base/log.h"
#include "cli/cli.h"

static enum mt_log_level most = MT_LOG_WARN;

static void to_stderr(enum mt_log_level level, const char *msg)
{
	if (level <= most)
		fprintf(stderr, "memtrace: %s\n", msg);
}

void mt_messages_show(bool quiet, bool verbose)
{
	most = quiet ? MT_LOG_ERR : verbose ? MT_LOG_INFO : MT_LOG_WARN;
	mt_log_set_sink(to_stderr);
}

int mt_usage_error(const char *command, const char *msg)
{
	fprintf(stderr, "memtrace: %s%s%s\n", command ? command : "", command ? ": " : "", msg);
	return MT_EXIT_USAGE;
}
