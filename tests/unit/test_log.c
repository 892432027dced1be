/* The log: its form, what is shown when, and what could steer a terminal. */
#include "lib/base/log.h"

#include <regex.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/tap.h"

static void
escapes(const char *in, const char *wanted)
{
	char out[256];

	log_escape(out, sizeof out, in);
	is(out, wanted, wanted);
	ok(log_is_plain(in) == (strcmp(in, wanted) == 0), "plain, or not: %s", wanted);
}

static void
test_escape(void)
{
	char out[9];

	escapes("", "");
	escapes("plain text, 100%", "plain text, 100%");
	escapes("a\nb\r\tc", "a\\x0ab\\x0d\\x09c");
	escapes("\x1b[31mred", "\\x1b[31mred");
	escapes("\x7f", "\\x7f");
	escapes("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
	escapes("\xe2\x82\xac \xf0\x9f\x99\x82", "\xe2\x82\xac \xf0\x9f\x99\x82");
	escapes("C1: \xc2\x9b", "C1: \\xc2\\x9b");
	escapes("alone: \xbf", "alone: \\xbf");
	escapes("cut: \xe2\x82", "cut: \\xe2\\x82");
	escapes("overlong: \xc0\xaf \xe0\x80\xaf", "overlong: \\xc0\\xaf \\xe0\\x80\\xaf");
	escapes("surrogate: \xed\xa0\x80", "surrogate: \\xed\\xa0\\x80");
	escapes("too far: \xf4\x90\x80\x80", "too far: \\xf4\\x90\\x80\\x80");
	escapes("line separator: \xe2\x80\xa8", "line separator: \\xe2\\x80\\xa8");
	escapes("right to left: \xe2\x80\xae", "right to left: \\xe2\\x80\\xae");

	log_escape(out, sizeof out, "123456789");
	is(out, "12345678", "what does not fit is cut");
	log_escape(out, sizeof out, "12345\n");
	is(out, "12345", "but not in the middle of an escape");
	log_escape(out, sizeof out, "1234567\xc3\xbc");
	is(out, "1234567", "nor of a character");
}

/* What `say` writes to stderr, in *text. */
static void
capture(void (*say)(void), char *text, size_t room)
{
	char name[] = "/tmp/pp-test-log.XXXXXX";
	int file = mkstemp(name), saved = dup(STDERR_FILENO);
	ssize_t n;

	(void)unlink(name);
	(void)dup2(file, STDERR_FILENO);
	say();
	(void)dup2(saved, STDERR_FILENO);
	n = pread(file, text, room - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	(void)close(file);
	(void)close(saved);
}

static void
say_note(void)
{
	log_note("a %s", "note");
}

static void
say_change(void)
{
	log_change("slug: %s", "Stopping");
}

static void
say_warn(void)
{
	log_warn("hold\non");
}

static void
say_fatal(void)
{
	log_fatal("%s", "no");
}

static void
matches(const char *text, const char *pattern, const char *name)
{
	regex_t re;

	(void)regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
	if (!ok(regexec(&re, text, 0, NULL, 0) == 0, "%s", name))
		printf("# got: %s\n", text);
	regfree(&re);
}

#define STAMP "\\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}\\] "

static void
test_lines(void)
{
	char text[512];

	capture(say_note, text, sizeof text);
	is(text, "", "without --verbose a note is not shown");
	log_set_verbose(1);
	capture(say_note, text, sizeof text);
	matches(text, "^INFO  " STAMP "a note\n$", "with it, it is");
	log_set_verbose(0);
	capture(say_change, text, sizeof text);
	matches(text, "^INFO  " STAMP "slug: Stopping\n$", "a change is always shown");
	capture(say_warn, text, sizeof text);
	matches(text, "^WARN  " STAMP "hold\\\\x0aon\n$",
	    "a warning is one line, whatever is in it");
	capture(say_fatal, text, sizeof text);
	matches(text, "^FATAL " STAMP "no\n$", "a failure is FATAL");
}

/* The clock of the log is UTC, wherever the machine is. */
static void
test_utc(void)
{
	char text[512], hour[4];
	time_t now = time(NULL), then;
	struct tm tm;

	(void)setenv("TZ", "Pacific/Kiritimati", 1);
	tzset();
	do {
		now = time(NULL);
		capture(say_change, text, sizeof text);
		then = time(NULL);
	} while (now / 3600 != then / 3600);
	(void)gmtime_r(&now, &tm);
	(void)strftime(hour, sizeof hour, "%H", &tm);
	ok(strncmp(text + 18, hour, 2) == 0, "the time is UTC");
	(void)unsetenv("TZ");
}

/* Whether stderr is the journal is found out once, so this is a process of its own. */
static void
log_to_journal(int file)
{
	char stream[64];
	struct stat st;

	(void)dup2(file, STDERR_FILENO);
	(void)fstat(STDERR_FILENO, &st);
	(void)snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	(void)setenv("JOURNAL_STREAM", stream, 1);
	log_set_verbose(1);
	say_note();
	say_change();
	say_warn();
	say_fatal();
}

static void
test_journal(void)
{
	char name[] = "/tmp/pp-test-log.XXXXXX", text[512] = "";
	int file = mkstemp(name), status;
	pid_t child;

	(void)unlink(name);
	(void)fflush(stdout);
	child = fork();
	if (child == 0) {
		log_to_journal(file);
		_exit(0);
	}
	(void)waitpid(child, &status, 0);
	(void)!pread(file, text, sizeof text - 1, 0);
	(void)close(file);
	is(text, "<6>a note\n<5>slug: Stopping\n<4>hold\\x0aon\n<3>no\n",
	    "in the journal a line has a priority and no time");
}

int
main(void)
{
	(void)unsetenv("JOURNAL_STREAM");
	test_escape();
	test_journal();
	test_lines();
	test_utc();
	return done();
}
