/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The parts of stop.c. Threads are traced by a thread of memtrace's own, the
 * holder: its end is what lets them go. So a thread that sleeps can be let go
 * without being stopped for it (PTRACE_DETACH works on stopped ones only), all
 * are let go if memtrace dies, and the thread that began can undo a deadlock.
 */
#ifndef MT_CENSUS_STOP_INTERNAL_H
#define MT_CENSUS_STOP_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "census/stop.h"
#include "census/walker.h"
#include "sys/mem.h"

enum mt_stop_state {
	MT_STOP_NEW,    /* nothing is known of it */
	MT_STOP_AWAKE,  /* it runs, or has run before too often: to be taken */
	MT_STOP_ASLEEP, /* left alone; its count of switches is recorded */
	MT_STOP_TAKEN,  /* traced and on its way to a stop */
	MT_STOP_HELD,   /* in a ptrace stop */
	MT_STOP_GONE,
};

struct mt_stop_thread {
	pid_t tid;
	enum mt_stop_state state;
	bool seized;
	bool told;   /* to stop, and has not yet */
	bool inside; /* malloc; of ASLEEP and HELD */
	/* It slept and woke during a hold: so long it is taken asleep, where that does no harm. */
	uint64_t restless_until;
	bool group_stop;   /* HELD by job control too */
	int sig;           /* HELD in front of this signal, which it gets when it goes on */
	unsigned int woke; /* times in this hold */
	uint64_t switches; /* how often it had come to a CPU when it was seen ASLEEP or HELD */
	int64_t nr;        /* system call, -1 none */
	uint64_t args[6], sp, pc;
	uint64_t handler_sp; /* got a signal inside malloc with this stack pointer; 0: did not */
};

#define MT_STOP_RESTLESS_NS 1000000000u

#define MT_STOP_RANGES 32

struct mt_stop {
	pid_t pid;
	struct mt_stop_zone zone;
	struct mt_stop_range uprobes[MT_STOP_RANGES]; /* where the kernel runs displaced code */
	size_t n_uprobes;
	int task_fd;    /* /proc/PID/task */
	bool schedstat; /* counts switches here */
	struct mt_mem_process mem;
	char *entries; /* buffer of the directory's entries */

	pthread_mutex_t lock; /* of v, while the holder may make it longer */
	struct mt_stop_thread *v;
	size_t n, cap;
	uint32_t *index;      /* by tid: place in v, and 1; 0 is free. 2 * cap of them */
	size_t turn;          /* of v: whom to let run next */
	size_t stuck;         /* of v: who sleeps inside */
	unsigned int at_once; /* threads that are let run */
	unsigned int spoilt;  /* holds in which somebody woke up */

	uint64_t deadline, held_since, held_ns; /* ns; held_since 0: nobody is held */
	uint64_t released;                      /* when the holder let go */
	pthread_t holder;
	pid_t holder_tid;
	bool held;              /* between a begin and its end */
	bool expired;           /* the deadline came before the end: they run again */
	sem_t answered, let_go; /* by the holder; to it */
	int result;             /* of the holder */
	char why[MT_WHY_SIZE];  /* of the result */
	sigset_t mask;          /* of the caller, before */
};

/* Writes the reason to s->why and returns r. */
__attribute__((format(printf, 3, 4))) int mt_stop_why(struct mt_stop *s, int r, const char *fmt,
						      ...);
bool mt_stop_late(const struct mt_stop *s);
void mt_stop_pause(uint64_t ns);

/* stop_threads.c: what /proc says of threads */

/* Allocates the table. */
int mt_stop_table_init(struct mt_stop *s);
void mt_stop_table_fini(struct mt_stop *s);
/* All threads are NEW again and none is traced; those that were gone are forgotten. */
void mt_stop_table_reset(struct mt_stop *s);
/* Adds threads that are not in the table; *fresh is how many, 1 more if there may be others. */
int mt_stop_list(struct mt_stop *s, size_t *fresh);
/* How often the thread has come to a CPU; it has not run while this stays. */
int mt_stop_switches(const struct mt_stop *s, pid_t tid, uint64_t *ret);
/*
 * Fills switches and where it is; the state is ASLEEP or AWAKE, or GONE.
 * 0, -EPERM without ptrace access.
 */
int mt_stop_look(struct mt_stop *s, struct mt_stop_thread *t);
/* The sleepers that have run since are NEW again; *moved is how many. */
int mt_stop_verify(struct mt_stop *s, size_t *moved);
/* True if the thread blocks a signal that has a handler, as while the handler runs. */
bool mt_stop_handles(const struct mt_stop *s, pid_t tid);
/* -ESRCH when the process has ended; 0. */
int mt_stop_alive(struct mt_stop *s);
/* -EBUSY if the thread has a tracer, -ESRCH if it has ended, else 0. */
int mt_stop_traced(struct mt_stop *s, pid_t tid);

/* stop_inside.c: where a thread is */

/* Reads where the kernel's own mappings for uprobes are now. */
int mt_stop_find_uprobes(struct mt_stop *s);
/* True if addr is in such a mapping. */
bool mt_stop_on_uprobes(const struct mt_stop *s, uint64_t addr);
bool mt_stop_inside(const struct mt_stop *s, struct mt_stop_thread *t);
/* True for a call that may return EINTR where it could as well be repeated: it did nothing. */
bool mt_stop_repeatable(int64_t nr);
/* True if the sleep in that call can be cut short and goes on as if it had not been. */
bool mt_stop_interruptible(const struct mt_stop_thread *t);

/* The same, and not even a timeout begins anew. */
bool mt_stop_unnoticed(const struct mt_stop_thread *t);

/* stop_hold.c: the holder's work */

/* Holds all threads that do not sleep, outside malloc. As mt_stop_begin. */
int mt_stop_gather(struct mt_stop *s);
/*
 * Lets go of those that are held, then waits a little for those that were told
 * to stop and may be on their way out of an interrupted call, which the kernel
 * is to repeat. The rest goes with the holder's end.
 */
void mt_stop_release(struct mt_stop *s);
/* Takes the dead threads that wait for their tracer off the kernel's hands. */
void mt_stop_reap(struct mt_stop *s);

#endif
