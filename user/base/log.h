/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages go to a sink that the program sets; the library has none, so it
 * prints nothing. The layer that has the context logs, once, and returns the
 * error: `return mt_err_r(r, "cannot open %s", path);`
 */
#ifndef MT_BASE_LOG_H
#define MT_BASE_LOG_H

#include <stdarg.h>

enum mt_log_level { MT_LOG_ERR, MT_LOG_WARN, MT_LOG_INFO, MT_LOG_DEBUG };

/* Receives one message, without a newline. Called from any thread. */
typedef void (*mt_log_fn)(enum mt_log_level level, const char *msg);

/* Sets the sink and returns the one before; NULL drops everything, which is the start. */
mt_log_fn mt_log_set_sink(mt_log_fn fn);

__attribute__((format(printf, 2, 3))) void mt_log(enum mt_log_level level, const char *fmt, ...);

/* Logs an error and returns r; r itself is not added to the text. */
__attribute__((format(printf, 2, 3))) int mt_err_r(int r, const char *fmt, ...);

#define mt_warn(...) mt_log(MT_LOG_WARN, __VA_ARGS__)
#define mt_info(...) mt_log(MT_LOG_INFO, __VA_ARGS__)

#endif
