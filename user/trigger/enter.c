/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* No event was named: each Enter on the terminal is one. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "base/log.h"
#include "trigger/trigger.h"

static int enter_open(const struct mt_trigger_arg *arg, void **ret)
{
	(void)arg;
	if (!isatty(STDIN_FILENO))
		return mt_err_r(-EINVAL, "diff: standard input is not a terminal on which to press "
					 "Enter: give an event: --func, --usdt, --for, --when, "
					 "--oom or -- COMMAND");
	*ret = NULL;
	return 0;
}

static const char *enter_what(const void *t)
{
	(void)t;
	return "Enter";
}

static int enter_fd(const void *t)
{
	(void)t;
	return STDIN_FILENO;
}

/* The terminal hands out one line at a time; nothing, at Ctrl-D or when it is gone. */
static int enter_service(void *t, enum mt_trigger_says *says)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[256];
	ssize_t n;

	(void)t;
	*says = MT_TRIGGER_WAIT;
	if (poll(&p, 1, 0) <= 0)
		return 0;
	n = read(STDIN_FILENO, line, sizeof(line));
	if (n > 0 && line[n - 1] == '\n')
		*says = MT_TRIGGER_NEW;
	else if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		*says = MT_TRIGGER_END;
	return 0;
}

static void enter_close(void *t)
{
	(void)t;
}

const struct mt_trigger_ops mt_trigger_enter = {
	.name = "enter",
	.joined = true,
	.open = enter_open,
	.what = enter_what,
	.fd = enter_fd,
	.service = enter_service,
	.close = enter_close,
};
