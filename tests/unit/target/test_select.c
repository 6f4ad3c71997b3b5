/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "target/select.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "headless.h"
#include "sys/procfs.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "0123456789abcdee0123456789abcdef0123456789abcdef0123456789abcdef"

static struct mt_select s;

static int start(void **state)
{
	(void)state;
	assert_true(mt_select_is_empty(&s));
	return 0;
}

static int finish(void **state)
{
	(void)state;
	mt_select_fini(&s);
	return 0;
}

static void add(enum mt_select_kind kind, const char *text)
{
	const char *why = NULL;
	int r = mt_select_add(&s, kind, text, &why);

	if (r)
		fail_msg("'%s': %d, %s", text, r, why);
	assert_null(why);
}

static void refuse(enum mt_select_kind kind, const char *text, const char *reason)
{
	size_t n = s.by[kind].n;
	const char *why = NULL;

	assert_int_equal(mt_select_add(&s, kind, text, &why), -EINVAL);
	if (!why || !strstr(why, reason))
		fail_msg("'%s': '%s' does not say '%s'", text, why ? why : "", reason);
	assert_true(s.by[kind].n <= n + 1);
}

static bool comm(const char *name)
{
	return mt_select_matches(&s, name, "/a", "");
}

static bool cgroup(const char *path)
{
	return mt_select_matches(&s, "x", path, "");
}

static bool container(const char *id)
{
	return mt_select_matches(&s, "x", "/a", id);
}

static void empty(void **state)
{
	(void)state;
	assert_true(mt_select_matches(&s, "", "", ""));
	assert_true(mt_select_matches(&s, "a", "/b", ID));
}

static void comms(void **state)
{
	(void)state;
	add(MT_SELECT_COMM, "one,a b");
	add(MT_SELECT_COMM, "fifteen-bytes-x,sixteen-bytes-xyz");
	assert_false(mt_select_is_empty(&s));
	assert_true(comm("one"));
	assert_true(comm("a b"));
	assert_true(comm("fifteen-bytes-x"));
	assert_true(comm("sixteen-bytes-x"));
	assert_false(comm("sixteen-bytes"));
	assert_false(comm("sixteen-bytes-y"));
	assert_false(comm("sixteen-bytes-xyz"));
	assert_false(comm("fifteen-bytes-"));
	assert_false(comm("on"));
	assert_false(comm("ones"));
	assert_false(comm("One"));
	assert_false(comm(""));
	refuse(MT_SELECT_COMM, "", "nothing is given");
	refuse(MT_SELECT_COMM, "a,,b", "missing");
	refuse(MT_SELECT_COMM, "a,", "missing");
	refuse(MT_SELECT_COMM, ",a", "missing");
}

static void cgroups(void **state)
{
	(void)state;
	add(MT_SELECT_CGROUP, "/user.slice//a,b/");
	add(MT_SELECT_CGROUP, "system.slice");
	add(MT_SELECT_CGROUP, "/sys/fs/cgroup/no such/c");
	assert_true(cgroup("/user.slice/a,b"));
	assert_true(cgroup("/user.slice/a,b/c/d"));
	assert_false(cgroup("/user.slice/a,bc"));
	assert_false(cgroup("/user.slice/a"));
	assert_false(cgroup("/user.slice"));
	assert_true(cgroup("/system.slice/x.service"));
	assert_true(cgroup("/no such/c"));
	assert_false(cgroup("/"));
	assert_false(cgroup(""));
	refuse(MT_SELECT_CGROUP, "", "nothing is given");
	refuse(MT_SELECT_CGROUP, "/a/../b", "..");
	refuse(MT_SELECT_CGROUP, "..", "..");
	refuse(MT_SELECT_CGROUP, "./a", "..");
	add(MT_SELECT_CGROUP, "/.../..a");
	assert_true(cgroup("/.../..a"));
}

static void whole_tree(void **state)
{
	(void)state;
	add(MT_SELECT_CGROUP, "/sys/fs/cgroup/");
	assert_true(cgroup("/"));
	assert_true(cgroup("/a"));
	assert_true(cgroup("/../a"));
}

static void long_cgroups(void **state)
{
	static char path[1100];

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	refuse(MT_SELECT_CGROUP, path, "too long");
	path[1024] = '\0';
	refuse(MT_SELECT_CGROUP, path, "too long");
	path[1023] = '\0';
	add(MT_SELECT_CGROUP, path);
	assert_true(cgroup(path));
}

