/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "capture.h"
#include "target/select.h"

struct config {
	struct mt_pid_list pids;
	struct mt_select select;
	uint64_t interval, count;
	const char *format, *output, *color;
	enum mt_unit unit;
	bool quiet, verbose, no_census, help;
};

static const char *const formats[] = {"line", "table", "json", "memstats", "openmetrics", NULL};
static const char *const colors[] = {"auto", "always", "never", NULL};

#define AT(m) offsetof(struct config, m)
static const struct mt_opt rows[] = {
	{'p', "pid", MT_OPT_PIDS, "PID[,PID...]", AT(pids), NULL, "the targets; may be repeated"},
	{'n', "comm", MT_OPT_COMMS, "NAME[,NAME...]", AT(select), NULL, "processes of that name"},
	{'g', "cgroup", MT_OPT_CGROUP, "PATH", AT(select), NULL, "processes in that cgroup"},
	{'C', "container", MT_OPT_CONTAINERS, "ID[,ID...]", AT(select), NULL,
	 "processes in that container"},
	{'i', "interval", MT_OPT_DURATION, "DURATION", AT(interval), NULL, "time between two"},
	{'c', "count", MT_OPT_U64, "N", AT(count), NULL, "stop after N snapshots"},
	{'f', "format", MT_OPT_CHOICE, "FORMAT", AT(format), formats, "one of"},
	{'o', "output", MT_OPT_STRING, "FILE", AT(output), NULL,
	 "write there instead of standard output; %p pid, %t UTC time, %n sequence number"},
	{'u', "unit", MT_OPT_UNIT, "auto|B|KiB|MiB|GiB", AT(unit), NULL, "unit of line and table"},
	{'q', "quiet", MT_OPT_FLAG, NULL, AT(quiet), NULL, "errors only"},
	{'v', "verbose", MT_OPT_FLAG, NULL, AT(verbose), NULL, "say more"},
	{0, "color", MT_OPT_CHOICE, "auto|always|never", AT(color), colors, "colours"},
	{0, "no-census", MT_OPT_FLAG, NULL, AT(no_census), NULL, "levels count from the attach"},
	{'h', "help", MT_OPT_FLAG, NULL, AT(help), NULL, "this text"},
	{0},
};

#define ARGC_MAX 16
struct parsed {
	struct config cfg;
	char *argv[ARGC_MAX];
	int argc, first, r;
	bool dashdash;
	struct capture err;
};

static void parse(struct parsed *p, const char *const *args)
{
	static char name[] = "memtrace";

	free(p->cfg.pids.v);
	mt_select_fini(&p->cfg.select);
	memset(p, 0, sizeof(*p));
	p->argv[p->argc++] = name;
	for (; *args; args++)
		p->argv[p->argc++] = (char *)(uintptr_t)*args;
	capture_begin(&p->err, stderr);
	p->r = mt_options_parse(rows, p->argc, p->argv, &p->cfg, &p->first, &p->dashdash);
	capture_end(&p->err);
}

#define PARSE(p, ...) parse(p, (const char *const[]){__VA_ARGS__, NULL})

static void done(struct parsed *p)
{
	free(p->cfg.pids.v);
	p->cfg.pids.v = NULL;
	mt_select_fini(&p->cfg.select);
}

static void assert_pids(const struct parsed *p, size_t n, const pid_t *want)
{
	assert_string_equal(p->err.text, "");
	assert_int_equal(p->r, 0);
	assert_int_equal(p->cfg.pids.n, n);
	assert_memory_equal(p->cfg.pids.v, want, n * sizeof(*want));
}

