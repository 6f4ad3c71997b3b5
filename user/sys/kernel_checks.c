/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What doctor shows of the machine, and what must be there to start. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sys/bpf_try.h"
#include "sys/caps.h"
#include "sys/kernel.h"
#include "sys/place.h"
#include "sys/procfs.h"

#define VMLINUX_BTF "/sys/kernel/btf/vmlinux"
#define LOCKDOWN    "/sys/kernel/security/lockdown"
#define MIN_KERNEL  0x050f00u /* 5.15 */

struct list {
	struct mt_check *v;
	size_t n, max;
};

__attribute__((format(printf, 5, 6))) static void add(struct list *l, const char *name,
						      enum mt_check_state state, const char *remedy,
						      const char *fmt, ...)
{
	struct mt_check *c;
	va_list ap;

	if (l->n >= l->max)
		return;
	c = &l->v[l->n++];
	memset(c, 0, sizeof(*c));
	c->name = name;
	c->state = state;
	if (state != MT_CHECK_OK)
		snprintf(c->remedy, sizeof(c->remedy), "%s", remedy);
	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
}

static void require(struct list *l)
{
	if (l->n)
		l->v[l->n - 1].required = true;
}

static void check_version(struct list *l)
{
	struct utsname u;
	bool ok = mt_kernel_version() >= MIN_KERNEL;

	uname(&u);
	add(l, "kernel", ok ? MT_CHECK_OK : MT_CHECK_MISSING, "5.15 or newer is needed", "%s %s",
	    u.release, u.machine);
	require(l);
}

/* The word in brackets of the lockdown file; "none" where there is no such file. */
static void lockdown_mode(char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	char *end, *start;

	snprintf(buf, size, "none");
	if (mt_read_file(LOCKDOWN, &text, NULL))
		return;
	start = strchr(text, '[');
	end = start ? strchr(start, ']') : NULL;
	if (end)
		snprintf(buf, size, "%.*s", (int)(end - start - 1), start + 1);
}

static void check_lockdown(struct list *l)
{
	char mode[32];
	bool locked;

	lockdown_mode(mode, sizeof(mode));
	locked = !strcmp(mode, "confidentiality");
	add(l, "lockdown", locked ? MT_CHECK_MISSING : MT_CHECK_OK,
	    "in confidentiality mode BPF may not read memory: boot with lockdown=integrity", "%s",
	    mode);
	require(l);
}

static void check_btf(struct list *l)
{
	bool ok = !access(VMLINUX_BTF, R_OK);

	add(l, "BTF", ok ? MT_CHECK_OK : MT_CHECK_MISSING,
	    "use a kernel built with CONFIG_DEBUG_INFO_BTF=y", "%s%s", VMLINUX_BTF,
	    ok ? "" : " is missing");
	require(l);
}

static void check_caps(struct list *l)
{
	for (const struct mt_cap *c = mt_caps; c->name; c++) {
		bool has = mt_caps_has(c);
		enum mt_check_state lacking = c->required ? MT_CHECK_MISSING : MT_CHECK_LIMITED;

		add(l, c->name, has ? MT_CHECK_OK : lacking,
		    "run memtrace as root, with sudo, or give the file this capability (setcap)",
		    "%s, to %s", has ? "held" : "not held", c->why);
		if (c->required)
			require(l);
	}
}

static void check_uprobes(struct list *l)
{
	struct mt_kernel k;

	mt_kernel_probe(&k);
	add(l, "uprobe_multi links", k.uprobe_multi ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "without them (6.6 on, all threads from 6.10 on) perf-event uprobes serve: slower "
	    "to attach",
	    k.uprobe_multi ? "count all threads of a process" : "not usable");
	add(l, "sleepable uprobes", k.sleepable ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "without them (6.0 on) a block header that is swapped out is a counted loss",
	    k.sleepable ? "a swapped block header is faulted in" : "not usable");
	add(l, "bpf_get_func_ip", k.func_ip ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "without it (6.6 on) returns are told from internal calls by their frames alone",
	    k.func_ip ? "in return probes" : "not in return probes");
}

static void check_storage(struct list *l)
{
	bool ok = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) == 1;

	add(l, "task storage", ok ? MT_CHECK_OK : MT_CHECK_MISSING, "5.11 or newer is needed", "%s",
	    ok ? "holds a thread's open frame" : "not usable");
	require(l);
}

static void check_vm_source(struct list *l)
{
	int fd = mt_try_fexit("__x64_sys_madvise");

	add(l, "fentry/fexit", fd >= 0 ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "memory calls are counted at the sys_exit tracepoint instead: every system call of "
	    "the machine then costs some 100 ns more while a trace runs",
	    "%s", fd >= 0 ? "on the memory system calls" : strerror(-fd));
	if (fd >= 0)
		close(fd);
	fd = bpf_raw_tracepoint_open("sys_exit", -1);
	/* no program was given: anything but a refusal means that it is there */
	fd = fd == -EPERM || fd == -EACCES ? fd : 0;
	add(l, "tracepoints", fd ? MT_CHECK_MISSING : MT_CHECK_OK,
	    "run memtrace as root, with sudo", "%s", fd ? strerror(-fd) : "sys_exit, exec, exit");
	require(l);
}

