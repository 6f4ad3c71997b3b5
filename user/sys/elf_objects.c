/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The variables of an ELF file. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "sys/elf_internal.h"

static bool ends_with(const char *name, const char *suffix)
{
	const size_t n = strlen(name), len = strlen(suffix);

	if (n < len || strcmp(name + (n - len), suffix) != 0)
		return false;
	return n == len || name[n - len - 1] == '_';
}

static int find_object(const struct mt_elf_symbols *s, const char *suffix, struct mt_sym *ret)
{
	bool found = false;
	GElf_Sym sym;

	for (size_t i = 1; i < s->n; i++) {
		if (!gelf_getsym(s->data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF ||
		    GELF_ST_TYPE(sym.st_info) != STT_OBJECT ||
		    !ends_with(mt_elf_name_of(s, &sym), suffix))
			continue;
		if (found && ret->addr != sym.st_value)
			return -ENOTUNIQ;
		*ret = (struct mt_sym){
			.name = mt_elf_name_of(s, &sym),
			.addr = sym.st_value,
			.size = sym.st_size,
		};
		found = true;
	}
	return found ? 0 : -ENOENT;
}

int mt_elf_find_object(const struct mt_elf *elf, const char *suffix, struct mt_sym *ret)
{
	int r = find_object(mt_elf_symtab(elf), suffix, ret);

	return r == -ENOENT ? find_object(mt_elf_dynsym(elf), suffix, ret) : r;
}

static void find_objects(const struct mt_elf_symbols *s, const char *const *names, size_t n,
			 uint64_t *addrs)
{
	GElf_Sym sym;

	for (size_t i = 1; i < s->n; i++) {
		const char *name;

		if (!gelf_getsym(s->data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF ||
		    GELF_ST_TYPE(sym.st_info) != STT_OBJECT)
			continue;
		name = mt_elf_name_of(s, &sym);
		for (size_t k = 0; k < n; k++)
			if (!addrs[k] && strcmp(name, names[k]) == 0)
				addrs[k] = sym.st_value;
	}
}

void mt_elf_find_objects(const struct mt_elf *elf, const char *const *names, size_t n,
			 uint64_t *addrs)
{
	memset(addrs, 0, n * sizeof(*addrs));
	find_objects(mt_elf_symtab(elf), names, n, addrs);
	find_objects(mt_elf_dynsym(elf), names, n, addrs);
}

bool mt_elf_is_ifunc(const struct mt_elf *elf, const char *name)
{
	const struct mt_elf_symbols *tables[] = {mt_elf_dynsym(elf), mt_elf_symtab(elf)};
	GElf_Sym sym;

	for (size_t t = 0; t < 2; t++)
		for (size_t i = 1; i < tables[t]->n; i++)
			if (gelf_getsym(tables[t]->data, (int)i, &sym) &&
			    GELF_ST_TYPE(sym.st_info) == STT_GNU_IFUNC &&
			    sym.st_shndx != SHN_UNDEF &&
			    strcmp(mt_elf_name_of(tables[t], &sym), name) == 0)
				return true;
	return false;
}

bool mt_elf_in_bss(const struct mt_elf *elf, uint64_t addr, uint64_t len)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		const GElf_Phdr *ph = &elf->ph[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr >= ph->p_filesz && addr - ph->p_vaddr <= ph->p_memsz &&
		    len <= ph->p_memsz - (addr - ph->p_vaddr))
			return true;
	}
	return false;
}
