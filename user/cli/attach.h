/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What commands that trace processes do alike when they attach. */
#ifndef MT_CLI_ATTACH_H
#define MT_CLI_ATTACH_H

#include <stdbool.h>

#include "cli/options.h"
#include "session/session.h"

/* All of them. 0 or -errno, logged. */
int mt_attach_pids(struct mt_session *s, const struct mt_pid_list *pids);
/* With --verbose: what was found, and how long it took since start_ns, CLOCK_MONOTONIC. */
void mt_attach_say(const struct mt_session *s, uint64_t start_ns);
/* Gives up what is needed no more; see mt_caps_drop. */
void mt_attach_drop(bool writes_files, bool changes_user);

#endif
