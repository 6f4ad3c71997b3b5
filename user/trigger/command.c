/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * -- COMMAND: before it starts and after it ends. It is only run, not traced. The
 * first one is started, and held, before anything is attached, so that a command
 * that cannot be run is known at once.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "target/launch.h"
#include "trigger/trigger.h"

struct command {
	char **argv; /* borrowed */
	struct mt_launch_signals found;
	int epoll_fd; /* on the pidfd of the one that runs */
	int pid_fd;
	pid_t child; /* 0: none */
	bool held;   /* it has not been let go yet */
	int status;  /* of the last one, as a shell gives it */
};

static void command_close(void *t)
{
	struct command *c = t;

	if (c->held)
		mt_launch_abort(c->child);
	if (c->pid_fd >= 0)
		close(c->pid_fd);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	free(c);
}

/* 0, or its exit status, logged. */
static int launch(struct command *c)
{
	int status;

	if (mt_launch_start(c->argv, &c->found, &c->child, &status))
		return status;
	c->held = true;
	return 0;
}

static int command_open(const struct mt_trigger_arg *arg, void **ret)
{
	struct command *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return mt_err_r(-ENOMEM, "out of memory");
	c->argv = arg->argv;
	c->pid_fd = -1;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	mt_launch_signals(&c->found);
	r = c->epoll_fd < 0 ? mt_err_r(-errno, "epoll_create1: %s", strerror(errno)) : launch(c);
	if (r)
		command_close(c);
	else
		*ret = c;
	return r;
}

static const char *command_what(const void *t)
{
	(void)t;
	return "run";
}

static int command_fd(const void *t)
{
	return ((const struct command *)t)->epoll_fd;
}

static int command_start(void *t)
{
	struct command *c = t;
	struct epoll_event ev = {.events = EPOLLIN};
	int r = c->held ? 0 : launch(c);

	if (r)
		return r;
	c->pid_fd = (int)syscall(SYS_pidfd_open, c->child, 0);
	if (c->pid_fd < 0 || epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->pid_fd, &ev))
		return mt_err_r(-errno, "cannot wait for %s: %s", c->argv[0], strerror(errno));
	r = mt_launch_go(c->child);
	if (r)
		return mt_err_r(r, "cannot let %s go: %s", c->argv[0], strerror(-r));
	c->held = false;
	return 0;
}

static int command_service(void *t, enum mt_trigger_says *says)
{
	struct command *c = t;
	int status;

	*says = MT_TRIGGER_WAIT;
	if (!c->child || c->held || waitpid(c->child, &status, WNOHANG) != c->child)
		return 0;
	c->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	c->child = 0;
	close(TAKE_FD(c->pid_fd)); /* which takes it out of the epoll set, too */
	*says = MT_TRIGGER_NEW;
	return 0;
}

static bool command_busy(const void *t)
{
	const struct command *c = t;

	return c->child && !c->held;
}

/* The terminal sends its signals to the command by itself. */
static bool command_stop(void *t, int signo, bool from_terminal)
{
	struct command *c = t;

	if (!command_busy(c))
		return false;
	if (!from_terminal)
		kill(c->child, signo);
	return true;
}

static int command_status(const void *t)
{
	return ((const struct command *)t)->status;
}

const struct mt_trigger_ops mt_trigger_command = {
	.name = "command",
	.joined = true, /* what a run leaves behind and is gone at the next's end is no growth */
	.open = command_open,
	.what = command_what,
	.fd = command_fd,
	.start = command_start,
	.service = command_service,
	.stop = command_stop,
	.busy = command_busy,
	.status = command_status,
	.close = command_close,
};
