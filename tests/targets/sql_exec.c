// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hands each line to sqlite3_exec of the library that is installed; its headers need not be. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int (*exec)(void *, const char *, int (*)(void *, int, char **, char **), void *, char **);

int main(void)
{
	void *lib = dlopen("libsqlite3.so.0", RTLD_NOW), *db = NULL;
	int (*open)(const char *, void **) = NULL;
	static char line[4096], room[1 << 16];

	setvbuf(stdout, room, _IOFBF, sizeof(room));
	if (lib) {
		*(void **)&open = dlsym(lib, "sqlite3_open");
		*(void **)&exec = dlsym(lib, "sqlite3_exec");
	}
	if (!open || !exec || open(":memory:", &db))
		return 1;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		exec(db, line, NULL, NULL, NULL);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