static void spellings(void **state)
{
	struct parsed p = {0};

	(void)state;
	PARSE(&p, "-p12");
	assert_pids(&p, 1, (pid_t[]){12});
	PARSE(&p, "-p", "12");
	assert_pids(&p, 1, (pid_t[]){12});
	PARSE(&p, "--pid=12");
	assert_pids(&p, 1, (pid_t[]){12});
	PARSE(&p, "--pid", "12");
	assert_pids(&p, 1, (pid_t[]){12});
	PARSE(&p, "-qvp12");
	assert_pids(&p, 1, (pid_t[]){12});
	assert_true(p.cfg.quiet && p.cfg.verbose && !p.cfg.no_census);
	PARSE(&p, "--no-census", "--color=never", "-u", "kib", "-c3", "-i", "500ms", "-o", "-x");
	assert_int_equal(p.r, 0);
	assert_true(p.cfg.no_census);
	assert_string_equal(p.cfg.color, "never");
	assert_int_equal(p.cfg.unit, MT_UNIT_KIB);
	assert_int_equal(p.cfg.count, 3);
	assert_int_equal(p.cfg.interval, 500000000);
	assert_string_equal(p.cfg.output, "-x");
	done(&p);
}

static void pid_lists(void **state)
{
	struct parsed p = {0};

	(void)state;
	PARSE(&p, "-p", "3,1", "-p", "2", "--pid=1,4194304,3");
	assert_pids(&p, 4, (pid_t[]){3, 1, 2, 4194304});
	done(&p);
}

static void selections(void **state)
{
	struct parsed p = {0};

	(void)state;
	PARSE(&p, "-n", "bash,sh", "-g", "/a", "--comm=vi", "-C", "0123456789ab,web");
	assert_string_equal(p.err.text, "");
	assert_int_equal(p.r, 0);
	assert_int_equal(p.cfg.select.by[MT_SELECT_COMM].n, 3);
	assert_string_equal(p.cfg.select.by[MT_SELECT_COMM].v[2], "vi");
	assert_int_equal(p.cfg.select.by[MT_SELECT_CGROUP].n, 1);
	assert_int_equal(p.cfg.select.by[MT_SELECT_CONTAINER].n, 2);
	assert_string_equal(p.cfg.select.by[MT_SELECT_CONTAINER].v[1], "web");
	PARSE(&p, "-n", "sh,");
	assert_int_equal(p.r, -EINVAL);
	assert_string_equal(p.err.text, "memtrace: -n 'sh,': a name is missing\n");
	PARSE(&p, "--container", "\033[2J");
	assert_int_equal(p.r, -EINVAL);
	assert_string_equal(p.err.text,
			    "memtrace: --container '\\x1B[2J': not the id of a container: give "
			    "the digits that its engine shows\n");
	PARSE(&p, "-g", "");
	assert_int_equal(p.r, -EINVAL);
	assert_string_equal(p.err.text, "memtrace: -g '': nothing is given\n");
	done(&p);
}

static void operands_between_options(void **state)
{
	struct parsed p = {0};

	(void)state;
	PARSE(&p, "-p", "12", "1", "5", "-f", "json", "-", "-q");
	assert_pids(&p, 1, (pid_t[]){12});
	assert_string_equal(p.cfg.format, "json");
	assert_true(p.cfg.quiet);
	assert_false(p.dashdash);
	assert_int_equal(p.argc - p.first, 3);
	assert_string_equal(p.argv[p.first], "1");
	assert_string_equal(p.argv[p.first + 1], "5");
	assert_string_equal(p.argv[p.first + 2], "-");
	PARSE(&p, "-q");
	assert_int_equal(p.first, 2);
	done(&p);
}

static void dashdash(void **state)
{
	struct parsed p = {0};

	(void)state;
	PARSE(&p, "-q", "--", "ls", "-l", "--", "-p");
	assert_int_equal(p.r, 0);
	assert_true(p.dashdash);
	assert_string_equal(p.argv[p.first], "ls");
	assert_int_equal(p.argc - p.first, 4);
	assert_string_equal(p.argv[p.first + 2], "--");
	PARSE(&p, "--");
	assert_true(p.dashdash);
	assert_int_equal(p.first, p.argc);
	PARSE(&p, "5", "-q", "--", "ls");
	assert_int_equal(p.r, -EINVAL);
	assert_string_equal(p.err.text,
			    "memtrace: '5' in front of --: only options may stand there\n");
	done(&p);
}

