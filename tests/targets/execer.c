/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* execer COMMAND [ARG...]: allocates 1,000 blocks, then becomes another program. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	void *volatile p;

	if (argc < 2)
		return 64;
	for (int i = 0; i < 1000; i++)
		p = malloc(5000);
	(void)p;
	execvp(argv[1], argv + 1);
	return 127;
}
