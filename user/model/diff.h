/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What changed between two moments, once or several times over: rows of numbers,
 * the processes that came and went, and notes on what is not comparable.
 */
#ifndef MT_MODEL_DIFF_H
#define MT_MODEL_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/field.h"
#include "model/leak.h"
#include "model/snapshot.h"

/* The snapshots of one moment, one for each process; no totals among them. */
struct mt_moment {
	struct mt_snapshot **v; /* owned, each too */
	size_t n;
};

void mt_moment_fini(struct mt_moment *m);
/* Takes *s, which becomes NULL. 0 or -ENOMEM. */
int mt_moment_add(struct mt_moment *m, struct mt_snapshot **s);

/* What a number says, in the order in which rows stand. */
enum mt_diff_kind {
	MT_DIFF_LIVE,   /* live blocks and their bytes */
	MT_DIFF_MEMORY, /* other levels in bytes: resident, Sys and its parts */
	MT_DIFF_FLOW,   /* what came and went: TotalAlloc, Mallocs, system calls */
	MT_DIFF_OTHER,  /* the collector's numbers, counts */
};

/* One number. */
struct mt_diff_row {
	char name[32]; /* "HeapAlloc", "rss", "native.Alloc", "net.Bytes", "mmap.bytes" */
	enum mt_diff_kind kind;
	enum mt_field_unit unit;  /* of RATIO the numbers are billionths */
	bool is_bool;             /* 0 or 1 */
	bool is_signed;           /* old and new are int64_t: a level since an attach, a ratio */
	uint64_t old, new;        /* of the last repetition */
	int64_t change;           /* new less old of that, saturated */
	int64_t median, min, max; /* of the changes of all repetitions; the change, of one */
};

/* One size class, MT_CLASSES: blocks in none. */
struct mt_diff_class {
	unsigned int class;
	struct mt_diff_row bytes, objects; /* live, signed */
	uint64_t mallocs, frees;           /* in between, of the last repetition */
	struct mt_leak leak;               /* of bytes */
};

/*
 * Of a heap without a collector: live bytes, judged as leak.h says. With one live
 * bytes hold garbage, so that only repetitions with a collection count, and NextGC
 * stands for what that left. Where the whole does not grow, a class still may: each
 * is judged as one of as many as changed.
 */
struct mt_diff_leak {
	struct mt_leak bytes; /* the verdict, see leak.h */
	int64_t objects;      /* of GROWS: blocks per repetition, the median */
	bool by_class;  /* GROWS, but only in classes; bytes is then of the one that does most */
	char text[200]; /* "grows 4.0 KiB per request (12 of 12 repetitions)"; empty: no verdict */
};

/* The classes of a heap that changed, by growth of live bytes; and whether it leaks. */
struct mt_diff_heap {
	struct mt_diff_class *classes; /* owned */
	size_t n;
	struct mt_diff_leak leak;
};

/* One process that is in both moments. */
struct mt_diff_process {
	const struct mt_snapshot *first;     /* old of the first repetition; borrowed */
	const struct mt_snapshot *old, *new; /* of the last repetition; borrowed */
	size_t repetitions;                  /* in which it was */
	bool rebased;                        /* levels do not compare: they count from elsewhere */
	struct mt_diff_row *rows;            /* that changed; live growth first; owned */
	size_t n_rows;
	struct mt_diff_heap heap;   /* with a collector the runtime's */
	struct mt_diff_heap native; /* the C memory of a Go program; else empty */
	char **notes; /* sentences: another host, runtime, base; a loss; owned, each too */
	size_t n_notes;
};

struct mt_diff {
	struct mt_diff_process *v; /* the one that grew most first, rebased ones behind; owned */
	size_t n;
	const struct mt_snapshot **came, **went; /* owned, what they point to borrowed */
	size_t n_came, n_went;
	struct mt_diff_row alloc, rss; /* of all processes of the last two moments together */
	size_t repetitions;
	const char *what; /* what a repetition is called: "request"; borrowed */
	char **notes;     /* on the whole; owned, each too */
	size_t n_notes;
};

/*
 * Compares 2 * repetitions moments: old, new, old, new. Processes are matched by
 * pid and start time, and where each moment has only one process that is the
 * pair, whatever it is, with a note. The moments, which this sorts, must outlive
 * *ret. what NULL: "repetition". 0 or -ENOMEM.
 */
int mt_diff_new(const struct mt_moment *m, size_t repetitions, const char *what,
		struct mt_diff **ret);
void mt_diff_free(struct mt_diff **d);

/* Adds a sentence to d->notes. 0 or -ENOMEM. */
__attribute__((format(printf, 2, 3))) int mt_diff_note(struct mt_diff *d, const char *fmt, ...);

/* What makes old or new of any process inexact, or its audit drifted. */
bool mt_diff_lost(const struct mt_diff *d);

#endif
