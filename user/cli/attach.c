/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/attach.h"

#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "sys/caps.h"

int mt_attach_pids(struct mt_session *s, const struct mt_pid_list *pids)
{
	int r = 0;

	for (size_t i = 0; i < pids->n && !r; i++)
		r = mt_session_add(s, pids->v[i], MT_SINCE_ATTACH);
	return r;
}

void mt_attach_say(const struct mt_session *s, uint64_t start_ns)
{
	uint64_t ns = mt_clock_ns(CLOCK_MONOTONIC) - start_ns;

	for (size_t i = 0; i < mt_session_count(s); i++) {
		const struct mt_census *c = mt_session_census(s, i);

		if (c->baseline == MT_BASELINE_CENSUS)
			mt_info("%llu blocks, %llu bytes from before the attach; %u of %u threads "
				"held for %.1f ms, attempt %u",
				(unsigned long long)c->heap.objects,
				(unsigned long long)c->heap.bytes, c->held, c->threads,
				(double)c->stop_ns / 1e6, c->attempts);
	}
	mt_info("attached and ready in %llu ms: %zu process%s", (unsigned long long)(ns / 1000000),
		mt_session_alive(s), mt_session_alive(s) == 1 ? "" : "es");
}

void mt_attach_drop(bool writes_files, bool changes_user)
{
	/* censuses are to be hurried, too, without the capability to; see census.c */
	setrlimit(RLIMIT_RTPRIO, &(struct rlimit){1, 1});
	if (mt_caps_drop(writes_files, changes_user))
		mt_warn("cannot give up capabilities; going on with all of them");
}
