/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What flagged shares with who looks at it: FLAGS of these, the last for its own use. */
#ifndef FLAGGED_H
#define FLAGGED_H

#include <stdint.h>

#define FLAGS 128

struct flag {
	volatile int32_t tid;
	volatile uint32_t up; /* in malloc or free, or about to be, or just back */
	volatile uint64_t rounds;
	volatile uint64_t over; /* in a signal's handler that runs on top of malloc or free */
	uint64_t pad[5];
};

#endif
