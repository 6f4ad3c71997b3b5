/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What this kernel can do, found by trying: versions lie, distributions
 * backport. The programs tried are a few instructions each.
 */
#include "sys/kernel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "sys/bpf_try.h"

/* The function that the self-tests probe; nothing else calls it. */
__attribute__((noinline)) static void probed(void)
{
	__asm__ volatile("");
}

static void *call_probed(void *arg)
{
	(void)arg;
	probed();
	return NULL;
}

/*
 * Kernels before 6.10 (46ba0e49b642) filtered a multi link by thread and not by
 * process: the link is only good if a second thread's call is counted. The link
 * stays open to the program's end: closing waits for a grace period.
 */
static bool counts_second_thread(void)
{
	static int link_fd = -1, map_fd = -1;
	uint64_t offset, before = 0, after = 0;
	uint32_t key = 0;
	pthread_t thread;

	if (link_fd < 0) {
		int prog_fd = mt_try_counter(BPF_TRACE_UPROBE_MULTI, &map_fd);

		if (prog_fd < 0)
			return false;
		if (!mt_try_file_offset((const void *)probed, &offset))
			link_fd = mt_try_multi(prog_fd, "/proc/self/exe", offset, getpid(), false);
		close(prog_fd);
	}
	if (link_fd < 0 || bpf_map_lookup_elem(map_fd, &key, &before) ||
	    pthread_create(&thread, NULL, call_probed, NULL))
		return false;
	pthread_join(thread, NULL);
	return !bpf_map_lookup_elem(map_fd, &key, &after) && after > before;
}

static bool loads(enum bpf_attach_type attach, bool sleepable, const struct bpf_insn *insns,
		  size_t n)
{
	int fd = mt_try_load(BPF_PROG_TYPE_KPROBE, attach, sleepable, insns, n);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool has_helper(enum bpf_attach_type attach, bool sleepable, int helper)
{
	const struct bpf_insn insns[] = {
		/* r1 stays the context; a helper of other arguments gets no further than its name
		 */
		{.code = BPF_JMP | BPF_CALL, .imm = helper},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return loads(attach, sleepable, insns, sizeof(insns) / sizeof(insns[0]));
}

static bool can_sleep(void)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return loads(0, true, insns, sizeof(insns) / sizeof(insns[0]));
}

/*
 * A policy may refuse such programs whatever they attach to. BTF type 1 is no
 * function, so elsewhere the answer is -EINVAL, and comes before any BTF is read.
 */
static bool fexit_refused(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT,
		    .attach_btf_id = 1);
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "mt_try", "Dual BSD/GPL", insns, 2, &opts);

	if (fd >= 0)
		close(fd);
	return fd == -EPERM;
}

int mt_kernel_probe(struct mt_kernel *out)
{
	memset(out, 0, sizeof(*out));
	out->uprobe_multi = counts_second_thread();
	out->sleepable = can_sleep();
	out->fexit_maybe = !fexit_refused();
	/* Older kernels have the helper for kprobes, and answer 0 to uprobes, of the same type. */
	out->func_ip = out->uprobe_multi &&
		       has_helper(BPF_TRACE_UPROBE_MULTI, false, BPF_FUNC_get_func_ip);
	return 0;
}
