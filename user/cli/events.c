/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/events.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static int watch(struct mt_events *e, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

/* fd -1: a new one; else it is changed. more: another signal, 0 none. */
static int open_signals(int fd, int more)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	if (more)
		sigaddset(&set, more);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write past ulimit -f is an error, not the end */
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A timer that expires after first_ns and then every interval_ns; 0 disarms either. */
static void set_timer(int fd, uint64_t first_ns, uint64_t interval_ns)
{
	struct itimerspec it = {
		.it_value = {(time_t)(first_ns / 1000000000u), (long)(first_ns % 1000000000u)},
		.it_interval = {(time_t)(interval_ns / 1000000000u),
				(long)(interval_ns % 1000000000u)},
	};

	timerfd_settime(fd, 0, &it, NULL);
}

static int open_timer(uint64_t first_ns, uint64_t interval_ns)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		set_timer(fd, first_ns, interval_ns);
	return fd;
}

int mt_events_open(struct mt_events *e, int session_fd, uint64_t interval_ns, uint64_t duration_ns)
{
	memset(e, 0, sizeof(*e));
	e->reader_fd = -1;
	e->terminal_fd = -1;
	e->trigger_fd = -1;
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->timer_fd = open_timer(interval_ns, interval_ns);
	e->deadline_fd = open_timer(duration_ns, 0);
	e->signal_fd = open_signals(-1, 0);
	if (e->epoll_fd < 0 || e->timer_fd < 0 || e->deadline_fd < 0 || e->signal_fd < 0 ||
	    watch(e, e->timer_fd) || watch(e, e->deadline_fd) || watch(e, e->signal_fd) ||
	    watch(e, session_fd))
		return mt_err_r(-errno, "cannot set up the event loop: %s", strerror(errno));
	return 0;
}

void mt_events_close(struct mt_events *e)
{
	close(e->epoll_fd);
	close(e->timer_fd);
	close(e->deadline_fd);
	close(e->signal_fd);
}

/* Ends the program if this stop signal is the second. */
static void second_ends(const struct mt_events *e, const struct signalfd_siginfo *si)
{
	bool terminal = si->ssi_code > 0;

	if (!e->stopping)
		return;
	if (e->interactive && terminal && mt_clock_ns(CLOCK_MONOTONIC) - e->stop_ns > MT_SECOND_NS)
		return;
	_exit(128 + (int)si->ssi_signo);
}

int mt_events_signal(struct mt_events *e, enum mt_event *ret)
{
	struct signalfd_siginfo si;

	if (read(e->signal_fd, &si, sizeof(si)) != sizeof(si))
		return -EAGAIN;
	if (si.ssi_signo == SIGUSR1 || (int)si.ssi_signo == e->snapshot_on) {
		e->signo = (int)si.ssi_signo;
		*ret = MT_EVENT_SNAPSHOT;
		return 0;
	}
	if (si.ssi_signo == SIGWINCH) {
		*ret = MT_EVENT_RESIZE;
		return 0;
	}
	second_ends(e, &si);
	e->stopping = true;
	e->stop_ns = mt_clock_ns(CLOCK_MONOTONIC);
	e->signo = (int)si.ssi_signo;
	e->from_user = si.ssi_code <= 0;
	*ret = MT_EVENT_STOP;
	return 0;
}

int mt_events_snapshot_on(struct mt_events *e, int signo)
{
	if (open_signals(e->signal_fd, signo) < 0)
		return mt_err_r(-errno, "cannot wait for signal %d: %s", signo, strerror(errno));
	e->snapshot_on = signo;
	return 0;
}

void mt_events_deadline(struct mt_events *e, uint64_t ns)
{
	set_timer(e->deadline_fd, ns, 0);
}

void mt_events_watch_reader(struct mt_events *e, int fd)
{
	/* no event is asked for: an error is always told; a file refuses, and has no reader */
	struct epoll_event ev = {.data.fd = fd};

	if (!epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		e->reader_fd = fd;
}

int mt_events_watch_terminal(struct mt_events *e, int fd)
{
	if (open_signals(e->signal_fd, SIGWINCH) < 0 || watch(e, fd))
		return mt_err_r(-errno, "cannot wait for the terminal: %s", strerror(errno));
	e->terminal_fd = fd;
	return 0;
}

int mt_events_watch_trigger(struct mt_events *e, int fd)
{
	if (watch(e, fd))
		return mt_err_r(-errno, "cannot wait for the event: %s", strerror(errno));
	e->trigger_fd = fd;
	return 0;
}

/* A timer that has expired is read, so that it does not wake us again. */
static bool expired(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static enum mt_event event_of(const struct mt_events *e, int fd, uint32_t events)
{
	if (fd == e->timer_fd)
		return MT_EVENT_TICK;
	if (fd == e->deadline_fd)
		return MT_EVENT_DEADLINE;
	if (fd == e->trigger_fd)
		return MT_EVENT_TRIGGER;
	if (fd == e->terminal_fd)
		return events & (EPOLLHUP | EPOLLERR) ? MT_EVENT_NO_READER : MT_EVENT_KEY;
	return fd == e->reader_fd ? MT_EVENT_NO_READER : MT_EVENT_SESSION;
}

int mt_events_wait(struct mt_events *e, enum mt_event *ret)
{
	struct epoll_event ev;

	for (;;) {
		int fd;

		if (epoll_wait(e->epoll_fd, &ev, 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			return mt_err_r(-errno, "epoll_wait: %s", strerror(errno));
		}
		fd = ev.data.fd;
		*ret = event_of(e, fd, ev.events);
		if (fd == e->signal_fd) {
			if (!mt_events_signal(e, ret))
				return 0;
		} else if ((*ret != MT_EVENT_TICK && *ret != MT_EVENT_DEADLINE) || expired(fd)) {
			return 0;
		}
	}
}
