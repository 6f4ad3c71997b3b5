/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of golang/ share. */
#ifndef MT_GOLANG_INTERNAL_H
#define MT_GOLANG_INTERNAL_H

#include "golang/golang.h"
#include "golang/layout.h"
#include "sys/mem.h"

/* Link-time addresses in an image, or addresses in a process, of the runtime's variables. */
struct mt_go_vars {
	uint64_t memstats, mheap, gc_controller, allp, gcphase;
};

struct mt_go_image {
	char version[MT_GO_VERSION_SIZE]; /* printable ASCII */
	int minor;                        /* of go1.minor; 0: not known */
	bool green_tea;                   /* from 1.26 on, unless built without */
	struct mt_go_vars vars;
	struct mt_go_layout layout; /* from DWARF, or of the version's row */
	bool layout_known;          /* else every row is tried against the process */
};

struct mt_go {
	const struct mt_go_image *image;
	pid_t pid;
	uint64_t bias; /* added to link-time addresses */
	struct mt_go_vars vars;
	struct mt_go_layout layout;
	struct mt_mem_process mem;
};

/*
 * Whether the variables and the layout are the process's: the identities that the
 * runtime itself checks hold, and its Ps, mcaches and cached spans look like such.
 * 0; -EAGAIN: the runtime is not initialised yet; -ENOTSUP: they do not hold, why
 * (MT_WHY_SIZE bytes) says which; -ESRCH, -EPERM, -ENOMEM. Some ms where they do
 * not hold.
 */
int mt_go_prove(struct mt_go *g, char *why);

#endif