static const struct {
	const char *args[3];
	const char *message;
} errors[] = {
	{{"--formt"}, "unknown option --formt: did you mean --format?"},
	{{"--quite"}, "unknown option --quite: did you mean --quiet?"},
	{{"--col"}, "unknown option --col: did you mean --color?"},
	{{"--formt=json"}, "unknown option --formt: did you mean --format?"},
	{{"--zzzzzz"}, "unknown option --zzzzzz: --help lists them"},
	{{"--\033[2Jx"}, "unknown option --\\x1B[2Jx: --help lists them"},
	{{"-P"}, "unknown option -P: did you mean -p?"},
	{{"-z"}, "unknown option -z: --help lists them"},
	{{"-5"}, "unknown option -5: --help lists them"},
	{{"-qz"}, "unknown option -z in '-qz': --help lists them"},
	{{"--quiet=1"}, "--quiet takes no argument: use --quiet alone"},
	{{"-p"}, "-p needs an argument: -p PID[,PID...]"},
	{{"--output"}, "--output needs an argument: --output FILE"},
	{{"-o", "--"}, "-o needs an argument: -o FILE"},
	{{"-o", ""}, "-o: empty argument: use -o FILE"},
	{{"-i", "5x"}, "-i: bad duration '5x': use 500ms, 2s, 1m"},
	{{"-i5x"}, "-i: bad duration '5x': use 500ms, 2s, 1m"},
	{{"--interval=-1"}, "--interval: bad duration '-1': use 500ms, 2s, 1m"},
	{{"-i", "0"}, NULL},
	{{"-c", "0"}, "-c: bad number '0': use a whole number from 1 up"},
	{{"-c", "1.5"}, "-c: bad number '1.5': use a whole number from 1 up"},
	{{"-c", "+5"}, "-c: bad number '+5': use a whole number from 1 up"},
	{{"-c", "18446744073709551616"}, "-c: number '18446744073709551616' is too large"},
	{{"-u", "MB"}, "-u: bad unit 'MB': use auto, B, KiB, MiB or GiB"},
	{{"-f", "xml"}, "-f: bad value 'xml': use line, table, json, memstats or openmetrics"},
	{{"--color=red"}, "--color: bad value 'red': use auto, always or never"},
	{{"-p", "1 2"}, "-p '1 2': separate pids with commas: -p 1,2"},
	{{"--pid", "7\n8\n9\n"},
	 "--pid '7\\x0A8\\x0A9\\x0A': separate pids with commas: --pid 7,8,9"},
	{{"-p", "1, 2"}, "-p '1, 2': separate pids with commas: -p 1,2"},
	{{"-p", "0"}, "-p: '0' is not a pid: pids are numbers from 1 up"},
	{{"-p", "1,000"}, "-p: '000' is not a pid: pids are numbers from 1 up"},
	{{"-p", "-5"}, "-p: '-5' is not a pid: pids are numbers from 1 up"},
	{{"-p", "4194305"},
	 "-p: '4194305' is too large for a pid: the kernel's largest is 4194304"},
	{{"-p", "99999999999999999999"},
	 "-p: '99999999999999999999' is too large for a pid: the kernel's largest is 4194304"},
	{{"-p", "1,,2"}, "-p: a pid is missing: use -p PID or -p PID,PID"},
	{{"-p", "1,"}, "-p: a pid is missing: use -p PID or -p PID,PID"},
	{{"--pid="}, "--pid: a pid is missing: use --pid PID or --pid PID,PID"},
	{{"-p", "redis"}, "-p: 'redis' is not a pid: use -p \"$(pidof -s redis)\""},
	{{"-p", "12,redis"}, "-p: 'redis' is not a pid: use -p \"$(pidof -s redis)\""},
	{{"-p", "$(reboot)"}, "-p: '$(reboot)' is not a pid: use -p \"$(pidof -s NAME)\""},
	{{"-p", "a\033]0;b\a"}, "-p: 'a\\x1B]0;b\\x07' is not a pid: use -p \"$(pidof -s NAME)\""},
	{{"-p",
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	 "-p: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is not a pid: use -p \"$(pidof -s "
	 "NAME)\""},
};

static void one_line_errors(void **state)
{
	char want[256];

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct parsed p = {0};

		parse(&p, errors[i].args);
		assert_int_equal(p.r, -EINVAL);
		snprintf(want, sizeof(want), "memtrace: %s\n", errors[i].message);
		if (errors[i].message)
			assert_string_equal(p.err.text, want);
		assert_ptr_equal(strchr(p.err.text, '\n'), p.err.text + strlen(p.err.text) - 1);
		done(&p);
	}
}

