/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "golang/buildinfo.h"
#include "golang/dwarf.h"
#include "golang/find.h"
#include "sys/elf.h"

#define BUILDINFO_MAX (1u << 20)
#define LAYOUTS_MAX   16

static size_t bytes_at(void *ctx, uint64_t addr, void *dst, size_t n)
{
	return mt_elf_pread(ctx, addr, dst, n) ? 0 : n;
}

/*
 * Every Go linker makes one of these sections; asking for them costs two reads of
 * a file that has none. -ENOENT: it is no Go program.
 */
static int read_build(const struct mt_elf *elf, struct mt_go_build *ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	struct mt_elf_section s;
	size_t n = 0;
	int r;

	*ret = (struct mt_go_build){.version = "go"};
	if (mt_elf_find_section(elf, ".go.buildinfo", &s))
		return mt_elf_find_section(elf, ".note.go.buildid", &s) &&
				       mt_elf_find_section(elf, ".gopclntab", &s)
			       ? -ENOENT
			       : 0;
	if (s.size > BUILDINFO_MAX)
		s.size = BUILDINFO_MAX;
	r = mt_elf_section_copy(elf, &s, BUILDINFO_MAX, &bytes, &n);
	if (r == -ENOMEM)
		return r;
	if (!r)
		mt_go_buildinfo(bytes, n, bytes_at, (void *)(uintptr_t)elf, ret);
	return 0;
}

/* -ENOENT: there is no such, or it describes no runtime. */
static int read_layout(const struct mt_elf *elf, struct mt_go_layout *ret)
{
	MT_CLEANUP(mt_go_dwarf_free) struct mt_go_dwarf d = {0};
	int r = mt_go_dwarf_load(elf, &d);

	return r ? r : mt_go_dwarf_layout(&d, ret);
}

/* The minor version whose row it equals; 0: none. */
static int minor_of(const struct mt_go_layout *l)
{
	const size_t from = offsetof(struct mt_go_layout, minor) + sizeof(l->minor);

	for (size_t i = 0; i < mt_go_layouts_count; i++)
		if (memcmp((const char *)l + from, (const char *)&mt_go_layouts[i] + from,
			   sizeof(*l) - from) == 0)
			return mt_go_layouts[i].minor;
	return 0;
}

/* The layouts that it may have, the likeliest first. Returns how many. */
static size_t list_layouts(const struct mt_elf *elf, struct mt_go_image *image,
			   const struct mt_go_layout **ret)
{
	const struct mt_go_layout *row = mt_go_layout_of(image->minor);
	size_t n = 0;

	if (read_layout(elf, &image->own) == 0) {
		image->own.minor = minor_of(&image->own);
		ret[n++] = &image->own;
	}
	if (row)
		ret[n++] = row;
	if (n)
		return n;
	for (size_t i = mt_go_layouts_count; i > 0 && n < LAYOUTS_MAX; i--)
		ret[n++] = &mt_go_layouts[i - 1];
	return n;
}

static int find_all(const struct mt_elf *elf, const struct mt_go_build *build, char *why,
		    struct mt_go_image *image)
{
	const struct mt_go_layout *layouts[LAYOUTS_MAX];
	int r = mt_go_build_check(build, &image->green_tea, why);

	if (r)
		return r;
	memcpy(image->version, build->version, sizeof(image->version));
	image->minor = build->minor;
	image->exit = mt_go_find_exit(elf);
	r = mt_elf_start(elf, &image->start, &image->fixed);
	if (!r)
		r = mt_go_find_vars(elf, layouts, list_layouts(elf, image, layouts), image);
	if (!r || r == -ENOMEM)
		return r;
	snprintf(why, MT_WHY_SIZE, "the variables of its runtime cannot be found in its file");
	return -ENOTSUP;
}

int mt_go_inspect(const struct mt_elf *elf, char *why, struct mt_go_image **ret)
{
	MT_CLEANUP(mt_go_image_free) struct mt_go_image *image = NULL;
	struct mt_go_build build;
	int r = read_build(elf, &build);

	why[0] = '\0';
	if (r)
		return r;
	image = calloc(1, sizeof(*image));
	if (!image)
		return -ENOMEM;
	r = find_all(elf, &build, why, image);
	if (r)
		return r;
	*ret = TAKE_PTR(image);
	return 0;
}

void mt_go_image_free(struct mt_go_image **image)
{
	free(*image);
	*image = NULL;
}

uint64_t mt_go_exit_offset(const struct mt_go_image *image)
{
	return image->exit;
}

const char *mt_go_version(const struct mt_go_image *image)
{
	return image->version;
}
