/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * exec_storm N: on a line, executes itself N times in a row in the same
 * process, then says "done" and waits for its input's end.
 */
#include <stdlib.h>

#include "gate.h"

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;
	char count[16];

	if (argc < 3) {
		gate_say("ready\n");
		if (!gate_wait())
			return 0;
	}
	if (n > 0) {
		snprintf(count, sizeof(count), "%d", n - 1);
		execl(argv[0], argv[0], count, "again", (char *)NULL);
		return 1;
	}
	gate_say("done\n");
	while (gate_wait())
		;
	return 0;
}
