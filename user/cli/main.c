/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/writer.h"
#include "cli/cli.h"

static const struct mt_cmd *const commands[] = {&mt_cmd_doctor, NULL};

int main(int argc, char **argv)
{
	if (argc > 1)
		for (size_t i = 0; commands[i]; i++)
			if (!strcmp(argv[1], commands[i]->name))
				return commands[i]->run(argc - 1, argv + 1);
	return mt_cmd_trace.run(argc, argv);
}
