/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* thread_exec PROGRAM [ARG...]: executes it from a thread that is not the main one. */
#include <pthread.h>
#include <unistd.h>

static void *run(void *argv)
{
	execv(*(char **)argv, argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc < 2 || pthread_create(&thread, NULL, run, argv + 1))
		return 2;
	pthread_join(thread, NULL);
	return 1;
}
