/*
 * The log: one line an event on stderr, in the prototype's form, UTC:
 *
 *     INFO  [2014-08-31 02:42:58.076] slug: Stopping
 *
 * Where stderr is the journal (JOURNAL_STREAM names it) the line starts with a priority as in
 * sd-daemon(3) instead of the time. Bytes that could steer a terminal are written as \xNN: much of
 * what is logged comes from a store or an artifact.
 */
#ifndef PP_LOG_H
#define PP_LOG_H

#include <stddef.h>

/** Show log_note() lines too. Off until called. */
void log_set_verbose(int verbose);

/** Are log_note() lines shown? */
int log_verbose(void);

/** A log_note() for each line of what `program` printed. */
void log_note_lines(const char *program, const char *text);

/** What somebody who asked with --verbose wants to know; else silent. */
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Something on this node is being changed. Always shown. */
void log_change(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Something is held or doubtful, and a person should look. Always shown. */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Something failed. Always shown. */
void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * Show a line that the next one, of either kind, takes the place of; NULL: take it away. For a
 * terminal, where log_progress_wanted() says so; processes forked after the first call know of it.
 */
void log_progress(const char *text);

/** Is stderr a terminal, where people watch? */
int log_progress_wanted(void);

/**
 * Copy `in` to `out` (room bytes, NUL-terminated, cut where it does not fit) with control characters,
 * DEL, C1 controls and bytes that are not UTF-8 written as \xNN.
 */
void log_escape(char *out, size_t room, const char *in);

/** Is there nothing in `text` that log_escape() would write in another way? */
int log_is_plain(const char *text);

#endif
