/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/procfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "headless.h"

static const char status_text[] = "Name:\ta b\\nState:\\\\ Z\n"
				  "Umask:\t0022\n"
				  "State:\tS (sleeping)\n"
				  "Tgid:\t4321\n"
				  "Ngid:\t0\n"
				  "Pid:\t4321\n"
				  "PPid:\t1\n"
				  "TracerPid:\t77\n"
				  "Uid:\t1000\t0\t1000\t1000\n"
				  "VmPeak:\t  999 kB\n"
				  "VmRSS:\t   20 kB\n"
				  "RssFile:\t    8 kB\n"
				  "RssShmem:\t    4 kB\n"
				  "VmData:\t  164 kB\n"
				  "VmStk:\t  132 kB\n"
				  "VmSwap:\t    12 kB\n"
				  "Threads:\t3\n"
				  "Seccomp:\t2\n"
				  "Seccomp_filters:\t9\n";

static void status_fields(void **state)
{
	struct mt_proc_status s;

	(void)state;
	assert_int_equal(mt_proc_status_parse(status_text, &s), 0);
	assert_string_equal(s.comm, "a b\nState:\\ Z");
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.tgid, 4321);
	assert_int_equal(s.ppid, 1);
	assert_int_equal(s.tracer, 77);
	assert_int_equal(s.uid, 1000);
	assert_int_equal(s.euid, 0);
	assert_true(s.has_mm);
	assert_int_equal(s.vm_data, 164 * 1024);
	assert_int_equal(s.vm_stk, 132 * 1024);
	assert_int_equal(s.vm_rss, 20 * 1024);
	assert_int_equal(s.vm_swap, 12 * 1024);
	assert_int_equal(s.rss_shmem, 4 * 1024);
	assert_int_equal(s.rss_file, 8 * 1024);
	assert_int_equal(s.threads, 3);
	assert_int_equal(s.seccomp, 2);
}

static void status_without_memory(void **state)
{
	struct mt_proc_status s;

	(void)state;
	assert_int_equal(mt_proc_status_parse("Name:\tkthreadd\nState:\tS (sleeping)\nTgid:\t2\n"
					      "Threads:\t1\n",
					      &s),
			 0);
	assert_false(s.has_mm);
	assert_int_equal(s.vm_data, 0);
}

static void status_damaged(void **state)
{
	static const char *const bad[] = {
		"",
		"Name:\tx\n",
		"State:\tS\n",
		"Tgid:\t1\n",
		"State:\tS\nTgid:\t\n",
		"State:\tS\nTgid:\t4294967296\n",
		"State:\tS\nTgid:\t2147483648\n",
		"State:\t\nTgid:\t1\n",
		"State:\tS\nTgid:\t1\nUid:\t1\n",
		"State:\tS\nTgid:\t1\nVmData:\t18446744073709551616 kB\n",
		"State:\tS\nTgid:\t1\nVmData:\t18014398509481984 kB\n",
		"State:\tS\nTgid:\t1\nVmData:\t-1 kB\n",
		"State:\tS\nTgid:\t1\nVmRSS",
	};
	struct mt_proc_status s = {.tgid = 99};

	(void)state;
	/* The last one is whole lines but for an unknown rest, which says nothing. */
	for (size_t i = 0; i + 1 < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mt_proc_status_parse(bad[i], &s), -EBADMSG);
	assert_int_equal(s.tgid, 99);
	assert_int_equal(mt_proc_status_parse(bad[12], &s), 0);
	assert_int_equal(s.vm_rss, 0);
}

static void status_long_name(void **state)
{
	char text[512] = "Name:\t";
	struct mt_proc_status s;

	(void)state;
	memset(text + 6, 'x', 300);
	strcpy(text + 306, "\nState:\tR (running)\nTgid:\t5\n");
	assert_int_equal(mt_proc_status_parse(text, &s), 0);
	assert_int_equal(strlen(s.comm), sizeof(s.comm) - 1);
}

static const char stat_tail[] = " S 1 10 10 34816 10 4194304 100 0 0 0 5 6 0 0 20 0 1 0 777 9000 "
				"300 18446744073709551615 1 2 140000000 0 0 0 0 0 0 0 0 0 17 1 "
				"0 0 0 0 0 11 12 94000000 14 15 16 17 0\n";

