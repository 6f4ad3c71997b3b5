/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "golang/buildinfo.h"
#include "golang/internal.h"
#include "sys/procfs.h"

static void move(struct mt_go_vars *v, uint64_t bias)
{
	v->memstats += bias;
	v->mheap += bias;
	v->gc_controller += bias;
	v->allp += bias;
	v->gcphase += bias;
}

static int try_one(struct mt_go *g, const struct mt_go_try *t, char *why)
{
	const struct mt_go_image *image = g->image;

	g->vars = t->vars;
	move(&g->vars, g->bias);
	g->layout = *t->layout;
	g->minor = image->minor ?: g->layout.minor;
	g->green_tea = image->green_tea && (!g->minor || g->minor >= MT_GO_GREEN_TEA);
	return mt_go_prove(g, why);
}

/*
 * What is tried in vain says why only if nothing else is left: of the likeliest.
 * A runtime that is not initialised yet is one for many a wrong place, too, so
 * that it counts only where none holds.
 */
static int try_all(struct mt_go *g, char *why)
{
	char later[MT_WHY_SIZE];
	bool early = false;

	for (size_t i = 0; i < g->image->n_tries; i++) {
		int r = try_one(g, &g->image->tries[i], i ? later : why);

		if (r == 0 || (r != -EAGAIN && r != -ENOTSUP))
			return r;
		early = early || r == -EAGAIN;
	}
	return early ? -EAGAIN : -ENOTSUP;
}

/* How far the process has the image from its link-time addresses. */
static int find_bias(struct mt_go *g)
{
	uint64_t phdr;
	int r;

	if (g->image->fixed)
		return 0;
	/* the program headers stand on the first page of the file's first mapping */
	r = mt_proc_auxv(g->pid, AT_PHDR, &phdr);
	if (!r)
		g->bias = phdr / MT_MEM_PAGE * MT_MEM_PAGE - g->image->start;
	return r;
}

int mt_go_attach(const struct mt_go_image *image, pid_t pid, char *why, struct mt_go **ret)
{
	MT_CLEANUP(mt_go_free) struct mt_go *g = calloc(1, sizeof(*g));
	int r;

	why[0] = '\0';
	if (!g)
		return -ENOMEM;
	g->image = image;
	g->pid = pid;
	mt_mem_open(&g->mem, pid);
	r = find_bias(g);
	if (!r)
		r = try_all(g, why);
	if (r)
		return r;
	*ret = TAKE_PTR(g);
	return 0;
}

const char *mt_go_layout_version(const struct mt_go *g)
{
	return g->layout.version && g->layout.version[0] ? g->layout.version : NULL;
}

void mt_go_free(struct mt_go **pg)
{
	if (!*pg)
		return;
	mt_mem_close(&(*pg)->mem);
	free(*pg);
	*pg = NULL;
}
