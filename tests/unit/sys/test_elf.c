/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/elf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "programs.h"

static char libc_path[4096];

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	if (strstr(info->dlpi_name, "libc.so"))
		snprintf(libc_path, sizeof(libc_path), "%s", info->dlpi_name);
	return 0;
}

static int setup(void **state)
{
	dl_iterate_phdr(find_libc, NULL);
	return libc_path[0] ? programs_setup(state) : -1;
}

static void test_libc_symbols(void **state)
{
	struct mt_elf *elf = NULL;
	struct mt_sym malloc_sym, sym;

	(void)state;
	assert_int_equal(mt_elf_open(libc_path, &elf), 0);
	assert_int_equal(mt_elf_find_func(elf, "malloc", &malloc_sym), 0);
	assert_string_equal(malloc_sym.name, "malloc");
	assert_false(malloc_sym.from_symtab);
	assert_false(malloc_sym.local);
	assert_true(malloc_sym.size > 16);
	assert_int_equal(mt_elf_find_func(elf, "__libc_malloc", &sym), 0);
	assert_int_equal(sym.addr, malloc_sym.addr);
	assert_int_equal(mt_elf_find_func(elf, "no_such_function", &sym), -ENOENT);
	/* A variable is no function. */
	assert_int_equal(mt_elf_find_func(elf, "environ", &sym), -ENOENT);
	assert_false(mt_elf_is_static(elf));
	assert_true(mt_elf_has_symtab(elf));
	mt_elf_free(&elf);
	assert_null(elf);
	mt_elf_free(&elf);
}

static const char objects_source[] = "char big[5000], x_tab[16] = \"x\", tab2[8];\n"
				     "static char a_one[4], b_one[4];\n"
				     "char *uses(int n) { return n ? a_one : b_one; }\n"
				     "int main(void) { return 0; }\n";

static void test_objects(void **state)
{
	struct mt_elf *elf = NULL;
	struct mt_sym sym;

	(void)state;
	assert_int_equal(programs_write("objects.c", objects_source), 0);
	assert_true(programs_run("cc -O0 -o objects objects.c"));
	assert_int_equal(mt_elf_open(programs_path("objects"), &elf), 0);
	assert_int_equal(mt_elf_find_object(elf, "tab", &sym), 0);
	assert_string_equal(sym.name, "x_tab");
	assert_int_equal(sym.size, 16);
	assert_false(mt_elf_in_bss(elf, sym.addr, sym.size));
	assert_int_equal(mt_elf_find_object(elf, "ab2", &sym), -ENOENT); /* half a word */
	assert_int_equal(mt_elf_find_object(elf, "one", &sym), -ENOTUNIQ);
	assert_int_equal(mt_elf_find_object(elf, "main", &sym), -ENOENT); /* a function */
	assert_int_equal(mt_elf_find_object(elf, "big", &sym), 0);
	assert_int_equal(sym.size, 5000);
	assert_true(mt_elf_in_bss(elf, sym.addr, sym.size));
	assert_false(mt_elf_in_bss(elf, sym.addr, 1u << 20));
	assert_false(mt_elf_in_bss(elf, sym.addr, UINT64_MAX));
	assert_false(mt_elf_in_bss(elf, 0, 1));
	mt_elf_free(&elf);
}

/* What the loaded library holds at malloc is what the file holds at its offset. */
static void test_offset_and_text(void **state)
{
	struct mt_elf *elf = NULL;
	struct mt_sym sym;
	const uint8_t *text;
	uint64_t start;
	size_t len;
	uint8_t file[16];
	FILE *f = fopen(libc_path, "re");

	(void)state;
	assert_non_null(f);
	assert_int_equal(mt_elf_open(libc_path, &elf), 0);
	assert_int_equal(mt_elf_find_func(elf, "free", &sym), 0);
	assert_int_equal(fseek(f, (long)sym.offset, SEEK_SET), 0);
	assert_int_equal(fread(file, 1, sizeof(file), f), sizeof(file));
	assert_int_equal(mt_elf_text(elf, sym.addr, &text, &len, &start), 0);
	assert_true(sym.addr >= start && sym.addr + sizeof(file) <= start + len);
	assert_memory_equal(text + (sym.addr - start), file, sizeof(file));
	assert_int_equal(mt_elf_text(elf, 1ull << 60, &text, &len, &start), -ENOENT);
	fclose(f);
	mt_elf_free(&elf);
}

