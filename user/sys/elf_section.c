/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sections of an ELF file by name, and bytes by address, as the file holds them. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "sys/elf_internal.h"

#define CHUNK     (64u << 10)
#define RELA_MAX  8          /* relocation sections looked into */
#define RELAS_MAX (4u << 20) /* of one section */

/* What is all asked for: short of it is damage, as by a file that was cut meanwhile. */
static int read_all(const struct mt_elf *elf, uint64_t off, void *dst, size_t n)
{
	uint8_t *p = dst;

	if (off > elf->size || n > elf->size - off)
		return -EBADMSG;
	while (n) {
		const ssize_t got = pread(elf->fd, p, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EBADMSG;
		p += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

int mt_elf_find_section(const struct mt_elf *elf, const char *name, struct mt_elf_section *ret)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t names;

	if (elf_getshdrstrndx(elf->elf, &names) || !mt_elf_strings_ok(elf, names))
		return -ENOENT;
	while ((scn = elf_nextscn(elf->elf, scn))) {
		const char *s;

		if (!gelf_getshdr(scn, &sh))
			continue;
		s = elf_strptr(elf->elf, names, sh.sh_name);
		if (!s || strcmp(s, name) != 0)
			continue;
		*ret = (struct mt_elf_section){
			.addr = sh.sh_addr,
			.offset = sh.sh_offset,
			.size = sh.sh_size,
			.zeros = sh.sh_type == SHT_NOBITS,
			.compressed = (sh.sh_flags & SHF_COMPRESSED) != 0,
			.gnu_compressed = strncmp(s, ".zdebug", 7) == 0,
		};
		return 0;
	}
	return -ENOENT;
}

const struct mt_elf *mt_elf_debug(const struct mt_elf *elf)
{
	return elf->debug;
}

int mt_elf_section_read(const struct mt_elf *elf, const struct mt_elf_section *s, uint64_t off,
			void *dst, size_t n)
{
	if (s->zeros || off > s->size || n > s->size - off || s->offset > UINT64_MAX - off)
		return -EBADMSG;
	return read_all(elf, s->offset + off, dst, n);
}

/* How long a compressed section is when it is not, and how long what says so is. */
static int unpacked_size(const struct mt_elf *elf, const struct mt_elf_section *s, uint64_t *size,
			 size_t *head)
{
	Elf64_Chdr ch = {0};
	uint8_t gnu[12] = {0};
	int r;

	if (s->compressed) {
		*head = sizeof(ch);
		r = mt_elf_section_read(elf, s, 0, &ch, sizeof(ch));
		if (r)
			return r;
		*size = ch.ch_size;
		return ch.ch_type == ELFCOMPRESS_ZLIB ? 0 : -ENOTSUP;
	}
	*head = sizeof(gnu);
	r = mt_elf_section_read(elf, s, 0, gnu, sizeof(gnu));
	if (r)
		return r;
	if (memcmp(gnu, "ZLIB", 4) != 0)
		return -EBADMSG;
	*size = 0;
	for (size_t i = 4; i < sizeof(gnu); i++)
		*size = *size << 8 | gnu[i];
	return 0;
}

static void end_inflate(z_stream *z)
{
	inflateEnd(z);
}

/* Exactly n bytes come out, or it is damaged. */
static int unpack(const struct mt_elf *elf, const struct mt_elf_section *s, uint64_t off,
		  uint8_t *dst, size_t n)
{
	MT_CLEANUP(end_inflate) z_stream z = {.next_out = dst};
	_cleanup_free_ uint8_t *in = malloc(CHUNK);
	int r, zr = Z_OK;

	if (!in || inflateInit(&z) != Z_OK)
		return -ENOMEM;
	while (zr == Z_OK && off < s->size) {
		const size_t len = s->size - off < CHUNK ? (size_t)(s->size - off) : CHUNK;

		r = mt_elf_section_read(elf, s, off, in, len);
		if (r)
			return r;
		off += len;
		z.next_in = in;
		z.avail_in = (uInt)len;
		while (zr == Z_OK && z.avail_in) {
			const size_t room = n - (size_t)z.total_out;

			z.avail_out = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
			zr = inflate(&z, Z_NO_FLUSH);
			if (zr == Z_OK && z.avail_in && !room)
				return -EBADMSG;
		}
	}
	return zr == Z_STREAM_END && z.total_out == n ? 0 : -EBADMSG;
}

int mt_elf_section_copy(const struct mt_elf *elf, const struct mt_elf_section *s, size_t max,
			uint8_t **ret, size_t *n)
{
	const bool packed = s->compressed || s->gnu_compressed;
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t size = s->size;
	size_t head = 0;
	int r;

	if (s->zeros || s->offset > elf->size || s->size > elf->size - s->offset)
		return -EBADMSG;
	if (packed) {
		r = unpacked_size(elf, s, &size, &head);
		if (r)
			return r;
	}
	if (!size || size > max)
		return size ? -E2BIG : -EBADMSG;
	bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	r = packed ? unpack(elf, s, head, bytes, size) : read_all(elf, s->offset, bytes, size);
	if (r)
		return r;
	*ret = TAKE_PTR(bytes);
	*n = size;
	return 0;
}

int mt_elf_pread(const struct mt_elf *elf, uint64_t addr, void *dst, size_t n)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		const GElf_Phdr *ph = &elf->ph[i];

		if (ph->p_type != PT_LOAD || addr < ph->p_vaddr ||
		    addr - ph->p_vaddr > ph->p_filesz || n > ph->p_filesz - (addr - ph->p_vaddr))
			continue;
		return read_all(elf, ph->p_offset + (addr - ph->p_vaddr), dst, n);
	}
	return -ENOENT;
}

/* What a relocation writes to addr, if one does: the link-time address that it adds the bias to. */
static bool find_relative(Elf_Data *data, size_t n, uint64_t addr, uint64_t *ret)
{
	GElf_Rela rela;

	for (size_t i = 0; i < n && i < RELAS_MAX && gelf_getrela(data, (int)i, &rela); i++) {
		if (rela.r_offset != addr || GELF_R_TYPE(rela.r_info) != R_X86_64_RELATIVE)
			continue;
		*ret = (uint64_t)rela.r_addend;
		return true;
	}
	return false;
}

int mt_elf_pointer(const struct mt_elf *elf, uint64_t addr, uint64_t *ret)
{
	const size_t entry = gelf_fsize(elf->elf, ELF_T_RELA, 1, EV_CURRENT);
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	for (size_t n = 0; n < RELA_MAX && (scn = elf_nextscn(elf->elf, scn));) {
		Elf_Data *data;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_RELA)
			continue;
		data = mt_elf_read_section(elf, scn, &sh, entry);
		if (data && find_relative(data, data->d_size / entry, addr, ret))
			return 0;
		n++;
	}
	return mt_elf_pread(elf, addr, ret, sizeof(*ret));
}

int mt_elf_start(const struct mt_elf *elf, uint64_t *addr, bool *fixed)
{
	const uint64_t page = ~4095ull;
	GElf_Ehdr eh;

	if (!gelf_getehdr(elf->elf, &eh))
		return -EBADMSG;
	if (eh.e_type != ET_DYN && eh.e_type != ET_EXEC)
		return -ENOENT;
	for (size_t i = 0; i < elf->n_ph; i++) {
		if (elf->ph[i].p_type != PT_LOAD || !elf->ph[i].p_memsz)
			continue;
		*addr = elf->ph[i].p_vaddr & page;
		*fixed = eh.e_type == ET_EXEC;
		return 0;
	}
	return -ENOENT;
}
