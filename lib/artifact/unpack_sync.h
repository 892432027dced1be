/*
 * Keeping the disk busy: what was written is given to it by a thread while more is being written. At the
 * end all of it has to be there (install.c sees to that), and until then the disk would have had nothing
 * to do. No promise is made here, so no failure is told.
 *
 * It is not worth it where other artifacts are unpacked at the same time: they keep the disk busy, and
 * the processors have no time left.
 */
#ifndef PP_UNPACK_SYNC_H
#define PP_UNPACK_SYNC_H

#include <stdint.h>

/** So much is written before any of it is given to the disk: what is small is done before that. */
#define UNPACK_SYNC_BYTES (UINT64_C(64) << 20)

struct unpack_sync;

/** For the file system of the directory `root`, which is borrowed. Owns: the caller frees. */
struct unpack_sync *unpack_sync_new(int root);

/** So many bytes more were written that the disk was not told of. */
void unpack_sync_wrote(struct unpack_sync *s, uint64_t bytes);

/** Wait for what is under way. NULL is fine. */
void unpack_sync_free(struct unpack_sync *s);

#endif
