/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Build info as a hostile program could carry it; its pointers lead into the same bytes. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "golang/buildinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *p;
	size_t n;
};

static size_t at(void *ctx, uint64_t addr, void *dst, size_t n)
{
	const struct bytes *b = ctx;

	if (addr > b->n || n > b->n - addr)
		return 0;
	memcpy(dst, b->p + addr, n);
	return n;
}

static void check_text(const char *s, size_t size)
{
	size_t n = strlen(s);

	if (n >= size)
		abort();
	while (n--)
		if (s[n] <= ' ' || s[n] > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes all = {data, size};
	char why[MT_WHY_SIZE] = "";
	struct mt_go_build b;
	bool green;
	int r;

	mt_go_buildinfo(data, size, at, &all, &b);
	check_text(b.version, sizeof(b.version));
	check_text(b.experiments, sizeof(b.experiments));
	r = mt_go_build_check(&b, &green, why);
	if ((r != 0 && r != -ENOTSUP) || (r != 0) != (why[0] != '\0'))
		abort();
	for (const char *p = why; *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
	return 0;
}
