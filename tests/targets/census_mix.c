/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * census_mix PATTERN [N]: one thread whose heap takes the shape named; again on
 * each line. What lives in it is counted by libmtcount.so.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "census_turn.h"

#define SLOTS (1 << 14)
#define KIB   (1ul << 10)
#define MIB   (1ul << 20)

static void *slot[SLOTS];
static struct rnd rnd = {0x9e3779b97f4a7c15ull};
static unsigned long param;

static size_t between(size_t lo, size_t hi)
{
	return lo + rnd_next(&rnd) % (hi - lo);
}

static void must(int ok)
{
	if (!ok)
		_exit(73);
}

/* Into a slot at random; what stood there is freed. */
static void put(void *p)
{
	void **s = &slot[rnd_next(&rnd) % SLOTS];

	free(*s);
	*s = p;
}

static void fill(unsigned int n, size_t lo, size_t hi)
{
	for (unsigned int i = 0; i < n; i++)
		put(malloc(between(lo, hi)));
}

/* Frees those for which the dice of so many sides show 0. */
static void sweep(unsigned int sides)
{
	for (int i = 0; i < SLOTS; i++)
		if (rnd_next(&rnd) % sides == 0) {
			free(slot[i]);
			slot[i] = NULL;
		}
}

static void resize(unsigned int n, size_t lo, size_t hi)
{
	for (unsigned int i = 0; i < n; i++) {
		void **s = &slot[rnd_next(&rnd) % SLOTS], *q = realloc(*s, between(lo, hi));

		if (q)
			*s = q;
	}
}

static void none(unsigned int round)
{
	(void)round;
}

static void small(unsigned int round)
{
	(void)round;
	fill(12000, 0, 2000);
	sweep(3);
	for (int i = 0; i < 2000; i++)
		put(calloc(between(1, 60), 8));
	resize(4000, 1, 3000);
	sweep(5);
}

/* Every tcache list full, and the fastbins, and a few places freed for good. */
static void caches(unsigned int round)
{
	static void *p[40];

	(void)round;
	for (size_t n = 8; n < 1100; n += 16) {
		for (int i = 0; i < 40; i++)
			p[i] = malloc(n);
		for (int i = 0; i < 40; i++) {
			if (i % 2)
				free(p[i]);
			else
				put(p[i]);
		}
	}
}

/* Small ones only: nothing that would consolidate the fastbins. */
static void fast(unsigned int round)
{
	(void)round;
	fill(3000, 0, 120);
	sweep(2);
	fill(100, 0, 120);
	sweep(20);
}

static void bins(unsigned int round)
{
	(void)round;
	fill(2500, 500, 100 * KIB);
	sweep(2);
	fill(500, 0, 5000);
	sweep(7);
}

/* Blocks of the size and content of an empty cache of a thread, and near it. */
static void zeroes(unsigned int round)
{
	(void)round;
	for (size_t n = 0x200; n < 0x340; n += 8)
		for (int i = 0; i < 9; i++)
			put(calloc(1, n));
	sweep(9);
}

static void trim(unsigned int round)
{
	fill(9000, 0, 4000);
	sweep(round % 2 ? 2 : 1);
	malloc_trim(0);
	fill(600, 0, 9000);
	sweep(3);
}

static void mapped(unsigned int round)
{
	(void)round;
	mallopt(M_MMAP_THRESHOLD, 128 * KIB);
	fill(60, 128 * KIB, 3 * MIB);
	sweep(3);
	fill(100, 10, 2000);
}

/* The threshold grows with what is freed: the same sizes come from the heap. */
static void dynamic(unsigned int round)
{
	(void)round;
	for (int i = 0; i < 20; i++) {
		put(malloc(between(128 * KIB, 4 * MIB)));
		sweep(4);
	}
	fill(20, 100 * KIB, MIB);
}

/* Of one size, so that the kernel merges their mappings; some then go. */
static void neighbours(unsigned int round)
{
	mallopt(M_MMAP_THRESHOLD, 128 * KIB);
	for (int i = 0; i < 300; i++)
		put(malloc(132 * KIB + (round % 2 ? between(0, 40000) : 0)));
	sweep(7);
}

static void no_mmap(unsigned int round)
{
	(void)round;
	mallopt(M_MMAP_MAX, 0);
	fill(50, 100 * KIB, 2 * MIB);
	sweep(2);
	small(0);
}

static void few_mmaps(unsigned int round)
{
	(void)round;
	mallopt(M_MMAP_MAX, 10);
	mallopt(M_MMAP_THRESHOLD, 128 * KIB);
	fill(30, 128 * KIB, MIB);
	sweep(3);
}

static void aligned(unsigned int round)
{
	void *p;

	(void)round;
	for (int i = 0; i < 3000; i++) {
		size_t al = (size_t)16 << between(0, 9), n = between(0, 3000);

		switch (i % 5) {
		case 0:
			put(memalign(al, n));
			break;
		case 1:
			put(aligned_alloc(al, (n + al) & ~(al - 1)));
			break;
		case 2:
			put(posix_memalign(&p, al, n) ? NULL : p);
			break;
		case 3:
			put(i % 3 ? valloc(n) : pvalloc(n));
			break;
		default:
			put(malloc(n));
		}
	}
	sweep(3);
}

static void *mapped_aligned(void)
{
	size_t al = (size_t)16 << between(0, 20), n = between(128 * KIB, 2 * MIB);
	void *p;

	return posix_memalign(&p, al, n) ? NULL : p;
}

static void aligned_big(unsigned int round)
{
	(void)round;
	mallopt(M_MMAP_THRESHOLD, 128 * KIB);
	for (int i = 0; i < 80; i++)
		put(i % 4 ? mapped_aligned() : malloc(200 * KIB));
	sweep(3);
}

