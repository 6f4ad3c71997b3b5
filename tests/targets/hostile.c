/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hostile WHAT: an address space that is hard to read. It says `ready`, and
 * answers each line with `done` after making 1,000 blocks of 1,000 bytes.
 *
 *   mappings N   N mappings of one page each, of the two kinds in turn
 *   faults       64 MiB whose faults nobody serves
 *   headless     the first thread has exited
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(p != MAP_FAILED, "mmap");
	return p;
}

static void mappings(size_t n)
{
	char *p = map(n * PAGE);

	for (size_t i = 0; i < n; i += 2)
		must(!mprotect(p + i * PAGE, PAGE, PROT_READ), "mprotect");
}

static void faults(void)
{
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	must(fd >= 0 && !ioctl(fd, UFFDIO_API, &api), "userfaultfd");
	reg.range.len = 64ul << 20;
	reg.range.start = (unsigned long)map(reg.range.len);
	must(!ioctl(fd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER");
}

static void *turns(void *arg)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < 1000; i++)
			memset(malloc(1000), 1, 1000);
		puts("done");
		fflush(stdout);
	}
	exit(0);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc == 3 && !strcmp(argv[1], "mappings"))
		mappings(strtoul(argv[2], NULL, 10));
	else if (argc == 2 && !strcmp(argv[1], "faults"))
		faults();
	else if (argc != 2 || strcmp(argv[1], "headless"))
		return 2;
	if (strcmp(argv[1], "headless"))
		turns(NULL);
	must(!pthread_create(&t, NULL, turns, NULL), "pthread_create");
	pthread_exit(NULL);
}
