/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A child whose first thread has exited while another one waits. */
#ifndef MT_TESTS_HEADLESS_H
#define MT_TESTS_HEADLESS_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void *headless_thread(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* True once the kernel shows the first thread as a zombie. */
static inline int headless_is(pid_t pid)
{
	char path[64], text[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strstr(text, ") Z ") != NULL;
}

static inline pid_t start_headless(void)
{
	pid_t pid = fork();
	pthread_t t;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pthread_create(&t, NULL, headless_thread, NULL))
			_exit(1);
		pthread_exit(NULL);
	}
	while (pid > 0 && !headless_is(pid) && !waitpid(pid, NULL, WNOHANG))
		sched_yield();
	return pid;
}

static inline void end_headless(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif
