/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Measuring the calls of one function in all targets of a session. */
#ifndef MT_SESSION_FUNC_H
#define MT_SESSION_FUNC_H

#include <stdbool.h>

#include "model/func.h"

struct mt_session;

/*
 * From here on the calls of the function that spec names, [BINARY:]SYMBOL, are
 * measured in all targets, which have been added before; the session's options
 * have `func` set. A call that a thread is in at this moment is not one of them.
 * Once for a session. 0 or -errno, logged; -EINVAL: spec itself is wrong.
 */
int mt_session_func_start(struct mt_session *s, const char *spec);
/* Ends it and fills *ret, which the caller frees by mt_func_fini. 0 or -errno, logged. */
int mt_session_func_stop(struct mt_session *s, struct mt_func *ret);
/* What is measured: only name, symbol, binary, addr are set. Owned by the session. */
const struct mt_func *mt_session_func_what(const struct mt_session *s);

#endif
