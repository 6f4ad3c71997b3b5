/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * By libdw, over copies of the sections: it maps no file of a target, and no file
 * can change under it. Only the unit is looked at that names the runtime's types,
 * and only if its abbreviations are few and none has DW_AT_sibling, which Go's
 * never have, and which may send dwarf_siblingof() round in circles.
 */
#include "golang/dwarf.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "golang/dwarf_units.h"
#include "sys/elf.h"

#define INFO_MAX    (192ul << 20) /* bytes of .debug_info, decompressed */
#define PART_MAX    (32ul << 20)  /* of each other section */
#define UNITS_TRIED 4
#define ENTRIES_MAX (4ul << 20)
#define DEADLINE_NS (2 * (uint64_t)MT_SECOND_NS)
#define DEEP_MAX    8 /* typedefs in a row */

static const char *const part_names[MT_GO_DWARF_PARTS] = {
	[MT_GO_DWARF_INFO] = "debug_info",
	[MT_GO_DWARF_ABBREV] = "debug_abbrev",
	[MT_GO_DWARF_STR] = "debug_str",
	[MT_GO_DWARF_LINE_STR] = "debug_line_str",
	[MT_GO_DWARF_STR_OFFSETS] = "debug_str_offsets",
};

static int load_part(const struct mt_elf *elf, const char *name, size_t max, uint8_t **bytes,
		     size_t *n)
{
	char full[32];
	struct mt_elf_section s;

	snprintf(full, sizeof(full), ".%s", name);
	if (mt_elf_find_section(elf, full, &s)) {
		snprintf(full, sizeof(full), ".z%s", name);
		if (mt_elf_find_section(elf, full, &s))
			return -ENOENT;
	}
	return mt_elf_section_copy(elf, &s, max, bytes, n);
}

int mt_go_dwarf_load(const struct mt_elf *elf, struct mt_go_dwarf *ret)
{
	struct mt_go_dwarf d = {0};
	int r = load_part(elf, part_names[0], INFO_MAX, &d.bytes[0], &d.n[0]);

	if (r && mt_elf_debug(elf)) {
		elf = mt_elf_debug(elf);
		r = load_part(elf, part_names[0], INFO_MAX, &d.bytes[0], &d.n[0]);
	}
	for (size_t i = 1; !r && i < MT_GO_DWARF_PARTS; i++) {
		r = load_part(elf, part_names[i], PART_MAX, &d.bytes[i], &d.n[i]);
		if (r && r != -ENOMEM && i != MT_GO_DWARF_ABBREV)
			r = 0; /* not every program has them */
	}
	if (r)
		mt_go_dwarf_free(&d);
	*ret = d;
	return r;
}

void mt_go_dwarf_free(struct mt_go_dwarf *d)
{
	for (size_t i = 0; i < MT_GO_DWARF_PARTS; i++)
		free(d->bytes[i]);
	*d = (struct mt_go_dwarf){0};
}

/* Sections behind the first, which is none: the parts, and their names. */
#define SECTIONS (MT_GO_DWARF_PARTS + 2)

struct elf_image {
	Elf64_Ehdr eh;
	Elf64_Shdr sh[SECTIONS];
	char names[128];
};

/* An ELF file in memory that has just these sections, which is what libdw takes. */
static int make_image(const struct mt_go_dwarf *d, char **ret, size_t *n)
{
	const struct elf_image empty = {.eh = {
						.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
							    ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
						.e_type = ET_EXEC,
						.e_machine = EM_X86_64,
						.e_version = EV_CURRENT,
						.e_ehsize = sizeof(Elf64_Ehdr),
						.e_shentsize = sizeof(Elf64_Shdr),
						.e_shnum = SECTIONS,
						.e_shoff = offsetof(struct elf_image, sh),
						.e_shstrndx = SECTIONS - 1,
					}};
	size_t size = sizeof(empty), at = sizeof(empty), name = 1;
	_cleanup_free_ char *bytes = NULL;
	struct elf_image *im;

	for (size_t i = 0; i < MT_GO_DWARF_PARTS; i++)
		size += d->n[i] + 1;
	bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	im = (struct elf_image *)bytes;
	*im = empty;
	for (size_t i = 0; i < MT_GO_DWARF_PARTS; i++) {
		Elf64_Shdr *sh = &im->sh[1 + i];

		if (!d->n[i])
			continue;
		*sh = (Elf64_Shdr){.sh_name = (Elf64_Word)name,
				   .sh_type = SHT_PROGBITS,
				   .sh_offset = at,
				   .sh_size = d->n[i],
				   .sh_addralign = 1};
		name += (size_t)snprintf(im->names + name, sizeof(im->names) - name, ".%s",
					 part_names[i]) +
			1;
		memcpy(bytes + at, d->bytes[i], d->n[i]);
		at += d->n[i];
		bytes[at++] = '\0'; /* libdw takes it for granted that strings end */
	}
	im->sh[SECTIONS - 1] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
					    .sh_size = sizeof(im->names),
					    .sh_offset = offsetof(struct elf_image, names),
					    .sh_addralign = 1};
	*ret = TAKE_PTR(bytes);
	*n = size;
	return 0;
}

