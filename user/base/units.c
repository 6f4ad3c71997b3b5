/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static const struct {
	const char *suffix;
	uint64_t ns;
} durations[] = {
	{"", NS_PER_S},         {"ns", 1},       {"us", 1000},
	{"ms", 1000000},        {"s", NS_PER_S}, {"m", 60 * NS_PER_S},
	{"h", 3600 * NS_PER_S},
};

static const struct {
	const char *name;
	enum mt_unit unit;
} units[] = {
	{"auto", MT_UNIT_AUTO}, {"B", MT_UNIT_B},     {"KiB", MT_UNIT_KIB},
	{"MiB", MT_UNIT_MIB},   {"GiB", MT_UNIT_GIB},
};

static int suffix_ns(const char *s, uint64_t *ns)
{
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		if (!strcmp(s, durations[i].suffix)) {
			*ns = durations[i].ns;
			return 0;
		}
	}
	return -EINVAL;
}

/* Reads digits into *v, saturating; returns where they end. */
static const char *digits(const char *s, uint64_t *v)
{
	for (*v = 0; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, *s - '0', v))
			*v = UINT64_MAX;
	}
	return s;
}

/* Reads digits after a point into *v / *scale; those below 10^-9 are dropped. */
static const char *fraction(const char *s, uint64_t *v, uint64_t *scale)
{
	for (; *s >= '0' && *s <= '9'; s++) {
		if (*scale < NS_PER_S) {
			*v = *v * 10 + (uint64_t)(*s - '0');
			*scale *= 10;
		}
	}
	return s;
}

int mt_parse_duration(const char *s, uint64_t *ns)
{
	uint64_t whole, part = 0, scale = 1, per, out;
	const char *end = digits(s, &whole);
	int seen = end > s;

	if (*end == '.') {
		const char *start = end + 1;

		end = fraction(start, &part, &scale);
		seen = seen || end > start;
	}
	if (!seen || suffix_ns(end, &per) < 0)
		return -EINVAL;
	/* part < 10^9 and per < 2^42: the product needs more than 64 bits. */
	part = (uint64_t)((unsigned __int128)part * per / scale);
	if (__builtin_mul_overflow(whole, per, &out) || __builtin_add_overflow(out, part, &out))
		return -ERANGE;
	if (!out || whole == UINT64_MAX)
		return -ERANGE;
	*ns = out;
	return 0;
}

int mt_parse_unit(const char *s, enum mt_unit *unit)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcasecmp(s, units[i].name)) {
			*unit = units[i].unit;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *format_auto(char *buf, size_t size, uint64_t bytes)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned int i = 0;
	uint64_t tenths;

	while (i < 6 && bytes >> (10 * (i + 1)))
		i++;
	if (!i) {
		snprintf(buf, size, "%" PRIu64 " B", bytes);
		return buf;
	}
	/* Ten bits below the unit give the decimal and leave room to multiply. */
	tenths = (bytes >> (10 * (i - 1))) * 10 >> 10;
	snprintf(buf, size, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, names[i]);
	return buf;
}

const char *mt_format_bytes(char *buf, size_t size, uint64_t bytes, enum mt_unit unit)
{
	static const char *const names[] = {"", "B", "KiB", "MiB", "GiB"};

	if (unit <= MT_UNIT_AUTO || unit > MT_UNIT_GIB)
		return format_auto(buf, size, bytes);
	snprintf(buf, size, "%" PRIu64 " %s", bytes >> (10 * (unit - MT_UNIT_B)), names[unit]);
	return buf;
}

const char *mt_format_time(char *buf, size_t size, uint64_t ns)
{
	time_t s = (time_t)(ns / NS_PER_S);
	struct tm tm;
	size_t n;

	/* Seconds of a 64-bit ns count end in the year 2554: gmtime_r cannot fail. */
	gmtime_r(&s, &tm);
	n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%09" PRIu64 "Z", ns % NS_PER_S);
	return buf;
}

const char *mt_format_duration(char *buf, size_t size, uint64_t ns)
{
	static const char *const steps[] = {"us", "ms", "s"};
	double v = (double)ns / 1e3;
	size_t i = 0;

	if (ns < 1000) {
		snprintf(buf, size, "%" PRIu64 " ns", ns);
		return buf;
	}
	for (; i < 2 && v >= 999.95; i++) /* which is shown as 1000.0 */
		v /= 1e3;
	snprintf(buf, size, v < 86400 ? "%.1f %s" : "%.2g %s", v, steps[i]);
	return buf;
}
