/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a test and its target take turns: the target says a line on standard
 * output and blocks until it reads one. Nothing here allocates, so that a
 * target's heap is as it was while it waits.
 */
#ifndef GATE_H
#define GATE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* False at the end of standard input: the test wants no more. */
static inline bool gate_wait(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1)
		if (c == '\n')
			return true;
	return false;
}

__attribute__((format(printf, 1, 2))) static inline void gate_say(const char *format, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n < 0 || write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(70);
}

#endif
