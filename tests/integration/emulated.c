/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which instructions does this kernel emulate under a uprobe? Measured without
 * a clock: a process gets an "[uprobes]" mapping when the kernel first needs
 * room to execute a copy of an instruction, and not before. Each form runs in
 * a fresh process, with a counting uprobe on it; the answers are compared
 * with what user/sys/place_x86_64.c claims. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/place.h"

#define PAGE 4096
/* More than once: 6.18 rewrites a five-byte nop into a call after its first hit. */
#define CALLS 3

struct form {
	const char *name;
	unsigned int len;
	const char *bytes; /* the instruction */
	const char *tail;  /* what undoes it; `ret` follows */
	unsigned int tail_len;
	bool loose; /* kernels differ: the claim may say less than is true */
};

#define B(s) sizeof(s) - 1, s
#define DROP "\x48\x83\xc4\x08" /* add rsp, 8 */
#define F(n, b)                                                                                    \
	{                                                                                          \
		n, B(b), "", 0, false                                                              \
	}
#define L(n, b)                                                                                    \
	{                                                                                          \
		n, B(b), "", 0, true                                                               \
	}
#define P(n, b)                                                                                    \
	{                                                                                          \
		n, B(b), DROP, 4, false                                                            \
	}
#define NEXT "\x00\x00\x00\x00"

static const struct form forms[] = {
	P("push rax", "\x50"),
	P("push rbx", "\x53"),
	P("push rsp", "\x54"),
	P("push rbp", "\x55"),
	P("push rdi", "\x57"),
	P("push r8", "\x41\x50"),
	P("push r12", "\x41\x54"),
	P("push r15", "\x41\x57"),
	P("push rbp (REX.W)", "\x48\x55"),
	P("push imm8", "\x6a\x01"),
	P("push imm32", "\x68\x01\x00\x00\x00"),
	P("push [rsp]", "\xff\x34\x24"),
	P("push rbp (ff /6)", "\xff\xf5"),
	F("jmp rel8", "\xeb\x00"),
	F("jmp rel32", "\xe9" NEXT),
	F("bnd jmp rel32", "\xf2\xe9" NEXT),
	F("jz rel8", "\x74\x00"),
	F("jnz rel8", "\x75\x00"),
	F("js rel8", "\x78\x00"),
	F("jo rel32", "\x0f\x80" NEXT),
	F("jz rel32", "\x0f\x84" NEXT),
	F("jb rel32", "\x0f\x82" NEXT),
	F("bnd jz rel32", "\xf2\x0f\x84" NEXT),
	L("jrcxz rel8", "\xe3\x00"),
	P("call rel32", "\xe8" NEXT),
	P("addr32 call rel32", "\x67\xe8" NEXT),
	F("nop", "\x90"),
	F("nop (66 90)", "\x66\x90"),
	L("nop (66 66 90)", "\x66\x66\x90"),
	L("pause", "\xf3\x90"),
	F("nop3", "\x0f\x1f\x00"),
	F("nop4", "\x0f\x1f\x40\x00"),
	F("nop5", "\x0f\x1f\x44\x00\x00"),
	F("nop6", "\x66\x0f\x1f\x44\x00\x00"),
	F("nop7", "\x0f\x1f\x80" NEXT),
	F("nop8", "\x0f\x1f\x84\x00" NEXT),
	L("nop9", "\x66\x0f\x1f\x84\x00" NEXT),
	L("nop10 (cs)", "\x66\x2e\x0f\x1f\x84\x00" NEXT),
	L("nop3 (other operand)", "\x0f\x1f\xc0"),
	L("mov rax, rax", "\x48\x89\xc0"),
	F("endbr64", "\xf3\x0f\x1e\xfa"),
	L("mov rax, rdi", "\x48\x89\xf8"),
	F("mov eax, edi", "\x89\xf8"),
	F("mov eax, [rsp]", "\x8b\x04\x24"),
	F("lea rax, [rdi+8]", "\x48\x8d\x47\x08"),
	{"sub rsp, 8", 4, "\x48\x83\xec\x08", DROP, 4, false},
	F("xor eax, eax", "\x31\xc0"),
	F("test rdi, rdi", "\x48\x85\xff"),
	F("cmp rdi, 8", "\x48\x83\xff\x08"),
	F("cmpb [rip-7], 0", "\x80\x3d\xf9\xff\xff\xff\x00"),
	F("shr rax, 3", "\x48\xc1\xe8\x03"),
};
#define N_FORMS (sizeof(forms) / sizeof(forms[0]))

