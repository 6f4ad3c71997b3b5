/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lose: what an exact count cannot follow, once per line on standard input:
 *   free    frees an address where nothing is mapped
 *   return  leaves posix_memalign by a signal, before it returns
 * The program survives both. A line "malloc" is an ordinary allocation.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"

static sigjmp_buf env;
static void *volatile nowhere = (void *)(uintptr_t)0x10;

static void on_segv(int sig)
{
	(void)sig;
	siglongjmp(env, 1);
}

static bool read_line(char *line, size_t size)
{
	size_t n = 0;
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1) {
		if (c == '\n') {
			line[n] = 0;
			return true;
		}
		if (n + 1 < size)
			line[n++] = c;
	}
	return false;
}

static void lose(const char *what)
{
	void *volatile p = NULL;

	if (sigsetjmp(env, 1))
		return;
	if (strcmp(what, "free") == 0)
		free(nowhere);
	else if (strcmp(what, "return") == 0)
		(void)!posix_memalign((void **)nowhere, 64, 100);
	else
		p = malloc(100);
	(void)p;
}

int main(void)
{
	char line[32];

	sigaction(SIGSEGV, &(struct sigaction){.sa_handler = on_segv}, NULL);
	gate_say("ready\n");
	while (read_line(line, sizeof(line))) {
		lose(line);
		gate_say("done\n");
	}
	return 0;
}
