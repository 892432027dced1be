/* Small parts of lib/base: durations, base64, lists, buffers, hashes, errors, settings. */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/base/settings.h"
#include "tests/unit/tap.h"

static void
lasts(const char *text, int64_t wanted)
{
	struct err e = ERR_INIT;
	int64_t ms = -1;

	(void)clock_parse_duration(text, &ms, &e);
	ok(ms == wanted, "\"%s\" is %lld ms, got %lld", text, (long long)wanted, (long long)ms);
}

static void
test_durations(void)
{
	static const char *const bad[] = { "", "x", "s", "1x", "-1", "1h30", "30 s", " 30", "1.5s",
		"1s ", "367d", "99999999999999999999", "1ss", "0x10", "+1", "1m1" };

	lasts("0", 0);
	lasts("30", 30000);
	lasts("500ms", 500);
	lasts("90s", 90000);
	lasts("5m", 300000);
	lasts("1h30m", 5400000);
	lasts("1d1ms", 86400001);
	lasts("366d", INT64_C(366) * 86400000);
	for (size_t i = 0; i < MEM_COUNT(bad); i++) {
		struct err e = ERR_INIT;
		int64_t ms;

		ok(clock_parse_duration(bad[i], &ms, &e) < 0 && e.class == ERR_DATA,
		    "\"%s\" is no duration", bad[i]);
	}
}

static void
test_base64(void)
{
	static const struct {
		const char *text, *code;
	} pairs[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfb", "//77" } };
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg=a", "Z===", "====", "Zm9v\n",
		"Zm 9v", "Zm-_", "=Zm9", "Zg==Zg==", "Zh==", "Zm9=", "Zm9vYmF=" };

	for (size_t i = 0; i < MEM_COUNT(pairs); i++) {
		AUTO_BUF struct buf code = { 0 }, text = { 0 };

		base64_encode(pairs[i].text, strlen(pairs[i].text), &code);
		is(code.data, pairs[i].code, "encoded as RFC 4648 says");
		ok(base64_decode(pairs[i].code, &text) == 0 && text.n == strlen(pairs[i].text) &&
			memcmp(text.data, pairs[i].text, text.n) == 0,
		    "and decoded: %s", pairs[i].code);
	}
	for (size_t i = 0; i < MEM_COUNT(bad); i++) {
		AUTO_BUF struct buf text = { 0 };

		ok(base64_decode(bad[i], &text) < 0, "not base64: number %zu", i);
	}
}

static void
test_lists(void)
{
	AUTO_STRV struct strv v = { 0 };
	AUTO_FREE char *joined = NULL, *empty = NULL;
	struct strv none = { 0 };
	int ends = 1;

	strv_split(&v, "b,,a,c", ',');
	ok(v.n == 4, "split keeps empty parts");
	strv_sort(&v);
	joined = strv_join(&v, "-");
	is(joined, "-a-b-c", "sorted and joined");
	ok(strv_has(&v, "c") && !strv_has(&v, "d"), "what it has and what not");
	for (int i = 0; i < 100; i++) {
		strv_add(&v, xasprintf("%d", i));
		ends &= v.items[v.n] == NULL;
	}
	ok(ends && v.n == 104, "however long, it ends in NULL");
	empty = strv_join(&none, ",");
	is(empty, "", "none joined is empty");
	strv_release(&v);
	ok(v.n == 0 && v.items == NULL, "released is empty");
}

static void
test_buffers(void)
{
	AUTO_BUF struct buf b = { 0 };

	buf_add(&b, "a\0b", 3);
	buf_printf(&b, "%s%d", "c", 5);
	ok(b.n == 5 && memcmp(b.data, "a\0bc5", 6) == 0, "a buffer takes NULs, and ends in one");
	for (int i = 0; i < 10000; i++)
		buf_add(&b, "x", 1);
	ok(b.n == 10005 && b.data[10004] == 'x' && b.data[10005] == '\0', "and grows");
}

static void
test_hash(void)
{
	ok(hash_bytes("", 0) == UINT64_C(0xcbf29ce484222325), "FNV-1a of nothing");
	ok(hash_bytes("foobar", 6) == UINT64_C(0x85944171f73967e8), "FNV-1a of foobar");
}

