/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs of a few instructions that find out what this kernel allows. All
 * return an fd, which the caller closes, or -errno; nothing is logged.
 */
#ifndef MT_SYS_BPF_TRY_H
#define MT_SYS_BPF_TRY_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Loads a program of type and attach type (0: none). */
int mt_try_load(enum bpf_prog_type type, enum bpf_attach_type attach, bool sleepable,
		const struct bpf_insn *insns, size_t n);
/* Loads a uprobe program that counts its runs in entry 0 of *map_fd, a new map. */
int mt_try_counter(enum bpf_attach_type attach, int *map_fd);
/* A uprobe_multi link at an offset of a file, for one process. */
int mt_try_multi(int prog_fd, const char *path, uint64_t offset, pid_t pid, bool ret);
/* Attaches an empty fexit program to a kernel function; slow, it reads the kernel's BTF. */
int mt_try_fexit(const char *function);
/* The file that a function of ours is mapped from, and where in it. 0 or -errno. */
int mt_try_file_offset(const void *function, char *path, size_t size, uint64_t *offset);

#endif
