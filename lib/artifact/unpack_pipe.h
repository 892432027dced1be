/*
 * The way from the thread that reads an artifact to the one that writes the install: steps, each one
 * thing to make, in batches. A batch is a block of what was read, and the steps that were found in it;
 * what is in it lives until the writer asks for the next one.
 */
#ifndef PP_UNPACK_PIPE_H
#define PP_UNPACK_PIPE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/artifact/unpack_tag.h"
#include "lib/artifact/unpack_trail.h"
#include "lib/base/err.h"

#define UNPACK_PIPE_BLOCK_BYTES ((size_t)256 << 10)

enum unpack_step_kind {
	UNPACK_STEP_DIR,
	UNPACK_STEP_SYMLINK,
	UNPACK_STEP_HARDLINK,
	UNPACK_STEP_OPEN, /* a file, to which steps with data may follow, and then one that closes it */
	UNPACK_STEP_DATA,
	UNPACK_STEP_CLOSE
};

struct unpack_step {
	enum unpack_step_kind kind;
	const struct unpack_step *next;
	const char *entry; /* its name in the archive; NULL: the entry goes on */
	const char *path, *target;
	struct unpack_meta meta;
	uint64_t size;  /* of the entry's content; of the data */
	uint64_t solid; /* OPEN: as unpack_write_open() has it */
	const void *data;
	uint64_t offset;                     /* of the data */
	unsigned char tag[UNPACK_TAG_BYTES]; /* CLOSE: of the file, where there is a list */
};

struct unpack_pipe;

/**
 * Start a thread that calls read(data, pipe, e) once, which is the pipe's reader; the caller is its writer.
 *
 * Returns: the pipe; NULL with *e set. Owns: the caller frees the pipe, and after that what `data` is.
 */
struct unpack_pipe *unpack_pipe_new(int (*read)(void *data, struct unpack_pipe *p, struct err *e),
    void *data, struct err *e);

/**
 * Reader: what was put in is a batch; begin the next one.
 * Returns: its block, of UNPACK_PIPE_BLOCK_BYTES; NULL when nobody wants any more.
 */
void *unpack_pipe_block(struct unpack_pipe *p);

/** Reader: one more step of the batch that has the last block, with nothing but its kind set. */
struct unpack_step *unpack_pipe_step(struct unpack_pipe *p, enum unpack_step_kind kind);

/** Reader: copy n bytes into the batch. */
void *unpack_pipe_keep(struct unpack_pipe *p, const void *data, size_t n);

/**
 * Writer: the next batch, the one before being no longer needed.
 * Returns: 1 with the first of its steps, NULL where it has none; 0 once all were had; -1 with *e set
 *          when the reader has failed, after all that it found before that.
 */
int unpack_pipe_next(struct unpack_pipe *p, const struct unpack_step **first, struct err *e);

/** End the thread, wherever it is. NULL is fine. */
void unpack_pipe_free(struct unpack_pipe *p);

#endif
