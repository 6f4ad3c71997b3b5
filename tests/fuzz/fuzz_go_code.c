/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The function table and the code of a stripped Go program. The first byte says
 * which function the rest is the code of, or above those that it is a table.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "golang/operands.h"
#include "golang/pclntab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT 0x401000ull

static bool is_data(void *ctx, uint64_t addr, uint64_t len)
{
	(void)ctx;
	return addr >= TEXT && addr - TEXT < (1u << 24) && len <= (1u << 24) - (addr - TEXT);
}

static void use_table(const uint8_t *data, size_t size)
{
	struct mt_go_func f[MT_GO_CODES];
	struct mt_go_pclntab t;

	if (mt_go_pclntab_open(data, size, &t))
		return;
	if (mt_go_pclntab_find(&t, mt_go_code_names, MT_GO_CODES, f) > MT_GO_CODES)
		abort();
	for (size_t i = 0; i < MT_GO_CODES; i++)
		if (f[i].size > UINT32_MAX)
			abort();
}

static void use_code(enum mt_go_code from, const uint8_t *data, size_t size)
{
	static struct mt_go_refs refs;
	struct mt_go_ties ties[MT_GO_VARS];

	refs.n = 0;
	mt_go_refs_add(&refs, from, data, size, TEXT, is_data, NULL);
	mt_go_refs_add(&refs, MT_GO_STACKPOOLFREE, data, size, TEXT, is_data, NULL);
	mt_go_refs_sort(&refs);
	for (size_t i = 1; i < refs.n; i++)
		if (refs.v[i - 1].addr >= refs.v[i].addr)
			abort();
	for (size_t i = 0; i < mt_go_layouts_count; i++) {
		mt_go_refs_solve(&refs, &mt_go_layouts[i], is_data, NULL, ties);
		for (size_t k = 0; k < MT_GO_VARS; k++)
			if (ties[k].n > MT_GO_TIES ||
			    (ties[k].n && !is_data(NULL, ties[k].v[0], 1)))
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] < MT_GO_CODES)
		use_code((enum mt_go_code)data[0], data + 1, size - 1);
	else
		use_table(data + 1, size - 1);
	return 0;
}
