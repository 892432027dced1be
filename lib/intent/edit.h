/*
 * Editing intent: the documents of an app in a cluster, what a person may set in them, and how a
 * change reads.
 */
#ifndef PP_EDIT_H
#define PP_EDIT_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum edit_doc { EDIT_CONFIG, EDIT_DEPLOY_CONFIG, EDIT_OWNERS, EDIT_DOCS };

/** The documents of one app in one cluster; NULL where there is none. */
struct edit_docs {
	json_t *doc[EDIT_DOCS];
};

/** What a document is called in `get --json`: "config", "deploy_config", "owners". */
const char *edit_doc_name(enum edit_doc doc);

/** The store's key of a document. Owns: the caller frees. */
char *edit_doc_key(enum edit_doc doc, const char *app, const char *cluster);

/** Is there such a field in that document, as far as pp knows? */
int edit_is_key(enum edit_doc doc, const char *name);

/** The name of the i-th field that pp knows, of whichever document; NULL after the last. */
const char *edit_key_name(size_t i);

/**
 * Make one change, as a person writes it:
 *
 *     versions=abc:prep,def:active   versions.def=active   versions.abc-   min_nodes=2
 *     ports=1212,8000-8010,53/udp    users=xavier,don      user_config.a.b=text   key:=JSON
 *     check.http=/health             limits.memory=512M    env.LANG=C.UTF-8
 *
 * The key decides which document it is in. Activating a version demotes the one that was active;
 * removing one removes its digest.
 * Effect:  docs->doc[...] is changed in place, or made.
 * Returns: 0; -1 with *e set (ERR_DATA): unknown key, a value of the wrong form. Whether the whole
 *          holds is edit_check()'s to say.
 */
int edit_apply(struct edit_docs *docs, const char *change, struct err *e);

/** edit_apply() of "path-". Not there is fine. */
int edit_unset(struct edit_docs *docs, const char *path, struct err *e);

/**
 * Does each document hold, as the agents will read it, and may `old` become `docs`? `name` is the app's.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int edit_check(const struct edit_docs *old, const struct edit_docs *docs, const char *name,
    const char *cluster, struct err *e);

/** One leaf of the documents: "versions.def" and its value. */
struct edit_leaf {
	char *path;
	json_t *value;
};

struct edit_leaves {
	struct edit_leaf *v;
	size_t n;
};

/**
 * All leaves of the documents, sorted. Objects are opened; a list is a leaf. What two documents
 * both have (of unknown keys) is listed twice.
 */
void edit_flatten(const struct edit_docs *docs, struct edit_leaves *leaves);

/** Free what the leaves hold. */
void edit_leaves_release(struct edit_leaves *leaves);

#define AUTO_LEAVES __attribute__((cleanup(edit_leaves_release)))

/** How a diff is shown. */
struct edit_look {
	const char *prefix; /* in front of each line; NULL: nothing */
	int color;          /* for a terminal that has some */
	int secrets;        /* also values whose names look secret (lib/intent/secret.h) */
};

/**
 * How two states differ, one line a leaf: "versions.def: prep -> active\n". What could steer a
 * terminal is escaped.
 * Returns: the number of lines added to *out; 0 only where they are the same.
 */
size_t edit_diff(const struct edit_docs *from, const struct edit_docs *to,
    const struct edit_look *look, struct buf *out);

/** edit_diff() of one document; `name` stands for it where it has no leaf. NULL: not there. */
size_t edit_diff_doc(const char *name, const json_t *from, const json_t *to,
    const struct edit_look *look, struct buf *out);

/** The value at a path ("versions.def"). Borrowed; NULL if there is none. */
const json_t *edit_find(const struct edit_docs *docs, const char *path);

/** A value as a person reads it: text bare where that cannot be mistaken, else JSON. Caller frees. */
char *edit_show(const json_t *value);

/** A leaf in the form that edit_apply() takes: "min_nodes=2", "user_config.x:=[1]". Caller frees. */
char *edit_show_leaf(const struct edit_leaf *leaf);

/**
 * json_dumps(), with each number as short as it can be told from others. Owns: the caller frees.
 */
char *edit_dump(const json_t *value, size_t flags);

/** A document as it is stored: sorted keys, indented, a newline at the end. Caller frees. */
char *edit_render(const json_t *doc);

/** Read documents from JSON: {"config": {...}, ...} as `get --json` writes, or bare keys. */
int edit_from_json(const json_t *json, struct edit_docs *docs, struct err *e);

/** Copy deep. Owns: the caller edit_docs_release()s it. */
struct edit_docs edit_docs_copy(const struct edit_docs *docs);

/** Free what the documents hold. */
void edit_docs_release(struct edit_docs *docs);

#define AUTO_DOCS __attribute__((cleanup(edit_docs_release)))

#endif
