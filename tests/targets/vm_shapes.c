/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An address space in known shapes. Each line on standard input is one step:
 *   flows  a known number of memory system calls, made raw
 *   brk    grows the brk heap
 *   arena  threads that stay, each with an arena and a stack in use
 *   map    blocks large enough to be mapped on their own
 *   trim   frees the mapped blocks
 */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "gate.h"

#define PAGE    4096ul
#define THREADS 4

static void *mapped[16];
static pthread_barrier_t standing;

static void *map(unsigned long length)
{
	return (void *)syscall(SYS_mmap, NULL, length, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
}

/* 3 mmap of 10 pages, one failed; 2 madvise of 4; 1 mremap to 20; 3 munmap. */
static void flows(void)
{
	char *p[3];

	for (int i = 0; i < 3; i++)
		p[i] = map(10 * PAGE - 1);
	syscall(SYS_mmap, NULL, 0ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	for (int i = 0; i < 2; i++)
		syscall(SYS_madvise, p[i], 4 * PAGE, MADV_DONTNEED);
	p[2] = (char *)syscall(SYS_mremap, p[2], 10 * PAGE, 20 * PAGE, MREMAP_MAYMOVE, NULL);
	syscall(SYS_munmap, p[0], 10 * PAGE);
	syscall(SYS_munmap, p[1], 10 * PAGE);
	syscall(SYS_munmap, p[2], 20 * PAGE);
}

static void *stay(void *arg)
{
	char deep[100000], *p;

	memset(deep, 1, sizeof(deep));
	for (int i = 0; i < 1000; i++) {
		p = malloc(1000);
		if (p)
			memset(p, deep[i], 1000);
	}
	pthread_barrier_wait(&standing);
	for (;;)
		pause();
	return arg;
}

static void arenas(void)
{
	pthread_t t;

	pthread_barrier_init(&standing, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t, NULL, stay, NULL))
			exit(72);
	pthread_barrier_wait(&standing);
}

static void blocks(void)
{
	for (int i = 0; i < 16; i++) {
		mapped[i] = malloc(((size_t)1 << 20) * (size_t)(i + 1));
		if (mapped[i])
			memset(mapped[i], 1, (size_t)1 << 19);
	}
}

static void step(char what)
{
	static void *volatile keep;

	switch (what) {
	case 'f':
		flows();
		break;
	case 'b':
		for (int i = 0; i < 5000; i++)
			keep = malloc(1000);
		(void)keep;
		break;
	case 'a':
		arenas();
		break;
	case 'm':
		blocks();
		break;
	case 't':
		for (int i = 0; i < 16; i++)
			free(mapped[i]);
		break;
	}
}

int main(void)
{
	char line[16];
	ssize_t n;

	mallopt(M_MMAP_THRESHOLD, 256 << 10);
	gate_say("ready\n");
	while ((n = read(STDIN_FILENO, line, sizeof(line))) > 0) {
		step(line[0]);
		gate_say("done\n");
	}
	return 0;
}
