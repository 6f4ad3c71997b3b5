/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What this kernel can do, found by trying: versions lie, distributions
 * backport. The programs tried are a few instructions each.
 */
#include "sys/kernel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
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
 * process: the link is only good if a second thread's call is counted.
 */
static bool counts_second_thread(void)
{
	int map_fd, prog_fd = mt_try_counter(BPF_TRACE_UPROBE_MULTI, &map_fd);
	uint64_t offset, before = 0, after = 0;
	char path[PATH_MAX];
	uint32_t key = 0;
	pthread_t thread;

	if (prog_fd < 0 || mt_try_file_offset((const void *)probed, path, sizeof(path), &offset) ||
	    mt_try_multi(prog_fd, path, offset, getpid(), false) < 0 ||
	    bpf_map_lookup_elem(map_fd, &key, &before) ||
	    pthread_create(&thread, NULL, call_probed, NULL))
		return false;
	pthread_join(thread, NULL);
	return !bpf_map_lookup_elem(map_fd, &key, &after) && after > before;
}

#define SELF_TEST_MS 5000

/*
 * In a process of its own, which ends when it likes: closing the link waits for
 * a grace period, and a kill of ours must not fall into it (session/keeper.h).
 * Forked twice, so that nobody has to wait for its end.
 */
static bool self_test(void)
{
	struct pollfd p = {.fd = -1, .events = POLLIN};
	bool good = false;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return false;
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			setsid();
			good = counts_second_thread();
			(void)!write(fds[1], &good, sizeof(good));
		}
		_exit(0);
	}
	close(fds[1]);
	p.fd = fds[0];
	if (pid > 0 && poll(&p, 1, SELF_TEST_MS) > 0 && read(fds[0], &good, sizeof(good)) < 1)
		good = false;
	close(fds[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return good;
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
	out->uprobe_multi = self_test();
	out->sleepable = can_sleep();
	out->fexit_maybe = !fexit_refused();
	/* Older kernels have the helper for kprobes, and answer 0 to uprobes, of the same type. */
	out->func_ip = out->uprobe_multi &&
		       has_helper(BPF_TRACE_UPROBE_MULTI, false, BPF_FUNC_get_func_ip);
	return 0;
}
