/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * told [FIFO]: does what each line on standard input, or in FIFO, says, and answers
 * "done", on standard output or in FIFO.done, both of which are there. Nothing else
 * is allocated.
 *
 *   keep N SIZE   allocates N blocks of SIZE bytes and writes on them
 *   drop N        frees the last N of them
 *   exec          runs itself anew
 *   end           exits
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS_MAX (1 << 20)

static void *blocks[BLOCKS_MAX];
static size_t n_blocks;
static int in = STDIN_FILENO, out = STDOUT_FILENO;

static void say(const char *text)
{
	if (write(out, text, strlen(text)) < 0)
		_exit(70);
}

static void keep(unsigned long n, unsigned long size)
{
	while (n-- && n_blocks < BLOCKS_MAX) {
		blocks[n_blocks] = malloc(size);
		memset(blocks[n_blocks++], 1, size);
	}
}

static void drop(unsigned long n)
{
	while (n-- && n_blocks)
		free(blocks[--n_blocks]);
}

static void obey(char **argv, const char *line)
{
	unsigned long n = 0, size = 0;
	char what[16] = "";

	sscanf(line, "%15s %lu %lu", what, &n, &size);
	if (!strcmp(what, "keep"))
		keep(n, size);
	else if (!strcmp(what, "drop"))
		drop(n);
	else if (!strcmp(what, "exec"))
		execv("/proc/self/exe", argv);
	else if (!strcmp(what, "end"))
		exit(0);
	say("done\n");
}

/* Both ends are open to write, too: whoever comes and goes, they neither end nor block. */
static void open_fifos(const char *path)
{
	char answers[PATH_MAX];

	snprintf(answers, sizeof(answers), "%s.done", path);
	in = open(path, O_RDWR | O_CLOEXEC);
	out = open(answers, O_RDWR | O_CLOEXEC);
	if (in < 0 || out < 0)
		_exit(71);
}

int main(int argc, char **argv)
{
	char line[128];
	size_t n = 0;

	if (write(STDOUT_FILENO, "ready\n", 6) < 0)
		return 70;
	if (argc > 1)
		open_fifos(argv[1]);
	while (n < sizeof(line) && read(in, &line[n], 1) == 1) {
		if (line[n++] != '\n')
			continue;
		line[n - 1] = '\0';
		n = 0;
		obey(argv, line);
	}
	return 0;
}
