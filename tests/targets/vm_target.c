/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lays out an address space by the words on its command line, writes its own
 * truth (malloc_info, and what its threads say of their stacks) to standard
 * output and waits for the end of standard input.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB         1024ul
#define MIB         (1024ul * KIB)
#define THREADS_MAX 64

static pthread_barrier_t start, leave;
static pthread_attr_t attrs[THREADS_MAX];
static bool own_stack[THREADS_MAX];
static unsigned int n_threads;
static size_t stack_bytes, foreign_bytes;
static size_t thread_alloc, thread_blocks;

static void *must(void *p)
{
	if (!p || p == MAP_FAILED) {
		perror("vm_target");
		exit(1);
	}
	return p;
}

static void *map(size_t size)
{
	void *p =
		must(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	foreign_bytes += size;
	memset(p, 0xa5, size);
	return p;
}

static void *block(size_t size)
{
	return memset(must(malloc(size)), 0x5a, size);
}

static void *thread(void *arg)
{
	for (size_t i = 0; i < thread_blocks; i++)
		block(thread_alloc);
	pthread_barrier_wait(&start);
	pthread_barrier_wait(&leave);
	return arg;
}

static pthread_t tids[THREADS_MAX];

static void add_thread(void)
{
	pthread_attr_init(&attrs[n_threads++]);
}

/* A stack of ours: what it lies in is mapped by us or by malloc. */
static void add_user_stack(void *mem, size_t size)
{
	add_thread();
	own_stack[n_threads - 1] = true;
	pthread_attr_setstack(&attrs[n_threads - 1], mem, size);
}

static void add_unguarded(void)
{
	add_thread();
	pthread_attr_setguardsize(&attrs[n_threads - 1], 0);
}

static void *finish(void *arg)
{
	return arg;
}

/* What glibc keeps of ended threads: stacks that are nobody's. */
static void cached_stacks(void)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, finish, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static void adjacent_blocks(void)
{
	for (size_t i = 0; i < 12; i++)
		block((200 + 70 * i) * KIB);
}

static void aligned_blocks(void)
{
	for (size_t al = 32; al <= 4 * MIB; al *= 2)
		memset(must(aligned_alloc(al, 600 * KIB + 3 * al)), 1, 600 * KIB);
}

/* realloc of a mapped block is mremap: it moves, grows in place or shrinks. */
static void moved_blocks(void)
{
	for (size_t al = 32; al <= 128 * KIB; al *= 2) {
		char *p = must(aligned_alloc(al, 300 * KIB / al * al + al));
		char *q = must(aligned_alloc(al, 900 * KIB / al * al + al));

		p = must(realloc(p, 2 * MIB));
		q = must(realloc(q, 400 * KIB));
		memset(p, 2, 2 * MIB);
		memset(q, 2, 400 * KIB);
		block(333 * KIB);
	}
	block(150 * KIB);
	memset(must(realloc(block(500 * KIB), 5 * MIB)), 3, 5 * MIB);
	memset(must(realloc(block(5 * MIB), 500 * KIB)), 3, 500 * KIB);
}

static void interleave(void)
{
	for (size_t i = 0; i < 8; i++) {
		block((160 + 40 * i) * KIB);
		map((64 + 100 * i) * KIB);
	}
}

static void by_word(const char *w)
{
	if (!strcmp(w, "blocks")) {
		adjacent_blocks();
	} else if (!strcmp(w, "memalign")) {
		aligned_blocks();
	} else if (!strcmp(w, "mremap")) {
		moved_blocks();
	} else if (!strcmp(w, "foreign")) {
		map(3 * MIB);
	} else if (!strcmp(w, "interleave")) {
		interleave();
	} else if (!strcmp(w, "cached")) {
		cached_stacks();
	} else if (!strcmp(w, "brk")) {
		for (int i = 0; i < 500; i++)
			block(100 * KIB);
	} else if (!strcmp(w, "stacks")) {
		for (int i = 0; i < 8; i++)
			add_thread();
	} else if (!strcmp(w, "unguarded")) {
		for (int i = 0; i < 4; i++)
			add_unguarded();
	} else if (!strcmp(w, "arenas")) {
		thread_alloc = 10 * KIB;
		thread_blocks = 1000;
	} else if (!strcmp(w, "bigarenas")) {
		thread_alloc = 100 * KIB;
		thread_blocks = 1500; /* 150 MiB: three heaps an arena */
	} else if (!strcmp(w, "threadblocks")) {
		thread_alloc = 400 * KIB;
		thread_blocks = 5;
	} else if (!strcmp(w, "stack-malloc")) {
		add_user_stack(must(aligned_alloc(4 * KIB, 512 * KIB)), 512 * KIB);
	} else if (!strcmp(w, "stack-brk")) {
		add_user_stack(must(aligned_alloc(4 * KIB, 64 * KIB)), 64 * KIB);
	} else if (!strcmp(w, "stack-mmap")) {
		add_user_stack((char *)map(4 * MIB) + MIB, 256 * KIB);
		foreign_bytes -= 256 * KIB;
		stack_bytes += 256 * KIB;
	} else {
		fprintf(stderr, "vm_target: unknown word %s\n", w);
		exit(2);
	}
}

/* A thread's stack by its own words, without the guard; not for stacks of ours. */
static size_t stack_of(pthread_t t)
{
	pthread_attr_t a;
	size_t size;
	void *base;

	pthread_getattr_np(t, &a);
	pthread_attr_getstack(&a, &base, &size);
	pthread_attr_destroy(&a);
	return size; /* since glibc 2.27 without the guard */
}

static void run_threads(void)
{
	pthread_barrier_init(&start, NULL, n_threads + 1);
	pthread_barrier_init(&leave, NULL, n_threads + 1);
	for (unsigned int i = 0; i < n_threads; i++) {
		if (pthread_create(&tids[i], &attrs[i], thread, NULL)) {
			fputs("vm_target: pthread_create\n", stderr);
			exit(1);
		}
	}
	pthread_barrier_wait(&start);
}

int main(int argc, char **argv)
{
	static char buf[1 << 16];

	for (int i = 1; i < argc; i++)
		by_word(argv[i]);
	run_threads();
	for (unsigned int i = 0; i < n_threads; i++) {
		if (!own_stack[i])
			stack_bytes += stack_of(tids[i]);
	}
	setvbuf(stdout, buf, _IOFBF, sizeof(buf));
	printf("{\"stacks\": %zu, \"foreign\": %zu}\n", stack_bytes, foreign_bytes);
	malloc_info(0, stdout);
	fflush(stdout);
	while (read(0, buf, sizeof(buf)) > 0)
		;
	return 0;
}