static void test_exports_imports(void **state)
{
	struct mt_elf *elf = NULL;

	(void)state;
	assert_int_equal(mt_elf_open(libc_path, &elf), 0);
	assert_true(mt_elf_exports(elf, "malloc"));
	assert_true(mt_elf_exports(elf, "qsort"));
	assert_false(mt_elf_exports(elf, "no_such_function"));
	assert_false(mt_elf_exports(elf, ""));
	/* Imported from the dynamic linker: in the table, not defined. */
	assert_true(mt_elf_imports(elf, "__tls_get_addr"));
	assert_false(mt_elf_exports(elf, "__tls_get_addr"));
	assert_false(mt_elf_imports(elf, "malloc"));
	mt_elf_free(&elf);
}

/* The hash table and the symbol table agree on every name. */
static void test_exports_agree(void **state)
{
	struct mt_elf *elf = NULL;
	const struct mt_sym *syms;
	size_t n, seen = 0;

	(void)state;
	assert_int_equal(mt_elf_open(libc_path, &elf), 0);
	assert_int_equal(mt_elf_funcs(elf, &syms, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (syms[i].from_symtab || strlen(syms[i].name) > 60)
			continue;
		assert_true(mt_elf_exports(elf, syms[i].name));
		seen++;
	}
	assert_true(seen > 1000);
	mt_elf_free(&elf);
}

static void test_funcs_sorted(void **state)
{
	struct mt_elf *elf = NULL;
	const struct mt_sym *syms;
	size_t n;
	int mallocs = 0;

	(void)state;
	assert_int_equal(mt_elf_open(libc_path, &elf), 0);
	assert_int_equal(mt_elf_funcs(elf, &syms, &n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || syms[i - 1].addr <= syms[i].addr);
		mallocs += strcmp(syms[i].name, "malloc") == 0;
	}
	assert_true(mallocs >= 1);
	mt_elf_free(&elf);
}

static void test_banner(void **state)
{
	struct mt_elf *elf = NULL;
	const char *p;
	char want[64];
	size_t max;

	(void)state;
	assert_int_equal(mt_elf_open(libc_path, &elf), 0);
	p = mt_elf_find_text(elf, "GNU C Library", &max);
	assert_non_null(p);
	snprintf(want, sizeof(want), "release version %s", gnu_get_libc_version());
	assert_non_null(memmem(p, max, want, strlen(want)));
	assert_null(mt_elf_find_text(elf, "no such text is in there", &max));
	mt_elf_free(&elf);
}

static void test_static(void **state)
{
	struct mt_elf *elf = NULL;
	struct mt_sym sym;

	(void)state;
	if (!programs_run("cc -static -o st program.c && strip -o st-stripped st"))
		skip(); /* no static libc here */
	assert_int_equal(mt_elf_open(programs_path("st"), &elf), 0);
	assert_true(mt_elf_is_static(elf));
	assert_true(mt_elf_has_symtab(elf));
	assert_int_equal(mt_elf_find_func(elf, "malloc", &sym), 0);
	assert_true(sym.from_symtab);
	assert_int_equal(mt_elf_find_func(elf, "_int_malloc", &sym), 0);
	assert_true(sym.local);
	mt_elf_free(&elf);
	assert_int_equal(mt_elf_open(programs_path("st-stripped"), &elf), 0);
	assert_true(mt_elf_is_static(elf));
	assert_false(mt_elf_has_symtab(elf));
	mt_elf_free(&elf);
}

/* Of a local and a global function with one name the global one is meant. */
static void test_global_before_local(void **state)
{
	struct mt_elf *elf = NULL;
	struct mt_sym sym, other;

	(void)state;
	assert_int_equal(programs_write("a.c",
					"static __attribute__((noinline,used)) int twice(void)"
					"{ return 1; }\nint one(void) { return twice(); }\n"),
			 0);
	assert_int_equal(programs_write("b.c", "int twice(void) { return 2; }\n"
					       "int main(void) { return twice(); }\n"),
			 0);
	assert_true(programs_run("cc -o two a.c b.c"));
	assert_int_equal(mt_elf_open(programs_path("two"), &elf), 0);
	assert_int_equal(mt_elf_find_func(elf, "twice", &sym), 0);
	assert_false(sym.local);
	assert_int_equal(mt_elf_find_func(elf, "one", &other), 0);
	assert_true(sym.addr > other.addr);
	mt_elf_free(&elf);
}

/* An executable that takes malloc's address has a value for it, and does not define it. */
static void test_canonical_plt(void **state)
{
	struct mt_elf *elf = NULL;
	struct mt_sym sym;

	(void)state;
	assert_int_equal(programs_write("plt.c", "#include <stdlib.h>\n"
						 "void *(*volatile p)(size_t);\n"
						 "int main(void) { p = malloc; return !p; }\n"),
			 0);
	assert_true(programs_run("cc -no-pie -fno-pic -o plt plt.c"));
	assert_int_equal(mt_elf_open(programs_path("plt"), &elf), 0);
	assert_true(mt_elf_imports(elf, "malloc"));
	assert_false(mt_elf_exports(elf, "malloc"));
	assert_int_equal(mt_elf_find_func(elf, "malloc", &sym), -ENOENT);
	mt_elf_free(&elf);
}

static int open_bytes(const void *bytes, size_t len)
{
	struct mt_elf *elf = NULL;
	int fd = memfd_create("elf", MFD_CLOEXEC);
	int r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	r = mt_elf_open_fd(fd, &elf);
	assert_true(fcntl(fd, F_GETFD) >= 0); /* stays the caller's */
	close(fd);
	mt_elf_free(&elf);
	return r;
}

static void test_refused(void **state)
{
	struct mt_elf *elf = NULL;
	Elf64_Ehdr eh = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_machine = EM_X86_64,
	};

	(void)state;
	assert_int_equal(mt_elf_open("/no/such/file", &elf), -ENOENT);
	assert_int_equal(mt_elf_open("/dev/null", &elf), -ENOEXEC);
	assert_int_equal(open_bytes("", 0), -ENOEXEC);
	assert_int_equal(open_bytes("#!/bin/sh\n", 10), -ENOEXEC);
	assert_int_equal(open_bytes(&eh, 4), -ENOTSUP); /* class unknown */
	assert_int_equal(open_bytes(&eh, 40), -EBADMSG);
	assert_int_equal(open_bytes(&eh, sizeof(eh)), 0); /* empty, and harmless */
	eh.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(open_bytes(&eh, sizeof(eh)), -ENOTSUP);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_machine = EM_AARCH64;
	assert_int_equal(open_bytes(&eh, sizeof(eh)), -ENOTSUP);
	eh.e_machine = EM_X86_64;
	eh.e_shoff = 8; /* the number of sections stands in section 0 */
	assert_int_equal(open_bytes(&eh, sizeof(eh)), -EBADMSG);
	eh.e_shoff = 0;
	eh.e_phnum = 1; /* headers outside the file */
	eh.e_phentsize = sizeof(Elf64_Phdr);
	eh.e_phoff = UINT64_MAX - 8;
	assert_int_equal(open_bytes(&eh, sizeof(eh)), -EBADMSG);
	assert_null(elf);
}

