/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "trigger/trigger.h"

#include <string.h>

const struct mt_trigger_ops *const mt_trigger_all[] = {
	&mt_trigger_command,
	&mt_trigger_for,
	&mt_trigger_when,
	&mt_trigger_enter,
	&mt_trigger_usdt,
	&mt_trigger_oom,
	NULL,
};

const struct mt_trigger_ops *mt_trigger_find(const char *name)
{
	for (size_t i = 0; mt_trigger_all[i]; i++)
		if (!strcmp(mt_trigger_all[i]->name, name))
			return mt_trigger_all[i];
	return NULL;
}
