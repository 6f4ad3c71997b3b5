/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The stack pointer along a function's code. */
#ifndef MT_SYS_STACK_H
#define MT_SYS_STACK_H

#include "sys/place.h"

#define MT_STACK_UNKNOWN INT32_MIN
#define MT_STACK_MAX     (1u << 20) /* bytes of one function */

/*
 * Bytes that the stack pointer is below its value at the entry, before each
 * instruction, by its distance from the entry; MT_STACK_UNKNOWN where none begins
 * that is reached. lines: where else code begins, which only tables lead to. The
 * caller frees *ret. *sound: it is 0 at each return, as it must be. 0, -ENOMEM, or
 * -E2BIG.
 */
int mt_stack_depths(const struct mt_place_request *rq, const uint64_t *lines, size_t n,
		    int32_t **ret, bool *sound);

#endif
