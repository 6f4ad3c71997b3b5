// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Every operator new and delete, in many threads, refused ones among them: some
// return NULL, some throw, with a third argument by a new_handler that allocates.
//
//   operators THREADS ROUNDS [handler]      runs once per line on standard input
//
// Blocks stay live from run to run and are freed by whichever thread finds them.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "gate.h"

namespace
{
volatile std::size_t huge = PTRDIFF_MAX;
bool never_refused;

// What must be given back as it was made.
struct block {
	void *p;
	std::size_t size, align;
	bool array;
};

struct random_numbers {
	std::uint64_t x;

	std::uint64_t operator()()
	{
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		return x;
	}
};

std::size_t some_size(random_numbers &r)
{
	const std::uint64_t v = r();

	if (v % 40 == 0)
		return (v >> 8) % 3000000;
	return v % 8 == 0 ? (v >> 8) % 40000 : (v >> 8) % 600;
}

block make(random_numbers &r)
{
	block b{nullptr, some_size(r), 0, r() % 2 == 0};
	const bool quiet = r() % 4 == 0;

	if (r() % 4 == 0)
		b.align = std::size_t{16} << r() % 9;
	const auto align = std::align_val_t(b.align);
	if (b.align && quiet)
		b.p = b.array ? ::operator new[](b.size, align, std::nothrow)
			      : ::operator new(b.size, align, std::nothrow);
	else if (b.align)
		b.p = b.array ? ::operator new[](b.size, align) : ::operator new(b.size, align);
	else if (quiet)
		b.p = b.array ? ::operator new[](b.size, std::nothrow)
			      : ::operator new(b.size, std::nothrow);
	else
		b.p = b.array ? ::operator new[](b.size) : ::operator new(b.size);
	return b;
}

void unmake_aligned(const block &b, unsigned int how)
{
	const auto align = std::align_val_t(b.align);

	if (how == 0)
		b.array ? ::operator delete[](b.p, align) : ::operator delete(b.p, align);
	else if (how == 1 && b.size) // jemalloc 5.3 takes one of 0 bytes for another's
		b.array ? ::operator delete[](b.p, b.size, align)
			: ::operator delete(b.p, b.size, align);
	else
		b.array ? ::operator delete[](b.p, align, std::nothrow)
			: ::operator delete(b.p, align, std::nothrow);
}

void unmake(const block &b, random_numbers &r)
{
	const auto how = static_cast<unsigned int>(r() % 3);

	if (b.align)
		unmake_aligned(b, how);
	else if (how == 0)
		b.array ? ::operator delete[](b.p) : ::operator delete(b.p);
	else if (how == 1)
		b.array ? ::operator delete[](b.p, b.size) : ::operator delete(b.p, b.size);
	else
		b.array ? ::operator delete[](b.p, std::nothrow)
			: ::operator delete(b.p, std::nothrow);
}

void refused(random_numbers &r)
{
	const auto how = r() % 4;

	try {
		if (how == 0)
			::operator delete(::operator new(huge));
		else if (how == 1)
			::operator delete[](::operator new[](huge, std::align_val_t(64)),
					    std::align_val_t(64));
		else if (how == 2 && ::operator new(huge, std::nothrow))
			std::abort();
		else if (::operator new[](huge, std::align_val_t(32), std::nothrow))
			std::abort();
		if (how < 2)
			std::abort();
	} catch (const std::bad_alloc &) {
		std::string s(100 + how, 'x'); // while the exception lives
		if (s.empty())
			std::abort();
	}
}

constexpr std::size_t SLOTS = 512;
std::atomic<block *> slots[SLOTS];

void work(unsigned int seed, unsigned int rounds)
{
	random_numbers r{seed * 2654435761u + 88172645463325252u};

	for (unsigned int i = 0; i < rounds; i++) {
		block *b = new block(make(r));

		b = slots[r() % SLOTS].exchange(b);
		if (b)
			unmake(*b, r);
		delete b;
		if (i % 64 == 0 && !never_refused)
			refused(r);
	}
}

void handler()
{
	delete new std::string(200, 'y');
	throw std::bad_alloc();
}

void run(unsigned int threads, unsigned int rounds, unsigned int turn)
{
	std::vector<std::thread> v;

	for (unsigned int i = 0; i < threads; i++)
		v.emplace_back(work, turn * threads + i + 1, rounds);
	for (auto &t : v)
		t.join();
}
} // namespace

int main(int argc, char **argv)
{
	const unsigned int threads = argc > 1 ? static_cast<unsigned int>(std::atoi(argv[1])) : 1;
	const unsigned int rounds = argc > 2 ? static_cast<unsigned int>(std::atoi(argv[2])) : 1000;

	if (argc > 3)
		std::set_new_handler(handler);
	never_refused = std::getenv("NEVER_REFUSED");
	gate_say("ready\n");
	for (unsigned int turn = 0; gate_wait(); turn++) {
		run(threads, rounds, turn);
		gate_say("done\n");
	}
	return 0;
}
