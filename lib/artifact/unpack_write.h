/*
 * The writer: files, directories and links below one directory descriptor, and never out of it.
 *
 * Every path is a clean one (unpack_name.h). No symlink is ever followed, not even one that was just
 * written. What is in the directory was all put there by this writer, so the directory itself tells
 * whether a name was there before and as what. Errors about the artifact are ERR_DATA and leave out
 * the entry's name; errors of this node name what could not be done.
 */
#ifndef PP_UNPACK_WRITE_H
#define PP_UNPACK_WRITE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/artifact/unpack_limits.h"
#include "lib/artifact/unpack_list.h"
#include "lib/artifact/unpack_sync.h"
#include "lib/artifact/unpack_trail.h"
#include "lib/base/err.h"

struct unpack_writer;

/**
 * A writer into the empty directory `root`, opened O_RDONLY, that counts what it makes in `usage` and
 * enters it into `list`, and tells `sync` about it, unless they are NULL.
 *
 * Returns: the writer; or NULL with *e set (ERR_USAGE if the directory is not empty).
 * Owns:    the caller frees the writer, and after that what it was given.
 */
struct unpack_writer *unpack_write_new(int root, const struct unpack_limits *limits,
    struct unpack_usage *usage, struct unpack_list *list, struct unpack_sync *sync, struct err *e);

/** Make a directory, or note a new mode and time for one that is there. "" is the install itself. */
int unpack_write_dir(struct unpack_writer *w, const char *path, const struct unpack_meta *meta,
    struct err *e);

/** Make a symlink; `target` is stored as given and was checked by the caller. */
int unpack_write_symlink(struct unpack_writer *w, const char *path, const char *target,
    const struct unpack_meta *meta, struct err *e);

/** Make `path` another name of the regular file `target`, a clean path. */
int unpack_write_hardlink(struct unpack_writer *w, const char *path, const char *target,
    struct err *e);

/**
 * Start a regular file, for unpack_write_data() and unpack_write_close(). `solid` is its size where it
 * has no holes, else 0: room for a large one is reserved as it is written.
 */
int unpack_write_open(struct unpack_writer *w, const char *path, const struct unpack_meta *meta,
    uint64_t solid, struct err *e);

/** Write n bytes at this offset of the file just opened; what of it lies before was written, or is a hole. */
int unpack_write_data(struct unpack_writer *w, const void *data, size_t n, uint64_t offset,
    struct err *e);

/** Finish the file: its size (a hole may be at the end), mode and time. `tag` is for the list. */
int unpack_write_close(struct unpack_writer *w, uint64_t size,
    const unsigned char tag[UNPACK_TAG_BYTES], struct err *e);

/** Give the directories that are still open their modes and times, once all is written. */
int unpack_write_finish(struct unpack_writer *w, struct err *e);

/** NULL is fine. */
void unpack_write_free(struct unpack_writer *w);

#endif
