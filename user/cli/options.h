/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Options are declared, not switched over: each subcommand lists rows that
 * fill its own config struct, and help is generated from the same rows.
 */
#ifndef MT_CLI_OPTIONS_H
#define MT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/units.h"
#include "base/words.h"

struct mt_pid_list {
	pid_t *v; /* owned; free() it whether or not parsing succeeded */
	size_t n;
};

enum mt_opt_type {
	MT_OPT_FLAG,     /* bool set to true */
	MT_OPT_STRING,   /* const char *, points into argv */
	MT_OPT_U64,      /* uint64_t, > 0 */
	MT_OPT_DURATION, /* uint64_t ns */
	MT_OPT_UNIT,     /* enum mt_unit */
	MT_OPT_CHOICE,   /* const char *, one of choices */
	MT_OPT_SIGNAL,   /* int; 0: not given */
	MT_OPT_PIDS,     /* struct mt_pid_list, "1,2"; appends, duplicates dropped */
	/* One struct mt_select for the three of them; mt_select_fini() it. All append. */
	MT_OPT_COMMS,      /* "NAME,NAME" */
	MT_OPT_CGROUP,     /* "/PATH" */
	MT_OPT_CONTAINERS, /* "ID,ID" */
};

struct mt_opt {
	char shrt;        /* 'p', or 0 */
	const char *name; /* "pid" */
	enum mt_opt_type type;
	const char *arg;            /* "PID[,PID...]" for help; NULL for flags */
	size_t offset;              /* in the config struct */
	const char *const *choices; /* MT_OPT_CHOICE: NULL-terminated */
	const char *help;
};

/*
 * Parses argv[1..] into cfg by rows (name NULL ends them). Options may stand
 * between operands: argv is reordered, options first, and *first is the index
 * of the first operand. "--" ends the options: *dashdash is set, *first is what
 * follows it, and operands in front of it are an error, so that a command is
 * never mixed up with them. Errors print one line on standard error (an unknown
 * option with the nearest one) and return -EINVAL: the caller exits 2.
 */
int mt_options_parse(const struct mt_opt *rows, int argc, char **argv, void *cfg, int *first,
		     bool *dashdash);

/*
 * Prints the options' help lines to standard output, aligned and wrapped at 80
 * columns. A choice's values are appended, unless its arg lists them ("a|b").
 */
void mt_options_help(const struct mt_opt *rows);

/* Prints that the command takes no such operand, and what to do. Returns the exit status. */
int mt_operand_error(const char *command, const char *operand);

/*
 * True if --color WHEN (NULL: auto) asks for colours; auto does on a terminal, not
 * with an output file (NULL: none) and not against NO_COLOR.
 */
bool mt_color_wanted(const char *when, const char *output);

#endif
