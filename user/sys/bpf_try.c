/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/bpf_try.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "sys/procfs.h"

#ifndef BPF_F_SLEEPABLE
#define BPF_F_SLEEPABLE (1u << 4)
#endif

static const struct bpf_insn return_0[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	{.code = BPF_JMP | BPF_EXIT},
};

int mt_try_load(enum bpf_prog_type type, enum bpf_attach_type attach, bool sleepable,
		const struct bpf_insn *insns, size_t n)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach,
		    .prog_flags = sleepable ? BPF_F_SLEEPABLE : 0);

	return bpf_prog_load(type, "mt_try", "Dual BSD/GPL", insns, n, &opts);
}

int mt_try_counter(enum bpf_attach_type attach, int *ret_map_fd)
{
	int map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mt_try", sizeof(uint32_t),
				    sizeof(uint64_t), 1, NULL);
	struct bpf_insn insns[] = {
		{.code = BPF_LD | BPF_DW, /* and BPF_IMM, which is 0 too */
		 .dst_reg = BPF_REG_1,
		 .src_reg = BPF_PSEUDO_MAP_VALUE,
		 .imm = map_fd},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 1},
		{.code = BPF_STX | BPF_DW | BPF_ATOMIC,
		 .dst_reg = BPF_REG_1,
		 .src_reg = BPF_REG_2,
		 .imm = BPF_ADD},
		return_0[0],
		return_0[1],
	};
	int fd;

	if (map_fd < 0)
		return map_fd;
	fd = mt_try_load(BPF_PROG_TYPE_KPROBE, attach, false, insns,
			 sizeof(insns) / sizeof(insns[0]));
	if (fd < 0) {
		close(map_fd);
		return fd;
	}
	*ret_map_fd = map_fd;
	return fd;
}

int mt_try_multi(int prog_fd, const char *path, uint64_t offset, pid_t pid, bool ret)
{
	unsigned long offsets[] = {offset};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .uprobe_multi.path = path,
		    .uprobe_multi.offsets = offsets, .uprobe_multi.cnt = 1,
		    .uprobe_multi.pid = (__u32)pid,
		    .uprobe_multi.flags = ret ? BPF_F_UPROBE_MULTI_RETURN : 0);

	return bpf_link_create(prog_fd, 0, BPF_TRACE_UPROBE_MULTI, &opts);
}

int mt_try_fexit(const char *function)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT);
	int fd, link_fd, id = libbpf_find_vmlinux_btf_id(function, BPF_TRACE_FEXIT);

	if (id < 0)
		return id;
	opts.attach_btf_id = (__u32)id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "mt_try", "Dual BSD/GPL", return_0, 2, &opts);
	if (fd < 0)
		return fd;
	link_fd = bpf_raw_tracepoint_open(NULL, fd);
	close(fd);
	return link_fd;
}

int mt_try_file_offset(const void *function, char *path, size_t size, uint64_t *offset)
{
	uint64_t addr = (uint64_t)(uintptr_t)function;
	const struct mt_mapping *m;
	struct mt_maps *maps = NULL;
	int r = mt_maps_read(getpid(), &maps);

	if (r)
		return r;
	m = mt_maps_find(maps, addr);
	if (m) {
		*offset = addr - m->start + m->offset;
		snprintf(path, size, "%s", m->path);
	}
	mt_maps_free(&maps);
	return m ? 0 : -ENOENT;
}
