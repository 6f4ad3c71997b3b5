/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a report is collected in. Every part is bounded, whatever the files hold:
 * see the limits below. A point is one snapshot with all that the page shows of it,
 * never an average: which points are kept is decided in thin.c.
 */
#ifndef MT_REPORT_INTERNAL_H
#define MT_REPORT_INTERNAL_H

#include "base/writer.h"
#include "model/field.h"
#include "model/total.h"
#include "report/report.h"

#define POINTS_MAX    4096  /* of one process */
#define POINTS_LEFT   3072  /* at most, when they are thinned */
#define ALL_POINTS    32768 /* of all together, then the largest is thinned */
#define PROCESSES_MAX 128   /* kept; the others are summed up */
#define SEEN_MIN      1024  /* places for them, at first */
#define SEEN_MAX      65536 /* half as many processes are told apart, kept or not */
#define MARKS_MAX     256   /* of one process, listed */
#define PINS_MAX      128   /* points of one process that are kept whatever they hold */
#define METAS_MAX     16    /* of one process: what it was called and how it was counted */
#define PAUSES_MAX    4096  /* of one process, then the longer of each two is kept */
#define FILES_MAX     64    /* named on the page */
#define TOTALS_MAX    16    /* files that get a total of their own */

/* A number of a snapshot, as the page's tables show it. */
enum column_type {
	COLUMN_U64,
	COLUMN_U32,
	COLUMN_DOUBLE,
	COLUMN_BOOL,
	COLUMN_CALL, /* int64_t, of get */
};
struct column {
	const char *group, *name, *help; /* help may be NULL */
	const char *go_help;             /* of a Go program, where that is another; or NULL */
	enum mt_field_unit unit;
	enum column_type type;
	bool native;   /* of C memory: 0 where the snapshot has none */
	size_t offset; /* in struct mt_snapshot */
	uint64_t (*get)(const struct mt_snapshot *s);
};
/* All of them, made at the first call; *n is how many. */
const struct column *mt_report_columns(size_t *n);
uint64_t mt_report_value(const struct column *c, const struct mt_snapshot *s);

/* Counters whose differences are rates. */
enum rate { RATE_ALLOC, RATE_FREE, RATE_MALLOCS, RATE_FREES, RATES };
struct counters {
	uint64_t v[RATES]; /* bytes allocated, freed; blocks allocated, freed */
};

/* What thin.c must not lose the peaks of: levels (their lowest, too), rates, a pause. */
#define LEVELS  5 /* Alloc, Sys, HeapInuse, resident, C's Alloc of a Go program */
#define TRACKED (LEVELS + RATES + 1)

enum point_flag {
	POINT_TRACE = 1,   /* a trace begins here: no line leads to it */
	POINT_RESTART = 2, /* the counts began anew */
	POINT_PINNED = 4,
};

struct level {
	unsigned int class; /* MT_CLASSES: blocks in none */
	int64_t objects, bytes;
};

struct point {
	uint64_t time_ns, seq;
	uint64_t ordinal; /* how many of the process came before it */
	unsigned int flags, meta;
	uint64_t dt_ns;      /* since the one before it, kept or not; 0: no rate */
	struct counters d;   /* in that time */
	struct counters sum; /* all d so far */
	uint64_t processes;  /* of a total */
	uint64_t track[TRACKED];
	uint64_t *values; /* of each column; owned */
	struct level *levels;
	size_t n_levels; /* behind values, in the same block */
};

enum mark_kind { MARK_EVENT, MARK_LABEL, MARK_EXEC, MARK_NAME, MARK_TRACE, MARK_RESTART, MARK_END };
struct seen;

struct mark {
	uint64_t time_ns;
	enum mark_kind kind;
	char text[MT_LABEL_SIZE];
};

struct pause {
	uint64_t end_ns, ns, ordinal;
};

struct process {
	struct seen *seen; /* borrowed; NULL: a total of the page's own */
	/* who */
	char host[65];
	pid_t pid;
	uint64_t start_time;
	bool is_total;       /* of all processes of one file */
	unsigned int file;   /* of a total */
	char comm[64], *exe; /* the last; exe owned */
	char label[MT_LABEL_SIZE];
	char **metas; /* JSON objects, owned */
	size_t n_metas, metas_dropped;
	/* points in the order in which they came */
	struct point **points; /* owned, each too */
	size_t n_points;
	uint64_t stride;    /* snapshots of which the extremes are kept; see thin.c */
	uint64_t snapshots; /* that came */
	size_t pinned;
	struct counters sum;
	struct mark *marks; /* owned, MARKS_MAX */
	size_t n_marks, marks_dropped;
	struct pause *pauses; /* owned, PAUSES_MAX */
	size_t n_pauses;
	uint64_t all_pauses, pause_stride;
	uint64_t approximate;  /* snapshots of a collector's runtime that are not of one moment */
	uint64_t peak, lost;   /* highest Alloc; the largest loss */
	bool late;             /* its beginning was not kept: others were larger then */
	char why[MT_WHY_SIZE]; /* there is no baseline */
};

/* A process that came by, kept or not. */
struct seen {
	uint64_t key; /* 0: empty */
	uint64_t time_ns, seq, uptime_ns;
	struct counters last;
	uint64_t alloc, peak, round;
	unsigned int lost;
	struct process *p; /* borrowed; NULL: one of the others */
};

/* The processes of one moment, of which a total is made. */
struct round {
	uint64_t number;
	struct mt_total total;
	uint64_t time_ns, last_ns; /* of this and of the one before */
	struct counters d;
	bool rated;
	struct process *p; /* the file's total; borrowed, NULL: not yet */
};

struct mt_report {
	struct process *processes[PROCESSES_MAX]; /* owned */
	size_t n_processes, n_points;
	struct seen *seen; /* owned; an open hash table */
	size_t seen_size, n_seen;
	uint64_t untold; /* snapshots of processes beyond SEEN_MAX */
	uint64_t snapshots, first_ns, last_ns;
	char **files; /* owned */
	size_t n_files;
	struct round *round;         /* owned */
	struct mt_snapshot *scratch; /* owned: too large for a stack */
};

/* point.c: what the page shows of s. 0 or -ENOMEM. */
int mt_report_point_new(const struct mt_snapshot *s, struct point **ret);
void mt_report_point_free(struct point **p);
void mt_report_counters(const struct mt_snapshot *s, struct counters *ret);

/* process.c */
int mt_report_process_new(struct process **ret);
void mt_report_process_free(struct process **p);
/* Takes *pt in any case. 0 or -ENOMEM. */
int mt_report_process_add(struct process *p, const struct mt_snapshot *s, struct point **pt);

/* thin.c: at most so many points, or where no more can go those of one stride and the pinned. */
void mt_report_thin(struct process *p, size_t most);
void mt_report_pause_add(struct process *p, uint64_t end_ns, uint64_t ns);

/* write.c */
void mt_report_write_data(struct mt_report *r, struct mt_writer *w);

/* page.c: the page in front of the data and behind it; NUL-terminated. */
extern const char mt_report_head[], mt_report_tail[];

#endif
