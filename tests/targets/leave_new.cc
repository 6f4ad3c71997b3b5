// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Leaves operator new in ways that no return sees: by a longjmp, by a cancelled
// thread, by an exception, each out of a new_handler. After each it allocates 10
// blocks of 3300 bytes, from the frame that called operator new and from deeper
// ones, and frees 4: a count that took operator new for still open misses some.
//
//   leave_new jump|cancel|throw ROUNDS      runs once per line on standard input
#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <pthread.h>

#include "gate.h"

namespace
{
volatile std::size_t huge = PTRDIFF_MAX;
jmp_buf env;

void jump()
{
	std::longjmp(env, 1);
}

void cancel()
{
	pthread_cancel(pthread_self());
	pthread_testcancel();
}

void throw_it()
{
	throw std::bad_alloc();
}

__attribute__((noinline)) void use(int depth)
{
	void *volatile v[2];
	char room[64];

	std::memset(room, depth, sizeof(room));
	__asm__ volatile("" ::"r"(room) : "memory");
	v[0] = std::malloc(3300);
	v[1] = std::malloc(3300);
	if (depth % 2)
		std::free(v[0]);
	if (depth)
		use(depth - 1);
	__asm__ volatile("" ::: "memory");
}

void *in_thread(void *)
{
	return ::operator new(huge);
}

void once(const char *how)
{
	pthread_t t;

	if (how[0] == 'j') {
		if (!setjmp(env))
			std::free(::operator new(huge));
	} else if (how[0] == 'c') {
		if (pthread_create(&t, nullptr, in_thread, nullptr) || pthread_join(t, nullptr))
			_exit(2);
	} else {
		try {
			std::free(::operator new(huge));
		} catch (const std::bad_alloc &) {
		}
	}
	use(4);
}
} // namespace

int main(int argc, char **argv)
{
	const int rounds = argc > 2 ? std::atoi(argv[2]) : 1;
	const char *how = argc > 1 ? argv[1] : "throw";

	std::set_new_handler(how[0] == 'j' ? jump : how[0] == 'c' ? cancel : throw_it);
	gate_say("ready\n");
	while (gate_wait()) {
		for (int i = 0; i < rounds; i++)
			once(how);
		gate_say("done\n");
	}
	return 0;
}
