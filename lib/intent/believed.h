/*
 * The last intent of this node that was read and believed, in the state directory, 0600: what a pass
 * without a store goes by. For read.c only; others call intent_recall().
 *
 * The first line tells what was read, so that a pass that reads the same again neither parses nor
 * writes the rest:
 *
 *     pp-believed 1 <number of what was read> <greatest version> <seconds since 1970>
 *     {"slug": {"cluster": "production", "config": {...}, "deploy_config": {...}}, ...}
 */
#ifndef PP_BELIEVED_H
#define PP_BELIEVED_H

#include <stdint.h>

#include "lib/intent/intent.h"

struct believed {
	uint64_t read;    /* stands for what was read; 0: nothing was */
	uint64_t version; /* the greatest of what was read; 0 where versions have no order */
	int64_t when;     /* seconds since 1970 */
};

/** What is remembered of the last reading; zeros where nothing is. Never fails. */
struct believed believed_head(struct state *state, const char *node, const char *url);

/**
 * Remember a reading, if it is another one than `head`. Documents that proved unreadable stay as they
 * were believed before; so do apps that are not in the list, unless that is beyond doubt.
 * Returns: 0; -1 with *e set, what was remembered as it was.
 */
int believed_keep(struct store *s, struct state *state, const struct believed *head,
    const struct intent_node *intent, const struct store_items *list,
    const struct store_items *documents, struct err *e);

/** The rest of the file: an object of apps, the caller's to json_decref(); NULL: there is none. */
json_t *believed_load(struct state *state, const char *node, const char *url);

#endif
