/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/number.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

#define COUNT_WHOLE UINT64_C(100000000)

int64_t mt_difference(uint64_t a, uint64_t b)
{
	return a >= b ? mt_signed(a - b) : -mt_signed(b - a);
}

static uint64_t magnitude(int64_t v)
{
	return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

static const char *sign(int64_t v, bool plus)
{
	return v < 0 ? "-" : v > 0 && plus ? "+" : "";
}

const char *mt_number_bytes(char *buf, int64_t v, bool plus)
{
	static const char units[] = "BKMGTPE";
	uint64_t u = magnitude(v), tenths;
	unsigned int i = 0;

	while (i < sizeof(units) - 2 && u >> (10 * (i + 1)))
		i++;
	/* ten bits below the unit give the decimal and leave room to multiply */
	tenths = i ? (u >> (10 * (i - 1))) * 10 >> 10 : u * 10;
	if (!i)
		snprintf(buf, MT_NUMBER_SIZE, "%s%" PRIu64 "%s", sign(v, plus), u, u ? "B" : "");
	else if (tenths < 1000)
		snprintf(buf, MT_NUMBER_SIZE, "%s%" PRIu64 ".%" PRIu64 "%c", sign(v, plus),
			 tenths / 10, tenths % 10, units[i]);
	else
		snprintf(buf, MT_NUMBER_SIZE, "%s%" PRIu64 "%c", sign(v, plus), tenths / 10,
			 units[i]);
	return buf;
}

const char *mt_number_count(char *buf, int64_t v, bool plus)
{
	static const char units[] = "MGTPE";
	uint64_t u = magnitude(v), per = 1000000;
	unsigned int i = 0;

	if (u < COUNT_WHOLE) {
		snprintf(buf, MT_NUMBER_SIZE, "%s%" PRIu64, sign(v, plus), u);
		return buf;
	}
	for (; i < sizeof(units) - 2 && u / per >= 1000; i++)
		per *= 1000;
	snprintf(buf, MT_NUMBER_SIZE, "%s%" PRIu64 ".%" PRIu64 "%c", sign(v, plus), u / per,
		 u % per / (per / 10), units[i]);
	return buf;
}

const char *mt_number_time(char *buf, uint64_t ns)
{
	uint64_t s = ns / MT_SECOND_NS;

	if (s < 60)
		snprintf(buf, MT_NUMBER_SIZE, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(buf, MT_NUMBER_SIZE, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
	else
		snprintf(buf, MT_NUMBER_SIZE, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600,
			 s / 60 % 60, s % 60);
	return buf;
}
