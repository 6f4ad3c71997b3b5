/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vmread PID: what mt_vm_read says of a process, as one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sys/vm.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void field(const char *name, uint64_t v)
{
	printf("\"%s\": %" PRIu64 ", ", name, v);
}

int main(int argc, char **argv)
{
	struct mt_vm vm = {0};
	uint64_t t0, t1, t2;
	pid_t pid;
	int r;

	if (argc != 2)
		return 2;
	pid = atoi(argv[1]);
	t0 = now_ns();
	r = mt_vm_read(pid, MT_VM_PARTS, &vm);
	t1 = now_ns();
	if (!r)
		r = mt_vm_read(pid, MT_VM_FULL, &vm);
	t2 = now_ns();
	if (r) {
		fprintf(stderr, "vmread: %s\n", strerror(-r));
		return 1;
	}
	printf("{");
	field("data", vm.data);
	field("stack", vm.stack);
	field("heap_sys", vm.heap_sys);
	field("heap_resident", vm.heap_resident);
	field("stack_sys", vm.stack_sys);
	field("stack_resident", vm.stack_resident);
	field("rss", vm.rss);
	field("pss", vm.pss);
	field("swap", vm.swap);
	field("shared", vm.shared);
	field("cgroup_current", vm.cgroup_current);
	field("quick_ns", t1 - t0);
	printf("\"full_ns\": %" PRIu64 "}\n", t2 - t1);
	return 0;
}
