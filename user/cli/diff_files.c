/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/cli.h"
#include "cli/diff.h"

int mt_diff_files(const struct mt_diff_config *cfg, int n, char **files)
{
	(void)cfg;
	(void)n;
	(void)files;
	return MT_EXIT_FAILED;
}
