/*
 * Checking documents in files, as `set` would: all that is wrong with them, and where.
 */
#ifndef PP_CHECK_H
#define PP_CHECK_H

#include <jansson.h>

#include "lib/base/mem.h"
#include "lib/intent/change.h"

/** Where a document stands: in the text of a file, at a path of names (and "[3]" for an element). */
struct check_source {
	const char *file, *text;
	size_t len;
	struct strv path;
};

/** What was found, a line each: "FILE:LINE:COLUMN: what is wrong". */
struct check_report {
	struct strv faults; /* what set would refuse */
	struct strv notes;  /* what it would keep, and is likely a slip */
};

/** Add what is wrong with the document of that key. */
void check_document(const struct check_source *source, const char *key, const json_t *doc,
    struct check_report *report);

/** Add a fault at the source's path. */
void check_fault(const struct check_source *source, struct check_report *report, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

/**
 * Where in a JSON text is what a path of names leads to? As far as the path can be followed.
 * Effect: *line and *column count from 1, columns in characters.
 */
void check_locate(const char *text, size_t len, const struct strv *path, int *line, int *column);

/** Free what it holds. */
void check_report_release(struct check_report *report);

#define AUTO_REPORT __attribute__((cleanup(check_report_release)))

#endif
