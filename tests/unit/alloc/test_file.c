/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "alloc/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* What is probed is what was read, whatever the process maps there meanwhile. */
static void test_same_file(void **state)
{
	const size_t size = 1u << 20;
	int own = open("/proc/self/exe", O_RDONLY), other = open("/bin/sh", O_RDONLY), fd = -1;
	char *at = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, own, 0);
	struct mt_mapping m = {.start = (uintptr_t)at, .end = (uintptr_t)at + size, .exec = true};
	struct mt_alloc_found *found = NULL;
	struct stat was, is;

	(void)state;
	assert_true(at != MAP_FAILED && own >= 0 && other >= 0);
	m.path = "/own";
	mt_alloc_inspect_file(getpid(), &m, &fd, &found);
	assert_ptr_equal(mmap(at, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, other, 0),
			 at);
	assert_int_equal(fstat(own, &was), 0);
	assert_int_equal(fstat(fd, &is), 0);
	assert_int_equal(was.st_ino, is.st_ino);
	mt_alloc_found_free(&found);
	munmap(at, size);
	close(own);
	close(other);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
