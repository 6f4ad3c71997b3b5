/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Conditions over the numbers of a snapshot: "Alloc > 2GiB", "rss > 80%",
 * "HeapObjects grows 1e6/min". Pure: text and numbers in, numbers out.
 */
#ifndef MT_TRIGGER_CONDITION_H
#define MT_TRIGGER_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/field.h"
#include "model/snapshot.h"
#include "sys/vm.h"

enum mt_condition_op { MT_OP_ABOVE, MT_OP_FROM, MT_OP_BELOW, MT_OP_TO, MT_OP_GROWS };

struct mt_condition {
	const char *name;             /* of the field, as its table has it; static */
	const struct mt_field *field; /* of memstats; NULL: of the address space, at vm_offset */
	size_t vm_offset;
	enum mt_vm_depth depth; /* what a snapshot must have read for it */
	enum mt_field_unit unit;
	enum mt_condition_op op;
	double amount;      /* bytes, ns, a number or a ratio; with percent of the limit, 0.8 */
	bool percent;       /* amount is a share of the memory limit */
	uint64_t window_ns; /* GROWS: by amount in so long */
};

struct mt_condition_error {
	size_t column; /* of the text, from 1, in characters */
	char why[200]; /* what is wrong there and what to write instead; safe to print */
};

/*
 *   FIELD (">" | ">=" | "<" | "<=") AMOUNT
 *   FIELD "grows" AMOUNT "/" [NUMBER] TIME
 *
 * FIELD is one of MemStats or of "vm" in the JSON, in any case. AMOUNT is a number,
 * 2, 1.5 or 1e6, with the unit that the field has: B, K or KiB, KB, M… of bytes (as
 * in coreutils), a % of the memory limit, ns to h of a time, % of a ratio. A field
 * that is a point in time is compared by its age. 0, or -EINVAL and *e is filled.
 */
int mt_condition_parse(const char *text, struct mt_condition *ret, struct mt_condition_error *e);

/* The field's value. False: this snapshot has none. */
bool mt_condition_value(const struct mt_condition *c, const struct mt_snapshot *s, double *v);

/* Of a condition that does not grow: limit is the memory limit in bytes, with percent. */
bool mt_condition_holds(const struct mt_condition *c, double v, uint64_t limit);

/* What a value was like over the last window, in 256 steps of it. All zero at first. */
#define MT_GROWTH_STEPS 256
struct mt_growth {
	struct {
		uint64_t ns;
		double v;
	} at[MT_GROWTH_STEPS + 4]; /* a ring */
	unsigned int first, n;
};

/*
 * Adds the value at ns, which never goes back, and tells whether it grew by the
 * amount or more in the window that ends there: never before there was a whole one.
 */
bool mt_condition_grew(const struct mt_condition *c, struct mt_growth *g, uint64_t ns, double v,
		       uint64_t limit);

#endif
