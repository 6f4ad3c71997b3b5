/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What can be said of any machine: the answers agree with each other, the lines name a remedy. */
#include "sys/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "headless.h"

#define NOBODY 65534

static char said[1024];
static int lines;

static void sink(enum mt_log_level level, const char *msg)
{
	(void)level;
	lines++;
	snprintf(said, sizeof(said), "%s", msg);
}

static int listen_up(void **state)
{
	(void)state;
	said[0] = '\0';
	lines = 0;
	mt_log_set_sink(sink);
	return 0;
}

/* One line, without the program's name, with this in it. */
static void assert_said(const char *what)
{
	assert_int_equal(lines, 1);
	assert_null(strchr(said, '\n'));
	assert_null(strstr(said, "memtrace: "));
	if (!strstr(said, what))
		fail_msg("\"%s\" is not in \"%s\"", what, said);
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		skip();
	}
}

static void probe_repeats(void **state)
{
	struct mt_kernel a, b;

	(void)state;
	assert_int_equal(mt_kernel_probe(&a), 0);
	assert_int_equal(mt_kernel_probe(&b), 0);
	assert_int_equal(a.uprobe_multi, b.uprobe_multi);
	assert_int_equal(a.sleepable, b.sleepable);
	assert_int_equal(a.func_ip, b.func_ip);
}

static void checks_have_remedies(void **state)
{
	struct mt_check c[64];
	size_t n = mt_kernel_checks(c, 64);

	(void)state;
	assert_true(n > 8 && n < 64);
	for (size_t i = 0; i < n; i++) {
		assert_true(c[i].name[0] && c[i].text[0]);
		assert_null(strchr(c[i].text, '\n'));
		assert_null(strchr(c[i].remedy, '\n'));
		assert_int_equal(c[i].state != MT_CHECK_OK, c[i].remedy[0] != '\0');
	}
	assert_int_equal(mt_kernel_checks(c, 3), 3);
	assert_int_equal(mt_kernel_checks(c, 0), 0);
}

static void checks_agree_with_require(void **state)
{
	struct mt_check c[64];
	size_t n = mt_kernel_checks(c, 64);
	bool missing = false;

	(void)state;
	for (size_t i = 0; i < n; i++)
		missing |= c[i].required && c[i].state == MT_CHECK_MISSING;
	if (!missing)
		assert_int_equal(mt_kernel_require(), 0);
}

static pid_t start_child(void (*run)(void))
{
	int fds[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		if (run)
			run();
		if (write(fds[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void target_ok(void **state)
{
	pid_t pid = start_child(NULL);

	(void)state;
	assert_int_equal(mt_target_require(pid), 0);
	assert_int_equal(lines, 0);
	end_child(pid);
}

static void target_gone(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(mt_target_require(pid), -ESRCH);
	assert_said("no such process");
}

static void target_zombie(void **state)
{
	pid_t pid = fork();
	siginfo_t info;

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_true(mt_target_require(pid) < 0);
	assert_said("zombie");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void target_kernel_thread(void **state)
{
	(void)state;
	need_root();
	if (access("/proc/2/exe", F_OK) == 0) {
		print_message("skipped: pid 2 is no kernel thread here\n");
		skip();
	}
	assert_int_equal(mt_target_require(2), -EINVAL);
	assert_said("kernel thread");
}

static pthread_barrier_t barrier;
static pid_t thread_id;

static void *be_a_thread(void *arg)
{
	thread_id = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return arg;
}

static void target_thread(void **state)
{
	pthread_t t;
	char hint[32];

	(void)state;
	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&t, NULL, be_a_thread, NULL), 0);
	pthread_barrier_wait(&barrier);
	assert_int_equal(mt_target_require(thread_id), -EINVAL);
	snprintf(hint, sizeof(hint), "-p %d", getpid());
	assert_said(hint);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	pthread_barrier_destroy(&barrier);
}

static void hostile_name(void)
{
	prctl(PR_SET_NAME, "\x1b[31m)\nR 1");
}

static void as_nobody(void)
{
	if (setgid(NOBODY) || setuid(NOBODY))
		_exit(1);
}

/* Newer kernels let CAP_PERFMON read maps too. */
static void without_capabilities(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};

	if (syscall(SYS_capset, &h, d))
		_exit(1);
}

/* Asked in a child, after change() there, which hands back what it heard. */
static void ask(pid_t target, void (*change)(void), int *r)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		change();
		*r = target ? mt_target_require(target) : mt_kernel_require();
		dprintf(fds[1], "%d %d %s", *r, lines, said);
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	static char text[1100];
	ssize_t n = read(fds[0], text, sizeof(text) - 1);
	int at = 0;

	close(fds[0]);
	assert_true(n > 0);
	text[n] = '\0';
	assert_int_equal(sscanf(text, "%d %d %n", r, &lines, &at), 2);
	snprintf(said, sizeof(said), "%s", text + at);
}

static void target_of_another(void **state)
{
	pid_t pid;
	int r = 0;

	(void)state;
	need_root();
	pid = start_child(hostile_name);
	ask(pid, as_nobody, &r);
	assert_true(r == -EACCES || r == -EPERM);
	assert_said("sudo");
	assert_null(strchr(said, '\x1b'));
	end_child(pid);
}

/* Root without the right to trace is not told to become root. */
static void target_refused_to_root(void **state)
{
	pid_t target;
	int r = 0;

	(void)state;
	need_root();
	target = start_child(as_nobody);
	ask(target, without_capabilities, &r);
	assert_true(r == -EACCES || r == -EPERM);
	assert_said("though root");
	assert_said("CAP_SYS_PTRACE");
	assert_null(strstr(said, "sudo"));
	end_child(target);
}

/* The first thread has exited, the process has not ended. */
static void target_without_first_thread(void **state)
{
	pid_t pid = start_headless();

	(void)state;
	assert_int_equal(mt_target_require(pid), 0);
	end_headless(pid);
}

static void kernel_unprivileged(void **state)
{
	int r = 0;

	(void)state;
	need_root();
	ask(0, as_nobody, &r);
	assert_true(r == -EACCES || r == -EPERM);
	assert_said("CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE: run it with sudo");
}

/* No zombie and no other child is left, whatever the answer. */
static void seccomp_leaves_nothing(void **state)
{
	bool kills = true;
	int r = mt_kernel_seccomp_kills(&kills);

	(void)state;
	if (r)
		assert_false(kills);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, listen_up)
	const struct CMUnitTest tests[] = {
		T(probe_repeats),
		T(checks_have_remedies),
		T(checks_agree_with_require),
		T(target_ok),
		T(target_gone),
		T(target_zombie),
		T(target_kernel_thread),
		T(target_thread),
		T(target_of_another),
		T(target_refused_to_root),
		T(target_without_first_thread),
		T(kernel_unprivileged),
		T(seccomp_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
