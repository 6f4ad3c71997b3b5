/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/cli.h"
#include "cli/diff.h"

int mt_diff_event(const struct mt_diff_config *cfg, char **command)
{
	(void)cfg;
	(void)command;
	return MT_EXIT_FAILED;
}
