/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Walking any code, and judging it: bounded, within the text, never for nothing. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "alloc/tcmalloc_find.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD 2

static void check_end(const struct mt_eval *ev, const struct mt_eval_end *end)
{
	uint64_t v;
	bool holds;

	if (end->result >= ev->n_nodes || end->args[0] >= ev->n_nodes ||
	    end->args[1] >= ev->n_nodes || end->n_conds > MT_EVAL_CONDS)
		abort();
	mt_eval_value(ev, end->result, NULL, 0, &v);
	mt_eval_only_load(ev, end->result);
	for (size_t i = 0; i < end->n_conds; i++)
		mt_eval_cond(ev, &end->conds[i], NULL, 0, &holds);
}

static void check_nodes(const struct mt_eval *ev)
{
	if (ev->n_nodes > MT_EVAL_NODES || ev->n_ends > MT_EVAL_ENDS)
		abort();
	for (size_t i = 1; i < ev->n_nodes; i++) /* what a node is made from comes before it */
		if (ev->nodes[i].a >= i || ev->nodes[i].b >= i)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mt_eval ev;
	struct mt_place_request rq = {.text_addr = 0x1000};
	struct mt_tcmalloc tc = {.sizes = 1};
	int r;

	if (size < HEAD)
		return 0;
	rq.text = data + HEAD;
	rq.text_len = size - HEAD;
	rq.entry = rq.text_addr + data[0];
	rq.size = data[1] ? data[1] : rq.text_len;
	r = mt_eval_run(&rq, &ev);
	mt_eval_names_address(&rq, 0x1000, 0x2000);
	if (r == -EINVAL)
		return 0;
	check_nodes(&ev);
	for (size_t i = 0; i < ev.n_ends; i++)
		check_end(&ev, &ev.ends[i]);
	mt_tcmalloc_from_nallocx(&ev, &tc);
	mt_tcmalloc_from_size(&ev, &tc);
	return 0;
}
