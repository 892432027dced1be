/*
 * The tag of a file: a digest under a key that is secret. It is GMAC (NIST SP 800-38D), which is AES-GCM
 * with nothing to encrypt, by libcrypto: eight times as fast as SHA-256 where the processor helps with
 * either, and faster where it does not.
 *
 * Who does not know the key cannot change a file in such a way that it keeps its tag. The key is that of
 * one list (unpack_list.h), which none but its owner may read; and no two of its tags have one nonce.
 */
#ifndef PP_UNPACK_TAG_H
#define PP_UNPACK_TAG_H

#include <stddef.h>

#include "lib/base/err.h"

#define UNPACK_TAG_KEY_BYTES 16
#define UNPACK_TAG_NONCE_BYTES 8
#define UNPACK_TAG_BYTES \
	(UNPACK_TAG_NONCE_BYTES + 16) /* as it is kept: the nonce, then the digest */

struct unpack_tag;

/** Returns: what makes tags with this key; NULL with *e set. Owns: the caller frees. */
struct unpack_tag *unpack_tag_new(const unsigned char key[UNPACK_TAG_KEY_BYTES], struct err *e);

/** Begin a tag, with a nonce of its own. */
void unpack_tag_begin(struct unpack_tag *t);

/** Begin `tag` again, to see whether the same bytes come to it. */
void unpack_tag_again(struct unpack_tag *t, const unsigned char tag[UNPACK_TAG_BYTES]);

/** Add n bytes. A failure is kept, and told by unpack_tag_end(). */
void unpack_tag_add(struct unpack_tag *t, const void *data, size_t n);

/** Add n zeros. */
void unpack_tag_add_zeros(struct unpack_tag *t, size_t n);

/** The tag of all that was added since it was begun, to `tag`. Returns: 0; -1 with *e set. */
int unpack_tag_end(struct unpack_tag *t, unsigned char tag[UNPACK_TAG_BYTES], struct err *e);

/** NULL is fine. */
void unpack_tag_free(struct unpack_tag *t);

#endif
