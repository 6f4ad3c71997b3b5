/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files that read ELF share. */
#ifndef MT_SYS_ELF_INTERNAL_H
#define MT_SYS_ELF_INTERNAL_H

#include <gelf.h>
#include <libelf.h>

#include "sys/elf.h"

#define MT_ELF_PHDRS_MAX 256

/* What a relocation binds into a pointer. */
struct mt_elf_slot {
	uint64_t addr;
	const char *name; /* owned by the elf */
};

/* One symbol table. What is damaged counts as empty: the file then has no symbols. */
struct mt_elf_symbols {
	bool loaded;
	const struct mt_elf *from; /* the file that it stands in */
	Elf_Data *data;            /* NULL: none */
	size_t n;
	size_t strings;       /* index of the section with the names */
	struct mt_sym *funcs; /* the defined functions, in the table's order */
	size_t n_funcs;
};

/* What is read on demand: the accessors take a const elf and fill this. */
struct mt_elf_cache {
	struct mt_elf_symbols dyn, sym;
	struct mt_sym *funcs; /* of both, sorted by address */
	size_t n_funcs;
	bool have_funcs;
	struct mt_elf_slot *slots; /* sorted by address */
	size_t n_slots;
	bool have_slots;
	Elf_Data *segments[MT_ELF_PHDRS_MAX]; /* by program header, NULL until read */
	uint64_t total;                       /* bytes that libelf was asked to read so far */
};

struct mt_elf {
	int fd;
	uint64_t size;
	Elf *elf; /* owns all that it read */
	GElf_Phdr *ph;
	size_t n_ph;
	struct mt_elf_cache *cache;
	struct mt_elf *debug; /* where .symtab is taken from instead; owned, may be NULL */
};

/* Asked before each read by libelf: bounds what is read of one file. */
bool mt_elf_may_read(const struct mt_elf *elf, uint64_t off, uint64_t len);
/* The data of a section that is an array of entries of the given size, or NULL. */
Elf_Data *mt_elf_read_section(const struct mt_elf *elf, Elf_Scn *scn, const GElf_Shdr *sh,
			      size_t entry);
/*
 * The strings of a symbol table, or the names of sections, can be read. They must
 * end in NUL: libelf searches the last NUL anew for each name if they do not,
 * which takes hours on a large table.
 */
bool mt_elf_strings_ok(const struct mt_elf *elf, size_t index);
const struct mt_elf_symbols *mt_elf_dynsym(const struct mt_elf *elf);
const struct mt_elf_symbols *mt_elf_symtab(const struct mt_elf *elf);
const char *mt_elf_name_of(const struct mt_elf_symbols *s, const GElf_Sym *sym);
/* What was read of .symtab, which is now another. */
void mt_elf_forget_symtab(struct mt_elf *elf);
/* mt_elf_open_fd of a file whose segments, with segments false, are of no interest. */
int mt_elf_open_part(int fd, bool segments, struct mt_elf **ret);

#endif
