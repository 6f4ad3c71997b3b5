/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files that decode x86-64 text share. */
#ifndef MT_SYS_PLACE_INTERNAL_H
#define MT_SYS_PLACE_INTERNAL_H

#include <Zydis/Zydis.h>

#include "sys/place.h"

struct mt_insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t addr;
	const uint8_t *bytes;
};

static inline bool mt_place_in_text(const struct mt_place_request *rq, uint64_t addr)
{
	return addr >= rq->text_addr && addr - rq->text_addr < rq->text_len;
}

static inline void mt_insn_init(ZydisDecoder *d)
{
	ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

/* False: no instruction of the text begins at addr. */
bool mt_insn_decode(const ZydisDecoder *d, const struct mt_place_request *rq, uint64_t addr,
		    struct mt_insn *in);
/* Where a direct branch or call leads; false: it is none. */
bool mt_insn_target(const struct mt_insn *in, uint64_t *target);
/* What stands behind it is not reached from it. */
bool mt_insn_ends_line(const struct mt_insn *in);
/* The end of the function, as far as it is known. */
uint64_t mt_place_end(const struct mt_place_request *rq);

#endif
