/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is found of Go programs, for test_go_find.py.
 *   go_find_tool inspect FILE...      a line of JSON for each file that is a Go program
 *   go_find_tool open FILE...         only opens them, to compare the time
 *   go_find_tool layout FILE          by its DWARF, "member offset" a line, for scripts/go-layouts
 *   go_find_tool attach PID FILE      which way of those that FILE allows holds for the process
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "golang/dwarf.h"
#include "golang/golang.h"
#include "golang/internal.h"
#include "sys/elf.h"
#include "sys/procfs.h"

static int print_error(const char *path, int r, const char *why)
{
	printf("{\"file\": \"%s\", \"error\": \"%s\", \"why\": \"%s\"}\n", path, strerror(-r), why);
	return 1;
}

static void print_vars(const struct mt_go_vars *v)
{
	printf("{\"memstats\": %" PRIu64 ", \"mheap_\": %" PRIu64 ", \"gcController\": %" PRIu64
	       ", \"allp\": %" PRIu64 ", \"gcphase\": %" PRIu64 "}",
	       v->memstats, v->mheap, v->gc_controller, v->allp, v->gcphase);
}

static void print_image(const char *path, const struct mt_go_image *image)
{
	printf("{\"file\": \"%s\", \"version\": \"%s\", \"minor\": %d, \"green_tea\": %s, "
	       "\"dwarf\": %s, \"tries\": [",
	       path, mt_go_version(image), image->minor, image->green_tea ? "true" : "false",
	       image->own.version ? "true" : "false");
	for (size_t i = 0; i < image->n_tries; i++) {
		printf(i ? ", " : "");
		print_vars(&image->tries[i].vars);
	}
	printf("]}\n");
}

static int inspect(const char *path, bool only_open)
{
	MT_CLEANUP(mt_go_image_free) struct mt_go_image *image = NULL;
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	char why[MT_WHY_SIZE] = "";
	int r = mt_elf_open(path, &elf);

	if (r || only_open)
		return 0;
	r = mt_go_inspect(elf, why, &image);
	if (r == -ENOENT)
		return 0;
	if (r)
		return print_error(path, r, why);
	print_image(path, image);
	return 0;
}

static int print_layout(const char *path)
{
	MT_CLEANUP(mt_go_dwarf_free) struct mt_go_dwarf d = {0};
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	struct mt_go_layout l;
	int r = mt_elf_open(path, &elf);

	if (!r)
		r = mt_go_dwarf_load(elf, &d);
	if (!r)
		r = mt_go_dwarf_layout(&d, &l);
	if (r)
		return print_error(path, r, "");
#define MT_GO_MEMBER(of, member, name) printf("%s %d\n", #name, (int)l.name);
	MT_GO_MEMBERS(MT_GO_MEMBER)
#undef MT_GO_MEMBER
	return 0;
}

static int attach(pid_t pid, const char *path)
{
	MT_CLEANUP(mt_go_image_free) struct mt_go_image *image = NULL;
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	MT_CLEANUP(mt_go_free) struct mt_go *g = NULL;
	char why[MT_WHY_SIZE] = "";
	int r = mt_elf_open(path, &elf);

	if (!r)
		r = mt_go_inspect(elf, why, &image);
	if (!r)
		r = mt_go_attach(image, pid, why, &g);
	if (r)
		return print_error(path, r, why);
	printf("{\"layout\": \"%s\", \"minor\": %d, \"bias\": %" PRIu64 ", \"vars\": ",
	       g->layout.version, g->minor, g->bias);
	print_vars(&g->vars);
	printf("}\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	int rc = 0;

	if (strcmp(what, "layout") == 0)
		return print_layout(argv[2]);
	if (strcmp(what, "attach") == 0 && argc > 3)
		return attach((pid_t)atoi(argv[2]), argv[3]);
	if (strcmp(what, "inspect") != 0 && strcmp(what, "open") != 0)
		return 2;
	for (int i = 2; i < argc; i++)
		rc |= inspect(argv[i], strcmp(what, "open") == 0);
	return rc;
}
