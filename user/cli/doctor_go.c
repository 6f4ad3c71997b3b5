/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/doctor_go.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "golang/golang.h"
#include "sys/elf.h"
#include "sys/procfs.h"

static void refuse(struct mt_writer *w, const char *why, int r)
{
	mt_write_str(w, "not read from outside: ");
	mt_write_escaped(w, why[0] ? why : strerror(-r));
	mt_write_str(w, "\n");
}

static void write_layout(struct mt_writer *w, const struct mt_go *g)
{
	const char *version = mt_go_layout_version(g);

	if (version)
		mt_writef(w, "  layout       as in go%s", version);
	else
		mt_write_str(w, "  layout       by its debugging information");
	mt_write_str(w, "; the runtime's own identities hold\n");
}

static bool write_process(struct mt_writer *w, pid_t pid, const struct mt_go_image *image)
{
	MT_CLEANUP(mt_go_free) struct mt_go *g = NULL;
	const uint64_t exit_offset = mt_go_exit_offset(image);
	char why[MT_WHY_SIZE] = "";
	int r = mt_go_attach(image, pid, why, &g);

	if (r) {
		refuse(w, r == -EAGAIN ? "its runtime has not begun yet" : why, r);
		return false;
	}
	mt_write_str(w, "its numbers are read from its runtime\n");
	write_layout(w, g);
	if (exit_offset)
		mt_writef(w,
			  "  last numbers by a probe on runtime.exit, at %#" PRIx64
			  " in the file\n",
			  exit_offset);
	else
		mt_write_str(w, "  last numbers as of the last snapshot: it has no runtime.exit\n");
	return true;
}

bool mt_doctor_go(struct mt_writer *w, pid_t pid)
{
	MT_CLEANUP(mt_go_image_free) struct mt_go_image *image = NULL;
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	_cleanup_close_ int fd = -1;
	char why[MT_WHY_SIZE] = "";
	struct stat st;
	int r;

	fd = mt_proc_open_exe(pid, &st);
	if (fd < 0 || mt_elf_open_fd(fd, &elf))
		return false;
	r = mt_go_inspect(elf, why, &image);
	if (r == -ENOENT)
		return false;
	mt_write_str(w, "  Go program   ");
	if (r) {
		refuse(w, why, r);
		return false;
	}
	mt_write_escaped(w, mt_go_version(image));
	mt_write_str(w, ": ");
	return write_process(w, pid, image);
}