static void overlong_words(void **state)
{
	static char word[100001];
	struct parsed p = {0};
	const char *const prefixes[] = {"--", "-", "-p", "-i", "-c", "-f", "-u"};

	(void)state;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		memset(word, '\xff', sizeof(word) - 1);
		memcpy(word, prefixes[i], strlen(prefixes[i]));
		PARSE(&p, word);
		assert_int_equal(p.r, -EINVAL);
		assert_in_range(strlen(p.err.text), 20, 200);
		assert_null(strchr(p.err.text, '\xff'));
	}
	done(&p);
}

static void operands(void **state)
{
	struct capture c;

	(void)state;
	capture_begin(&c, stderr);
	assert_int_equal(mt_operand_error("census", "12"), 2);
	assert_int_equal(mt_operand_error("census", "1\n2"), 2);
	assert_int_equal(mt_operand_error("census", ""), 2);
	assert_string_equal(
		capture_end(&c),
		"memtrace: census: unexpected operand '12': use -p 12\n"
		"memtrace: census: unexpected operand '1\\x0A2': see memtrace census --help\n"
		"memtrace: census: unexpected operand '': see memtrace census --help\n");
}

static void color(void **state)
{
	struct capture c;

	(void)state;
	capture_begin(&c, stdout);
	setenv("NO_COLOR", "1", 1);
	assert_true(mt_color_wanted("always", "file"));
	unsetenv("NO_COLOR");
	assert_false(mt_color_wanted("never", NULL));
	assert_false(mt_color_wanted("auto", NULL)); /* no terminal */
	assert_false(mt_color_wanted(NULL, NULL));
	capture_end(&c);
}

static void help_fits(void **state)
{
	struct capture c;
	char *line, *save;

	(void)state;
	capture_begin(&c, stdout);
	mt_options_help(rows);
	capture_end(&c);
	assert_non_null(
		strstr(c.text, "  -p, --pid PID[,PID...]      the targets; may be repeated\n"));
	assert_non_null(strstr(c.text, "      --no-census             levels"));
	assert_non_null(strstr(c.text, "one of: line, table, json, memstats, openmetrics\n"));
	assert_non_null(
		strstr(c.text, "output; %p pid, %t\n                              UTC time,"));
	assert_non_null(
		strstr(c.text, "auto|always|never\n                              colours\n"));
	assert_non_null(strstr(c.text, "  -u, --unit auto|B|KiB|MiB|GiB\n                        "
				       "      unit of line and table\n"));
	for (line = strtok_r(c.text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		assert_in_range(strlen(line), 1, 80);
		assert_int_not_equal(line[strlen(line) - 1], ' ');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings),      cmocka_unit_test(pid_lists),
		cmocka_unit_test(selections),     cmocka_unit_test(operands_between_options),
		cmocka_unit_test(dashdash),       cmocka_unit_test(one_line_errors),
		cmocka_unit_test(overlong_words), cmocka_unit_test(operands),
		cmocka_unit_test(color),          cmocka_unit_test(help_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
