/*
 * A thread that undoes the compression while another one unpacks, with a ring of blocks between them.
 */
#ifndef PP_UNPACK_PIPE_H
#define PP_UNPACK_PIPE_H

#include <sys/types.h>

#include "lib/artifact/unpack_stream.h"

struct unpack_pipe;

/**
 * Start reading the stream ahead, which nobody else may use until the pipe is freed.
 *
 * Returns: the pipe; NULL with *e set.
 * Owns:    the caller frees the pipe, and after that the stream.
 */
struct unpack_pipe *unpack_pipe_new(struct unpack_stream *stream, struct err *e);

/**
 * The next block, as unpack_stream_read() returned it.
 *
 * Returns: its length, with *block valid until the next call; 0 at the end; -1 with *e set.
 */
ssize_t unpack_pipe_next(struct unpack_pipe *p, const void **block, struct err *e);

/** End the thread, wherever it is. NULL is fine. */
void unpack_pipe_free(struct unpack_pipe *p);

#endif
