/*
 * The store: a flat key space of JSON documents, behind one small interface.
 *
 * A key is one or more names joined by '/'. Two engines: "consul" (the agent that the CONSUL_*
 * environment names) and "dir:PATH" (files PATH/<key>.json). Neither ever guesses: what cannot be
 * read for certain is an error, and absence is a statement only from store_absent().
 */
#ifndef PP_STORE_H
#define PP_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define STORE_ID_KEY "pp/store"
#define STORE_VALUE_MAX ((size_t)512 * 1024) /* bytes of a document; Consul's own limit */
#define STORE_WRITES_MAX 62                  /* writes that fit one atomic transaction */

/** One document as it was read. `version` changes whenever the document does; never 0. */
struct store_item {
	char *key;
	char *value; /* NUL-terminated; may hold other NULs */
	size_t len;
	uint64_t version;
	char *fault; /* why this one document cannot be read; NULL: it could */
};

/** Documents, sorted by key, and the id in pp/store, which every read brings along. */
struct store_items {
	struct store_item *v;
	size_t n;
	char id[64]; /* empty: the store has none */
};

/** One write of a transaction, or with `check` a condition of it: the document is at `version`. */
struct store_write {
	const char *key;
	const char *value; /* NULL: remove it */
	size_t len;
	uint64_t version; /* as read; 0: there must be none */
	int check; /* write nothing: the others happen only if this document is at `version` */
};

/** A request to Consul's HTTP API, for what is no document. `path` begins with /v1/. */
struct store_question {
	const char *method; /* NULL: GET */
	const char *path;   /* with its query */
	const char *body;   /* NULL: none */
};

struct store;

struct store_ops {
	int (*read)(struct store *, const char *const *keys, size_t n, struct store_items *,
	    struct err *);
	int (*absent)(struct store *, const char *key, struct err *);
	int (*write)(struct store *, const struct store_write *, size_t n, struct err *);
	int (*wait)(struct store *, const char *const *keys, size_t n, int64_t timeout_ms,
	    struct err *);
	int (*begin)(struct store *, uint64_t known, struct err *);
	int (*end)(struct store *, int *moved, struct err *);
	void (*free)(struct store *);
	int (*ask)(struct store *, const struct store_question *, long *status, struct buf *answer,
	    struct err *); /* NULL: it is no Consul */
};

/** What every engine's own struct starts with. */
struct store {
	const struct store_ops *ops;
	char *url; /* "consul http://127.0.0.1:8500" or "dir:/path": for messages and for memory */
	int ordered; /* of two versions the greater is the younger; else they say nothing of that */
	int named;   /* a read has found its id, so a write need not look whether it has one */
	int stands;  /* from store_begin() to store_end() it stands still: nobody of pp's writes */
};

/** How a store is opened. */
enum store_open_how {
	STORE_THERE, /* it must be there */
	STORE_MAKE,  /* an editor's: a directory that is not there is an empty store */
};

/**
 * Open a store by what --store, PP_STORE or pp.conf said: "consul" or "dir:PATH"; NULL is consul.
 * Effect:  nothing is contacted yet, nothing made.
 * Returns: the store, the caller's to store_free(); NULL with *e set (ERR_CONFIG).
 */
struct store *store_open(const char *spec, enum store_open_how how, struct err *e);

/** Release a store; NULL is fine. */
void store_free(struct store *s);

/**
 * Read documents: each of `keys` is a key, or, ending in '/', everything below it.
 *
 * Consistent: it never answers from a server that is behind. Documents that a token may not see
 * are simply not among the items: ask store_absent() before concluding anything from that.
 * Up to 63 keys are one atomic snapshot and, over Consul, one request; of more, 62 go together.
 *
 * Returns: 0 and *items, the caller's to release; -1 with *e set (ERR_STORE, ERR_PERM, ERR_CONFIG).
 */
int store_read(struct store *s, const char *const *keys, size_t n, struct store_items *items,
    struct err *e);

/**
 * Begin to read what takes several calls and has to be one picture. `known` is a version that is
 * sure to have been in this store before (0: none is); the greater, the less is read twice.
 * Returns: 0, and store_end() has to follow; -1 with *e set.
 */
int store_begin(struct store *s, uint64_t known, struct err *e);

/**
 * Returns: 0 and *moved, whether something may have been written between the calls since
 *          store_begin(): then begin again, and it will be known for certain. -1 with *e set.
 */
int store_end(struct store *s, int *moved, struct err *e);

/** The item of that key; NULL if it is not there. Borrowed. */
const struct store_item *store_find(const struct store_items *items, const char *key);

/** Free what the items hold. */
void store_items_release(struct store_items *items);

#define AUTO_ITEMS __attribute__((cleanup(store_items_release)))

/**
 * Is there positively no such document?
 * Returns: 1 if the store says so; 0 if there is one; -1 with *e set when that is not known
 *          (ERR_PERM: the token may not see it).
 */
int store_absent(struct store *s, const char *key, struct err *e);

/**
 * Write all or nothing. At most STORE_WRITES_MAX at a time, checks among them. Nothing but checks is
 * a question: are these documents, at this moment, all at those versions?
 *
 * The first write to a store without an id gives it one, in the same transaction, where that is
 * permitted.
 * Returns: 0; -1 with *e set: ERR_BUSY when a document is no longer at its version (nothing was
 *          written), ERR_STORE when the outcome is unknown, and the message says so.
 */
int store_write(struct store *s, const struct store_write *writes, size_t n, struct err *e);

/**
 * Wait until one of the documents or trees changes.
 * Returns: 1 if one did (or may have), 0 when the time is up, -1 with *e set.
 */
int store_wait(struct store *s, const char *const *keys, size_t n, int64_t timeout_ms,
    struct err *e);

/**
 * Ask Consul, where the store is one, for what is no document: its catalogue, this node's agent.
 * Returns: 1 and *status and *answer, which the caller releases, whatever the status is; 0 where the
 *          store is no Consul; -1 with *e set (ERR_STORE: it cannot be reached, or knows no leader).
 */
int store_ask(struct store *s, const struct store_question *q, long *status, struct buf *answer,
    struct err *e);

/** Add a document that is there and cannot be read; for engines. */
void store_items_add_fault(struct store_items *items, const char *key, const char *fault);

/** Add a copy of a document; for engines. `items` must be sorted with store_items_sort() after. */
void store_items_add(struct store_items *items, const char *key, const char *value, size_t len,
    uint64_t version);

/** Forget all but the first `n` items; for engines. */
void store_items_cut(struct store_items *items, size_t n);

/** Sort by key, and drop all but one of those with the same key. For engines. */
void store_items_sort(struct store_items *items);

#endif
