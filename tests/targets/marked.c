/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program with marks in its code, by <sys/sdt.h>: each request is between
 * demo:begin and demo:end, in two places each, and leaves blocks behind. What
 * libmtcount.so counted just before the first and just after the second mark of
 * request N is copied to MTCOUNT_FILE.begin.N and .end.N.
 *
 * It takes turns by lines: "N" makes so many requests, "threads" one while
 * another thread makes many, "left" one whose thread ends before demo:end, and
 * one more, "semaphore" says how many want the marks, "exec" executes itself.
 *
 * Compiled with MARKED_LIBRARY the requests alone, with MARKED_MAIN without
 * them; with MARKED_SEMAPHORES marks that can be switched off.
 */
#ifdef MARKED_SEMAPHORES
#define _SDT_HAS_SEMAPHORES 1
#endif
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sdt.h>

#include "gate.h"
#include "mtcount.h"

#define SHOW __attribute__((visibility("default")))

SHOW void marked_request(unsigned int i, bool whole);
SHOW unsigned int marked_semaphore(void);

#ifndef MARKED_MAIN

#ifdef MARKED_SEMAPHORES
#define SEMAPHORE __attribute__((section(".probes"), used)) unsigned short
extern unsigned short demo_begin_semaphore, demo_end_semaphore;
SEMAPHORE demo_begin_semaphore;
SEMAPHORE demo_end_semaphore;

unsigned int marked_semaphore(void)
{
	return *(volatile unsigned short *)&demo_begin_semaphore +
	       *(volatile unsigned short *)&demo_end_semaphore;
}
#else
unsigned int marked_semaphore(void)
{
	return 0;
}
#endif

static void *volatile kept;

/* What a request allocates: it keeps three blocks and a list of them. */
static void work(unsigned int i)
{
	void **list = malloc(4 * sizeof(*list));
	char *grown = malloc(24), *large = malloc(200000);

	for (unsigned int k = 0; k < 3; k++)
		list[k] = calloc(1 + i % 7, 100);
	list[3] = kept;
	kept = list;
	for (size_t n = 24; n < 5000; n *= 3)
		grown = realloc(grown, n);
	memset(large, 1, 200000);
	free(large);
	free(grown);
}

/* Without a call of malloc in it. */
static void copy_counts(const char *what, unsigned int i)
{
	static struct mtcount counts;
	const char *name = getenv("MTCOUNT_FILE");
	char path[512];
	int from, to;

	if (!name)
		return;
	from = open(name, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s.%s.%u", name, what, i);
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (from < 0 || to < 0 || read(from, &counts, sizeof(counts)) != sizeof(counts) ||
	    write(to, &counts, sizeof(counts)) != sizeof(counts))
		_exit(71);
	close(from);
	close(to);
}

/* The marks in two places each, which the compiler must not make one. */
static __attribute__((noinline)) void request_even(unsigned int i, bool whole)
{
	DTRACE_PROBE1(demo, begin, i);
	work(i);
	if (whole)
		DTRACE_PROBE1(demo, end, i);
}

static __attribute__((noinline)) void request_odd(unsigned int i, bool whole)
{
	DTRACE_PROBE2(demo, begin, i, whole);
	work(i);
	if (whole)
		DTRACE_PROBE2(demo, end, i, whole);
}

void marked_request(unsigned int i, bool whole)
{
	free(malloc(1000)); /* of no request */
	copy_counts("begin", i);
	if (i % 2)
		request_odd(i, whole);
	else
		request_even(i, whole);
	copy_counts("end", i);
	free(malloc(2000));
}

#endif
#ifndef MARKED_LIBRARY

static unsigned int requests;
static volatile bool over;

static void *other_thread(void *unused)
{
	while (!over)
		DTRACE_PROBE(demo, end);
	return unused;
}

/* demo:end of another thread means nothing to a request. */
static void threads(void)
{
	pthread_t t;

	over = false;
	if (pthread_create(&t, NULL, other_thread, NULL))
		_exit(72);
	marked_request(requests++, true);
	over = true;
	pthread_join(t, NULL);
}

static void *one_that_leaves(void *unused)
{
	marked_request(requests++, false);
	return unused;
}

static void left(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, one_that_leaves, NULL))
		_exit(72);
	pthread_join(t, NULL);
}

int main(int argc, char **argv)
{
	char line[32];

	(void)argc;
	gate_say("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "threads\n"))
			threads();
		else if (!strcmp(line, "left\n"))
			left();
		else if (!strcmp(line, "exec\n"))
			execv("/proc/self/exe", argv);
		else if (!strcmp(line, "semaphore\n"))
			gate_say("semaphore %u\n", marked_semaphore());
		else
			for (int n = atoi(line); n > 0; n--)
				marked_request(requests++, true);
		if (strcmp(line, "semaphore\n") != 0)
			gate_say("done\n");
	}
	return 0;
}
#endif
