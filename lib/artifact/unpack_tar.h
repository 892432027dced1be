/*
 * Reading the tar archive inside of an artifact: what it says is checked, and becomes steps of what to make.
 */
#ifndef PP_UNPACK_TAR_H
#define PP_UNPACK_TAR_H

#include "lib/artifact/unpack_limits.h"
#include "lib/artifact/unpack_pipe.h"
#include "lib/artifact/unpack_stream.h"
#include "lib/artifact/unpack_tag.h"
#include "lib/base/err.h"

/** What is read, what it may be, and where it goes; all of it borrowed. */
struct unpack_tar {
	struct unpack_stream *stream;
	struct unpack_pipe *pipe; /* as its reader */
	struct unpack_tag *tag;   /* of files; NULL: they get none */
	const struct unpack_limits *limits;
	uint64_t artifact_bytes;
};

/**
 * Put all entries of the archive that comes out of the stream into the pipe as steps, up to the end of
 * the artifact. Paths and targets of steps are good, and the data of a file comes in order.
 *
 * Returns: 0; or -1 with *e set: ERR_DATA if the archive is bad, naming the entry.
 */
int unpack_tar(const struct unpack_tar *from, struct err *e);

#endif
