/*
 * Reading the tar archive inside of an artifact: what it says is checked, and then written.
 */
#ifndef PP_UNPACK_TAR_H
#define PP_UNPACK_TAR_H

#include "lib/artifact/unpack_limits.h"
#include "lib/artifact/unpack_pipe.h"
#include "lib/artifact/unpack_write.h"
#include "lib/base/err.h"

/**
 * Write all entries of the archive that comes out of the pipe, up to the end of the artifact.
 *
 * Returns: 0, with unpack_write_finish() left to the caller; or -1 with *e set: ERR_DATA if the archive
 *          is bad, naming the entry.
 */
int unpack_tar(struct unpack_pipe *pipe, struct unpack_writer *writer,
    const struct unpack_limits *limits, struct unpack_usage *usage, struct err *e);

#endif
