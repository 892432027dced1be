/*
 * SHA-256, over bytes as they pass by.
 */
#ifndef PP_UNPACK_DIGEST_H
#define PP_UNPACK_DIGEST_H

#include <stddef.h>

#include "lib/base/err.h"

#define UNPACK_DIGEST_BYTES 32
#define UNPACK_DIGEST_HEX_ROOM (2 * UNPACK_DIGEST_BYTES + 1)

struct unpack_digest;

/** Returns: a digest of nothing yet; NULL with *e set. Owns: the caller frees. */
struct unpack_digest *unpack_digest_new(struct err *e);

/** Add n bytes. A failure is kept, and told by unpack_digest_end(). */
void unpack_digest_add(struct unpack_digest *d, const void *data, size_t n);

/** The digest of all that was added, to `sum`; the next byte begins a new one. Returns: 0, or -1. */
int unpack_digest_end(struct unpack_digest *d, unsigned char sum[UNPACK_DIGEST_BYTES],
    struct err *e);

/** Write it as 64 hex digits. */
void unpack_digest_hex(char hex[UNPACK_DIGEST_HEX_ROOM],
    const unsigned char sum[UNPACK_DIGEST_BYTES]);

/** NULL is fine. */
void unpack_digest_free(struct unpack_digest *d);

/** The same for a variable that goes out of scope. */
static inline void
unpack_digest_release(struct unpack_digest **d)
{
	unpack_digest_free(*d);
}

#define AUTO_DIGEST __attribute__((cleanup(unpack_digest_release)))

#endif
