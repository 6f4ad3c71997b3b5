/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sleepers N [MS]: 4 * N threads asleep in epoll_wait, semtimedop, a recv with
 * SO_RCVTIMEO and sigtimedwait: calls that the kernel does not make again after
 * a signal without handler. With MS each wakes after so many ms, about; without
 * only after an hour. On a line it says how often they woke, how many calls
 * returned EINTR or what else they should not, and how many SIGUSR2 came: that
 * one is for sigtimedwait, SIGUSR1 has a handler.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "gate.h"

#define STACK (64 << 10)

static unsigned long woke, interrupted, wrong, handled, taken;
static int sem = -1, epoll = -1, pair[2];
static struct timespec span = {.tv_sec = 3600};

static void count(unsigned long *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

static void on_usr1(int sig)
{
	(void)sig;
	count(&handled);
}

/* Each sleeps once; true: the time was up, as errno tells. */
static int sleep_epoll(void)
{
	struct epoll_event e;
	int ms = (int)(span.tv_sec * 1000 + span.tv_nsec / 1000000);

	return epoll_wait(epoll, &e, 1, ms) == 0 ? EAGAIN : errno;
}

static int sleep_sem(void)
{
	struct sembuf op = {.sem_num = 0, .sem_op = -1};

	return semtimedop(sem, &op, 1, &span) == 0 ? 0 : errno;
}

static int sleep_recv(void)
{
	char c;

	return recv(pair[0], &c, 1, 0) == 1 ? 0 : errno;
}

static int sleep_sig(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	if (sigtimedwait(&set, NULL, &span) != SIGUSR2)
		return errno;
	count(&taken);
	return EAGAIN;
}

static int (*const sleeps[])(void) = {sleep_epoll, sleep_sem, sleep_recv, sleep_sig};

static void *sleeper(void *arg)
{
	int (*const *how)(void) = arg;

	for (;;) {
		int e = (*how)();

		count(e == EAGAIN ? &woke : e == EINTR ? &interrupted : &wrong);
	}
	return NULL;
}

static int prepare(int ms)
{
	struct timeval tv;
	sigset_t set;

	if (ms)
		span = (struct timespec){ms / 1000, ms % 1000 * 1000000};
	tv = (struct timeval){span.tv_sec, span.tv_nsec / 1000};
	/* The semaphores go with the process, however it ends. */
	if (unshare(CLONE_NEWIPC))
		return -1;
	sem = semget(IPC_PRIVATE, 1, 0600);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (sem < 0 || epoll < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_usr1}, NULL);
	return setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;
	pthread_attr_t attr;
	sigset_t set;
	pthread_t t;

	if (prepare(argc > 2 ? atoi(argv[2]) : 0))
		return 71;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (int i = 0; i < 4 * n; i++) {
		const void *how = &sleeps[i % 4];

		if (pthread_create(&t, &attr, sleeper, (void *)(uintptr_t)how))
			return 72;
	}
	/* For the sleepers: a line that is waited for is none of it. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	gate_say("ready\n");
	while (gate_wait())
		gate_say("woke=%lu eintr=%lu wrong=%lu usr1=%lu usr2=%lu\n",
			 __atomic_load_n(&woke, __ATOMIC_RELAXED),
			 __atomic_load_n(&interrupted, __ATOMIC_RELAXED),
			 __atomic_load_n(&wrong, __ATOMIC_RELAXED),
			 __atomic_load_n(&handled, __ATOMIC_RELAXED),
			 __atomic_load_n(&taken, __ATOMIC_RELAXED));
	_exit(0);
}