static long read_number(const char *path)
{
	_cleanup_free_ char *text = NULL;

	if (mt_read_file(path, &text, NULL))
		return -1;
	return strtol(text, NULL, 10);
}

static void check_sysctls(struct list *l)
{
	struct rlimit r = {0};
	bool new_accounting = mt_kernel_version() >= 0x050b00;

	add(l, "perf_event_paranoid", MT_CHECK_OK, "", "%ld; CAP_PERFMON passes it",
	    read_number("/proc/sys/kernel/perf_event_paranoid"));
	add(l, "unprivileged_bpf", MT_CHECK_OK, "", "disabled = %ld; CAP_BPF passes it",
	    read_number("/proc/sys/kernel/unprivileged_bpf_disabled"));
	getrlimit(RLIMIT_MEMLOCK, &r);
	add(l, "RLIMIT_MEMLOCK", new_accounting ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "raise it: ulimit -l unlimited", "%s",
	    new_accounting ? "not used for BPF since 5.11" : "counts BPF maps on this kernel");
}

static void check_pidns(struct list *l)
{
	struct stat st;
	bool initial = !stat("/proc/self/ns/pid", &st) && st.st_ino == MT_PID_INIT_INO;

	add(l, "pid namespace", initial ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "only processes of this namespace and those below it can be traced from here", "%s",
	    initial ? "the initial one" : "not the initial one");
}

/* Whether a thread can be held in the kernel until a new allocator is probed: files.bpf.h. */
static void check_new_files(struct list *l)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool held = btf && btf__find_by_name_kind(btf, "bpf_task_work_schedule_resume_impl",
						  BTF_KIND_FUNC) > 0;

	btf__free(btf);
	add(l, "new files", held ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "what an allocator does before its probes stand is missed: levels are then a census's, "
	    "or count from the attach; Linux 6.18 can wait",
	    "%s", held ? "threads wait for the probes" : "threads do not wait for probes");
}

/* What it takes to copy the counts of a parent and to zero them, in the kernel. */
static void check_children(struct list *l)
{
	bool able = mt_kernel_version() >= 0x051300;

	add(l, "children", able ? MT_CHECK_OK : MT_CHECK_LIMITED,
	    "-a and -F need Linux 5.19: trace single processes by -p", "%s",
	    able ? "can be followed" : "cannot be followed");
}

static void check_seccomp(struct list *l)
{
	bool kills = false;
	int r = mt_kernel_seccomp_kills(&kills);

	if (r)
		add(l, "seccomp", MT_CHECK_LIMITED,
		    "a target with a seccomp filter is traced unchecked", "not tested: %s",
		    strerror(-r));
	else
		add(l, "seccomp", kills ? MT_CHECK_LIMITED : MT_CHECK_OK,
		    "targets with a seccomp filter are refused: update the kernel",
		    kills ? "a return probe kills a filtered process"
			  : "return probes pass seccomp filters");
}

size_t mt_kernel_checks(struct mt_check *checks, size_t n)
{
	struct list l = {.v = checks, .max = n};
	libbpf_print_fn_t old = libbpf_set_print(NULL); /* failures are expected here */

	check_version(&l);
	check_btf(&l);
	check_lockdown(&l);
	check_caps(&l);
	check_uprobes(&l);
	check_storage(&l);
	check_vm_source(&l);
	check_sysctls(&l);
	check_pidns(&l);
	check_new_files(&l);
	check_children(&l);
	check_seccomp(&l);
	libbpf_set_print(old);
	return l.n;
}

int mt_kernel_require(void)
{
	char mode[32];

	if (access("/proc/self/status", R_OK))
		return mt_err_r(-EACCES,
				"/proc is not readable: mount it (mount -t proc proc /proc)");
	for (const struct mt_cap *c = mt_caps; c->name; c++)
		if (c->required && !mt_caps_has(c))
			return mt_err_r(-EPERM,
					"needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE: "
					"run it with sudo");
	if (mt_kernel_version() < MIN_KERNEL)
		return mt_err_r(-ENOSYS, "this kernel is older than 5.15, which is needed");
	if (access(VMLINUX_BTF, R_OK))
		return mt_err_r(-ENOENT,
				"no BTF at %s: use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
				VMLINUX_BTF);
	lockdown_mode(mode, sizeof(mode));
	if (!strcmp(mode, "confidentiality"))
		return mt_err_r(-EPERM,
				"kernel lockdown is in confidentiality mode, which keeps BPF "
				"from reading memory: boot with lockdown=integrity");
	return 0;
}
