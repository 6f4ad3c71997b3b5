/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers and names out of a fuzzer's input; 0 and "" where it has ended. */
#ifndef MT_TESTS_FUZZ_INPUT_H
#define MT_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *p;
	size_t left;
};

static inline uint8_t byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static inline uint64_t number(struct input *in)
{
	uint64_t v = 0;

	for (int i = byte(in) % 9; i > 0; i--)
		v = v << 8 | byte(in);
	return v;
}

/* Shorter than size, and than most. */
static inline void name(struct input *in, char *to, size_t size, size_t most)
{
	size_t n = byte(in) % (size < most ? size : most);

	for (size_t i = 0; i < n; i++)
		to[i] = (char)byte(in);
	to[n] = '\0';
}

#endif
