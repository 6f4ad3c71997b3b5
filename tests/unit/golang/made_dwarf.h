/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Debug information as a Go linker writes it, of the runtime's structs alone, by a layout. */
#ifndef TESTS_UNIT_GOLANG_MADE_DWARF_H
#define TESTS_UNIT_GOLANG_MADE_DWARF_H

#include <dwarf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "golang/dwarf.h"
#include "golang/layout.h"

#define MADE_INFO_MAX 8192

struct made {
	uint8_t info[MADE_INFO_MAX], abbrev[128];
	size_t n, n_abbrev;
};

enum { MADE_UNIT = 1, MADE_STRUCT, MADE_MEMBER, MADE_PLAIN, MADE_TYPEDEF, MADE_SIBLING };

static void made_abbrev(struct made *m, uint8_t code, uint8_t tag, int children,
			const uint8_t *attrs, size_t n)
{
	m->abbrev[m->n_abbrev++] = code;
	m->abbrev[m->n_abbrev++] = tag;
	m->abbrev[m->n_abbrev++] = (uint8_t)children;
	memcpy(m->abbrev + m->n_abbrev, attrs, n);
	m->n_abbrev += n;
	m->abbrev[m->n_abbrev++] = 0;
	m->abbrev[m->n_abbrev++] = 0;
}

static void made_abbrevs(struct made *m, int sibling)
{
	static const uint8_t unit[] = {DW_AT_name, DW_FORM_string},
			     type[] = {DW_AT_name, DW_FORM_string, DW_AT_byte_size, DW_FORM_udata},
			     member[] = {DW_AT_name,    DW_FORM_string, DW_AT_data_member_location,
					 DW_FORM_udata, DW_AT_type,     DW_FORM_ref_addr},
			     named[] = {DW_AT_name, DW_FORM_string, DW_AT_type, DW_FORM_ref_addr},
			     next[] = {DW_AT_sibling, DW_FORM_ref4};

	m->n_abbrev = 0;
	made_abbrev(m, MADE_UNIT, DW_TAG_compile_unit, 1, unit, sizeof(unit));
	made_abbrev(m, MADE_STRUCT, DW_TAG_structure_type, 1, type, sizeof(type));
	made_abbrev(m, MADE_MEMBER, DW_TAG_member, 0, member, sizeof(member));
	made_abbrev(m, MADE_PLAIN, DW_TAG_member, 0, member, sizeof(member) - 2);
	made_abbrev(m, MADE_TYPEDEF, DW_TAG_typedef, 0, named, sizeof(named));
	if (sibling)
		made_abbrev(m, MADE_SIBLING, DW_TAG_structure_type, 1, next, sizeof(next));
	m->abbrev[m->n_abbrev++] = 0;
}

static void made_byte(struct made *m, uint64_t v)
{
	if (m->n < MADE_INFO_MAX)
		m->info[m->n++] = (uint8_t)v;
}

static void made_u32(struct made *m, uint64_t v)
{
	for (int i = 0; i < 4; i++)
		made_byte(m, v >> 8 * i);
}

static void made_leb(struct made *m, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		made_byte(m, v | 0x80);
	made_byte(m, v);
}

static void made_text(struct made *m, const char *s)
{
	do
		made_byte(m, (uint8_t)*s);
	while (*s++);
}

/* Returns where it stands, which a member of its type refers to. */
static size_t made_struct(struct made *m, const char *name, int64_t size)
{
	const size_t at = m->n;

	made_leb(m, MADE_STRUCT);
	made_text(m, name);
	made_leb(m, (uint64_t)size);
	return at;
}

static void made_end(struct made *m)
{
	made_byte(m, 0);
}

/* type: where it stands; 0: of no type that is looked at. */
static void made_member(struct made *m, const char *name, int64_t off, size_t type)
{
	made_leb(m, type ? MADE_MEMBER : MADE_PLAIN);
	made_text(m, name);
	made_leb(m, (uint64_t)off);
	if (type)
		made_u32(m, type);
}

