/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Code that is followed to learn a layout: whatever a hostile file's functions
 * do, in bounded time, and a layout only where reader and code agree.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/mimalloc.h"
#include "alloc/musl.h"
#include "sys/emulate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool answer(void *ctx, uint64_t addr, unsigned int width, uint64_t *value)
{
	uint64_t *left = ctx;

	if (width > 8 || !*left)
		return false;
	*value = addr * 0x9e3779b97f4a7c15ull + --*left;
	return true;
}

static void use(const struct mt_elf *elf)
{
	uint64_t params[MT_FILE_PARAMS], left = 100, ret;
	const struct mt_emulate e = {.elf = elf, .read = answer, .ctx = &left};
	char version[32];
	struct mt_sym sym;
	int r;

	r = mt_mimalloc_layout(elf, params);
	if (!r && !(params[0] & 0x7f))
		abort();
	r = mt_musl_layout(elf, params);
	if (!r && params[0] > 1)
		abort();
	mt_musl_is_libc(elf, version, sizeof(version));
	if (!memchr(version, 0, sizeof(version)))
		abort();
	if (!mt_elf_find_func(elf, "mi_usable_size", &sym))
		mt_emulate_call(&e, sym.addr, 1ull << 45, &ret);
	mt_elf_read(elf, 0x1000, &ret, sizeof(ret));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct mt_elf *elf = NULL;

	if (fd < 0)
		fd = memfd_create("fuzz", 0);
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (mt_elf_open_fd(fd, &elf))
		return 0;
	use(elf);
	mt_elf_free(&elf);
	return 0;
}