/* Mapped blocks grow and shrink, aligned ones too, some below the threshold. */
static void mremaps(unsigned int round)
{
	(void)round;
	mallopt(M_MMAP_THRESHOLD, 128 * KIB);
	for (int i = 0; i < 40; i++) {
		char *p = i % 2 ? malloc(150 * KIB) : mapped_aligned(), *q;

		for (int j = 0; p && j < 6; j++) {
			q = realloc(p, between(j == 5 ? 20 * KIB : 130 * KIB, 3 * MIB));
			must(q != NULL);
			p = q;
		}
		put(p);
	}
	sweep(4);
}

static void reallocs(unsigned int round)
{
	(void)round;
	fill(300, 1, 200);
	for (int i = 0; i < 6; i++)
		resize(6000, 1, (size_t)200 << (2 * i) % 8);
	sweep(3);
}

/* Others take from the break, too; not always whole pages. */
static void foreign_sbrk(unsigned int round)
{
	for (int i = 0; i < 12; i++) {
		must(sbrk((intptr_t)between(1, 5) * (i % 3 == 2 && round % 2 ? 1000 : 4096)) !=
		     (void *)-1);
		fill(800, 0, 1500);
		sweep(4);
	}
}

static void sbrk_first(unsigned int round)
{
	if (round == 0)
		must(sbrk(10000) != (void *)-1);
	small(round);
}

/* Right behind the break somebody has mapped: the main arena goes on elsewhere. */
static void *block_brk(void)
{
	uintptr_t at = ((uintptr_t)sbrk(0) + 4095) & ~4095ul;

	return mmap((void *)at, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		    -1, 0);
}

static void brk_blocked(unsigned int round)
{
	static void *wall;

	if (round == 0)
		fill(500, 0, 2000);
	if (!wall)
		wall = block_brk();
	must(wall != MAP_FAILED);
	fill(10000, 0, 3000);
	sweep(3);
	if (round % 2) {
		munmap(wall, 4096);
		wall = NULL;
		fill(8000, 0, 3000);
		sweep(3);
	}
}

static void brk_never(unsigned int round)
{
	if (round == 0)
		must(block_brk() != MAP_FAILED);
	small(round);
}

/* For a while the system gives nothing. */
static void no_memory(unsigned int round)
{
	struct rlimit old;

	(void)round;
	fill(1000, 0, 2000);
	getrlimit(RLIMIT_DATA, &old);
	must(setrlimit(RLIMIT_DATA, &(struct rlimit){0, old.rlim_max}) == 0);
	fill(8000, 0, 4000);
	must(setrlimit(RLIMIT_DATA, &old) == 0);
	fill(4000, 0, 2000);
	sweep(2);
}

/* Field n of /proc/self/stat, from 1; those behind the name. */
static unsigned long stat_field(const char *stat, unsigned int n)
{
	const char *s = strrchr(stat, ')');

	for (unsigned int i = 2; s && i < n; i++)
		s = strchr(s + 1, ' ');
	return s ? number(s + 1) : 0;
}

/* Tells the kernel that the heap starts elsewhere. */
static int move_start_brk(unsigned long start)
{
	char stat[1024] = "";
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	struct prctl_mm_map m = {.start_brk = start, .exe_fd = (__u32)-1};

	if (fd < 0 || read(fd, stat, sizeof(stat) - 1) < 1)
		return -1;
	close(fd);
	m.start_code = stat_field(stat, 26);
	m.end_code = stat_field(stat, 27);
	m.start_stack = stat_field(stat, 28);
	m.start_data = stat_field(stat, 45);
	m.end_data = stat_field(stat, 46);
	m.brk = (unsigned long)sbrk(0);
	m.arg_start = stat_field(stat, 48);
	m.arg_end = stat_field(stat, 49);
	m.env_start = stat_field(stat, 50);
	m.env_end = stat_field(stat, 51);
	return prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0);
}

/* What the kernel calls the start of the heap is not it. */
static void moved_start_brk(unsigned int round)
{
	if (round == 0) {
		small(0);
		if (move_start_brk((unsigned long)sbrk(0) - 4096)) {
			gate_say("cannot %d\n", errno);
			_exit(77);
		}
	}
	small(round);
}

/* param blocks, one in 16 freed again. */
static void many(unsigned int round)
{
	if (round)
		return;
	for (unsigned long i = 0; i < param; i++) {
		void *p = malloc(8 + i % 9 * 8);

		must(p != NULL);
		if (i % 16 == 7)
			free(p);
	}
}

static const struct pattern {
	const char *name;
	void (*work)(unsigned int round);
} patterns[] = {
	{"none", none},
	{"small", small},
	{"caches", caches},
	{"fast", fast},
	{"bins", bins},
	{"zeroes", zeroes},
	{"trim", trim},
	{"mapped", mapped},
	{"dynamic", dynamic},
	{"neighbours", neighbours},
	{"no_mmap", no_mmap},
	{"few_mmaps", few_mmaps},
	{"aligned", aligned},
	{"aligned_big", aligned_big},
	{"mremaps", mremaps},
	{"reallocs", reallocs},
	{"foreign_sbrk", foreign_sbrk},
	{"sbrk_first", sbrk_first},
	{"brk_blocked", brk_blocked},
	{"brk_never", brk_never},
	{"no_memory", no_memory},
	{"moved_start_brk", moved_start_brk},
	{"many", many},
};

int main(int argc, char **argv)
{
	if (argc > 2)
		param = number(argv[2]);
	for (size_t i = 0; argc > 1 && i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (strcmp(patterns[i].name, argv[1]) == 0) {
			patterns[i].work(0);
			return take_turns(patterns[i].work);
		}
	return 64;
}