enum outcome { EMULATED, SINGLE, REFUSED, UNSEEN };
static const char *const outcomes[] = {"emulated", "single-stepped", "refused", "not hit"};

static int uprobe_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = -1;

	if (f) {
		if (fscanf(f, "%d", &type) != 1)
			type = -1;
		fclose(f);
	}
	return type;
}

static int probe_open(int type, const char *path, uint64_t offset, pid_t pid)
{
	struct perf_event_attr attr = {
		.type = (uint32_t)type,
		.size = sizeof(attr),
		.config1 = (uint64_t)(uintptr_t)path,
		.config2 = offset,
	};

	return (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static bool has_uprobes_mapping(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[8192];
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		found = found || strstr(line, "[uprobes]\n");
	if (f)
		fclose(f);
	return found;
}

/* Maps the form's page, waits for the probe, calls it once, says what it saw. */
__attribute__((noreturn)) static void child(int fd, size_t i, int go, int done)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)(i * PAGE));
	union {
		void *data;
		void (*call)(void);
	} u = {page};
	char c = 0;

	/* Touched, so that the probe is put in at once and a refusal shows. */
	if (page == MAP_FAILED || *(volatile char *)page == 0 || write(done, &c, 1) != 1 ||
	    read(go, &c, 1) != 1)
		_exit(1);
	for (int k = 0; k < CALLS; k++)
		u.call();
	c = has_uprobes_mapping();
	_exit(write(done, &c, 1) == 1 ? 0 : 1);
}

static enum outcome run(int probe, int go, int done)
{
	uint64_t count = 0;
	char c = 0;

	if (write(go, &c, 1) != 1 || read(done, &c, 1) != 1)
		return UNSEEN;
	if (read(probe, &count, sizeof(count)) != sizeof(count) || count != CALLS)
		return UNSEEN;
	return c ? SINGLE : EMULATED;
}

static enum outcome measure(int type, const char *path, int fd, size_t i)
{
	int go[2], done[2], probe, status;
	enum outcome out = UNSEEN;
	pid_t pid;
	char c;

	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
		return UNSEEN;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		close(done[0]);
		child(fd, i, go[0], done[1]);
	}
	close(go[0]);
	close(done[1]);
	if (pid > 0 && read(done[0], &c, 1) == 1) {
		probe = probe_open(type, path, i * PAGE, pid);
		out = probe < 0 ? REFUSED : run(probe, go[1], done[0]);
		if (probe >= 0)
			close(probe);
	}
	close(go[1]);
	close(done[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return out;
}

static int write_forms(int fd)
{
	for (size_t i = 0; i < N_FORMS; i++) {
		unsigned char page[PAGE];

		memset(page, 0xcc, sizeof(page));
		memcpy(page, forms[i].bytes, forms[i].len);
		memcpy(page + forms[i].len, forms[i].tail, forms[i].tail_len);
		page[forms[i].len + forms[i].tail_len] = 0xc3;
		if (pwrite(fd, page, PAGE, (off_t)(i * PAGE)) != PAGE)
			return -errno;
	}
	return 0;
}

static bool check(const struct form *f, enum outcome out)
{
	const bool claim =
		mt_place_emulated((const uint8_t *)f->bytes, f->len, mt_kernel_version());
	const bool is = out == EMULATED;
	/* A loose form that is refused is no trouble as long as nobody wants it. */
	const bool ok = out != UNSEEN && (claim == is || (f->loose && !claim));

	printf("%s %-22s measured %-14s claimed %s\n", ok ? "ok    " : "not ok", f->name,
	       outcomes[out], claim ? "emulated" : "not emulated");
	return ok;
}

int main(void)
{
	const char *dir = getenv("TMPDIR");
	char path[512];
	int type = uprobe_type();
	int fd, bad = 0;

	snprintf(path, sizeof(path), "%s/memtrace-emulated-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	if (fd < 0 || write_forms(fd)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	if (type < 0 || geteuid() != 0) {
		printf("skip: %s\n", type < 0 ? "this kernel has no uprobe events" : "needs root");
		unlink(path);
		return 77;
	}
	for (size_t i = 0; i < N_FORMS; i++)
		bad += !check(&forms[i], measure(type, path, fd, i));
	unlink(path);
	close(fd);
	printf("%zu forms, %d wrong\n", N_FORMS, bad);
	return bad != 0;
}
