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

/** What somebody who asked with --verbose wants to know; else silent. */
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Something on this node is being changed. Always shown. */
void log_change(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Something is held or doubtful, and a person should look. Always shown. */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Something failed. Always shown. */
void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * Copy `in` to `out` (room bytes, NUL-terminated, cut where it does not fit) with control characters,
 * DEL, C1 controls and bytes that are not UTF-8 written as \xNN.
 */
void log_escape(char *out, size_t room, const char *in);

#endif
