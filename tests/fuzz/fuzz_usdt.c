/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The notes of marks: the input is what .note.stapsdt holds, in a file that is
 * otherwise sound, behind the address of .stapsdt.base. And the same bytes as what
 * a user gives to name two marks.
 */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/usdt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Code in front, then what processes write to: link-time addresses are offsets. */
#define CODE  4096u
#define DATA  8192u
#define NOTES (DATA + 4096u)

static const char names[] = "\0.note.stapsdt\0.stapsdt.base\0.shstrtab";

struct head {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Shdr sh[4];
	char names[sizeof(names)];
};

static struct head make_head(uint64_t base, size_t size)
{
	struct head h = {
		.eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		       .e_type = ET_DYN,
		       .e_machine = EM_X86_64,
		       .e_version = EV_CURRENT,
		       .e_phoff = offsetof(struct head, ph),
		       .e_shoff = offsetof(struct head, sh),
		       .e_ehsize = sizeof(Elf64_Ehdr),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 2,
		       .e_shentsize = sizeof(Elf64_Shdr),
		       .e_shnum = 4,
		       .e_shstrndx = 3},
		.ph = {{PT_LOAD, PF_R | PF_X, 0, 0, 0, DATA, DATA, 4096},
		       {PT_LOAD, PF_R | PF_W, DATA, DATA, DATA, 4096, 4096, 4096}},
		.sh = {{0},
		       {.sh_name = 1,
			.sh_type = SHT_NOTE,
			.sh_offset = NOTES,
			.sh_size = size,
			.sh_addralign = 4},
		       {.sh_name = 15, .sh_type = SHT_PROGBITS, .sh_addr = base},
		       {.sh_name = 29,
			.sh_type = SHT_STRTAB,
			.sh_offset = offsetof(struct head, names),
			.sh_size = sizeof(names)}},
	};

	memcpy(h.names, names, sizeof(names));
	return h;
}

static int make_file(uint64_t base, const uint8_t *data, size_t size)
{
	const struct head h = make_head(base, size);
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	uint8_t nops[DATA - CODE];

	memset(nops, 0x90, sizeof(nops));
	if (fd < 0 || ftruncate(fd, NOTES) || pwrite(fd, &h, sizeof(h), 0) != sizeof(h) ||
	    pwrite(fd, nops, sizeof(nops), CODE) != sizeof(nops) ||
	    pwrite(fd, data, size, NOTES) != (ssize_t)size)
		abort();
	return fd;
}

static void check_mark(const struct mt_usdt *mark)
{
	const size_t len = strnlen(mark->name, MT_USDT_NAME);
	const char *colon = strchr(mark->name, ':');

	if (len == MT_USDT_NAME || !colon || colon == mark->name || !colon[1])
		abort();
	if (mark->offset >= DATA ||
	    (mark->ref_ctr && (mark->ref_ctr < DATA || mark->ref_ctr >= NOTES)))
		abort();
}

static void use_words(const uint8_t *data, size_t size, const struct mt_usdts *v)
{
	char begin[MT_USDT_NAME], end[MT_USDT_NAME], why[64] = "", others[256];
	char *text = strndup((const char *)data, size);

	if (!text)
		abort();
	if (mt_usdt_parse(text, begin, end, why, sizeof(why))) {
		if (!why[0])
			abort();
	} else if (strlen(begin) + 1 + strlen(end) != strlen(text)) {
		abort();
	}
	mt_usdt_suggest(v, text, others, sizeof(others));
	for (const char *p = others; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mt_usdts v = {0};
	struct mt_elf *elf = NULL;
	uint64_t base;
	int fd;

	if (size < sizeof(base))
		return 0;
	memcpy(&base, data, sizeof(base));
	data += sizeof(base);
	size -= sizeof(base);
	fd = make_file(base, data, size);
	if (mt_elf_open_fd(fd, &elf) || mt_usdt_read(elf, 0, &v) || v.n > MT_USDT_MAX)
		abort();
	for (size_t i = 0; i < v.n; i++)
		check_mark(&v.v[i]);
	use_words(data, size, &v);
	mt_usdt_fini(&v);
	mt_elf_free(&elf);
	close(fd);
	return 0;
}
