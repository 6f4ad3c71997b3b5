/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Subcommands: one file each, listed in main.c. */
#ifndef MT_CLI_CLI_H
#define MT_CLI_CLI_H

#include <stdbool.h>

enum mt_exit { MT_EXIT_OK = 0, MT_EXIT_FAILED = 1, MT_EXIT_USAGE = 2, MT_EXIT_LOST = 3 };

struct mt_cmd {
	const char *name;
	const char *usage; /* operands and options, one line */
	const char *help;  /* one line */
	/* argv[0] is the command's name; returns the exit status. */
	int (*run)(int argc, char **argv);
};

/* Messages go to standard error: errors, unless quiet warnings, and if verbose all. */
void mt_messages_show(bool quiet, bool verbose);
/* Prints what is wrong with the arguments of a subcommand, NULL: of memtrace. MT_EXIT_USAGE. */
int mt_usage_error(const char *command, const char *msg);

extern const struct mt_cmd mt_cmd_trace; /* no name on the command line: the default */
extern const struct mt_cmd mt_cmd_doctor;
extern const struct mt_cmd mt_cmd_census;
extern const struct mt_cmd mt_cmd_top;
extern const struct mt_cmd mt_cmd_diff;
extern const struct mt_cmd mt_cmd_report;

#endif
