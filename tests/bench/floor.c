/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * floor PID: what memtrace's probes cost before they do anything. A memtrace
 * session like any other, the same probe points, links and flags, but each
 * uprobe program's instructions are replaced by "return 0" as it is loaded.
 * Says "ready" when attached, and detaches at the end of standard input.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/session.h"

static struct bpf_insn empty[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
	{.code = BPF_JMP | BPF_EXIT},
};
static unsigned int emptied;

/* libbpf calls this just before it loads a program of section "uprobe". */
static int make_empty(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	(void)cookie;
	/* they describe the instructions that were */
	opts->func_info_cnt = 0;
	opts->line_info_cnt = 0;
	emptied++;
	return bpf_program__set_insns(prog, empty, sizeof(empty) / sizeof(empty[0]));
}

static void log_to_stderr(enum mt_log_level level, const char *msg)
{
	if (level <= MT_LOG_WARN)
		fprintf(stderr, "floor: %s\n", msg);
}

static int attach(pid_t pid, struct mt_session **session)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, handler, .prog_prepare_load_fn = make_empty);
	struct mt_session_opts opts = {.max_targets = 1};
	int r = libbpf_register_prog_handler("uprobe", BPF_PROG_TYPE_KPROBE, 0, &handler);

	if (r < 0)
		return mt_err_r(r, "libbpf: %s", strerror(-r));
	r = mt_session_new(&opts, session);
	if (r)
		return r;
	if (!emptied)
		return mt_err_r(-EINVAL, "no program was emptied: this is not the floor");
	return mt_session_add(*session, pid, MT_SINCE_ATTACH);
}

int main(int argc, char **argv)
{
	struct mt_session *session = NULL;
	int r;

	if (argc != 2 || atoi(argv[1]) <= 0) {
		fprintf(stderr, "usage: floor PID\n");
		return 64;
	}
	mt_log_set_sink(log_to_stderr);
	r = attach(atoi(argv[1]), &session);
	if (!r) {
		printf("ready\n");
		fflush(stdout);
		while (getchar() != EOF)
			;
	}
	mt_session_free(&session);
	return r ? 1 : 0;
}
