/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a trace waits for: its timer, signals, the session. */
#ifndef MT_CLI_EVENTS_H
#define MT_CLI_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

enum mt_event {
	MT_EVENT_TICK,      /* the interval has passed */
	MT_EVENT_SESSION,   /* the session's fd is readable */
	MT_EVENT_STOP,      /* SIGINT or SIGTERM, the first one */
	MT_EVENT_SNAPSHOT,  /* SIGUSR1, or the signal of mt_events_snapshot_on */
	MT_EVENT_DEADLINE,  /* the duration has passed */
	MT_EVENT_NO_READER, /* nobody reads standard output any more, or the terminal is gone */
	MT_EVENT_KEY,       /* the terminal has something to read; see mt_events_watch_terminal */
	MT_EVENT_RESIZE,    /* it has another size */
	MT_EVENT_TRIGGER,   /* the event of memtrace diff has something to say */
};

struct mt_events {
	int epoll_fd, timer_fd, deadline_fd, signal_fd, reader_fd, terminal_fd, trigger_fd;
	int signo;        /* of the last MT_EVENT_STOP or _SNAPSHOT */
	int snapshot_on;  /* a signal that asks for a snapshot, beside SIGUSR1; 0 none */
	bool from_user;   /* sent by a process, not by the terminal */
	bool interactive; /* the terminal's Ctrl-C is another program's, too */
	bool stopping;    /* a second signal ends at once */
	uint64_t stop_ns; /* CLOCK_MONOTONIC of the last stop signal */
};

/*
 * Blocks the signals and opens the fds. interval_ns between ticks; duration_ns
 * to the deadline, 0 for none. 0 or -errno, logged.
 */
int mt_events_open(struct mt_events *e, int session_fd, uint64_t interval_ns, uint64_t duration_ns);
/* That signal asks for a snapshot, too. 0 or -errno, logged. */
int mt_events_snapshot_on(struct mt_events *e, int signo);
/* The deadline comes so long from now, 0: never. */
void mt_events_deadline(struct mt_events *e, uint64_t ns);
/* Also tells when the reader of a pipe on fd is gone. */
void mt_events_watch_reader(struct mt_events *e, int fd);
/* Also tells of what is typed on the terminal fd, and of its size. 0 or -errno, logged. */
int mt_events_watch_terminal(struct mt_events *e, int fd);
/* Also tells when the fd of an event of memtrace diff is readable. 0 or -errno, logged. */
int mt_events_watch_trigger(struct mt_events *e, int fd);
void mt_events_close(struct mt_events *e);
/*
 * Waits for the next event. A second stop signal ends the program here; where
 * a launched command shares the terminal, only a second within a second, for a
 * Ctrl-C is the command's in the first place. 0 or -errno.
 */
int mt_events_wait(struct mt_events *e, enum mt_event *ret);
/* Reads one signal, if there is one: MT_EVENT_STOP, _SNAPSHOT or _RESIZE. 0 or -EAGAIN. */
int mt_events_signal(struct mt_events *e, enum mt_event *ret);

#endif
