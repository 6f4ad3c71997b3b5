// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* C++ functions that are left by exceptions, and names that are alike; see func_calls.h. */
#include <string>

#include "func_calls.h"

namespace shop
{

/* Frees when the stack is unwound: within a call, and outside of it. */
struct Held {
	struct call *c;
	void *p;
	Held(struct call *of, size_t n) : c(of), p(c ? take(c, n) : malloc(n))
	{
	}
	~Held()
	{
		if (c)
			give(c, p);
		else
			free(p);
	}
};

class Till
{
      public:
	__attribute__((noipa)) int pay(int n);
	__attribute__((noipa)) int pay(const std::string &s);
};

struct Big {
	char text[200];
};

/* The exception itself is a block of the call's, libstdc++'s header in front of it. */
static size_t size_of_int, size_of_big;

static void measure_exceptions()
{
	void *p = malloc(128 + sizeof(int)), *q = malloc(128 + sizeof(Big));

	size_of_int = malloc_usable_size(p);
	size_of_big = malloc_usable_size(q);
	free(p);
	free(q);
}

__attribute__((noipa)) static void refuse(struct call *c, int n)
{
	c->mallocs++;
	c->alloc_bytes += n % 2 ? size_of_int : size_of_big;
	if (n % 2)
		throw n;
	throw Big();
}

int Till::pay(int n)
{
	struct call *c = record();
	Held held(c, 100);

	if (n % 4 == 3) {
		c->left = 1;
		refuse(c, n / 4);
	}
	try {
		Held inner(c, 50);

		if (n % 4 == 2)
			refuse(c, 1);
	} catch (int) {
		give(c, take(c, 2000));
		c->frees++;
		c->free_bytes += size_of_int;
	}
	return n;
}

int Till::pay(const std::string &s)
{
	record();
	return (int)s.size();
}

template <typename T> __attribute__((noipa)) T twice(T v)
{
	struct call *c = record();

	give(c, take(c, sizeof(v)));
	return v + v;
}

} // namespace shop

/* Catches at once, far up, and with destructors on the way. */
static __attribute__((noipa)) void catch_here(int n)
{
	shop::Till till;

	try {
		till.pay(n);
	} catch (int) {
		deep(3);
	} catch (const shop::Big &) {
		deep(2);
	}
}

static __attribute__((noipa)) void on_the_way(int n)
{
	volatile char room[512];
	shop::Till till;
	shop::Held held(nullptr, 60);

	room[n % 512] = 1;
	till.pay(n);
	deep(room[0] > 100);
}

static __attribute__((noipa)) void farther(int n)
{
	shop::Held held(nullptr, 70);

	on_the_way(n);
	deep(1);
}

static void run_pay(int n)
{
	catch_here(n);
	try {
		farther(n);
	} catch (...) {
		over(n % 100);
		deep(3);
	}
}

static void run_twice(int n)
{
	shop::twice(n);
	shop::twice((double)n);
}

static void run_other_pay(int n)
{
	shop::Till till;

	till.pay(std::string((size_t)n % 50, 'x'));
}

static const struct function functions[] = {
	{"pay", run_pay},
	{"twice", run_twice},
	{"other_pay", run_other_pay},
	{NULL, NULL},
};

int main()
{
	shop::measure_exceptions();
	return serve(functions);
}
