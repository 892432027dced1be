/*
 * Unit tests that print TAP: one line an assertion, the plan at the end, and an exit code.
 */
#ifndef PP_TAP_H
#define PP_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

/** One assertion, with a name in printf form. Returns: whether it held. */
static inline int __attribute__((format(printf, 2, 3))) ok(int holds, const char *fmt, ...)
{
	va_list ap;

	tap_failed += !holds;
	printf("%sok %d - ", holds ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
	return holds;
}

/** Two strings are equal; NULL equals NULL only. */
static inline int
is(const char *got, const char *wanted, const char *name)
{
	int same = got == NULL || wanted == NULL ? got == wanted : strcmp(got, wanted) == 0;

	if (!ok(same, "%s", name))
		printf("#    got: %s\n# wanted: %s\n", got ? got : "(null)",
		    wanted ? wanted : "(null)");
	return same;
}

/** `text` has `part` in it. */
static inline int
has(const char *text, const char *part, const char *name)
{
	int there = text != NULL && strstr(text, part) != NULL;

	if (!ok(there, "%s", name))
		printf("#    got: %s\n# wanted in it: %s\n", text ? text : "(null)", part);
	return there;
}

/** Print the plan. Returns: what main() returns. */
static inline int
done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
