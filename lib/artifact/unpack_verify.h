/*
 * Verifying an artifact as a whole, before anything of it is looked at.
 */
#ifndef PP_UNPACK_VERIFY_H
#define PP_UNPACK_VERIFY_H

#include "lib/artifact/unpack.h"
#include "lib/artifact/unpack_digest.h"

/**
 * Read all of the artifact: is it what the options ask for?
 *
 * Returns: 0 with its SHA-256 in `sum`; -1 with *e set, ERR_DATA if it is not.
 */
int unpack_verify(int artifact, const struct unpack_options *o,
    unsigned char sum[UNPACK_DIGEST_BYTES], struct err *e);

/** Are the bytes that were unpacked, whose digest `again` is, those that were verified? */
int unpack_verify_same(const unsigned char sum[UNPACK_DIGEST_BYTES], struct unpack_digest *again,
    struct err *e);

#endif
