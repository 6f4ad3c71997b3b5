/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that are written under another name and then renamed. */
#ifndef MT_CLI_ASIDE_H
#define MT_CLI_ASIDE_H

#include "base/writer.h"

/*
 * Creates a new file beside path; name becomes its name. It cannot be foreseen
 * and O_EXCL never follows a link, so that in a directory of somebody else's
 * nothing planted there is written to. The fd or -errno.
 */
int mt_aside_open(const char *path, struct mt_writer *name);

#endif
