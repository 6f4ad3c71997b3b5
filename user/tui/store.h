/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the view keeps of each process, copied from its snapshots: the last
 * levels and flows, the last minutes, rates, and the base that differences are
 * shown from. Bounded: some 8 KiB a process, 12 with a base.
 */
#ifndef MT_TUI_STORE_H
#define MT_TUI_STORE_H

#include "model/snapshot.h"
#include "tui/history.h"

/* The numbers of one snapshot. */
struct mt_store_moment {
	uint64_t time_ns;   /* since the epoch */
	uint64_t uptime_ns; /* since the trace began */
	uint64_t alloc, total_alloc, mallocs, objects, sys, lost;
	struct mt_flows flows;
	struct mt_class_counts unsized;
	struct mt_vm vm;
	/*
	 * Of mt_fields: numbers and booleans; a fraction in millionths. Behind them those of
	 * a Go program's C memory.
	 */
	uint64_t values[];
};

/* What is shown of a collector beside MemStats. */
struct mt_collector {
	struct mt_gc how;
	uint32_t num_gc, num_forced;
	uint64_t last_ns; /* since the epoch; 0: it has not run */
	uint64_t last_pause_ns;
	uint64_t next; /* bytes */
};

struct mt_process {
	/* who; start_time tells a reused pid */
	pid_t pid, ppid;
	uint64_t start_time;
	char comm[64], runtime[64], allocator[64], container[80];
	char why[MT_WHY_SIZE];    /* why there is no baseline, or "" */
	const char *mode, *sizes; /* static text, or NULL */
	enum mt_since since;
	struct mt_collector gc;
	struct {
		bool present;
		enum mt_since since;
		char allocator[64];
	} native;   /* a Go program's C memory */
	bool final; /* has ended */
	struct mt_store_moment *now,
		*base; /* owned; base NULL: none, or it started after the base */
	struct mt_history history;
	int64_t alloc_rate, mallocs_rate; /* bytes and blocks a second since the snapshot before */
	bool rated;                       /* there was one */
	uint64_t round;                   /* the last that it was part of */
	/* what the rows are made of; see rows.c */
	struct mt_process *parent, *child, *sibling;
	bool matches, shown, placed;
};

struct mt_store {
	struct mt_process **v; /* owned, by pid and start time */
	size_t n, cap;
	uint64_t step_ns; /* of the histories */
	uint64_t round;
	bool based;       /* differences are shown from a base */
	uint64_t base_ns; /* since the trace began */
	/* of the newest snapshot */
	uint64_t time_ns, uptime_ns;
	struct mt_tracer tracer;
	/* of the round before */
	uint64_t old_uptime_ns, old_cpu_ns;
	int64_t cpu_permille; /* of one CPU that memtrace used since then; -1: not known */
};

void mt_store_fini(struct mt_store *s);
/* Copies what it keeps. 0 or -ENOMEM. */
int mt_store_put(struct mt_store *s, const struct mt_snapshot *snap);
/* Begins a round: each process is put again, or is gone. */
void mt_store_begin(struct mt_store *s);
/* Drops those that were not put, but for keep (may be NULL). */
void mt_store_end(struct mt_store *s, const struct mt_process *keep);
/* NULL: there is none. */
struct mt_process *mt_store_find(const struct mt_store *s, pid_t pid, uint64_t start_time);
/*
 * The parent of p among the processes: the one that had its pid when p started.
 * NULL where it is not known.
 */
struct mt_process *mt_store_parent(const struct mt_store *s, const struct mt_process *p);
/* Makes this moment the base of every process. 0 or -ENOMEM, and no base. */
int mt_store_mark(struct mt_store *s);
void mt_store_unmark(struct mt_store *s);

#endif
