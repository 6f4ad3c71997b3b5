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
#include "model/snapshot.h"

/* The snapshots of one moment, one for each process; no totals among them. */
struct mt_moment {
	struct mt_snapshot **v; /* owned, each too */
	size_t n;
};

void mt_moment_fini(struct mt_moment *m);

/* One number. */
struct mt_diff_row {
	char name[32]; /* "HeapAlloc"; of a class its size: "BySize[64]", as the table writes it */
	enum mt_field_unit unit;
	bool is_signed;           /* old and new are int64_t: a level since an attach */
	uint64_t old, new;        /* of the last repetition */
	int64_t change;           /* new less old of that, saturated */
	int64_t median, min, max; /* of the changes of all repetitions; the change, of one */
};

/* One size class, MT_CLASSES: blocks in none. */
struct mt_diff_class {
	unsigned int class;
	struct mt_diff_row bytes, objects; /* live, signed */
	uint64_t mallocs, frees;           /* in between, of the last repetition */
};

/* Whether live bytes grow with each repetition. */
enum mt_verdict { MT_VERDICT_NONE, MT_VERDICT_STEADY, MT_VERDICT_GROWS, MT_VERDICT_UNCLEAR };

struct mt_diff_leak {
	enum mt_verdict verdict; /* NONE: fewer than two repetitions */
	unsigned int grew, of;   /* repetitions in which live bytes grew */
	int64_t bytes, objects;  /* per repetition: the median */
	char text[160];          /* "grows 4.0 KiB per request (12 of 12 repetitions)" */
};

/* One process that is in both moments. */
struct mt_diff_process {
	const struct mt_snapshot *old, *new; /* of the last repetition; borrowed */
	struct mt_diff_row *rows;            /* that changed; live growth first; owned */
	size_t n_rows;
	struct mt_diff_class *classes; /* that changed, by growth of live bytes; owned */
	size_t n_classes;
	struct mt_diff_leak leak;
	char **notes; /* sentences: another host, runtime, base; a loss; owned */
	size_t n_notes;
};

struct mt_diff {
	struct mt_diff_process *v; /* the one that grew most first; owned */
	size_t n;
	const struct mt_snapshot **came, **went; /* owned, what they point to borrowed */
	size_t n_came, n_went;
	size_t repetitions;
	const char *what; /* what a repetition is called: "request"; borrowed */
};

/*
 * Compares 2 * repetitions moments: old, new, old, new. Processes are matched by
 * pid and start time, and where each moment has only one process that is the
 * pair, whatever it is, with a note. The moments must outlive *ret. 0 or -ENOMEM.
 */
int mt_diff_new(const struct mt_moment *m, size_t repetitions, const char *what,
		struct mt_diff **ret);
void mt_diff_free(struct mt_diff **d);

#endif
