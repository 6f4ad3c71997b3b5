/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that tests build and look at: compiled in a directory of their own,
 * which goes when the test ends.
 */
#ifndef MT_TESTS_PROGRAMS_H
#define MT_TESTS_PROGRAMS_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static char programs_dir[256];

/* Allocates, says so on its standard output, and waits for its standard input to close. */
static const char programs_source[] = "#include <stdlib.h>\n"
				      "#include <unistd.h>\n"
				      "int main(void)\n"
				      "{\n"
				      "	void *volatile p = malloc(100);\n"
				      "	char c = 0;\n"
				      "	free(p);\n"
				      "	if (write(1, &c, 1) != 1)\n"
				      "		return 1;\n"
				      "	while (read(0, &c, 1) > 0)\n"
				      "		;\n"
				      "	return 0;\n"
				      "}\n";

static inline int programs_write(const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", programs_dir, name);
	f = fopen(path, "we");
	if (!f)
		return -1;
	fputs(text, f);
	return fclose(f);
}

static inline int programs_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(programs_dir, sizeof(programs_dir), "%s/memtrace-unit-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(programs_dir))
		return -1;
	return programs_write("program.c", programs_source);
}

static inline int programs_teardown(void **state)
{
	char cmd[512];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", programs_dir);
	return system(cmd);
}

/* Runs a command in the directory: "cc -static -o static program.c". False: it failed. */
static inline bool programs_run(const char *command)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd), "cd '%s' && { %s; } >/dev/null 2>&1", programs_dir, command);
	return system(cmd) == 0;
}

static inline const char *programs_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", programs_dir, name);
	return path;
}

struct program {
	pid_t pid;
	int in; /* closing it ends the program */
};

/* Starts argv[0] with LD_PRELOAD set if preload is not NULL, and waits until it says that it runs.
 */
static inline int program_start(char *const argv[], const char *preload, struct program *p)
{
	int in[2], out[2];
	char c;

	if (pipe(in) < 0 || pipe(out) < 0)
		return -1;
	p->pid = fork();
	if (p->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		if (preload)
			setenv("LD_PRELOAD", preload, 1);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	if (p->pid < 0 || read(out[0], &c, 1) != 1) {
		close(in[1]);
		close(out[0]);
		return -1;
	}
	close(out[0]);
	return 0;
}

static inline void program_stop(struct program *p)
{
	close(p->in);
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
}

#endif