static void containers(void **state)
{
	(void)state;
	add(MT_SELECT_CONTAINER, "0123456789abcdef,web-1");
	add(MT_SELECT_CONTAINER, "101");
	assert_true(container(ID));
	assert_false(container(OTHER));
	assert_false(container("0123456789abcdef0"));
	assert_true(container("web-1"));
	assert_false(container("web-10"));
	assert_true(container("101"));
	assert_false(container("1011"));
	assert_false(container(""));
	add(MT_SELECT_CONTAINER, "0123456789ab");
	assert_true(container(OTHER));
	refuse(MT_SELECT_CONTAINER, "0123456789a", "12 or more");
	refuse(MT_SELECT_CONTAINER, ID "0", "64");
	refuse(MT_SELECT_CONTAINER, "web 1", "not the id");
	refuse(MT_SELECT_CONTAINER, "/docker/" ID, "not the id");
	refuse(MT_SELECT_CONTAINER, "", "nothing is given");
	refuse(MT_SELECT_CONTAINER, "web,", "missing");
	refuse(MT_SELECT_CONTAINER, "zz" ID ID, "too long");
	add(MT_SELECT_CONTAINER, ID);
}

/* Each kind narrows what the others chose. */
static void together(void **state)
{
	(void)state;
	add(MT_SELECT_COMM, "a");
	add(MT_SELECT_CGROUP, "/docker");
	add(MT_SELECT_CONTAINER, "0123456789abcdef");
	assert_true(mt_select_matches(&s, "a", "/docker/" ID, ID));
	assert_false(mt_select_matches(&s, "b", "/docker/" ID, ID));
	assert_false(mt_select_matches(&s, "a", "/dockers/" ID, ID));
	assert_false(mt_select_matches(&s, "a", "/docker/" OTHER, OTHER));
}

static void many(void **state)
{
	const char *why = NULL;

	(void)state;
	for (int i = 0; i < MT_SELECT_MAX; i++)
		add(MT_SELECT_COMM, "name");
	assert_int_equal(mt_select_add(&s, MT_SELECT_COMM, "name", &why), -E2BIG);
	assert_non_null(why);
}

static pid_t child(const char *name)
{
	int ready[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static bool has(const pid_t *pids, size_t n, pid_t pid)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		found |= pids[i] == pid;
		assert_true(i == 0 || pids[i - 1] < pids[i]);
	}
	return found;
}

static void processes(void **state)
{
	static const char name[] = "mt-select-test";
	pid_t a = child(name), b = child("mt-select-other"), headless = start_headless();
	char path[1024], own[64];
	pid_t *pids = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(mt_select_pids(&s, &pids, &n), 0);
	assert_true(has(pids, n, a) && has(pids, n, b) && has(pids, n, headless));
	assert_false(has(pids, n, getpid()));
	for (size_t i = 0; i < n; i++) {
		struct mt_proc_stat st;

		if (!mt_proc_stat_read(pids[i], &st))
			assert_false(st.flags & MT_PF_KTHREAD);
	}
	free(pids);
	assert_int_equal(mt_proc_cgroup(getpid(), path, sizeof(path)), 0);
	add(MT_SELECT_CGROUP, path);
	add(MT_SELECT_COMM, name);
	assert_int_equal(mt_proc_comm(getpid(), own, sizeof(own)), 0);
	add(MT_SELECT_COMM, own);
	assert_int_equal(mt_select_pids(&s, &pids, &n), 0);
	assert_true(has(pids, n, a) && has(pids, n, headless));
	assert_false(has(pids, n, b) || has(pids, n, getpid()));
	free(pids);
	end_headless(headless);
	kill(a, SIGKILL);
	while (waitid(P_PID, (id_t)a, &(siginfo_t){0}, WEXITED | WNOWAIT))
		;
	assert_int_equal(mt_select_pids(&s, &pids, &n), 0);
	assert_false(has(pids, n, a)); /* a zombie */
	free(pids);
	add(MT_SELECT_CONTAINER, "no-such-container");
	assert_int_equal(mt_select_pids(&s, &pids, &n), 0);
	assert_int_equal(n, 0);
	assert_null(pids);
	end_headless(b);
	waitpid(a, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty, start, finish),
		cmocka_unit_test_setup_teardown(comms, start, finish),
		cmocka_unit_test_setup_teardown(cgroups, start, finish),
		cmocka_unit_test_setup_teardown(whole_tree, start, finish),
		cmocka_unit_test_setup_teardown(long_cgroups, start, finish),
		cmocka_unit_test_setup_teardown(containers, start, finish),
		cmocka_unit_test_setup_teardown(together, start, finish),
		cmocka_unit_test_setup_teardown(many, start, finish),
		cmocka_unit_test_setup_teardown(processes, start, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
