/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/container.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OUTER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define UID   "0d5a6f3e-3a4e-4d4b-9d3e-6f0c9d1e2b3a"
#define USLIC "kubepods-besteffort-pod0d5a6f3e_3a4e_4d4b_9d3e_6f0c9d1e2b3a.slice"

static void engines(void **state)
{
	static const char *const paths[] = {
		"/docker/" ID,
		"/system.slice/docker-" ID ".scope",
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID ".scope",
		"/custom/parent/" ID,
		"/ecs/5f1b6c0e/" ID,
		"/actions_job/" ID,
		"/kubepods/burstable/pod" UID "/" ID,
		"/kubepods/pod" UID "/" ID,
		"/kubepods.slice/kubepods-besteffort.slice/" USLIC "/cri-containerd-" ID ".scope",
		"/kubepods.slice/kubepods-besteffort.slice/" USLIC "/docker-" ID ".scope",
		"/kubepods.slice/kubepods-besteffort.slice/" USLIC "/crio-" ID ".scope",
		"/kubepods.slice/kubepods-besteffort.slice/" USLIC "/crio-" ID ".scope/container",
		"/kubepods.slice/" USLIC "/crio-" ID ".scope/init.scope",
		"/kubepods/besteffort/pod" UID "/crio-" ID,
		"/system.slice/containerd.service/" USLIC ":cri-containerd:" ID,
		"/system.slice/nerdctl-" ID ".scope",
		"/default/" ID,
		"/machine.slice/libpod-" ID ".scope",
		"/machine.slice/libpod-" ID ".scope/container",
		"/machine.slice/machine-libpod_pod_" OUTER ".slice/libpod-" ID ".scope/container",
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID
		".scope/container",
		"/libpod_parent/libpod-" ID,
		"/libpod_parent/" OUTER "/libpod-" ID,
		"/system.slice/web.service/libpod-payload-" ID,
		/* what runs inside has cgroups of its own */
		"/docker/" ID "/system.slice/cron.service",
		/* the innermost */
		"/docker/" OUTER "/docker/" ID,
		"/docker/" OUTER "/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" ID
		".scope",
		"/system.slice/docker-" OUTER ".scope/libpod_parent/libpod-" ID,
		"/lxc.payload.web/docker/" ID,
		/* as seen from within a cgroup namespace beside it */
		"/../../docker/" ID,
		"/../docker-" ID ".scope",
		"//docker//" ID "//",
		/* the monitor of an inner one runs in the outer one */
		"/docker/" ID "/machine.slice/libpod-conmon-" OUTER ".scope",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char id[80];

		if (!mt_container_id(paths[i], id, sizeof(id)) || strcmp(id, ID) != 0)
			fail_msg("%s: '%s'", paths[i], id);
	}
}

static void names(void **state)
{
	static const struct {
		const char *path, *name;
	} rows[] = {
		{"/machine.slice/machine-web.scope/payload", "web"},
		{"/machine.slice/machine-my\\x2dweb.scope", "my-web"},
		{"/machine.slice/systemd-nspawn@my\\x2dweb.service/payload", "my-web"},
		{"/system.slice/systemd-nspawn@a.b.service", "a.b"},
		{"/lxc.payload.web-1/init.scope", "web-1"},
		{"/lxc.payload/web_1", "web_1"},
		{"/lxc/101/ns/system.slice", "101"},
		{"/lxc/outer/lxc/inner", "inner"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char id[80];

		if (!mt_container_id(rows[i].path, id, sizeof(id)) || strcmp(id, rows[i].name) != 0)
			fail_msg("%s: '%s'", rows[i].path, id);
	}
}

static void none(void **state)
{
	static const char *const paths[] = {
		"",
		"/",
		"////",
		"..",
		"/user.slice/user-0.slice/session-1.scope",
		"/system.slice/docker.service",
		"/system.slice/run-r0123456789abcdef0123456789abcdef.scope",
		"/process_api/0123456789abcdef0123456789abcdef",
		"/docker",
		"/docker/buildkit",
		"/docker/0" ID,
		"/docker/" ID "0",
		"/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"/docker/g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"/system.slice/docker-0" ID ".scope",
		"/system.slice/docker" ID ".scope",
		"/system.slice/docker-" ID ".slice",
		"/system.slice/" ID ".scope",
		"/system.slice/docker-" ID ".scopes",
		"/a.slice:cri-containerd:" ID ".scope",
		"/kubepods.slice/crio-conmon-" ID ".scope",
		"/kubepods/pod" UID "/crio-conmon-" ID,
		"/machine.slice/libpod-conmon-" ID ".scope",
		"/machine.slice/machine-libpod_pod_" ID ".slice",
		"/libpod_parent/" ID "/conmon",
		"/libpod_parent/conmon",
		"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/emulator",
		"/machine.slice/machine-.scope",
		"/machine.slice/machine-a\\x.scope",
		"/machine.slice/machine-a\\x2.scope",
		"/machine.slice/machine-a\\x00b.scope",
		"/machine.slice/machine-a\\x1bb.scope",
		"/machine.slice/machine-a\\x2fb.scope",
		"/machine.slice/machine-a\033.scope",
		"/other.slice/machine-web.scope",
		"/lxc.monitor.web",
		"/lxc",
		"/lxc/a b",
		"/lxc/\xc3\xa9",
		"/lxc.payload.",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char id[80] = "before";

		if (mt_container_id(paths[i], id, sizeof(id)) || id[0])
			fail_msg("%s: '%s'", paths[i], id);
	}
}

/* A name that has no room is none, rather than another one's. */
static void sizes(void **state)
{
	char id[MT_CONTAINER_ID_LEN + 2], after = 'x';

	(void)state;
	for (size_t size = 0; size < sizeof(id); size++) {
		memset(id, 'x', sizeof(id));
		assert_int_equal(mt_container_id("/docker/" ID, id, size),
				 size > MT_CONTAINER_ID_LEN);
		assert_int_equal(id[size], after);
		memset(id, 'x', sizeof(id));
		assert_int_equal(mt_container_id("/machine.slice/machine-a\\x2db.scope", id, size),
				 size > 3);
		assert_int_equal(id[size], after);
		assert_int_equal(mt_container_id("/lxc/abc", id, size), size > 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engines),
		cmocka_unit_test(names),
		cmocka_unit_test(none),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