/* Opens a copy of the libc that spoil, with the copy and the section of dynamic names, changed. */
static struct mt_elf *open_spoilt(void (*spoil)(char *bytes, Elf64_Shdr *names))
{
	struct mt_elf *elf = NULL;
	struct stat st;
	int fd = open(libc_path, O_RDONLY | O_CLOEXEC);
	int copy = memfd_create("copy", MFD_CLOEXEC);
	Elf64_Shdr *first, *sh;
	char *bytes;

	assert_int_equal(fstat(fd, &st), 0);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	first = sh = (Elf64_Shdr *)(void *)(bytes + ((Elf64_Ehdr *)(void *)bytes)->e_shoff);
	while (sh->sh_type != SHT_DYNSYM)
		sh++;
	spoil(bytes, first + sh->sh_link);
	assert_int_equal(write(copy, bytes, (size_t)st.st_size), st.st_size);
	assert_int_equal(mt_elf_open_fd(copy, &elf), 0);
	munmap(bytes, (size_t)st.st_size);
	close(copy);
	close(fd);
	return elf;
}

static void spoil_nothing(char *bytes, Elf64_Shdr *names)
{
	(void)bytes;
	(void)names;
}

static void spoil_end(char *bytes, Elf64_Shdr *names)
{
	bytes[names->sh_offset + names->sh_size - 1] = 'x';
}

