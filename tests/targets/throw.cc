// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Exceptions thrown through allocating code, bad_alloc among them: a probe
// that the unwinder trips over ends this program. It prints "ok".
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace
{
volatile std::size_t huge = PTRDIFF_MAX;
int caught;

struct thrower {
	std::vector<int> v;

	explicit thrower(int n) : v(static_cast<std::size_t>(n % 100))
	{
		if (n % 3 == 0)
			throw std::runtime_error("in a constructor " + std::to_string(n));
	}
};

void deep(int depth, int n)
{
	std::string s(static_cast<std::size_t>(depth * 10 + 20), 'x');
	std::unique_ptr<thrower> t;

	if (depth == 0) {
		t = std::make_unique<thrower>(n);
		throw std::out_of_range(s);
	}
	deep(depth - 1, n);
}

void once(int n)
{
	try {
		deep(n % 20, n);
	} catch (const std::exception &) {
		caught++;
	}
	try {
		std::unique_ptr<char[]> p(new char[huge]);
	} catch (const std::bad_alloc &) {
		caught++;
	}
	if (!new (std::nothrow) char[huge])
		caught++;
	try {
		std::vector<std::string> v;
		v.reserve(v.max_size());
	} catch (const std::bad_alloc &) {
		caught++;
	}
}

// Allocates in the exception's way: a new_handler that throws.
void handler()
{
	std::map<int, std::string> m;

	for (int i = 0; i < 10; i++)
		m[i] = std::string(100, 'y');
	throw std::bad_alloc();
}
} // namespace

int main()
{
	const int rounds = 500;

	for (int i = 0; i < rounds; i++)
		once(i);
	std::set_new_handler(handler);
	for (int i = 0; i < rounds; i++)
		once(i);
	std::thread t([] {
		for (int i = 0; i < rounds; i++)
			once(i);
	});
	t.join();
	std::printf("%s\n", caught == 3 * 4 * rounds ? "ok" : "not all were caught");
	return caught != 3 * 4 * rounds;
}
