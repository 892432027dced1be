/*
 * The bytes inside an artifact, its compression undone.
 */
#ifndef PP_UNPACK_STREAM_H
#define PP_UNPACK_STREAM_H

#include <sys/types.h>

#include "lib/artifact/unpack_digest.h"
#include "lib/base/err.h"

struct unpack_stream;

/**
 * Read the regular file `fd` from its start: gzip, zstd, xz or bzip2, told by the first bytes, else
 * plain. Every byte of the file passes through `digest`, unless that is NULL.
 *
 * Returns: the stream; or NULL with *e set.
 * Owns:    the caller frees the stream, and after that `digest` and `fd`.
 */
struct unpack_stream *unpack_stream_open(int fd, struct unpack_digest *digest, struct err *e);

/**
 * The next bytes, as many as there is room for, less at the end only.
 *
 * Returns: how many; 0 at the end, which is said only where checksums matched and nothing but zeros
 *          follows; or -1 with *e set (ERR_DATA if the compressed data is damaged or cut short).
 */
ssize_t unpack_stream_read(struct unpack_stream *s, void *out, size_t room, struct err *e);

/** NULL is fine. */
void unpack_stream_free(struct unpack_stream *s);

#endif
