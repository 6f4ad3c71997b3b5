/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program with no library and no allocator, built for 64 and for 32 bits (a
 * 32-bit libc is seldom there): says "ready" and sleeps until standard input
 * ends. Both use the 32-bit system calls, so pointers stay below 4 GiB.
 */
void _start(void);

static int call3(int nr, int a, const void *b, int c)
{
	int r;

	__asm__ volatile("int $0x80" : "=a"(r) : "0"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return r;
}

void _start(void)
{
	static char c;

	call3(4, 1, "ready\n", 6);
	while (call3(3, 0, &c, 1) == 1)
		;
	call3(1, 0, (const void *)0, 0);
	for (;;)
		;
}
