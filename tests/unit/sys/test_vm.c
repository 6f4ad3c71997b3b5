/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Readings of live processes; test_vm_classify.c has recorded images. */
#include "sys/procfs.h"
#include "sys/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "headless.h"

#define MIB (1ull << 20)

static void live_self(void **state)
{
	struct mt_vm vm = {.pss = 77};
	struct mt_proc_status s;
	char *brk = sbrk(8192); /* a sanitizer's allocator would not use it */

	(void)state;
	assert_true(brk != (void *)-1);
	memset(brk, 1, 8192);
	assert_int_equal(mt_vm_read(getpid(), MT_VM_PARTS, &vm), 0);
	assert_int_equal(vm.pss, 77);
	assert_true(vm.known && vm.detail && vm.heap_sys && vm.stack_sys);
	assert_int_equal(mt_vm_read(getpid(), MT_VM_FULL, &vm), 0);
	assert_int_equal(mt_proc_status_read(getpid(), &s), 0);
	assert_true(vm.pss != 77 && vm.heap_resident && vm.stack_resident);
	assert_int_equal(vm.stack, s.vm_stk);
	assert_true(vm.heap_sys + vm.stack_sys <= vm.data + vm.stack);
}

static void live_gone(void **state)
{
	struct mt_vm vm = {.rss = 5};
	pid_t pid = fork();
	siginfo_t info;

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(mt_vm_read(pid, MT_VM_FULL, &vm), -ESRCH); /* a zombie */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(mt_vm_read(pid, MT_VM_FULL, &vm), -ESRCH);
	assert_int_equal(vm.rss, 5);
}

/* The first thread has exited, another one runs: the process is as alive as any. */
static void live_without_first_thread(void **state)
{
	struct mt_proc_stat st = {0};
	struct mt_vm vm = {0};
	pid_t pid = start_headless();

	(void)state;
	while (st.state != 'S') /* the other one is still on its way */
		assert_int_equal(mt_proc_stat_read(pid, &st), 0);
	assert_int_equal(mt_vm_read(pid, MT_VM_FULL, &vm), 0);
	assert_true(vm.data && vm.stack && vm.rss && vm.pss);
	assert_true(vm.stack_sys > vm.stack); /* the other thread's */
	end_headless(pid);
}

#define UFFD_SIZE (8 * MIB)

/* A child with memory that faults for good, for nobody serves its userfaultfd. */
static pid_t start_uffd(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int ready[2], fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	char *p = mmap(NULL, UFFD_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	char c = 0;

	if (fd >= 0)
		close(fd);
	if (fd < 0)
		skip(); /* no userfaultfd here */
	assert_true(p != MAP_FAILED && pipe(ready) == 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		reg.range = (struct uffdio_range){(uintptr_t)p, UFFD_SIZE};
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		c = ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg);
		if (write(ready[1], &c, 1) == 1)
			pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 0);
	close(ready[0]);
	close(ready[1]);
	munmap(p, UFFD_SIZE);
	return pid;
}

/* Reading it must neither wait nor touch it: the alarm ends a test that waits. */
static void live_userfaultfd(void **state)
{
	struct mt_vm vm = {0};
	pid_t pid = start_uffd();
	int r, status;

	(void)state;
	alarm(60);
	r = mt_vm_read(pid, MT_VM_FULL, &vm);
	alarm(0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(r, 0);
	assert_true(vm.data >= UFFD_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_self),
		cmocka_unit_test(live_gone),
		cmocka_unit_test(live_without_first_thread),
		cmocka_unit_test(live_userfaultfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
