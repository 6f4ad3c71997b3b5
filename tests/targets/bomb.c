/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bomb N: forks, as do all its children, until the limit on its user's processes
 * stops them N times; then all of them end, and it says how many there were.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "gate.h"

struct shared {
	unsigned long forks, refused, most;
};

int main(int argc, char **argv)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const pid_t first = getpid();

	if (argc < 2 || s == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return 64;
	s->most = strtoul(argv[1], NULL, 10);
	gate_say("ready\n");
	gate_wait();
	while (__atomic_load_n(&s->refused, __ATOMIC_RELAXED) < s->most) {
		pid_t pid = fork();

		if (pid > 0)
			__atomic_fetch_add(&s->forks, 1, __ATOMIC_RELAXED);
		else if (pid < 0)
			__atomic_fetch_add(&s->refused, 1, __ATOMIC_RELAXED);
		else
			free(malloc(100));
	}
	if (getpid() != first)
		_exit(0);
	while (wait(NULL) > 0)
		;
	gate_say("%lu\n", s->forks);
	gate_wait();
	return 0;
}
