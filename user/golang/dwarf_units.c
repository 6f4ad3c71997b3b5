/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/dwarf_units.h"

#include <dwarf.h>
#include <stdbool.h>
#include <string.h>

#define UNITS_MAX   65536u
#define ABBREVS_MAX 4096u
#define ATTRS_MAX   65536u /* of all of them */
#define LONG_FORM   0xffffffffu

static uint64_t get(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

/* The header of the unit at ret->start. False: it is damaged. Sets first_entry 0 if unknown. */
static bool read_header(struct mt_go_bytes info, struct mt_go_unit *ret)
{
	const uint8_t *p = info.p + ret->start;
	const size_t n = info.n - ret->start;
	uint64_t len, head = 4, version;

	ret->first_entry = 0;
	if (n < 12)
		return false;
	len = get(p, 4);
	if (len == LONG_FORM) {
		len = get(p + 4, 8);
		head = 12;
	}
	if (len > n - head)
		return false;
	ret->end = ret->start + head + len;
	/* No Go linker writes the long form: it is passed over. */
	if (head != 4 || len < 8)
		return true;
	version = get(p + 4, 2);
	if (version >= 2 && version <= 4) {
		ret->abbrev = get(p + 6, 4);
		ret->first_entry = ret->start + 11;
	} else if (version == 5 && p[6] == DW_UT_compile) {
		ret->abbrev = get(p + 8, 4);
		ret->first_entry = ret->start + 12;
	}
	return true;
}

static bool leb(struct mt_go_bytes *b, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; b->n && shift < 64; shift += 7) {
		const uint8_t c = *b->p;

		b->p++;
		b->n--;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* The attributes of an abbreviation, up to their end. */
static bool attrs_ok(struct mt_go_bytes *b, unsigned int *attrs)
{
	uint64_t attr, form, constant;

	while (leb(b, &attr) && leb(b, &form)) {
		if (!attr && !form)
			return true;
		if (attr == DW_AT_sibling || ++*attrs > ATTRS_MAX)
			return false;
		if (form == DW_FORM_implicit_const && !leb(b, &constant))
			return false;
	}
	return false;
}

static bool abbrevs_ok(struct mt_go_bytes b, uint64_t at)
{
	unsigned int attrs = 0;
	uint64_t code, tag;

	if (at >= b.n)
		return false;
	b.p += at;
	b.n -= at;
	for (unsigned int i = 0; i < ABBREVS_MAX && leb(&b, &code); i++) {
		if (!code)
			return true;
		if (!leb(&b, &tag) || !b.n)
			return false;
		b.p++; /* whether it has children */
		b.n--;
		if (!attrs_ok(&b, &attrs))
			return false;
	}
	return false;
}

size_t mt_go_units_find(struct mt_go_bytes info, struct mt_go_bytes abbrev, const char *name,
			struct mt_go_unit *ret, size_t max)
{
	struct mt_go_unit u = {0};
	const uint8_t *hit = info.p;
	size_t n = 0;

	for (unsigned int i = 0; u.start < info.n && n < max; i++, u.start = u.end) {
		if (i == UNITS_MAX)
			return 0;
		if (hit < info.p + u.start)
			hit = info.p + u.start;
		hit = memmem(hit, info.n - (size_t)(hit - info.p), name, strlen(name) + 1);
		if (!hit || !read_header(info, &u))
			break;
		if (hit < info.p + u.end && u.first_entry && u.first_entry < u.end &&
		    abbrevs_ok(abbrev, u.abbrev))
			ret[n++] = u;
	}
	return n;
}
