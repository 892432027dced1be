/*
 * Many documents at once: those of a file, of a directory, or of a store.
 *
 * A file is a JSON object of keys and documents, {"clusters/slug/production/config": {...}, ...}, or
 * what `pp intent get --json` prints. A directory has the layout of the dir store, <key>.json. null
 * in the place of a document says that there shall be none.
 */
#ifndef PP_BUNDLE_H
#define PP_BUNDLE_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/intent/change.h"
#include "lib/intent/check.h"
#include "lib/store/store.h"

struct bundle_doc {
	char *key;
	json_t *doc; /* NULL: there shall be none */
};

struct bundle {
	struct bundle_doc *v; /* sorted by key, each once */
	size_t n;
};

/**
 * Read documents from a file, a directory, or with "-" from stdin, and check them.
 * Returns: 0, and in *report what is wrong; -1 with *e set where they cannot be read at all.
 */
int bundle_load(const char *where, struct bundle *b, struct check_report *report, struct err *e);

/**
 * Read all documents of a store.
 * Returns: 0; -1 with *e set, also where one does not parse, or where a list may be forbidden rather
 *          than empty. *skipped gets the keys that are none of intent.
 */
int bundle_read_store(struct store *s, struct bundle *b, struct strv *skipped, struct err *e);

/** The document of that key; NULL if there is none. Borrowed. */
const struct bundle_doc *bundle_find(const struct bundle *b, const char *key);

/** All as one file: sorted keys, indented, a newline at the end. Caller frees. */
char *bundle_render(const struct bundle *b);

/**
 * Write each document to <path>/<key>.json, those that are already so excepted.
 * Effect:  with `prune`, files of documents that are not in the bundle are removed; else *left gets
 *          them.
 * Returns: 0; -1 with *e set.
 */
int bundle_write(const struct bundle *b, const char *path, int prune, struct strv *left,
    struct err *e);

/** Free what it holds. */
void bundle_release(struct bundle *b);

#define AUTO_BUNDLE __attribute__((cleanup(bundle_release)))

#endif
