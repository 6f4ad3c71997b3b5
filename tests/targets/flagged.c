/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flagged THREADS FILE [HOW]: threads that allocate and free all the time, each
 * with a flag in FILE that is up from before each call until after it: who is
 * stopped with the flag up and not in this program's own text is inside malloc.
 * HOW: "signals" has a handler for SIGRTMIN, "orphan" ends the first thread,
 * "vfork" has a child made all the while by vfork, which it waits for, "lent" one
 * that stays for a while before it executes anything, "exec" runs itself anew all the while, from a
 * thread. The last flag's rounds count signals and execs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#include "flagged.h"
#include "gate.h"

#define HELD 64

static struct flag *flags;
static const char *how = "";
static __thread struct flag *mine;
extern const char __executable_start[], etext[]; /* the linker's */

/* Not the program's text when the flag is up, so it calls nothing that it does not have to. */
static void work(struct flag *f, uint32_t x)
{
	void *held[HELD] = {0};

	for (;;) {
		size_t size, i;
		void *p;

		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		i = x % HELD;
		size = x >> 8 & 1023 ? (x >> 20) % 2000 : 200000;
		f->up = 1;
		free(held[i]);
		f->up = 0;
		f->up = 1;
		p = malloc(size);
		f->up = 0;
		if (p && size)
			*(volatile char *)p = 1;
		held[i] = p;
		f->rounds++;
	}
}

static void *worker(void *arg)
{
	struct flag *f = arg;

	mine = f;
	f->tid = (int32_t)syscall(SYS_gettid);
	work(f, (uint32_t)(f - flags) * 2654435761u + 1);
	return NULL;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *c = context;
	uintptr_t pc = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
	bool over =
		mine && mine->up && (pc < (uintptr_t)__executable_start || pc >= (uintptr_t)etext);

	(void)sig;
	(void)info;
	if (over)
		mine->over = 1;
	for (volatile int i = 0; i < 1000; i++)
		;
	if (over)
		mine->over = 0;
	__atomic_fetch_add(&flags[FLAGS - 1].rounds, 1, __ATOMIC_RELAXED);
}

static bool lent; /* the child stays in the memory of its parent */

static void *forker(void *arg)
{
	for (;;) {
		pid_t pid = vfork();

		if (!pid) {
			struct timespec span = {.tv_nsec = 300000000};

			if (lent) {
				nanosleep(&span, NULL);
				_exit(0);
			}
			execl("/bin/sleep", "sleep", "0.05", (char *)NULL);
			_exit(127);
		}
		waitpid(pid, NULL, 0);
	}
	return arg;
}

static void *execer(void *argv)
{
	usleep(3000);
	flags[FLAGS - 1].rounds++;
	setenv("FLAGGED_AGAIN", "1", 1);
	execv("/proc/self/exe", argv);
	_exit(127);
}

static void *gate(void *arg)
{
	while (gate_wait())
		gate_say("signals=%llu\n", (unsigned long long)flags[FLAGS - 1].rounds);
	_exit(0);
	return arg;
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[1]) : 0, fd;
	pthread_t t;

	if (n < 1 || n >= FLAGS)
		return 64;
	how = argc > 3 ? argv[3] : how;
	fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, FLAGS * sizeof(*flags)))
		return 66;
	flags = mmap(NULL, FLAGS * sizeof(*flags), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (flags == MAP_FAILED)
		return 71;
	for (int i = 0; i < n; i++)
		if (pthread_create(&t, NULL, worker, &flags[i]))
			return 72;
	lent = !strcmp(how, "lent");
	if ((lent || !strcmp(how, "vfork")) && pthread_create(&t, NULL, forker, NULL))
		return 72;
	if (!strcmp(how, "exec") && pthread_create(&t, NULL, execer, argv))
		return 72;
	if (!strcmp(how, "signals"))
		sigaction(SIGRTMIN,
			  &(struct sigaction){.sa_sigaction = on_signal,
					      .sa_flags = SA_RESTART | SA_SIGINFO},
			  NULL);
	if (!strcmp(how, "orphan")) {
		if (pthread_create(&t, NULL, gate, NULL))
			return 72;
		gate_say("ready\n");
		pthread_exit(NULL);
	}
	if (!getenv("FLAGGED_AGAIN"))
		gate_say("ready\n");
	gate(NULL);
}