/* What is looked for: the structs, by number, and which member of which is which offset. */
enum { OF_MSTATS, OF_DELTA, OF_CONTROLLER, OF_MHEAP, OF_ARENA, OF_MSPAN, OF_P, OF_MCACHE, OFS };

static const char *const struct_names[OFS] = {
	[OF_MSTATS] = "mstats",
	[OF_DELTA] = "heapStatsDelta",
	[OF_CONTROLLER] = "gcControllerState",
	[OF_MHEAP] = "mheap",
	[OF_ARENA] = "heapArena",
	[OF_MSPAN] = "mspan",
	[OF_P] = "p",
	[OF_MCACHE] = "mcache",
};

struct member {
	const char *of, *name;
	size_t at; /* in struct mt_go_layout */
};

static const struct member members[] = {
#define MT_GO_MEMBER(of, member, name) {of, member, offsetof(struct mt_go_layout, name)},
	MT_GO_MEMBERS(MT_GO_MEMBER)
#undef MT_GO_MEMBER
};

struct reader {
	Elf *elf;
	Dwarf *dwarf;
	uint64_t deadline_ns;
	size_t entries;
	Dwarf_Die structs[OFS];
	bool have[OFS];
};

static void close_reader(struct reader *r)
{
	dwarf_end(r->dwarf);
	elf_end(r->elf);
}

/* One more entry is looked at. */
static bool may_go_on(struct reader *r)
{
	return ++r->entries < ENTRIES_MAX &&
	       (r->entries % 1024 || mt_clock_ns(CLOCK_MONOTONIC) < r->deadline_ns);
}

static void note_struct(struct reader *r, Dwarf_Die *die)
{
	const char *name = dwarf_tag(die) == DW_TAG_structure_type ? dwarf_diename(die) : NULL;

	if (!name || strncmp(name, "runtime.", 8) != 0)
		return;
	for (size_t i = 0; i < OFS; i++) {
		if (r->have[i] || strcmp(name + 8, struct_names[i]) != 0)
			continue;
		r->structs[i] = *die;
		r->have[i] = true;
	}
}

/* The runtime's structs among what the unit says on its first level. */
static int find_structs(struct reader *r, Dwarf_Die *unit)
{
	Dwarf_Die die;
	int more = dwarf_child(unit, &die);

	for (; more == 0; more = dwarf_siblingof(&die, &die)) {
		if (!may_go_on(r))
			return -ETIME;
		note_struct(r, &die);
	}
	if (more < 0)
		return -EBADMSG;
	for (size_t i = 0; i < OFS; i++)
		if (!r->have[i])
			return -ENOENT;
	return 0;
}

/* The struct that a member's type is, whatever it is called. */
static int struct_of(Dwarf_Die *member, Dwarf_Die *ret)
{
	Dwarf_Die die = *member, type;
	Dwarf_Attribute attr;

	for (int i = 0; i < DEEP_MAX; i++) {
		if (!dwarf_attr(&die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, &type))
			return -EBADMSG;
		if (dwarf_tag(&type) == DW_TAG_structure_type) {
			*ret = type;
			return 0;
		}
		if (dwarf_tag(&type) != DW_TAG_typedef)
			return -ENOENT;
		die = type;
	}
	return -EBADMSG;
}