static void stat_fields(void **state)
{
	static const char *const comms[] = {"cat", "a) R 9 (b", "((((",   "))))",
					    "",    "x) (",      "\n) Z 1"};

	(void)state;
	for (size_t i = 0; i < sizeof(comms) / sizeof(comms[0]); i++) {
		struct mt_proc_stat s;
		char text[1024];

		strcpy(text, "10 (");
		strcat(text, comms[i]);
		strcat(strcat(text, ")"), stat_tail);
		assert_int_equal(mt_proc_stat_parse(text, &s), 0);
		assert_int_equal(s.state, 'S');
		assert_int_equal(s.flags, 4194304);
		assert_int_equal(s.start_time, 777);
		assert_int_equal(s.start_stack, 140000000);
		assert_int_equal(s.start_brk, 94000000);
	}
}

static void stat_damaged(void **state)
{
	static const char *const bad[] = {
		"",
		"10 (x",
		"10 (x)",
		"10 (x) ",
		"10 (x) S",
		"10 (x) S 1 2 3",
		"10 (x) 5 1 10 10 34816",
		"10 (x) S 1 10 10 99999999999999999999999 10 4194304 100 0 0 0 5 6 0 0 20 0 1 0 7",
	};
	struct mt_proc_stat s = {.start_time = 99};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mt_proc_stat_parse(bad[i], &s), -EBADMSG);
	assert_int_equal(s.start_time, 99);
}

static void check_cgroup(const char *text, int r, const char *path, bool v1)
{
	char buf[32] = "";
	bool got = !v1;

	assert_int_equal(mt_proc_cgroup_parse(text, buf, sizeof(buf), &got), r);
	if (r)
		return;
	assert_string_equal(buf, path);
	assert_int_equal(got, v1);
}

static void cgroup_paths(void **state)
{
	(void)state;
	check_cgroup("0::/user.slice/a b\n", 0, "/user.slice/a b", false);
	check_cgroup("5:cpu,cpuacct:/c\n4:memory:/m:x\n1:name=systemd:/s\n0::/u\n", 0, "/m:x",
		     true);
	check_cgroup("0::/u\n4:hugetlb,memory:/m\n", 0, "/m", true);
	check_cgroup("3:memoryx,xmemory:/no\n0::/u", 0, "/u", false);
	check_cgroup("0::/gone (deleted)\n", 0, "/gone", false);
	check_cgroup("7:name=memory:/s\n", -ENOENT, NULL, false);
	check_cgroup("", -ENOENT, NULL, false);
	check_cgroup("0:\n", -EBADMSG, NULL, false);
	check_cgroup("nonsense", -EBADMSG, NULL, false);
	check_cgroup("0::/0123456789012345678901234567890\n", -ENAMETOOLONG, NULL, false);
}

static void deleted_suffix(void **state)
{
	char gone[] = "/x (deleted)", name[] = "(deleted)", twice[] = "/x (deleted) (deleted)";
	bool deleted;

	(void)state;
	mt_proc_cut_deleted(gone, &deleted);
	assert_string_equal(gone, "/x");
	assert_true(deleted);
	mt_proc_cut_deleted(name, &deleted);
	assert_string_equal(name, "(deleted)");
	assert_false(deleted);
	mt_proc_cut_deleted(twice, NULL);
	assert_string_equal(twice, "/x (deleted)");
}

/* A file of n bytes in the working directory's temporary place. */
static char *make_file(size_t n)
{
	static char path[] = "/tmp/mt_test_procfs_XXXXXX";
	int fd;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	close(fd);
	return path;
}

static void read_file_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 16384, 1000000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *path = make_file(sizes[i]), *text = NULL;
		size_t len = 0;

		assert_int_equal(mt_read_file(path, &text, &len), 0);
		assert_int_equal(len, sizes[i]);
		assert_int_equal(text[len], 0);
		free(text);
		unlink(path);
	}
}

static void read_file_errors(void **state)
{
	char *path, *text = NULL;

	(void)state;
	assert_int_equal(mt_read_file("/nonexistent", &text, NULL), -ENOENT);
	assert_int_equal(mt_read_file("/proc", &text, NULL), -EISDIR);
	path = make_file(((size_t)64 << 20) + 1);
	assert_int_equal(mt_read_file(path, &text, NULL), -EFBIG);
	unlink(path);
	assert_null(text);
}

