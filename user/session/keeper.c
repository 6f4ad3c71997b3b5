/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "session/internal.h"
#include "sys/caps.h"

struct request {
	uint32_t file_id;
	pid_t pid; /* -1: all; 0: detach, and no answer */
	struct mt_links_plan plan;
};

static void plan_probes(struct mt_links_plan *plan, const struct mt_alloc_found *found,
			uint32_t file_id)
{
	plan->n = found->n_probes;
	for (size_t i = 0; i < found->n_probes; i++) {
		plan->v[i].offset = found->probes[i].offset;
		plan->v[i].cookie = found->probes[i].cookie | MT_COOKIE(file_id, 0, 0);
		plan->v[i].entry = found->probes[i].entry;
		plan->v[i].ret = found->probes[i].ret;
	}
}

/*
 * Away from what reaches memtrace: its terminal, its process group's signals,
 * its standard streams, its working directory. Perf-event uprobes want all of
 * CAP_SYS_ADMIN (perf_uprobe_event_init), links only what mt_caps lists.
 */
static void withdraw(bool multi)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t all;

	setsid();
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (chdir("/") || prctl(PR_SET_NAME, "mt-keeper") || (multi && mt_caps_drop(false, false)))
		mt_log_set_sink(NULL); /* none of them is needed to keep probes */
}

/* What can be in the control part of a message: one file. */
union passed {
	struct cmsghdr h;
	char room[CMSG_SPACE(sizeof(int))];
};

/* Sends the request, and with it the file, if any. 0 or -EPIPE. */
static int send_request(int sock, const struct request *rq, int fd)
{
	struct iovec iov = {(void *)(uintptr_t)rq, sizeof(*rq)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union passed p = {0};

	if (fd >= 0) {
		m.msg_control = &p;
		m.msg_controllen = sizeof(p);
		p.h.cmsg_level = SOL_SOCKET;
		p.h.cmsg_type = SCM_RIGHTS;
		p.h.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&p.h), &fd, sizeof(fd));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(*rq) ? 0 : -EPIPE;
}

/* The next request; *fd: its file, -1 none. False: the other end is closed. */
static bool receive_request(int sock, struct request *rq, int *fd)
{
	struct iovec iov = {rq, sizeof(*rq)};
	union passed p = {0};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &p, .msg_controllen = sizeof(p)};
	const bool got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof(*rq);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	*fd = -1;
	if (got && c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return got;
}

/* Does what is asked. True if an answer is waited for, which is *r. */
static bool handle(struct request *rq, int fd, const struct mt_progs *p, struct mt_links *links,
		   int *r)
{
	*r = -EINVAL;
	if (rq->file_id >= MT_FILES_MAX || rq->plan.n > MT_PROBES_MAX)
		return rq->pid != 0;
	mt_links_detach(&links[rq->file_id]);
	/* by a path the kernel might find another file than the one that was looked at */
	snprintf(rq->plan.path, sizeof(rq->plan.path), "/proc/self/fd/%d", fd);
	if (rq->pid && fd >= 0)
		*r = mt_links_attach(&links[rq->file_id], p, rq->pid, &rq->plan);
	return rq->pid != 0;
}

/* Serves until the other end closes; its answer to each request is 0 or -errno. */
static void serve(int fd, const struct mt_progs *p)
{
	_cleanup_free_ struct mt_links *links = calloc(MT_FILES_MAX, sizeof(*links));
	_cleanup_free_ struct request *rq = malloc(sizeof(*rq));
	int file, r;

	while (rq && links && receive_request(fd, rq, &file)) {
		const bool answer = handle(rq, file, p, links, &r);

		if (file >= 0)
			close(file);
		if (answer && send(fd, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r))
			break;
	}
	mt_links_detach_all(links, links ? MT_FILES_MAX : 0);
}

int mt_keeper_start(struct mt_keeper *k, const struct mt_progs *p)
{
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return mt_err_r(-errno, "cannot make a socket pair: %s", strerror(errno));
	k->pid = fork();
	if (k->pid == 0) {
		close(fds[0]);
		withdraw(p->multi);
		serve(fds[1], p);
		_exit(0);
	}
	r = k->pid < 0 ? -errno : 0;
	close(fds[1]);
	if (r) {
		k->pid = 0;
		close(fds[0]);
		return mt_err_r(r, "cannot fork: %s", strerror(-r));
	}
	k->fd = fds[0];
	return 0;
}

/* Sends it and waits for the answer. */
static int ask(const struct mt_keeper *k, const struct request *rq, int fd)
{
	int r = send_request(k->fd, rq, fd);

	if (!r && recv(k->fd, &r, sizeof(r), 0) != (ssize_t)sizeof(r))
		return -EPIPE;
	return r;
}

int mt_keeper_attach(struct mt_keeper *k, uint32_t file_id, pid_t pid, int fd,
		     const struct mt_alloc_found *found)
{
	_cleanup_free_ struct request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return -ENOMEM;
	rq->file_id = file_id;
	rq->pid = pid;
	plan_probes(&rq->plan, found, file_id);
	return ask(k, rq, fd);
}

int mt_keeper_attach_plan(struct mt_keeper *k, uint32_t file_id, pid_t pid, int fd,
			  const struct mt_links_plan *plan)
{
	_cleanup_free_ struct request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return -ENOMEM;
	rq->file_id = file_id;
	rq->pid = pid;
	rq->plan = *plan;
	return ask(k, rq, fd);
}

void mt_keeper_detach(struct mt_keeper *k, uint32_t file_id)
{
	_cleanup_free_ struct request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return;
	rq->file_id = file_id;
	send_request(k->fd, rq, -1);
}

void mt_keeper_stop(struct mt_keeper *k)
{
	if (!k->pid)
		return;
	close(k->fd);
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
	k->pid = 0;
}
