// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The shapes that C functions are compiled to, and the ways to leave them; see the header. */
#include <alloca.h>
#include <setjmp.h>
#include <unistd.h>

#include "func_calls.h"

/* Several paths, some blocks stay, some of others' are given back. */
static __thread void *kept[4];

MEASURED int plain(int n)
{
	struct call *c = record();
	void *p = take(c, (size_t)n % 700 + 1);

	if (n % 3 == 0) {
		give(c, p);
		return n;
	}
	if (n % 7 == 0 && kept[0]) {
		give(c, kept[0]);
		kept[0] = NULL;
	}
	if (n % 5 == 0) {
		void *q = take(c, 5000);

		/* a moved block is one freed and one allocated */
		c->frees++;
		c->free_bytes += malloc_usable_size(q);
		q = took(c, realloc(q, 90000));
		give(c, q);
	}
	if (kept[0])
		give(c, kept[0]);
	kept[0] = p;
	return n + 1;
}

static void run_plain(int n)
{
	plain(n);
}

static __thread struct call *outer;

MEASURED int recursive(int n)
{
	struct call *c = outer ? outer : (outer = record());
	void *p = take(c, 100);
	int sum = n > 0 ? recursive(n - 1) + recursive(n - 2) : 1;

	give(c, p);
	return sum;
}

static void run_recursive(int n)
{
	recursive(n % 6);
	outer = NULL;
}

MEASURED void nothing(void)
{
	record();
}

static void run_nothing(int n)
{
	(void)n;
	nothing();
}

/* Sibling calls: the end of the second is the end of the first. */
MEASURED void *tail_end(struct call *c, size_t n)
{
	void *p = take(c, n), *q = take(c, 2 * n);

	give(c, p);
	return q;
}

MEASURED void *tail_jump(size_t n)
{
	return tail_end(record(), n);
}

static void run_tail_jump(int n)
{
	free(tail_jump((size_t)n % 50 + 1));
}

/* To an allocation function, through the PLT. */
MEASURED void *tail_malloc(size_t n)
{
	return malloc(n);
}

static void run_tail_malloc(int n)
{
	struct call *c = record();
	void *p = took(c, tail_malloc((size_t)n % 50 + 1));

	deep(2);
	free(p);
}

/* Through a pointer, to what memtrace cannot know. */
static void *(*volatile pointer)(struct call *, size_t) = tail_end;

MEASURED void *tail_pointer(struct call *c, size_t n)
{
	return pointer(c, n);
}

static void run_tail_pointer(int n)
{
	free(tail_pointer(record(), (size_t)n % 50 + 1));
}

/* Tables: of the function's own, and of pointers to others. */
#define CASE(i)                                                                                    \
	static __attribute__((noinline)) void *case_##i(struct call *c, size_t n)                  \
	{                                                                                          \
		for (int k = 0; k < i; k++)                                                        \
			give(c, take(c, 16 * (size_t)k + 8));                                      \
		return take(c, n + i);                                                             \
	}
CASE(0)
CASE(1)
CASE(2)
CASE(3)
CASE(4)
CASE(5)
CASE(6)
CASE(7)

MEASURED void *by_switch(int which, struct call *c, size_t n)
{
	switch (which) {
	case 0:
		return case_0(c, n);
	case 1:
		return case_1(c, n + 1);
	case 2:
		return NULL;
	case 3:
		return case_3(c, n + 9);
	case 4:
		return case_4(c, n);
	case 5:
		return case_5(c, 3);
	case 6:
		return c;
	case 7:
		return case_7(c, n + 2);
	default:
		return case_6(c, n);
	}
}

static void run_by_switch(int n)
{
	struct call *c = record();
	void *p = by_switch(n % 9, c, (size_t)n % 50);

	if (p != c)
		free(p);
}

/* A jump to another function, all of whose returns are behind its table. */
static __attribute__((noipa)) void *framed(int which, struct call *c, size_t n)
{
	void *p = take(c, n + 1);

	switch (which) {
	case 0:
		give(c, take(c, 8));
		return p;
	case 1:
		give(c, take(c, n));
		give(c, take(c, 100));
		return p;
	case 2:
		give(c, p);
		return take(c, 70);
	case 3:
		give(c, p);
		return NULL;
	case 4:
		give(c, take(c, 1000));
		give(c, p);
		return take(c, 5);
	case 5:
		return p;
	default:
		__builtin_unreachable();
	}
}

MEASURED void *to_switch(size_t n, struct call *c, int which)
{
	return framed(which, c, n + 1);
}

static void run_to_switch(int n)
{
	free(to_switch((size_t)n % 50, record(), n % 6));
}

static void *(*const handlers[])(struct call *, size_t) = {case_0, case_1, case_2, case_3,
							   case_4, case_5, case_6, case_7};

MEASURED void *by_array(int which, struct call *c, size_t n)
{
	void *(*const *volatile v)(struct call *, size_t) = handlers;

	return v[which](c, n);
}

MEASURED void *by_const_array(struct call *c, size_t n, unsigned int which)
{
	return handlers[which & 7](c, n);
}

