/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which symbols an ELF file's relocations bind into its pointers: what PLT entries lead to. */
#include <elf.h>
#include <stdlib.h>

#include "sys/elf_internal.h"

#define RELA_MAX  8          /* relocation sections looked into */
#define SLOTS_MAX (1u << 20) /* of all of them */

static bool slot_of(const struct mt_elf *elf, const GElf_Rela *rela, struct mt_elf_slot *slot)
{
	const struct mt_elf_symbols *s = mt_elf_dynsym(elf);
	const uint64_t type = GELF_R_TYPE(rela->r_info), index = GELF_R_SYM(rela->r_info);
	GElf_Sym sym;

	if (index >= s->n || (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) ||
	    !gelf_getsym(s->data, (int)index, &sym))
		return false;
	slot->addr = rela->r_offset;
	slot->name = mt_elf_name_of(s, &sym);
	return true;
}

static void add_slots(const struct mt_elf *elf, Elf_Data *data, size_t n)
{
	struct mt_elf_cache *c = elf->cache;
	struct mt_elf_slot *grown;
	GElf_Rela rela;

	if (n > SLOTS_MAX - c->n_slots)
		n = SLOTS_MAX - c->n_slots;
	grown = realloc(c->slots, (c->n_slots + n + 1) * sizeof(*grown));
	if (!grown)
		return;
	c->slots = grown;
	for (size_t i = 0; i < n && gelf_getrela(data, (int)i, &rela); i++)
		c->n_slots += slot_of(elf, &rela, &c->slots[c->n_slots]);
}

static int by_addr(const void *pa, const void *pb)
{
	const struct mt_elf_slot *a = pa, *b = pb;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static void load_slots(const struct mt_elf *elf)
{
	const size_t entry = gelf_fsize(elf->elf, ELF_T_RELA, 1, EV_CURRENT);
	struct mt_elf_cache *c = elf->cache;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	c->have_slots = true;
	for (size_t n = 0; n < RELA_MAX && (scn = elf_nextscn(elf->elf, scn));) {
		Elf_Data *data;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_RELA)
			continue;
		data = mt_elf_read_section(elf, scn, &sh, entry);
		if (data)
			add_slots(elf, data, data->d_size / entry);
		n += data != NULL;
	}
	if (c->n_slots)
		qsort(c->slots, c->n_slots, sizeof(*c->slots), by_addr);
}

const char *mt_elf_slot_symbol(const struct mt_elf *elf, uint64_t addr)
{
	const struct mt_elf_slot key = {.addr = addr}, *slot;

	if (!elf->cache->have_slots)
		load_slots(elf);
	if (!elf->cache->n_slots)
		return NULL;
	slot = bsearch(&key, elf->cache->slots, elf->cache->n_slots, sizeof(key), by_addr);
	return slot ? slot->name : NULL;
}
