/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What doctor says of a Go program. */
#ifndef MT_CLI_DOCTOR_GO_H
#define MT_CLI_DOCTOR_GO_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/writer.h"

/* Nothing of a process that is none. True if its runtime can be read. */
bool mt_doctor_go(struct mt_writer *w, pid_t pid);

#endif
