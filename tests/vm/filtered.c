// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * filtered COMMAND [ARG...]: runs it under a seccomp filter that, as many
 * real ones do, kills at a system call that it does not know: uretprobe, which
 * kernels since 6.11 make by themselves at the return of a probed function.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NR_URETPROBE 335 /* arch/x86/entry/syscalls/syscall_64.tbl */

int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR_URETPROBE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (argc < 2)
		return 64;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
		perror("seccomp");
		return 72;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
