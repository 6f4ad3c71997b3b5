/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "target/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "alloc/musl.h"
#include "alloc/order.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/words.h"
#include "sys/elf.h"
#include "sys/procfs.h"

#define ARCH_SET_FS 0x1002 /* asm/prctl.h */

static int parse_id(const char *name, unsigned long *id)
{
	const char *s = getenv(name);
	char *end;

	if (!s || *s < '0' || *s > '9')
		return -ENOENT;
	errno = 0;
	*id = strtoul(s, &end, 10);
	return errno || *end || *id >= UINT_MAX ? -EINVAL : 0;
}

static bool invoking_user(unsigned long *uid, unsigned long *gid)
{
	return !geteuid() && !parse_id("SUDO_UID", uid) && !parse_id("SUDO_GID", gid) && *uid;
}

bool mt_launch_changes_user(void)
{
	unsigned long uid, gid;

	return invoking_user(&uid, &gid);
}

/* Under sudo the command is the invoking user's, with his own HOME. */
static int become_invoking_user(void)
{
	unsigned long uid, gid;
	struct passwd *pw;

	if (!invoking_user(&uid, &gid))
		return 0;
	pw = getpwuid((uid_t)uid);
	if (pw ? initgroups(pw->pw_name, (gid_t)gid) : setgroups(0, NULL))
		return -errno;
	if (setgid((gid_t)gid) || setuid((uid_t)uid))
		return -errno;
	if (pw) {
		setenv("HOME", pw->pw_dir, 1);
		setenv("USER", pw->pw_name, 1);
		setenv("LOGNAME", pw->pw_name, 1);
	}
	return 0;
}

void mt_launch_signals(struct mt_launch_signals *ret)
{
	sigprocmask(SIG_BLOCK, NULL, &ret->mask);
	sigaction(SIGPIPE, NULL, &ret->pipe);
	sigaction(SIGXFSZ, NULL, &ret->xfsz);
}

static void restore_signals(const struct mt_launch_signals *found)
{
	sigaction(SIGPIPE, &found->pipe, NULL);
	sigaction(SIGXFSZ, &found->xfsz, NULL);
	sigprocmask(SIG_SETMASK, &found->mask, NULL);
}

/* The child up to its exec; the error goes back through the pipe. */
__attribute__((noreturn)) static void
child(char *const argv[], const struct mt_launch_signals *found, int err_fd, void (*on_child)(int))
{
	int r = become_invoking_user();

	signal(SIGCHLD, on_child);
	if (found)
		restore_signals(found);

	if (!r && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		r = -errno;
	if (!r) {
		raise(SIGSTOP);
		execvp(argv[0], argv);
		r = -errno;
	}
	(void)!write(err_fd, &r, sizeof(r));
	_exit(127);
}

/* Waits for the child's next stop. 0 stopped, -ECHILD: it ended. */
static int wait_stop(pid_t pid, int *status)
{
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSTOPPED(*status) ? 0 : -ECHILD;
}

/* What runs first in the process. */
struct loader {
	struct mt_mapping map; /* without the path */
	bool is_libc;          /* musl's: there may be no other library */
};

static bool in_file(const struct mt_maps *maps, uint64_t addr, const struct mt_mapping *file)
{
	const struct mt_mapping *m = mt_maps_find(maps, addr);

	return m && mt_mapping_same_file(m, file);
}

/*
 * At a system call of the loader: true once all libraries are mapped. glibc's
 * sets the thread pointer then (arch_prctl) and, later, makes relocated data
 * read-only (mprotect); musl's sets it at once, and relocates, itself among
 * others, when all are mapped. Code outside the loader runs after both.
 */
static bool libraries_mapped(pid_t pid, const struct loader *loader,
			     const struct user_regs_struct *regs)
{
	const bool relocated = regs->orig_rax == SYS_mprotect && regs->rdx == PROT_READ;
	struct mt_maps *maps = NULL;
	bool mapped = false, outside;

	if (mt_maps_read(pid, &maps))
		return true;
	outside = !in_file(maps, regs->rip, &loader->map);
	if (loader->is_libc)
		mapped = relocated;
	else if ((regs->orig_rax == SYS_arch_prctl && regs->rdi == ARCH_SET_FS) || relocated ||
		 outside)
		for (size_t i = 0; i < maps->n && !mapped; i++)
			mapped = maps->v[i].exec && strstr(maps->v[i].path, ".so") &&
				 !in_file(maps, maps->v[i].start, &loader->map);
	mt_maps_free(&maps);
	return mapped || outside;
}

/* ld-linux-x86-64.so.2 PROGRAM: it has no interpreter, for it is one. */
static bool is_loader(pid_t pid)
{
	char exe[PATH_MAX];
	const char *base;

	if (mt_proc_exe(pid, exe, sizeof(exe)))
		return false;
	base = strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe;
	return !strncmp(base, "ld-", 3) || !strncmp(base, "ld.so", 5);
}

static bool is_musl(pid_t pid, const struct mt_mapping *m)
{
	char path[96], version[32];
	struct mt_elf *elf = NULL;
	bool is;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, m->start,
		 m->end);
	if (mt_elf_open(path, &elf))
		return false;
	is = mt_musl_is_libc(elf, version, sizeof(version));
	mt_elf_free(&elf);
	return is;
}