/* The unit's header, and the types of members that have members which are read. */
struct made_types {
	size_t mutex, stats, alloc;
};

static struct made_types made_head(struct made *m, const struct mt_go_layout *l)
{
	struct made_types t;
	size_t at;

	m->n = 0;
	made_u32(m, 0); /* the length, see made_close() */
	made_byte(m, 4);
	made_byte(m, 0);
	made_u32(m, 0);
	made_byte(m, 8);
	made_leb(m, MADE_UNIT);
	made_text(m, "runtime");
	at = made_struct(m, "runtime.mutex", 8);
	made_member(m, "key", 0, 0);
	made_end(m);
	t.mutex = m->n;
	made_leb(m, MADE_TYPEDEF);
	made_text(m, "runtime.mutex");
	made_u32(m, at);
	t.stats = made_struct(m, "runtime.consistentHeapStats", 3600);
	made_member(m, "stats", 0, 0);
	made_member(m, "gen", l->mstats_heap_stats_gen - l->mstats_heap_stats_stats, 0);
	made_member(m, "noPLock", l->mstats_heap_stats_no_plock_key - l->mstats_heap_stats_stats,
		    t.mutex);
	made_end(m);
	t.alloc = made_struct(m, "runtime.fixalloc", 88);
	made_member(m, "inuse", 56, 0);
	made_end(m);
	return t;
}

/* What member's name begins with, if it is a member of a member that was not written yet. */
static size_t made_nested(const struct made_types *t, const char *name, int64_t *off, char *outer)
{
	const size_t len = strcspn(name, ".");

	memcpy(outer, name, len);
	outer[len] = '\0';
	if (strcmp(name, "heapStats.stats") == 0)
		return t->stats;
	if (strcmp(name + len, ".key") == 0)
		return t->mutex;
	if (strcmp(name + len, ".inuse") == 0) {
		*off -= 56;
		return t->alloc;
	}
	return 0;
}

static void made_members(struct made *m, const struct made_types *t, const char *of,
			 const struct mt_go_layout *l)
{
	const struct {
		const char *of, *name;
		int64_t off;
	} all[] = {
#define MT_GO_MEMBER(of, member, name) {of, member, l->name},
		MT_GO_MEMBERS(MT_GO_MEMBER)
#undef MT_GO_MEMBER
	};
	char full[64] = "runtime.", outer[64];

	strcat(full, of);
	for (size_t i = sizeof(all) / sizeof(all[0]); i-- > 0;)
		if (strcmp(all[i].of, of) == 0 && strcmp(all[i].name, "(sizeof)") == 0)
			made_struct(m, full, all[i].off);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int64_t off = all[i].off;
		size_t type;

		if (strcmp(all[i].of, of) != 0 || all[i].name[0] == '(' || off == MT_GO_ABSENT)
			continue;
		type = made_nested(t, all[i].name, &off, outer);
		if (type || !strchr(all[i].name, '.'))
			made_member(m, outer, off, type);
	}
	made_end(m);
}

static void made_close(struct made *m)
{
	const size_t len = m->n - 4;

	for (size_t i = 0; i < 4; i++)
		m->info[i] = (uint8_t)(len >> 8 * i);
}

/* sibling: with an abbreviation that has DW_AT_sibling, which nothing uses. */
static void made_dwarf(struct made *m, const struct mt_go_layout *l, int sibling)
{
	static const char *const structs[] = {"mstats",    "heapStatsDelta", "gcControllerState",
					      "heapArena", "mspan",          "p",
					      "mcache",    "mheap"};
	struct made_types t;

	made_abbrevs(m, sibling);
	t = made_head(m, l);
	for (size_t i = 0; i < sizeof(structs) / sizeof(structs[0]); i++) {
		/* The table has no size of these two. */
		if (strcmp(structs[i], "heapArena") == 0 || strcmp(structs[i], "p") == 0)
			made_struct(m, structs[i][0] == 'p' ? "runtime.p" : "runtime.heapArena", 9);
		made_members(m, &t, structs[i], l);
	}
	made_end(m);
	made_close(m);
}

#endif
