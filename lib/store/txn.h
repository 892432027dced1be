/*
 * The answer to a transaction, read as Consul writes it. A general parser of JSON takes most of the time
 * of a pass over a thousand apps; this one reads the plain form of the answer and nothing else, and says
 * so where it is not that: then the general one has to judge.
 */
#ifndef PP_TXN_H
#define PP_TXN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/** One document of the answer. Borrowed, for the time of the call. */
struct txn_entry {
	const char *key;
	const char *value; /* base64; NULL: null */
	uint64_t index;    /* ModifyIndex */
};

/**
 * Call `take` for each document of the answer in `body` (NUL-terminated at `n`; changed and restored).
 *
 * The plain form: one object with Results, Errors that are none, KnownLeader true and numbers; each
 * result a KV of known fields, none twice; strings of printable ASCII without escapes.
 * Returns: 1 when all of it was so; 0 when it was not, after which `take` may have been called for a
 *          part; -1 when `take` did, with its *e.
 */
int txn_scan(char *body, size_t n, int (*take)(void *arg, const struct txn_entry *, struct err *),
    void *arg, struct err *e);

#endif
