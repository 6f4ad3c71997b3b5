/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* They cannot be caught, end a trace, tell of a fault, or are the terminal's. */
static const int taken[] = {SIGKILL, SIGSTOP, SIGINT,  SIGTERM, SIGSEGV, SIGBUS,  SIGFPE,
			    SIGILL,  SIGTRAP, SIGABRT, SIGSYS,  SIGCHLD, SIGPIPE, SIGXFSZ,
			    SIGXCPU, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGWINCH};

static int number(const char *s, long most, int *ret)
{
	char *end;
	long v;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || *end || v > most)
		return -EINVAL;
	*ret = (int)v;
	return 0;
}

static int find(const char *s, int *ret)
{
	int n;

	if (!number(s, SIGRTMAX, ret))
		return *ret > 0 ? 0 : -EINVAL;
	if (!strncasecmp(s, "SIG", 3))
		s += 3;
	for (int i = 1; i < SIGRTMIN; i++) {
		const char *name = sigabbrev_np(i);

		if (name && !strcasecmp(s, name)) {
			*ret = i;
			return 0;
		}
	}
	if (strncasecmp(s, "RTMIN", 5) != 0)
		return -EINVAL;
	n = 0;
	if (s[5] && (s[5] != '+' || number(s + 6, SIGRTMAX - SIGRTMIN, &n)))
		return -EINVAL;
	*ret = SIGRTMIN + n;
	return 0;
}

int mt_signal_parse(const char *s, int *ret)
{
	int signo, r = find(s, &signo);

	if (r)
		return r;
	/* those between are the C library's own */
	if (signo > SIGSYS && signo < SIGRTMIN)
		return -EPERM;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (signo == taken[i])
			return -EPERM;
	*ret = signo;
	return 0;
}

const char *mt_signal_name(int signo, char *buf, size_t size)
{
	if (signo >= SIGRTMIN)
		snprintf(buf, size, "SIGRTMIN+%d", signo - SIGRTMIN);
	else
		snprintf(buf, size, "SIG%s", sigabbrev_np(signo));
	return buf;
}
