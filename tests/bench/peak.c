/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peak PROGRAM [ARGUMENT...]: runs it and says "peak KIB" on standard error, the
 * most memory that it had resident. A program of its own because the kernel
 * counts what a process had before its exec: forked from here that is little.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage used;
	int status;
	pid_t pid;

	if (argc < 2)
		return 64;
	pid = fork();
	if (!pid) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) != pid)
		return 71;
	fprintf(stderr, "peak %ld\n", used.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