/* The loader's mapping right after exec: where the process starts to run. -ENOENT: static. */
static int find_loader(pid_t pid, struct loader *loader)
{
	struct user_regs_struct regs;
	const struct mt_mapping *m;
	struct mt_maps *maps = NULL;
	struct mt_elf *elf = NULL;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	r = mt_elf_open(path, &elf);
	if (r)
		return -ENOENT; /* detection says what is wrong with it */
	if (mt_elf_is_static(elf) && !is_loader(pid))
		r = -ENOENT;
	mt_elf_free(&elf);
	if (r)
		return r;
	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		return -errno;
	r = mt_maps_read(pid, &maps);
	if (r)
		return r;
	m = mt_maps_find(maps, regs.rip);
	if (m) {
		loader->map = *m;
		loader->map.path = "";
		loader->is_libc = is_musl(pid, m);
	}
	mt_maps_free(&maps);
	return m ? 0 : -ENOENT;
}

/* Runs the loader from system call to system call until the libraries are there. */
static int run_loader(pid_t pid)
{
	struct user_regs_struct regs;
	struct loader loader = {0};
	int r = find_loader(pid, &loader), status, sig = 0;

	if (r == -ENOENT)
		return 0;
	while (!r) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)sig))
			return -errno;
		r = wait_stop(pid, &status);
		if (r)
			return r;
		sig = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			sig = status >> 16 ? 0 : WSTOPSIG(status);
			continue;
		}
		if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
			return -errno;
		if (libraries_mapped(pid, &loader, &regs))
			return 0;
	}
	return r;
}

static int exec_failed(char *const argv[], int err, int *status)
{
	char q[256];

	*status = err == -ENOENT ? 127 : 126;
	return mt_err_r(err, "cannot run %s: %s", mt_quote(q, sizeof(q), argv[0]), strerror(-err));
}

/* From the child's first stop through exec to the held state. */
static int bring_up(pid_t pid, char *const argv[], int err_fd, int *exit_status)
{
	int status, err, r = wait_stop(pid, &status);

	if (!r && ptrace(PTRACE_SETOPTIONS, pid, NULL,
			 (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)))
		r = -errno;
	while (!r) {
		if (ptrace(PTRACE_CONT, pid, NULL, NULL))
			return -errno;
		r = wait_stop(pid, &status);
		if (!r && status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXEC << 8)))
			return run_loader(pid);
	}
	if (read(err_fd, &err, sizeof(err)) == sizeof(err))
		return exec_failed(argv, err, exit_status);
	return r;
}

int mt_launch_start(char *const argv[], const struct mt_launch_signals *found, pid_t *pid,
		    int *status)
{
	void (*on_child)(int);
	int fds[2], r;
	pid_t held;

	*status = 1;
	/* ignored, as some supervisors leave it, the kernel would keep no exit status */
	on_child = signal(SIGCHLD, SIG_DFL);
	if (pipe2(fds, O_CLOEXEC))
		return mt_err_r(-errno, "cannot make a pipe: %s", strerror(errno));
	held = fork();
	if (!held)
		child(argv, found, fds[1], on_child);
	r = -errno;
	close(fds[1]);
	if (held < 0) {
		close(fds[0]);
		return mt_err_r(r, "cannot fork: %s", strerror(-r));
	}
	r = bring_up(held, argv, fds[0], status);
	close(fds[0]);
	if (r) {
		char q[256];

		mt_launch_abort(held);
		if (*status == 1)
			mt_err_r(r, "%s ended before it could be traced",
				 mt_quote(q, sizeof(q), argv[0]));
		return r;
	}
	*pid = held;
	return 0;
}

int mt_launch_go(pid_t pid)
{
	return ptrace(PTRACE_DETACH, pid, NULL, NULL) ? -errno : 0;
}

void mt_launch_abort(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) > 0 && !WIFEXITED(status) && !WIFSIGNALED(status))
		;
}
