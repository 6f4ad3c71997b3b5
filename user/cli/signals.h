/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Signals that ask for a snapshot, by name. */
#ifndef MT_CLI_SIGNALS_H
#define MT_CLI_SIGNALS_H

#include <stddef.h>

/*
 * "SIGHUP", "hup", "1", "RTMIN+3". -EINVAL: no signal's name; -EPERM: one that means
 * something else to memtrace, or to every program.
 */
int mt_signal_parse(const char *s, int *ret);

/* "SIGHUP", "SIGRTMIN+3". Returns buf. */
const char *mt_signal_name(int signo, char *buf, size_t size);

#endif
