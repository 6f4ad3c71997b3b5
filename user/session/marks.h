/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moments that the kernel tells of: a thread comes by a mark that a program has in
 * its code (USDT), or a process is picked as an OOM victim. The session's options
 * say which of them are wanted. What is counted is copied at the mark (Linux 5.19),
 * and the snapshots of the process that are taken before mt_session_mark_done have
 * the copy. What is not counted, as the parts of the heap and all of a Go program,
 * is read: the thread waits for that at the mark, if the kernel can make it (Linux
 * 6.18), for at most max_stop_ns. Else the sizes of the address space are those of
 * the mark, and the rest is of a moment later.
 */
#ifndef MT_SESSION_MARKS_H
#define MT_SESSION_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mt_session;

struct mt_mark {
	uint32_t what; /* one of enum mt_mark_what */
	pid_t pid;
	bool held;        /* the thread waits */
	bool counted;     /* what is counted was copied there: it is exact whoever waits */
	uint64_t time_ns; /* when it came there, CLOCK_MONOTONIC */
};

/*
 * Probes the marks, "PROVIDER:NAME" each, in all places where the targets' files
 * have them; their semaphores are counted up for as long. The two may be one.
 * Targets that have only one of them are left out. 0 or -errno, with one line
 * logged; -ENOENT: no target has both.
 */
int mt_session_marks_add(struct mt_session *s, const char *begin, const char *end);
/*
 * From now on the first BEGIN of any thread is told of, and then the next END of
 * the same thread: nothing else, until this is called again.
 */
void mt_session_marks_arm(struct mt_session *s);
/* What the kernel told of, one at a time, until it is done with. False: nothing. */
bool mt_session_mark(const struct mt_session *s, struct mt_mark *ret);
/*
 * Lets the thread go on. True: it has waited there until now, so that what was read
 * meanwhile is exact; false: it has not, or nothing was told of.
 */
bool mt_session_mark_done(struct mt_session *s);
/* Takes the probes away; whoever waits goes on. */
void mt_session_marks_close(struct mt_session *s);

/*
 * A target that the kernel has picked as an OOM victim, each told of once: its
 * snapshots show it as it was then, even where it is gone. False: none.
 */
bool mt_session_victim(struct mt_session *s, size_t *i);

/* Readable while there is a mark or a victim to be told of; -1: the options want neither. */
int mt_session_news_fd(const struct mt_session *s);

#endif
