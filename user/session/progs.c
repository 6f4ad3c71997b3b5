/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loading the programs: one object, cut to what this kernel can run. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/place.h"

/* Since then the tracepoint of the exit has the mm (bpf/proc.bpf.h). */
#define EXIT_WITH_MM 0x061000u

#ifndef BPF_F_SLEEPABLE
#define BPF_F_SLEEPABLE (1u << 4)
#endif

static void set_pidns(struct memtrace_bpf *skel)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) || st.st_ino == MT_PID_INIT_INO)
		return;
	skel->rodata->mt_pidns_ino = st.st_ino;
}

/* bpf_map_lookup_percpu_elem came with 5.19; bpf_loop, with 5.17, is older. */
static bool can_zero_at_exec(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT,
				       BPF_FUNC_map_lookup_percpu_elem, NULL) == 1;
}

static void configure_uprobes(struct mt_progs *p, const struct mt_kernel *k, bool sleepable)
{
	struct bpf_program *progs[] = {p->skel->progs.mt_alloc_enter, p->skel->progs.mt_alloc_exit,
				       p->skel->progs.mt_func_probe, p->skel->progs.mt_go_exit,
				       p->skel->progs.mt_mark};

	for (size_t i = 0; i < sizeof(progs) / sizeof(progs[0]); i++) {
		if (p->multi)
			bpf_program__set_expected_attach_type(progs[i], BPF_TRACE_UPROBE_MULTI);
		if (sleepable && i < 3) /* the others do not read the target's memory */
			bpf_program__set_flags(progs[i], BPF_F_SLEEPABLE);
	}
	p->skel->rodata->mt_sleepable = sleepable;
	p->skel->rodata->mt_func_ip = p->multi && k->func_ip;
}

/*
 * fexit on the system calls where the kernel allows it, else their common exit
 * tracepoint, which slows every system call on the machine a little.
 */
static int attach_vm(struct mt_progs *p)
{
	struct bpf_program *fexit[] = {
		p->skel->progs.mt_vm_mmap_exit, p->skel->progs.mt_vm_munmap_exit,
		p->skel->progs.mt_vm_mremap_exit, p->skel->progs.mt_vm_brk_exit,
		p->skel->progs.mt_vm_madvise_exit};
	size_t n = 0;

	while (n < MT_VM_CALLS && bpf_program__autoload(fexit[n]) &&
	       (p->vm[n] = bpf_program__attach(fexit[n])))
		n++;
	p->vm_source = MT_VM_FEXIT;
	if (n == MT_VM_CALLS)
		return 0;
	while (n > 0)
		bpf_link__destroy(p->vm[--n]);
	p->vm_source = MT_VM_TRACEPOINT;
	p->vm[0] = bpf_program__attach(p->skel->progs.mt_vm_sys_exit);
	return p->vm[0] ? 0 : -errno;
}

static int attach_always_on(struct mt_progs *p)
{
	p->life[0] = bpf_program__attach(p->skel->progs.mt_proc_exec);
	p->life[1] = bpf_program__attach(p->skel->progs.mt_proc_exit);
	p->life[2] = bpf_program__attach(p->skel->progs.mt_proc_fork);
	if (bpf_program__autoload(p->skel->progs.mt_proc_exit_mm))
		p->life[3] = bpf_program__attach(p->skel->progs.mt_proc_exit_mm);
	return p->life[0] && p->life[1] && p->life[2] ? attach_vm(p) : -errno;
}

static int attach_oom(struct mt_progs *p)
{
	p->oom = bpf_program__attach(p->skel->progs.mt_oom);
	if (p->oom)
		return 0;
	return mt_err_r(-errno,
			"cannot attach to the kernel's tracepoint oom:mark_victim, by which it "
			"tells of OOM victims: %s",
			strerror(errno));
}

static void choose_vm(struct mt_progs *p, bool fexit)
{
	struct bpf_program *progs[] = {
		p->skel->progs.mt_vm_mmap_exit, p->skel->progs.mt_vm_munmap_exit,
		p->skel->progs.mt_vm_mremap_exit, p->skel->progs.mt_vm_brk_exit,
		p->skel->progs.mt_vm_madvise_exit};

	for (size_t i = 0; i < sizeof(progs) / sizeof(progs[0]); i++)
		bpf_program__set_autoload(progs[i], fexit);
}

uint64_t mt_map_memory(int fd)
{
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long v = 0;
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &v) == 1)
			break;
	return v;
}

/*
 * Free slots that wait in the kernel for processes that fork: as many as come in
 * some 100 ms, in which memtrace may not run, unless there are too many CPUs.
 */
#define RESERVE_MIN   256u
#define RESERVE_MAX   1024u
#define RESERVE_BYTES (8u << 20)
#define RING_FOLLOW   (1u << 20)
#define FILES_SINGLE  64u
#define HOLDS_SINGLE  16u

static uint32_t reserve(void)
{
	const uint64_t slot = sizeof(struct mt_counters) * (uint64_t)libbpf_num_possible_cpus();
	const uint64_t n = RESERVE_BYTES / slot;

	return n < RESERVE_MIN ? RESERVE_MIN : n > RESERVE_MAX ? RESERVE_MAX : (uint32_t)n;
}

