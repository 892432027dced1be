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

/** Free what it holds. */
void target_release(struct target *t);

#define AUTO_TARGET __attribute__((cleanup(target_release)))

#endif
