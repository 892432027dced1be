/*
 * What a person means by "slug" or "slug/production", and its documents in the store.
 */
#ifndef PP_TARGET_H
#define PP_TARGET_H

#include "lib/base/err.h"
#include "lib/intent/edit.h"
#include "lib/store/store.h"

struct target {
	char *app, *cluster;
	char *key[EDIT_DOCS];
	uint64_t version[EDIT_DOCS]; /* of each document as read; 0: there was none */
	struct edit_docs docs;
};

/**
 * Find out the cluster (the one that is named, else PP_CLUSTER, else the only one) and read the
 * documents.
 * Returns: 0; -1 with *e set: ERR_USAGE lists the clusters there are to choose from, ERR_DATA names a
 *          document that is no JSON object. Release either way.
 */
int target_read(struct store *s, const char *text, struct target *t, struct err *e);

/**
 * Write those of `docs` that differ from what was read, in one transaction.
 * Returns: 0; -1 with *e set (ERR_BUSY when somebody else was faster).
 */
int target_write(struct store *s, const struct target *t, const struct edit_docs *docs,
    struct err *e);

/** Free what it holds. */
void target_release(struct target *t);

#define AUTO_TARGET __attribute__((cleanup(target_release)))

/**
 * Put an app's cluster on a node, or with `assign` 0 take it off.
 * Effect:  *line tells the change ("nodes/web1/slug: (none) -> production"), empty where there is
 *          none; the caller frees.
 * Returns: 0 and *write, whose value the caller frees; -1 with *e set (ERR_DATA): the node has
 *          another cluster of the app.
 */
int target_assign(struct store *s, const char *app, const char *cluster, const char *node,
    int assign, struct store_write *write, char **line, struct err *e);

#endif
