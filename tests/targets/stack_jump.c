/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stacks that do not unwind as they were wound, around allocations: longjmp
 * out of a signal handler and of deep recursion, a signal stack, coroutines,
 * cancelled threads. It must behave as untraced and prints "ok".
 */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "gate.h"

#define ROUNDS 200

static sigjmp_buf env;
static ucontext_t main_context, co_context;

static void handler(int sig)
{
	void *p = malloc(300);

	p = realloc(p, 3000);
	free(p);
	if (sig == SIGUSR1)
		siglongjmp(env, 1);
}

static void jump_from_handler(void)
{
	void *volatile p = malloc(77);

	if (sigsetjmp(env, 1) == 0)
		raise(SIGUSR1);
	free(realloc(p, 7000));
}

static void recurse(int depth, void *p)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	p = realloc(p, (size_t)(depth + 1) * 64);
	if (depth == 400) {
		free(p);
		siglongjmp(env, frame[0] ? 1 : 2);
	}
	recurse(depth + 1, p);
	frame[1] = frame[0];
}

static void jump_from_depth(void)
{
	void *q = NULL;

	if (sigsetjmp(env, 0) == 0)
		recurse(0, NULL);
	if (posix_memalign(&q, 256, 1000) == 0)
		free(q);
}

static void coroutine(void)
{
	for (;;) {
		void *p = aligned_alloc(64, 640);

		swapcontext(&co_context, &main_context);
		free(realloc(p, 6400));
	}
}

static void coroutines(void)
{
	static char stack[65536];

	getcontext(&co_context);
	co_context.uc_stack.ss_sp = stack;
	co_context.uc_stack.ss_size = sizeof(stack);
	makecontext(&co_context, coroutine, 0);
	for (int i = 0; i < ROUNDS; i++) {
		void *p = malloc(99);

		swapcontext(&main_context, &co_context);
		free(realloc(p, 9900));
	}
}

static void *cancelled(void *arg)
{
	void *p = realloc(malloc(100), 10000);

	pthread_cleanup_push(free, p);
	pthread_barrier_wait(arg);
	for (;;)
		pause();
	pthread_cleanup_pop(1);
	return NULL;
}

static void cancel(void)
{
	pthread_barrier_t b;
	pthread_t t;

	pthread_barrier_init(&b, NULL, 2);
	if (pthread_create(&t, NULL, cancelled, &b))
		exit(72);
	pthread_barrier_wait(&b);
	pthread_cancel(t);
	pthread_join(t, NULL);
	pthread_barrier_destroy(&b);
}

int main(void)
{
	static char alternative[65536];
	stack_t ss = {.ss_sp = alternative, .ss_size = sizeof(alternative)};

	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handler}, NULL);
	sigaction(SIGUSR2, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_ONSTACK},
		  NULL);
	for (int i = 0; i < ROUNDS; i++) {
		jump_from_handler();
		jump_from_depth();
		raise(SIGUSR2);
		cancel();
	}
	coroutines();
	gate_say("ok\n");
	return 0;
}
