/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Durations and byte units, as users type and read them. */
#ifndef MT_BASE_UNITS_H
#define MT_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum mt_unit { MT_UNIT_AUTO, MT_UNIT_B, MT_UNIT_KIB, MT_UNIT_MIB, MT_UNIT_GIB };

/* "500ms", "2s", "1m", "1h", "1.5s"; a bare number is seconds. Above 0. 0 or -EINVAL/-ERANGE. */
int mt_parse_duration(const char *s, uint64_t *ns);
/* "auto", "B", "KiB", "MiB", "GiB" in any case. 0 or -EINVAL. */
int mt_parse_unit(const char *s, enum mt_unit *unit);

/*
 * Writes bytes in the unit, whole units rounded down as Go's PrintMemUsage does
 * ("12 MiB"); MT_UNIT_AUTO takes the largest unit not above the value, with one
 * decimal rounded down ("1.5 GiB", "15.9 EiB"; below 1 KiB "512 B"). buf is filled and returned.
 */
const char *mt_format_bytes(char *buf, size_t size, uint64_t bytes, enum mt_unit unit);

/*
 * "850 ns", "31.2 us", "1.5 ms", "2.0 s"; of more than a day "1e+05 s". buf is
 * filled and returned.
 */
#define MT_DURATION_SIZE 24
const char *mt_format_duration(char *buf, size_t size, uint64_t ns);

/*
 * ns since the epoch as RFC 3339 in UTC with nanoseconds,
 * "2026-01-02T03:04:05.000000006Z". buf is filled and returned.
 */
#define MT_TIME_SIZE 40
const char *mt_format_time(char *buf, size_t size, uint64_t ns);

#endif
