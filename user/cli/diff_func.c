/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/cli.h"
#include "cli/diff.h"

int mt_diff_func(const struct mt_diff_config *cfg)
{
	(void)cfg;
	return MT_EXIT_FAILED;
}
