/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct mt_cmd *const commands[] = {&mt_cmd_diff,   &mt_cmd_report, &mt_cmd_top,
						&mt_cmd_census, &mt_cmd_doctor, NULL};

/* A missing standard stream must not become one of our own fds. */
static int open_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? fd : close(fd);
}

int main(int argc, char **argv)
{
	if (open_standard_streams())
		return MT_EXIT_FAILED;
	if (argc > 1)
		for (size_t i = 0; commands[i]; i++)
			if (!strcmp(argv[1], commands[i]->name))
				return commands[i]->run(argc - 1, argv + 1);
	return mt_cmd_trace.run(argc, argv);
}
