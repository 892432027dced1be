#include "lib/base/log.h"

#include <sys/ioctl.h>
#include <sys/stat.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* To the start of the line, and nothing behind it. */
#define WIPE "\r\033[K"
#define PROGRESS_ROOM 160 /* bytes, with the one that ends it */

static int verbose_on, progress_on;

void
log_set_verbose(int verbose)
{
	verbose_on = verbose;
}

int
log_verbose(void)
{
	return verbose_on;
}

/* How many bytes at s make one character that is safe to show; 0 if it is not. */
static size_t
printable_length(const unsigned char *s)
{
	size_t n;

	if (s[0] >= 0x20 && s[0] < 0x7f)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* C1 controls, overlong forms and surrogates; separators of lines and paragraphs, and what turns
	 * the direction of text or takes no place in it. */
	if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
	    (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] >= 0x90) ||
	    (s[0] == 0xe2 && s[1] == 0x80 && s[2] >= 0xa8 && s[2] <= 0xae) ||
	    (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0x8b || s[2] == 0x8e || s[2] == 0x8f)) ||
	    (s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa0 && s[2] <= 0xaf) ||
	    (s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf))
		return 0;
	return n;
}

int
log_is_plain(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	while (*s != '\0' && (n = printable_length(s)) > 0)
		s += n;
	return *s == '\0';
}

void
log_escape(char *out, size_t room, const char *in)
{
	const unsigned char *s = (const unsigned char *)in;
	size_t at = 0;

	while (*s != '\0') {
		size_t n = printable_length(s);

		if (at + (n ? n : 4) >= room)
			break;
		if (n > 0) {
			memcpy(out + at, s, n);
			at += n;
			s += n;
		} else {
			at += (size_t)snprintf(out + at, room - at, "\\x%02x", *s++);
		}
	}
	out[at] = '\0';
}

static int
stderr_is_journal(void)
{
	static int known = -1;
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	if (known >= 0)
		return known;
	known = stream != NULL && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
	return known;
}

static void
log_line(const char *level, int priority, const char *fmt, va_list ap)
{
	char text[4096], safe[4096], stamp[64] = "", line[4416];
	const char *wipe = progress_on ? WIPE : "";
	struct timespec now;
	struct tm tm;
	int n;

	(void)vsnprintf(text, sizeof text, fmt, ap);
	log_escape(safe, sizeof safe, text);
	if (stderr_is_journal()) {
		n = snprintf(line, sizeof line, "<%d>%s\n", priority, safe);
	} else {
		(void)clock_gettime(CLOCK_REALTIME, &now);
		(void)gmtime_r(&now.tv_sec, &tm);
		(void)strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
		n = snprintf(line, sizeof line, "%s%-5s [%s.%03ld] %s\n", wipe, level, stamp,
		    now.tv_nsec / 1000000, safe);
	}
	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n);
}

int
log_progress_wanted(void)
{
	const char *term = getenv("TERM");

	return !stderr_is_journal() && isatty(STDERR_FILENO) && term != NULL &&
	    strcmp(term, "dumb") != 0;
}

/* One that goes on in a second row could not be wiped any more. */
static size_t
progress_room(void)
{
	struct winsize window;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_col == 0)
		return PROGRESS_ROOM;
	return window.ws_col < PROGRESS_ROOM ? window.ws_col : PROGRESS_ROOM;
}

void
log_progress(const char *text)
{
	char safe[PROGRESS_ROOM], line[PROGRESS_ROOM + sizeof WIPE];
	int n;

	if (text == NULL && !progress_on)
		return;
	progress_on = text != NULL;
	log_escape(safe, progress_room(), text != NULL ? text : "");
	n = snprintf(line, sizeof line, WIPE "%s", safe);
	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n);
}

void
log_note(const char *fmt, ...)
{
	va_list ap;

	if (!verbose_on)
		return;
	va_start(ap, fmt);
	log_line("INFO", 6, fmt, ap);
	va_end(ap);
}

void
log_change(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("INFO", 5, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("WARN", 4, fmt, ap);
	va_end(ap);
}

void
log_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("FATAL", 3, fmt, ap);
	va_end(ap);
}

void
log_note_lines(const char *program, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		if (n > 0)
			log_note("%s: %.*s", program, (int)(n < 4000 ? n : 4000), text);
		text += n + (text[n] == '\n');
	}
}
