/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A stripped file's symbols in a file of their own, which its build id names; and
 * a quick look whether symbols are worth reading at all.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/elf_internal.h"

#define NOTE_MAX (64u << 10) /* bytes of a section of notes */
#define CHUNK    (64u << 10)

struct build_id {
	uint8_t v[MT_BUILD_ID_MAX];
	size_t n;
};

static bool id_in(Elf_Data *data, struct build_id *id)
{
	size_t at = 0, next, name, desc;
	GElf_Nhdr note;

	while ((next = gelf_getnote(data, at, &note, &name, &desc))) {
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof("GNU") &&
		    memcmp((char *)data->d_buf + name, "GNU", sizeof("GNU")) == 0 &&
		    note.n_descsz >= 2 && note.n_descsz <= MT_BUILD_ID_MAX) {
			id->n = note.n_descsz;
			memcpy(id->v, (char *)data->d_buf + desc, id->n);
			return true;
		}
		at = next;
	}
	return false;
}

static bool read_id(const struct mt_elf *elf, struct build_id *id)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf->elf, scn))) {
		Elf_Data *data;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_NOTE || sh.sh_size > NOTE_MAX ||
		    (sh.sh_flags & SHF_COMPRESSED) ||
		    !mt_elf_may_read(elf, sh.sh_offset, sh.sh_size))
			continue;
		data = elf_getdata(scn, NULL);
		if (data && data->d_buf && id_in(data, id))
			return true;
	}
	return false;
}

/* The strings of .symtab; false: there is none. */
static bool find_strings(const struct mt_elf *elf, uint64_t *off, uint64_t *size)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf->elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_SYMTAB)
			break;
	scn = scn ? elf_getscn(elf->elf, sh.sh_link) : NULL;
	if (!scn || !gelf_getshdr(scn, &sh) || sh.sh_type != SHT_STRTAB)
		return false;
	*off = sh.sh_offset;
	*size = sh.sh_size;
	return *off <= elf->size && *size <= elf->size - *off;
}

int mt_elf_debug_name(const struct mt_elf *elf, char *name, size_t size)
{
	struct build_id id;
	uint64_t off, len;
	size_t n = 0;

	if (elf->debug || find_strings(elf, &off, &len) || !read_id(elf, &id))
		return -ENOENT;
	if (size < 2 * id.n + sizeof("/.debug"))
		return -ENOSPC;
	for (size_t i = 0; i < id.n; i++)
		n += (size_t)snprintf(name + n, size - n, i == 1 ? "/%02x" : "%02x", id.v[i]);
	snprintf(name + n, size - n, ".debug");
	return 0;
}

int mt_elf_add_debug(struct mt_elf *elf, int fd)
{
	MT_CLEANUP(mt_elf_free) struct mt_elf *debug = NULL;
	struct build_id own, other;
	int r = mt_elf_open_part(fd, false, &debug);

	if (r)
		return r;
	if (!read_id(elf, &own) || !read_id(debug, &other) || own.n != other.n ||
	    memcmp(own.v, other.v, own.n) != 0)
		return -ENOENT;
	elf->debug = TAKE_PTR(debug);
	mt_elf_forget_symtab(elf);
	return 0;
}

static bool ends_in(const char *name, const char *suffix)
{
	const size_t n = strlen(name), m = strlen(suffix);

	return n >= m && strcmp(name + n - m, suffix) == 0;
}

static bool defines(const struct mt_elf *elf, const char *suffix)
{
	const struct mt_sym *syms;
	size_t n;

	if (mt_elf_funcs(elf, &syms, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (ends_in(syms[i].name, suffix))
			return true;
	return false;
}

/* Whether suffix, with its NUL, stands in the strings of .symtab. */
static bool in_strings(const struct mt_elf *elf, const char *suffix)
{
	const size_t len = strlen(suffix) + 1;
	uint64_t off, size;
	char buf[CHUNK];

	if (!find_strings(elf, &off, &size))
		return false;
	while (size >= len) {
		const size_t want = size < sizeof(buf) ? (size_t)size : sizeof(buf);
		const ssize_t got = pread(elf->fd, buf, want, (off_t)off);

		if (got < (ssize_t)len)
			return false;
		if (memmem(buf, (size_t)got, suffix, len))
			return true;
		off += (uint64_t)got - (len - 1);
		size -= (uint64_t)got - (len - 1);
	}
	return false;
}

bool mt_elf_may_define(const struct mt_elf *elf, const char *suffix)
{
	const struct mt_elf_symbols *dyn = mt_elf_dynsym(elf);

	for (size_t i = 0; i < dyn->n_funcs; i++)
		if (ends_in(dyn->funcs[i].name, suffix))
			return true;
	return in_strings(elf->debug ?: elf, suffix) && defines(elf, suffix);
}
