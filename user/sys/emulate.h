/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs a small function of a target's file without running it: a few hundred
 * plain integer instructions, registers and a stack of its own; what the
 * function reads elsewhere, the caller answers. It tells what a file's code
 * takes a structure for. Hostile input: nothing is executed, steps are bounded.
 */
#ifndef MT_SYS_EMULATE_H
#define MT_SYS_EMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/elf.h"

struct mt_emulate {
	const struct mt_elf *elf; /* code, at its link-time addresses; PLT entries are followed */
	/*
	 * The value of width (1, 2, 4 or 8) bytes at addr; false stops the run.
	 * Called for whatever is not on the run's own stack.
	 */
	bool (*read)(void *ctx, uint64_t addr, unsigned int width, uint64_t *value);
	void *ctx;
};

/*
 * Calls the function at entry with one argument and gives what it returns.
 * -ENOTSUP: it does what this cannot follow (system calls, vectors, writes to
 * memory other than its stack, too many steps); -ECANCELED: read said no.
 */
int mt_emulate_call(const struct mt_emulate *e, uint64_t entry, uint64_t arg, uint64_t *ret);

#endif
