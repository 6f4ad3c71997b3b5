/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * family SCRIPT [PROGRAM [ARG...]]: a process that does what the letters say, and
 * so do its children:
 *   a    allocates 20 blocks      f    frees every second one it has
 *   (…)  a child by fork does what stands between; its end is waited for
 *   [x]  the same, but its end is not waited for
 *   {…}  a child by the system call clone, past what fork calls
 *   v    a vfork child allocates 20 blocks and executes PROGRAM
 *   w    a vfork child allocates 20 blocks and forks one that frees half of all; both end
 *   s    PROGRAM by posix_spawn   x    PROGRAM in its own place
 *   t    three threads more, that wait
 *   h    three threads more, that allocate and free until the process ends
 *   g    says "ready PID" and goes on after a line
 *   n    gives up its parent: waits until that has ended
 *   e    waits for the end of all its children
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "gate.h"

#define BLOCKS  20
#define ROOM    100000
#define THREADS 3

extern char **environ;

static void *block[ROOM];
static size_t n_blocks;
static char *const *program;
static pid_t parent;

static void allocate(void)
{
	for (size_t i = 0; i < BLOCKS && n_blocks < ROOM; i++, n_blocks++)
		block[n_blocks] = malloc(1 + (n_blocks * 37) % 900 + (i == 7 ? 200000 : 0));
}

static void free_half(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_blocks; i++)
		if (i % 2)
			free(block[i]);
		else
			block[n++] = block[i];
	n_blocks = n;
}

static void wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		_exit(71);
}

static void vfork_exec(void)
{
	pid_t pid = vfork();

	if (!pid) {
		allocate();
		execv(program[0], program);
		_exit(72);
	}
	wait_for(pid);
}

/* The grandchild's memory is a copy, the child's is this process's own. */
static void vfork_fork(void)
{
	pid_t pid = vfork();

	if (!pid) {
		allocate();
		pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (!pid) {
			free_half();
			_exit(0);
		}
		wait_for(pid);
		_exit(0);
	}
	wait_for(pid);
}

static void spawn(void)
{
	pid_t pid;

	if (posix_spawn(&pid, program[0], NULL, NULL, program, environ))
		_exit(73);
	wait_for(pid);
}

static pthread_barrier_t started;

static void *idle(void *hot)
{
	pthread_barrier_wait(&started);
	while (hot)
		free(malloc(100));
	pause();
	return NULL;
}

static void start_threads(bool hot)
{
	static pthread_t threads[THREADS];

	pthread_barrier_init(&started, NULL, THREADS + 1);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, idle, hot ? &started : NULL))
			_exit(74);
	pthread_barrier_wait(&started);
}

static void become_orphan(void)
{
	while (getppid() == parent)
		usleep(1000);
}

static void step(char what)
{
	switch (what) {
	case 'a':
		allocate();
		break;
	case 'f':
		free_half();
		break;
	case 'v':
		vfork_exec();
		break;
	case 'w':
		vfork_fork();
		break;
	case 's':
		spawn();
		break;
	case 'x':
		execv(program[0], program);
		_exit(75);
	case 't':
	case 'h':
		start_threads(what == 'h');
		break;
	case 'g':
		gate_say("ready %d\n", (int)getpid());
		gate_wait();
		break;
	case 'n':
		become_orphan();
		break;
	case 'e':
		while (wait(NULL) > 0)
			;
		break;
	default:
		_exit(64);
	}
}

static const char *closing(const char *p)
{
	int depth = 0;

	for (; *p; p++) {
		depth += strchr("([{", *p) != NULL;
		depth -= strchr(")]}", *p) != NULL;
		if (!depth)
			return p;
	}
	_exit(64);
}

/* Does what stands before end; a child does what is its own, and ends. */
static void perform(const char *p, const char *end)
{
	while (p < end) {
		const char *last;
		pid_t pid;

		if (!strchr("([{", *p)) {
			step(*p++);
			continue;
		}
		last = closing(p);
		parent = getpid();
		pid = *p == '{' ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
		if (!pid) {
			perform(p + 1, last);
			_exit(0);
		}
		if (*p != '[')
			wait_for(pid);
		p = last + 1;
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	program = argv + 2;
	parent = getppid();
	perform(argv[1], argv[1] + strlen(argv[1]));
	_exit(0);
}
