/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Saved snapshots as one self-contained page of HTML. */
#ifndef MT_REPORT_REPORT_H
#define MT_REPORT_REPORT_H

#include <stddef.h>

#include "base/writer.h"
#include "model/snapshot.h"

struct mt_report; /* opaque: what was collected so far */

int mt_report_new(struct mt_report **ret);
void mt_report_free(struct mt_report **r);
/*
 * What is added from now on is of another file: its totals are its own. name is what
 * the page calls it. 0 or -ENOMEM.
 */
int mt_report_file(struct mt_report *r, const char *name);
/* Takes what it shows of the snapshot: memory does not grow with the number added. */
int mt_report_add(struct mt_report *r, const struct mt_snapshot *s);
/* The page. -ENODATA: nothing was added. */
int mt_report_write(struct mt_report *r, struct mt_writer *w);

#endif