static int find_member(struct reader *r, Dwarf_Die *of, const char *name, size_t len,
		       Dwarf_Die *die)
{
	int more = dwarf_child(of, die);

	for (; more == 0; more = dwarf_siblingof(die, die)) {
		const char *s;

		if (!may_go_on(r))
			return -ETIME;
		s = dwarf_tag(die) == DW_TAG_member ? dwarf_diename(die) : NULL;
		if (s && strncmp(s, name, len) == 0 && !s[len])
			return 0;
	}
	return more < 0 ? -EBADMSG : -ENOENT;
}

/* "heapStats.gen": a member of a member. */
static int offset_of(struct reader *r, Dwarf_Die of, const char *path, int32_t *ret)
{
	Dwarf_Word sum = 0, off;
	Dwarf_Attribute attr;
	Dwarf_Die die;

	for (;;) {
		const size_t len = strcspn(path, ".");
		int e = find_member(r, &of, path, len, &die);

		if (e)
			return e;
		if (!dwarf_attr(&die, DW_AT_data_member_location, &attr) ||
		    dwarf_formudata(&attr, &off) || off > INT32_MAX)
			return -EBADMSG;
		sum += off;
		if (sum > INT32_MAX)
			return -EBADMSG;
		*ret = (int32_t)sum;
		if (!path[len])
			return 0;
		path += len + 1;
		e = struct_of(&die, &of);
		if (e)
			return e;
	}
}

static int size_of(Dwarf_Die *die, int32_t *ret)
{
	const int n = dwarf_bytesize(die);

	*ret = n;
	return n > 0 ? 0 : -EBADMSG;
}

/* Only what newer versions have done without may be absent. */
static bool may_be_absent(const struct member *m)
{
	return m->at == offsetof(struct mt_go_layout, delta_in_ptr_scalar_bits);
}

static int read_members(struct reader *r, struct mt_go_layout *layout)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const struct member *m = &members[i];
		int32_t v = MT_GO_ABSENT;
		size_t of = 0;
		int e;

		while (strcmp(struct_names[of], m->of) != 0)
			of++;
		e = strcmp(m->name, "(sizeof)") == 0 ? size_of(&r->structs[of], &v)
						     : offset_of(r, r->structs[of], m->name, &v);
		if (e == -ENOENT && may_be_absent(m)) {
			v = MT_GO_ABSENT;
			e = 0;
		}
		if (e)
			return e;
		memcpy((char *)layout + m->at, &v, sizeof(v));
	}
	return 0;
}

static int read_unit(struct reader *r, const struct mt_go_unit *unit, struct mt_go_layout *layout)
{
	Dwarf_Die die;
	int e;

	memset(r->have, 0, sizeof(r->have));
	if (!dwarf_offdie(r->dwarf, unit->first_entry, &die))
		return -EBADMSG;
	e = find_structs(r, &die);
	return e ? e : read_members(r, layout);
}

int mt_go_dwarf_layout(const struct mt_go_dwarf *d, struct mt_go_layout *ret)
{
	const struct mt_go_bytes info = {d->bytes[MT_GO_DWARF_INFO], d->n[MT_GO_DWARF_INFO]};
	const struct mt_go_bytes abbrev = {d->bytes[MT_GO_DWARF_ABBREV], d->n[MT_GO_DWARF_ABBREV]};
	struct mt_go_layout layout = {.version = ""};
	struct mt_go_unit units[UNITS_TRIED];
	_cleanup_free_ char *image = NULL;
	MT_CLEANUP(close_reader) struct reader r = {0};
	const size_t n = mt_go_units_find(info, abbrev, "runtime.mstats", units, UNITS_TRIED);
	size_t size;
	int e = n ? make_image(d, &image, &size) : -ENOENT;

	if (e)
		return e;
	r.deadline_ns = mt_clock_ns(CLOCK_MONOTONIC) + DEADLINE_NS;
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOTSUP;
	r.elf = elf_memory(image, size);
	r.dwarf = r.elf ? dwarf_begin_elf(r.elf, DWARF_C_READ, NULL) : NULL;
	if (!r.dwarf)
		return -EBADMSG;
	e = -ENOENT;
	for (size_t i = 0; e && e != -ETIME && i < n; i++)
		e = read_unit(&r, &units[i], &layout);
	if (!e)
		*ret = layout;
	return e;
}