static void live_self(void **state)
{
	struct mt_proc_status status;
	struct mt_proc_stat stat;
	char buf[4096], small[2];
	pid_t *tids = NULL;
	size_t n = 0;
	bool whole;

	(void)state;
	assert_int_equal(mt_proc_status_read(getpid(), &status), 0);
	assert_int_equal(status.tgid, getpid());
	assert_int_equal(status.ppid, getppid());
	assert_true(status.has_mm && status.vm_data && status.vm_stk);
	assert_int_equal(mt_proc_stat_read(getpid(), &stat), 0);
	assert_int_equal(stat.state, 'R');
	assert_true(stat.start_time && stat.start_brk && stat.start_stack);
	assert_false(stat.flags & MT_PF_KTHREAD);
	assert_int_equal(mt_proc_tids(getpid(), &tids, &n, &whole), 0);
	assert_true(n >= 1 && whole);
	assert_int_equal(tids[0], getpid());
	free(tids);
	assert_int_equal(mt_proc_exe(getpid(), buf, sizeof(buf)), 0);
	assert_non_null(strstr(buf, "test_procfs"));
	assert_int_equal(mt_proc_exe(getpid(), small, sizeof(small)), -ENAMETOOLONG);
}

/* A pid that is no more: reaped, and not so soon given again. */
static void gone(void **state)
{
	struct mt_proc_status status;
	struct mt_proc_stat stat;
	struct mt_maps *maps = NULL;
	pid_t pid = fork(), *tids = NULL;
	char buf[64];
	bool whole;
	size_t n;

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(mt_proc_status_read(pid, &status), -ESRCH);
	assert_int_equal(mt_proc_stat_read(pid, &stat), -ESRCH);
	assert_int_equal(mt_maps_read(pid, &maps), -ESRCH);
	assert_int_equal(mt_proc_tids(pid, &tids, &n, &whole), -ESRCH);
	assert_int_equal(mt_proc_exe(pid, buf, sizeof(buf)), -ESRCH);
	assert_int_equal(mt_proc_cgroup(pid, buf, sizeof(buf)), -ESRCH);
}

/* The first thread has exited: what another one shows is the process's. */
static void without_first_thread(void **state)
{
	struct mt_proc_status status;
	struct mt_proc_stat stat;
	struct mt_maps *maps = NULL;
	pid_t pid = start_headless();
	char buf[4096];
	int fd;

	(void)state;
	assert_int_not_equal(mt_proc_live(pid), pid);
	assert_int_equal(mt_proc_live(getpid()), getpid());
	assert_int_equal(mt_proc_status_read(pid, &status), 0);
	assert_int_equal(status.tgid, pid);
	assert_true(status.has_mm && status.vm_data && status.state != 'Z');
	assert_int_equal(mt_proc_stat_read(pid, &stat), 0);
	assert_true(stat.start_time && stat.start_brk && stat.state != 'Z');
	assert_int_equal(mt_maps_read(pid, &maps), 0);
	assert_true(maps->n > 0);
	mt_maps_free(&maps);
	assert_int_equal(mt_proc_exe(pid, buf, sizeof(buf)), 0);
	assert_non_null(strstr(buf, "test_procfs"));
	fd = mt_proc_open(pid, "mem");
	assert_true(fd >= 0);
	close(fd);
	end_headless(pid);
	assert_int_equal(mt_proc_live(pid), pid);
	assert_int_equal(mt_proc_open(pid, "mem"), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_fields),
		cmocka_unit_test(status_without_memory),
		cmocka_unit_test(status_damaged),
		cmocka_unit_test(status_long_name),
		cmocka_unit_test(stat_fields),
		cmocka_unit_test(stat_damaged),
		cmocka_unit_test(cgroup_paths),
		cmocka_unit_test(deleted_suffix),
		cmocka_unit_test(read_file_sizes),
		cmocka_unit_test(read_file_errors),
		cmocka_unit_test(live_self),
		cmocka_unit_test(gone),
		cmocka_unit_test(without_first_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
