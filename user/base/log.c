/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/log.h"

#include <stddef.h>
#include <stdio.h>

static mt_log_fn sink;

mt_log_fn mt_log_set_sink(mt_log_fn fn)
{
	mt_log_fn old = sink;

	sink = fn;
	return old;
}

__attribute__((format(printf, 2, 0))) static void log_va(enum mt_log_level level, const char *fmt,
							 va_list ap)
{
	char buf[1024];

	if (!sink)
		return;
	vsnprintf(buf, sizeof(buf), fmt, ap);
	sink(level, buf);
}

void mt_log(enum mt_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(level, fmt, ap);
	va_end(ap);
}

int mt_err_r(int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(MT_LOG_ERR, fmt, ap);
	va_end(ap);
	return r;
}
