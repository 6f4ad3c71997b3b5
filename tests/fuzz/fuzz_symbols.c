/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a person asks for, a NUL, and a symbol of a hostile file: in bounded time and text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys/demangle.h"
#include "sys/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_demangled(const char *symbol, bool args)
{
	char out[MT_DEMANGLED_MAX];

	memset(out, 'x', sizeof(out));
	if (!mt_demangle(symbol, args, out, sizeof(out)) && out[0])
		abort();
	if (!memchr(out, 0, sizeof(out)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mt_symbol_query q;
	char *text = malloc(size + 2), *symbol;
	const char *why;

	if (!text)
		return 0;
	memcpy(text, data, size);
	memset(text + size, 0, 2);
	symbol = text + strlen(text) + 1;
	if (symbol > text + size)
		symbol = text;
	check_demangled(symbol, true);
	check_demangled(symbol, false);
	if (!mt_symbol_parse(text, &q, &why)) {
		if (why || (!q.name[0] && !q.by_addr))
			abort();
		mt_symbol_fit(&q, symbol);
		mt_symbol_in(&q, symbol);
	} else if (!why) {
		abort();
	}
	free(text);
	return 0;
}
