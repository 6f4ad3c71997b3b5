/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From 6.11 until its repair (cf6cb56ef244), x86-64 kernels return from a
 * return probe by a system call of their own, which a seccomp filter that does
 * not know it answers by killing the process (systemd issue 34615). Tried on a
 * child: a filter that kills on all it does not need, and a return probe.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/bpf_try.h"
#include "sys/kernel.h"
#include "sys/place.h"

#define FIRST_AFFECTED 0x060b00u
#define CHILD_LIMIT_MS 5000

__attribute__((noinline)) static void probed(void)
{
	__asm__ volatile("");
}

/* Allows read and exit_group, kills on the rest. */
static int install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ? -errno : 0;
}

__attribute__((noreturn)) static void child(int go_fd)
{
	char c;

	if (read(go_fd, &c, 1) != 1 || install_filter())
		syscall(SYS_exit_group, 2);
	probed();
	for (;;)
		syscall(SYS_exit_group, 0);
}

/* The child's wait status; a child that does not end in time is killed: -ETIME. */
static int await(pid_t pid, int *status)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	bool ended = pidfd >= 0 && poll(&p, 1, CHILD_LIMIT_MS) > 0;

	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return ended ? 0 : -ETIME;
}

/* Probes the child, lets it go. The link stays open to our end: closing it waits. */
static int probe_child(pid_t pid, int go_fd, int *status)
{
	_cleanup_close_ int map_fd = -1, prog_fd = mt_try_counter(BPF_TRACE_UPROBE_MULTI, &map_fd);
	char path[PATH_MAX];
	uint64_t offset;
	int r = prog_fd;

	if (r >= 0)
		r = mt_try_file_offset((const void *)probed, path, sizeof(path), &offset);
	if (r >= 0)
		r = mt_try_multi(prog_fd, path, offset, pid, true);
	if (r >= 0 && write(go_fd, "g", 1) != 1)
		r = -errno;
	if (r < 0)
		kill(pid, SIGKILL);
	return await(pid, status) ? -ETIME : r < 0 ? r : 0;
}

int mt_kernel_seccomp_kills(bool *kills)
{
	int fds[2], status = 0, r;
	pid_t pid;

	*kills = false;
	if (mt_kernel_version() < FIRST_AFFECTED)
		return 0;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		child(fds[0]);
	r = pid < 0 ? -errno : probe_child(pid, fds[1], &status);
	close(fds[0]);
	close(fds[1]);
	if (r)
		return r;
	*kills = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	return 0;
}
