/*
 * History: who changed what, when and why. A record is history/<app>/<cluster>/<seq>, written in the
 * transaction of the change it tells of; the newest HISTORY_KEEP are kept.
 */
#ifndef PP_HISTORY_H
#define PP_HISTORY_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/settings.h"
#include "lib/intent/change.h"
#include "lib/store/store.h"

#define HISTORY_KEEP 100
#define HISTORY_SEQ_MAX 999999999999999LL

/** "require-message", which pp.conf may hold. Ends with a NULL name. */
extern const struct setting history_settings[];

/** One revision, as it was read. */
struct history_record {
	long long seq;
	char *key;
	uint64_t version;
	json_t *doc; /* NULL: it cannot be read, and `fault` says why */
	char *fault;
};

struct history {
	struct history_record *v; /* oldest first */
	size_t n;
};

/**
 * Read the history of an app in a cluster.
 * Returns: 0; -1 with *e set. A record that does not hold is among them, with its fault.
 */
int history_read(struct store *s, const char *app, const char *cluster, struct history *h,
    struct err *e);

/**
 * Read documents and the history together: one snapshot, up to 61 keys.
 * Returns: 0, and *c as from change_read(); -1 with *e set. Release both either way.
 */
int history_snapshot(struct store *s, const char *app, const char *cluster, const struct strv *keys,
    struct history *h, struct change *c, struct err *e);

/** Take the records of one app in one cluster out of what was read. */
void history_take(const struct store_items *items, const char *app, const char *cluster,
    struct history *h);

/** The number of the newest revision; 0: there is none. */
long long history_newest(const struct history *h);

/**
 * Check -m.
 * Returns: 0; -1 with *e set (ERR_USAGE) where it is too long or not UTF-8.
 */
int history_check_why(const char *why, struct err *e);

/** Start a record: who, when, why and what. Caller json_decref()s. */
json_t *history_new_record(const struct change_note *note);

/** Add what became of a document. `elide`: without the new values. */
void history_add_doc(json_t *record, const struct change_doc *d, int elide);

/** One line on a record: number, time, who, command and why. Caller frees. */
char *history_title(const struct history_record *r);

/** What a record changed, as lines. Values that history has not kept are said to be so. */
void history_diff(const struct history_record *r, const struct edit_look *look, struct buf *out);

/** A record for a program: as it is stored, with its changes as one JSON Patch. Caller decrefs. */
json_t *history_json(const struct history_record *r, int secrets);

/** The keys of all documents that the revisions after `rev` changed. */
int history_keys(const struct history *h, long long rev, struct strv *keys, struct err *e);

/**
 * Put each `after` of the change back to what it was when `to` was the newest revision, from what it
 * was when `from` was. Documents that the revisions do not name stay as they are.
 * Returns: 0; -1 with *e set (ERR_DATA) where history does not go back that far or cannot be read.
 */
int history_rewind(const struct history *h, long long from, long long to, struct change *c,
    struct err *e);

/** Apply a record to the `after` of each document of the change that it names. */
int history_replay(const struct history_record *r, struct change *c, struct err *e);

/** Free what it holds. */
void history_release(struct history *h);

#define AUTO_HISTORY __attribute__((cleanup(history_release)))

#endif