static void spoil_flags(char *bytes, Elf64_Shdr *names)
{
	(void)bytes;
	names->sh_flags |= SHF_COMPRESSED;
}

static void spoil_size(char *bytes, Elf64_Shdr *names)
{
	(void)bytes;
	names->sh_size = 1ull << 62;
}

static void spoil_sections(char *bytes, Elf64_Shdr *names)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)(void *)bytes;

	(void)names;
	eh->e_shoff = eh->e_shnum = eh->e_shstrndx = 0;
}

/* Names that cannot be trusted, or no sections: no symbols, and all else works. */
static void test_no_names(void **state)
{
	static void (*const spoils[])(char *, Elf64_Shdr *) = {
		spoil_nothing, spoil_end, spoil_flags, spoil_size, spoil_sections};
	struct mt_sym sym;
	size_t max;

	(void)state;
	for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
		struct mt_elf *elf = open_spoilt(spoils[i]);

		assert_int_equal(mt_elf_find_func(elf, "malloc", &sym), i ? -ENOENT : 0);
		assert_int_equal(mt_elf_exports(elf, "malloc"), i == 0);
		assert_int_equal(mt_elf_has_symtab(elf), i == 0);
		assert_false(mt_elf_is_static(elf));
		assert_non_null(mt_elf_find_text(elf, "GNU C Library", &max));
		mt_elf_free(&elf);
	}
}

/* Cut at any length, a library gives an error or an answer. */
static void test_truncated(void **state)
{
	struct mt_elf *elf = NULL;
	struct stat st;
	struct mt_sym sym;
	int fd = open(libc_path, O_RDONLY | O_CLOEXEC);
	int cut = memfd_create("cut", MFD_CLOEXEC);
	char *bytes;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	for (off_t len = st.st_size - 1; len > 64; len = len * 3 / 4) {
		assert_int_equal(ftruncate(cut, 0), 0);
		assert_int_equal(pwrite(cut, bytes, (size_t)len, 0), len);
		assert_int_equal(mt_elf_open_fd(cut, &elf), -EBADMSG);
	}
	/* Truncated behind our back: an error, not a signal. */
	assert_int_equal(pwrite(cut, bytes, (size_t)st.st_size, 0), st.st_size);
	assert_int_equal(mt_elf_open_fd(cut, &elf), 0);
	assert_int_equal(ftruncate(cut, 4096), 0);
	assert_int_equal(mt_elf_find_func(elf, "malloc", &sym), -ENOENT);
	assert_false(mt_elf_exports(elf, "malloc"));
	mt_elf_free(&elf);
	munmap(bytes, (size_t)st.st_size);
	close(cut);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libc_symbols),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_offset_and_text),
		cmocka_unit_test(test_exports_imports),
		cmocka_unit_test(test_exports_agree),
		cmocka_unit_test(test_funcs_sorted),
		cmocka_unit_test(test_banner),
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_global_before_local),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_canonical_plt),
		cmocka_unit_test(test_no_names),
	};

	return cmocka_run_group_tests(tests, setup, programs_teardown);
}