/* Room for what is followed: one process and its like need far less. */
static void size_maps(struct memtrace_bpf *skel, const struct mt_session_opts *opts)
{
	const uint32_t n = (uint32_t)opts->max_targets, shift = mt_chunk_shift(n);

	bpf_map__set_max_entries(skel->maps.mt_targets, n);
	bpf_map__set_max_entries(skel->maps.mt_chunks, ((n - 1) >> shift) + 1);
	if (opts->follow || opts->all) {
		bpf_map__set_max_entries(skel->maps.mt_free_slots, reserve());
		bpf_map__set_max_entries(skel->maps.mt_life, RING_FOLLOW);
	} else {
		bpf_map__set_max_entries(skel->maps.mt_known, FILES_SINGLE * (n + 15));
		bpf_map__set_max_entries(skel->maps.mt_files, FILES_SINGLE * (n + 1));
		bpf_map__set_max_entries(skel->maps.mt_holds, HOLDS_SINGLE * MT_HOLD_ROUNDS);
	}
	skel->rodata->mt_chunk_shift = shift;
}

/* Without it the programs have no trace of it: the verifier drops what is never run. */
static void choose_func(struct memtrace_bpf *skel, bool func)
{
	skel->rodata->mt_func = func;
	bpf_program__set_autoload(skel->progs.mt_func_probe, func);
	bpf_map__set_autocreate(skel->maps.mt_calls, func);
	bpf_map__set_autocreate(skel->maps.mt_func_counts, func);
}

/*
 * What the kernel takes for the shape of every chunk; libbpf does not own it.
 * (libbpf 1.4 cannot set the size or the flags of an inner map that it makes itself.)
 */
static int chunk_like(const struct memtrace_bpf *skel)
{
	return bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "mt_counters", sizeof(uint32_t),
			      sizeof(struct mt_counters), 1u << skel->rodata->mt_chunk_shift, NULL);
}

static int open_and_load(struct mt_progs *p, const struct mt_kernel *k,
			 const struct mt_session_opts *opts, bool fexit, bool exit_mm)
{
	_cleanup_close_ int chunk = -1, blocks = -1;
	int r;

	p->skel = memtrace_bpf__open();
	if (!p->skel)
		return mt_err_r(-errno, "cannot open the BPF object: %s", strerror(errno));
	set_pidns(p->skel);
	p->skel->rodata->mt_page_size = (__u32)sysconf(_SC_PAGESIZE);
	p->skel->rodata->mt_cpus = p->zero_at_exec ? (__u32)libbpf_num_possible_cpus() : 0;
	configure_uprobes(p, k, k->sleepable && !opts->no_sleepable);
	choose_vm(p, fexit);
	choose_func(p->skel, opts->func);
	bpf_program__set_autoload(p->skel->progs.mt_proc_exit_mm, exit_mm);
	bpf_program__set_autoload(p->skel->progs.mt_mark, opts->marks);
	bpf_program__set_autoload(p->skel->progs.mt_oom, opts->oom);
	p->skel->rodata->mt_hold_ns = opts->max_stop_ns;
	size_maps(p->skel, opts);
	chunk = chunk_like(p->skel);
	blocks = mt_blocks_map(1);
	r = chunk < 0 ? chunk : bpf_map__set_inner_map_fd(p->skel->maps.mt_chunks, chunk);
	if (!r)
		r = blocks < 0 ? blocks
			       : bpf_map__set_inner_map_fd(p->skel->maps.mt_blocks, blocks);
	return r ? r : memtrace_bpf__load(p->skel);
}

int mt_progs_load(struct mt_progs *p, const struct mt_kernel *k, const struct mt_session_opts *opts)
{
	bool fexit = k->fexit_maybe;
	bool exit_mm = fexit && mt_kernel_version() < EXIT_WITH_MM;
	struct bpf_map *map;
	int r;

	p->multi = k->uprobe_multi && !opts->perf_uprobes;
	p->zero_at_exec = can_zero_at_exec();
	r = open_and_load(p, k, opts, fexit, exit_mm);
	if (r && exit_mm) {
		memtrace_bpf__destroy(p->skel);
		r = open_and_load(p, k, opts, fexit, false);
	}
	if (r && fexit) {
		memtrace_bpf__destroy(p->skel);
		r = open_and_load(p, k, opts, false, false);
	}
	if (r)
		return mt_err_r(r, "the kernel refused the BPF programs: %s; see memtrace doctor",
				strerror(-r));
	r = attach_always_on(p);
	if (r)
		return mt_err_r(
			r, "cannot attach to the kernel's tracepoints: %s; see memtrace doctor",
			strerror(-r));
	r = opts->oom ? attach_oom(p) : 0;
	if (r)
		return r;
	bpf_object__for_each_map(map, p->skel->obj) p->map_bytes += mt_map_memory(bpf_map__fd(map));
	return 0;
}

void mt_progs_unload(struct mt_progs *p)
{
	for (size_t i = 0; i < MT_VM_CALLS; i++)
		bpf_link__destroy(p->vm[i]);
	bpf_link__destroy(p->life[0]);
	bpf_link__destroy(p->life[1]);
	bpf_link__destroy(p->life[2]);
	bpf_link__destroy(p->life[3]);
	bpf_link__destroy(p->oom);
	memtrace_bpf__destroy(p->skel);
	memset(p, 0, sizeof(*p));
}

uint64_t mt_progs_ns(const struct mt_progs *p)
{
	struct bpf_program *prog;
	uint64_t sum = 0;

	bpf_object__for_each_program(prog, p->skel->obj)
	{
		struct bpf_prog_info info = {};
		unsigned int len = sizeof(info);

		if (bpf_program__fd(prog) >= 0 &&
		    !bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			sum += info.run_time_ns;
	}
	return sum;
}
