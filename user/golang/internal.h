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

/* One way to read a process that runs an image. */
struct mt_go_try {
	struct mt_go_vars vars;            /* link-time addresses */
	const struct mt_go_layout *layout; /* the image's own, or a row of the table */
};

#define MT_GO_TRIES 48

struct mt_go_image {
	char version[MT_GO_VERSION_SIZE]; /* printable ASCII */
	int minor;                        /* of go1.minor; 0: not known */
	bool green_tea;                   /* from 1.26 on, unless built without */
	bool fixed;                       /* link-time addresses are those in every process */
	uint64_t exit;                    /* offset in the file of runtime.exit; 0 unknown */
	uint64_t start;                   /* link-time address of the first mapping */
	struct mt_go_layout own;          /* from DWARF */
	/* The likeliest first. Which one holds, only a process can tell. */
	struct mt_go_try tries[MT_GO_TRIES];
	size_t n_tries;
};

struct mt_go {
	const struct mt_go_image *image;
	pid_t pid;
	uint64_t bias; /* added to link-time addresses */
	int minor;     /* the image's; where it is not known, of the row that holds */
	bool green_tea;
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
