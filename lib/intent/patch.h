/*
 * How one document became another, value by value: what history keeps, what undoes it, and the same
 * as a JSON Patch (RFC 6902).
 *
 * A delta is a list of {"path": "/versions/def", "before": "prep", "after": "active"}: the path is a
 * JSON pointer (RFC 6901); no "before", it was not there; no "after", it is not there any more. An
 * object is gone into, a list is one value. The path "" is the whole document.
 */
#ifndef PP_PATCH_H
#define PP_PATCH_H

#include <jansson.h>

#include "lib/base/err.h"

#define PATCH_ELIDED "(too large to be kept)" /* shown in place of a value that was left out */

/** The delta from one document to the other; NULL is one that is not there. Caller json_decref()s. */
json_t *patch_delta(const json_t *before, const json_t *after);

/** Leave out what the values became: a delta that is too large to be kept can still be undone. */
void patch_elide(json_t *delta);

/**
 * Put the values of a delta back to what they were.
 *
 * Effect:  *doc is changed in place, made, or released and set to NULL.
 * Returns: 0; -1 with *e set (ERR_DATA) where the delta is none, or where its place in the document
 *          is not there any more.
 */
int patch_undo(json_t **doc, const json_t *delta, struct err *e);

/** The other way round: to what they became. What was elided is taken from `now`. */
int patch_redo(json_t **doc, const json_t *delta, const json_t *now, struct err *e);

/**
 * Add a delta to a JSON Patch.
 * @base:   what stands in front of each path, such as "/config".
 * @secrets: show values that look secret (lib/intent/secret.h).
 */
void patch_add_rfc6902(json_t *patch, const char *base, const json_t *delta, int secrets);

/** A name as a part of a JSON pointer, escaped. Caller frees. */
char *patch_escape(const char *name);

#endif
