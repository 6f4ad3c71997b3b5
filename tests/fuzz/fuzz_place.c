/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Placement in any text: always a place, within the function's reach, never past the text. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys/place.h"
#include "sys/stack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD 8

static unsigned int on_flow(void *ctx, struct mt_flow *flow)
{
	const struct mt_place_request *rq = ctx;

	if (flow->addr - rq->text_addr >= rq->text_len && flow->how != MT_FLOW_LOST)
		abort();
	return flow->slot ? MT_FOLLOW_NEXT : MT_FOLLOW_NEXT | MT_FOLLOW_TARGET;
}

static void check_depths(const struct mt_place_request *rq)
{
	const uint64_t lines[] = {rq->entry, rq->entry + 1, rq->text_addr + rq->text_len - 1};
	int32_t *depths = NULL;
	bool sound;

	if (mt_stack_depths(rq, lines, sizeof(lines) / sizeof(lines[0]), &depths, &sound))
		return;
	if (depths[0])
		abort();
	free(depths);
}

static void check(const struct mt_place_request *rq)
{
	struct mt_place p;
	uint64_t to;
	size_t budget = 1000;
	bool slot;
	int r = mt_place(rq, &p);

	r = r ?: mt_place_walk(rq, NULL, 0, on_flow, (void *)(uintptr_t)rq, &budget);
	if (r == -E2BIG) {
		if (budget)
			abort();
		r = 0;
	}

	if ((r == 0) != (rq->entry - rq->text_addr < rq->text_len))
		abort();
	if (r)
		return;
	if (p.addr != rq->entry + p.skip || p.skip > 32 || p.addr - rq->text_addr >= rq->text_len ||
	    !p.why || !memchr(p.insn, 0, sizeof(p.insn)))
		abort();
	if (p.skip && p.step != MT_STEP_EMULATED)
		abort();
	mt_place_jump(rq, &to, &slot);
	mt_place_forwards_to(rq, rq->entry + 5);
	mt_place_is_insn(rq, rq->text_addr + rq->text_len - 1);
	check_depths(rq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t starts[4];
	struct mt_place_request rq = {0};

	if (size < HEAD)
		return 0;
	rq.text_addr = data[0] & 1 ? 0x401000 : data[0] & 2 ? 0 : 0xffffffffff000000;
	rq.text = data + HEAD;
	rq.text_len = size - HEAD;
	rq.entry = rq.text_addr + data[1] + (data[0] & 4 ? 0 : rq.text_len / 2);
	rq.size = data[0] & 8 ? data[2] : 0;
	rq.args = data[3] & 7;
	rq.kernel = data[0] & 16 ? 0x061200 : 0x050f00;
	for (int i = 0; i < 4; i++)
		starts[i] = rq.text_addr + (i ? starts[i - 1] - rq.text_addr : 0) + data[4 + i];
	rq.starts = data[0] & 32 ? starts : NULL;
	rq.n_starts = 4;
	check(&rq);
	return 0;
}