static void run_by_array(int n)
{
	free(by_array(n % 8, record(), (size_t)n % 50));
}

static void run_by_const_array(int n)
{
	free(by_const_array(record(), (size_t)n % 50, (unsigned int)n));
}

/* A jump back to the entry, and one that comes from another function. */
MEASURED void *ping(struct call *c, int n);
MEASURED void *pong(struct call *c, int n)
{
	give(c, take(c, 30));
	return ping(c, n - 1);
}

MEASURED void *ping(struct call *c, int n)
{
	if (n <= 0)
		return NULL;
	give(c, take(c, 20));
	return pong(c, n);
}

static void run_ping(int n)
{
	ping(record(), n % 4);
}

MEASURED int varying(int n)
{
	struct call *c = record();
	char *room = alloca((size_t)n % 3000 + 16);
	void *p = take(c, 64);

	memset(room, n, (size_t)n % 3000 + 16);
	give(c, p);
	if (room[n % 16] == 1)
		return 7;
	give(c, take(c, 128));
	return room[3];
}

static void run_varying(int n)
{
	varying(n);
}

/* Left by longjmp: to its caller, and to one farther up. */
static __thread jmp_buf near_by, far_away;

MEASURED void jumper(int n)
{
	struct call *c = record();
	void *p = take(c, 50);

	if (n % 2) {
		c->left = 1;
		kept[1] = p;
		longjmp(n % 4 == 1 ? near_by : far_away, 1);
	}
	give(c, p);
}

static __attribute__((noinline)) void between(int n)
{
	volatile char room[512];

	room[n % 512] = (char)n;
	if (!setjmp(near_by))
		jumper(n);
	deep(3 + (room[0] > 100));
}

static void run_jumper(int n)
{
	if (!setjmp(far_away))
		between(n);
	else
		over(n % 100);
	deep(3);
	free(kept[1]);
	kept[1] = NULL;
}

/* Nothing is allocated in it: only the next call shows that it was left. */
MEASURED void quiet_jumper(int n)
{
	struct call *c = record();

	if (n % 2) {
		c->left = 1;
		longjmp(far_away, 1);
	}
}

static void run_quiet_jumper(int n)
{
	if (!setjmp(far_away))
		quiet_jumper(n);
}

/* By a jump that goes through no library: what comes after it shows that it was left. */
static __thread void *odd_buffer[5];

MEASURED void odd_jumper(int n)
{
	struct call *c = record();

	kept[2] = take(c, 40);
	if (n % 2) {
		c->left = 1;
		__builtin_longjmp(odd_buffer, 1);
	}
	give(c, kept[2]);
	kept[2] = NULL;
}

MEASURED void run_odd_jumper(int n)
{
	if (__builtin_setjmp(odd_buffer) == 0)
		odd_jumper(n);
	deep(2);
	free(kept[2]);
	kept[2] = NULL;
}

/* Threads that end in it, or are cancelled. */
struct cleaned {
	struct call *c;
	void *p;
};

static void clean(void *arg)
{
	struct cleaned *x = arg;

	give(x->c, x->p);
	give(x->c, take(x->c, 700));
}

static void clean_outside(void *p)
{
	free(p);
	deep(2);
}

MEASURED void ends(int n)
{
	struct call *c = record();
	struct cleaned x = {c, take(c, 200)};

	c->left = 1;
	pthread_cleanup_push(clean, &x);
	if (n % 2)
		pthread_exit(NULL);
	pthread_cancel(pthread_self());
	pthread_testcancel();
	pthread_cleanup_pop(1);
}

static void *end_in(void *arg)
{
	deep(1);
	pthread_cleanup_push(clean_outside, malloc(30));
	ends(*(int *)arg);
	pthread_cleanup_pop(1);
	return NULL;
}

static void run_ends(int n)
{
	pthread_t id;

	pthread_create(&id, NULL, end_in, &n);
	pthread_join(id, NULL);
}

/* A call that lasts: until it reads a byte. */
MEASURED void lasting(void)
{
	struct call *c = record();
	void *p = take(c, 300);
	char byte;

	puts("inside");
	fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) == 1)
		give(c, p);
}

static void run_lasting(int n)
{
	(void)n;
	lasting();
}

static const struct function functions[] = {
	{"plain", run_plain},
	{"recursive", run_recursive},
	{"nothing", run_nothing},
	{"tail_jump", run_tail_jump},
	{"tail_malloc", run_tail_malloc},
	{"tail_pointer", run_tail_pointer},
	{"by_switch", run_by_switch},
	{"to_switch", run_to_switch},
	{"by_array", run_by_array},
	{"by_const_array", run_by_const_array},
	{"ping", run_ping},
	{"varying", run_varying},
	{"jumper", run_jumper},
	{"quiet_jumper", run_quiet_jumper},
	{"odd_jumper", run_odd_jumper},
	{"ends", run_ends},
	{"lasting", run_lasting},
	{NULL, NULL},
};

int main(void)
{
	return serve(functions);
}
