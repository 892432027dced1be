/*
 * Let the disk begin with what is unpacked while the rest still is: pp waits for all of it at the end.
 */
#ifndef PP_UNPACK_FLUSH_H
#define PP_UNPACK_FLUSH_H

#include <stdint.h>

struct unpack_flush;

/** For the file system of `root`, which is borrowed. Owns: the caller frees. */
struct unpack_flush *unpack_flush_new(int root);

/**
 * One more file of so many bytes was written. Each time that enough has come together, a thread calls
 * syncfs(2). No promise is made, so no error is looked for.
 */
void unpack_flush_add(struct unpack_flush *f, uint64_t bytes);

/** Waits for the thread. NULL is fine. */
void unpack_flush_free(struct unpack_flush *f);

#endif
