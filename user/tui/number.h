/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers for narrow columns: rounded down, three digits and a unit. */
#ifndef MT_TUI_NUMBER_H
#define MT_TUI_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MT_NUMBER_SIZE 48

/* v, or INT64_MAX where it is more. */
static inline int64_t mt_signed(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

/* a - b, saturating. */
int64_t mt_difference(uint64_t a, uint64_t b);

/*
 * "0", "512B", "1.5K", "260M": units of 1024. plus writes + in front of what is
 * above 0. Fills and returns buf, of MT_NUMBER_SIZE.
 */
const char *mt_number_bytes(char *buf, int64_t v, bool plus);
/* "99999999", "123.4M", "5.6G": eight digits in full, then units of 1000. */
const char *mt_number_count(char *buf, int64_t v, bool plus);
/* "45 s", "4:30", "2:10:05" */
const char *mt_number_time(char *buf, uint64_t ns);

#endif