static void
test_errors(void)
{
	static const int codes[] = { [ERR_NONE] = 0,
		[ERR_FAIL] = 1,
		[ERR_USAGE] = 64,
		[ERR_DATA] = 65,
		[ERR_STORE] = 69,
		[ERR_BUSY] = 75,
		[ERR_PERM] = 77,
		[ERR_CONFIG] = 78 };
	struct err e = ERR_INIT;
	char longer[4096];

	for (size_t i = 0; i < MEM_COUNT(codes); i++) {
		e.class = (enum err_class)i;
		ok(err_exit_code(&e) == codes[i], "class %zu exits with %d", i, codes[i]);
	}
	ok(err_set(&e, ERR_DATA, "a %d", 1) == -1 && err_wrap(&e, "%s", "b") == -1 &&
		e.class == ERR_DATA,
	    "wrapping keeps the class");
	is(e.msg, "b: a 1", "and puts the context first");
	errno = EACCES;
	ok(err_sys(&e, "open") == -1 && e.class == ERR_PERM && errno == EACCES,
	    "EACCES is ERR_PERM");
	is(e.msg, "open: Permission denied", "with errno's text");
	errno = ENOENT;
	(void)err_sys(&e, "open");
	ok(e.class == ERR_FAIL, "ENOENT is not");
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	(void)err_set(&e, ERR_FAIL, "%s", longer);
	(void)err_wrap(&e, "app");
	ok(strncmp(e.msg, "app: xxx", 8) == 0 && strlen(e.msg) < sizeof e.msg,
	    "a message that is too long is cut at its end");
}

static const struct setting table[] = {
	{ "verbose", 'v', SETTING_FLAG, SETTING_ANYWHERE, NULL, "talk" },
	{ "runit-stage", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR", "stage" },
	{ "timeout", 't', SETTING_DURATION, SETTING_ANYWHERE, "DUR", "time" },
	{ "app", 0, SETTING_LIST, SETTING_FLAG_ONLY, "APP", "which" },
	{ 0 },
};

#define MAX_ARGS 8

/* Parse a command line of words; the result of settings_parse(). */
static int
parse(struct settings *s, struct strv *operands, int how, const char *line, struct err *e)
{
	AUTO_STRV struct strv words = { 0 };

	*s = (struct settings){ 0 };
	settings_add(s, table);
	strv_split(&words, line, ' ');
	return settings_parse(s, (int)words.n, words.items, how, operands, e);
}

static void
refuses(const char *line, int how, const char *why)
{
	AUTO_STRV struct strv operands = { 0 };
	struct err e = ERR_INIT;
	struct settings s;

	ok(parse(&s, &operands, how, line, &e) < 0 && e.class == ERR_USAGE, "refused: %s", line);
	has(e.msg, why, "and told why");
	settings_release(&s);
}

static void
test_settings(void)
{
	AUTO_STRV struct strv operands = { 0 }, single = { 0 }, rest = { 0 };
	struct err e = ERR_INIT;
	struct settings s;

	ok(parse(&s, &operands, 0, "x one -v two --runit-stage=/a --app a --app=b -t 5m", &e) == 0,
	    "options may follow operands");
	ok(operands.n == 2 && settings_flag(&s, "verbose"), "both are found");
	is(settings_text(&s, "runit-stage"), "/a", "a text");
	ok(settings_duration(&s, "timeout", 7) == 300000, "a duration");
	ok(settings_list(&s, "app")->n == 2, "a list");
	settings_release(&s);

	ok(parse(&s, &rest, 0, "x -- -v", &e) == 0 && rest.n == 1 && !settings_flag(&s, "verbose"),
	    "after -- all are operands");
	ok(settings_duration(&s, "timeout", 7) == 7, "what was not set has its default");
	settings_release(&s);

	ok(parse(&s, &single, SETTINGS_SINGLE_DASH, "x -runit-stage=/a -verbose", &e) == 0 &&
		settings_flag(&s, "verbose"),
	    "single-dash long flags, where they are asked for");
	is(settings_text(&s, "runit-stage"), "/a", "with their values");
	settings_release(&s);

	refuses("x --nonsense", 0, "--nonsense");
	refuses("x -z", 0, "-z");
	refuses("x --runit-stage", 0, "wants a value");
	refuses("x --timeout=soon", 0, "--timeout");
	refuses("x --runit-stage=", 0, "empty");
	refuses("x --verbose=yes", 0, "--verbose");
}

int
main(void)
{
	test_durations();
	test_base64();
	test_lists();
	test_buffers();
	test_hash();
	test_errors();
	test_settings();
	return done();
}
