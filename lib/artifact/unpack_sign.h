/*
 * Signatures of artifacts: made by minisign, verified by libcrypto against the keys that this node
 * trusts. What the files hold is read by unpack_minisign.c.
 */
#ifndef PP_UNPACK_SIGN_H
#define PP_UNPACK_SIGN_H

#include <stddef.h>

#include "lib/base/err.h"

/** A legacy signature is over the file in one piece, so there is a limit to that; it is minisign's too. */
#define UNPACK_SIGN_LEGACY_MAX (1 << 30)

#define UNPACK_SIGN_SHA256_BYTES 32

struct unpack_sign;

/**
 * Find the key of a signature among the trusted ones, *.pub in the directory `keys_dir`, and verify
 * that its trusted comment is by that key and names the file `name`.
 *
 * Trusted: files of root or of whoever runs this, that only their owner may write, in a directory
 *          of which the same is true. Symlinks are followed. Each is read, and one that is not a key
 *          is an error though another key would do: a slip must not be what turns a key off.
 * Effect:  libcrypto is initialised; no file is opened after this.
 * Returns: what to verify the artifact with; NULL with *e set: ERR_DATA for a signature that does
 *          not do, ERR_CONFIG or ERR_PERM for keys that do not.
 * Owns:    the caller frees it; `sig` is `sig_len` bytes of the caller's.
 */
struct unpack_sign *unpack_sign_load(const char *keys_dir, const char *sig, size_t sig_len,
    const char *name, struct err *e);

/**
 * Does the signature match the regular file `artifact_fd`, from its first byte to its last?
 *
 * Effect:  reads all of it; the offset stays. A file with a legacy signature is mapped, and read from
 *          there twice: when it is cut short meanwhile, or its disk fails, the process says so and ends
 *          with EX_DATAERR; when it is written to meanwhile, that is an error.
 * Returns: 0 and *key_note, which key it was, for people, valid until the free; -1 with *e set.
 */
int unpack_sign_verify(struct unpack_sign *s, int artifact_fd, const char **key_note,
    struct err *e);

/**
 * The SHA-256 of the bytes that were verified. The file may be somebody's who writes to it: what is
 * unpacked from it later has to have this digest too.
 * Returns: UNPACK_SIGN_SHA256_BYTES, borrowed, after unpack_sign_verify() returned 0.
 */
const unsigned char *unpack_sign_sha256(const struct unpack_sign *s);

/** NULL is fine. */
void unpack_sign_free(struct unpack_sign *s);

#endif
