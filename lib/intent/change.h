/*
 * A change: documents as they are and as they shall be, written with its history in one go.
 */
#ifndef PP_CHANGE_H
#define PP_CHANGE_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/intent/edit.h"
#include "lib/store/store.h"

/** What a key of the store stands for. */
enum change_kind { CHANGE_CONFIG, CHANGE_DEPLOY_CONFIG, CHANGE_OWNERS, CHANGE_NODE };

#define CHANGE_NAME_MAX 129 /* bytes of a name, with its NUL */

/** A key taken apart; what it does not have is "". */
struct change_key {
	enum change_kind kind;
	char app[CHANGE_NAME_MAX], cluster[CHANGE_NAME_MAX], node[CHANGE_NAME_MAX];
};

/** Take apart a key of intent. Returns: 0; -1 where it is none. */
int change_parse_key(const char *key, struct change_key *k);

/** One document. */
struct change_doc {
	char *key;
	struct change_key k;
	json_t *before, *after; /* NULL: not there */
	uint64_t version;       /* of `before` in the store; 0: not there */
};

struct change {
	struct change_doc *v; /* in the order they were added */
	size_t n;
};

/**
 * Add a document. `before` and `after` are taken over.
 * Returns: the document, borrowed; NULL (and nothing is taken) where the key is none of intent.
 */
struct change_doc *change_add(struct change *c, const char *key, json_t *before, uint64_t version,
    json_t *after);

/** The document of that key; NULL if there is none. Borrowed. */
struct change_doc *change_find(const struct change *c, const char *key);

/** Add the documents of an app in a cluster: three that were read, and what they shall be. */
void change_add_docs(struct change *c, const char *const keys[EDIT_DOCS],
    const uint64_t versions[EDIT_DOCS], const struct edit_docs *before,
    const struct edit_docs *after);

/**
 * Add documents out of what was read, each with itself as `after`.
 * Returns: 0; -1 with *e set (ERR_DATA) where one does not parse, or its key is none of intent.
 */
int change_take(struct change *c, const struct store_items *items, const struct strv *keys,
    struct err *e);

/**
 * Read documents and change_take() them. One that a token may not see counts as not there; the
 * write, which is on that condition, is refused then.
 */
int change_read(struct store *s, struct change *c, const struct strv *keys, struct err *e);

/** How many documents really change. */
size_t change_count(const struct change *c);

/**
 * Do the documents hold, as they shall be?
 * Returns: 0; -1 with *e set (ERR_DATA), the key named.
 */
int change_check(const struct change *c, struct err *e);

/**
 * What changes, one line a value. With look->prefix NULL a line names no app (for changes of one);
 * else each does, and look->prefix stands in front.
 */
void change_diff(const struct change *c, const struct edit_look *look, struct buf *out);

/** The change as a JSON Patch of a map of keys to documents. Caller json_decref()s. */
json_t *change_patch(const struct change *c, int secrets);

/**
 * What the change takes away that is worth a word: all active versions of an app in a cluster, or
 * more than half of its nodes, of at least two.
 * Returns: the number of lines added to *why; -1 with *e set.
 */
int change_losses(struct store *s, const struct change *c, struct buf *why, struct err *e);

/** What history says of a change besides the change. */
struct change_note {
	const char *what; /* the command: "set" */
	const char *why;  /* -m; NULL: nobody said */
	const char
	    *home; /* "slug/production": whose history has a change of owners; NULL: see below */
	const json_t *undoes; /* the revisions that a rollback undoes, or NULL */
};

/**
 * Write a change and its history (lib/intent/history.h), all or nothing where it fits one
 * transaction. Where it does not, in batches that keep an app's documents together, and in an order
 * in which no node sees a deployment that nobody intended (pp-intent(1), apply).
 *
 * A change of owners without a home is put into the history of the first cluster of the app that
 * changes, else of the first one there is, else of "owners".
 *
 * Returns: 0; -1 with *e set. ERR_BUSY: a document is not at its version any more; nothing was
 *          written, but for the batches that the message names. ERR_DATA before anything is
 *          written where a part that must not be split is too large.
 */
int change_write(struct store *s, const struct change *c, const struct change_note *note,
    struct err *e);

/** Free what it holds. */
void change_release(struct change *c);

#define AUTO_CHANGE __attribute__((cleanup(change_release)))

#endif
