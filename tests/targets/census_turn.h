/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the census's targets share. They run under any glibc from 2.31 on,
 * whatever they were built with: they ask only for symbol versions that all of
 * these have, which includes the start of the program. Between the turns
 * nothing allocates.
 */
#ifndef CENSUS_TURN_H
#define CENSUS_TURN_H

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"

#ifndef CENSUS_STATIC
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
__asm__(".symver __libc_start_main, __libc_start_main@GLIBC_2.2.5");
__asm__(".text\n.globl _start\n.type _start, @function\n_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rdx, %r9\n"
	"	pop %rsi\n"
	"	mov %rsp, %rdx\n"
	"	and $-16, %rsp\n"
	"	push %rax\n"
	"	push %rsp\n"
	"	xor %r8d, %r8d\n"
	"	xor %ecx, %ecx\n"
	"	lea main(%rip), %rdi\n"
	"	call *__libc_start_main@GOTPCREL(%rip)\n"
	"	hlt\n");
#endif

struct rnd {
	uint64_t x;
};

static inline uint64_t rnd_next(struct rnd *r)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return r->x;
}

/* strtoul has a new version where C23 is. */
static inline unsigned long number(const char *s)
{
	unsigned long n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (unsigned long)(*s - '0');
	return n;
}

/* The first character of the test's next line, '\n' if it is empty, 0 at the end. */
static inline char turn(void)
{
	char c, first = 0;

	while (read(STDIN_FILENO, &c, 1) == 1) {
		if (!first)
			first = c;
		if (c == '\n')
			return first;
	}
	return 0;
}

/* "ready PID", then a turn of work a line; "i" asks for what libc says of its arenas. */
static inline int take_turns(void (*work)(unsigned int round))
{
	static char buf[BUFSIZ];
	char c;

	setvbuf(stdout, buf, _IOFBF, sizeof(buf));
	gate_say("ready %d\n", (int)getpid());
	for (unsigned int round = 1; (c = turn());) {
		if (c == 'i') {
			malloc_info(0, stdout);
			fflush(stdout);
		} else {
			work(round++);
		}
		gate_say("done\n");
	}
	return 0;
}

#endif
