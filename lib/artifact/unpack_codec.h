/*
 * The compressions an artifact may have. Each undoes one member (gzip), frame (zstd) or stream (xz,
 * bzip2) at a time, and keeps no more than a window of 16 MiB in memory.
 */
#ifndef PP_UNPACK_CODEC_H
#define PP_UNPACK_CODEC_H

#include <stddef.h>

#include "lib/base/err.h"

/** How far a codec may hand back input that it had taken; it stays readable in front of `in`. */
#define UNPACK_CODEC_BACK 8

/** The most that a codec may need for its window. */
#define UNPACK_CODEC_WINDOW_BYTES (16 << 20)

/** What is there to read, and where to write; run() moves both on. */
struct unpack_feed {
	const unsigned char *in;
	size_t n;
	unsigned char *out;
	size_t room;
};

struct unpack_codec {
	const char *name;
	unsigned char magic[6], mask[6]; /* how a member begins */

	/** Returns: what run() works with; NULL with *e set. */
	void *(*open)(struct err *e);

	/** Get ready for the next member. */
	int (*start)(void *state, struct err *e);

	/**
	 * Go on until the input is used up, the room is, or the member is over.
	 *
	 * Returns: 1 when it is over, its checksums right; 0 to be called again; -1 with *e set.
	 */
	int (*run)(void *state, struct unpack_feed *feed, struct err *e);

	void (*close)(void *state);
};

/** The codec for what begins so (6 bytes, zeros where there are less); NULL: it is not compressed. */
const struct unpack_codec *unpack_codec_find(const unsigned char *start);

/** May another member of this codec begin with this byte? */
int unpack_codec_again(const struct unpack_codec *codec, unsigned char first);

/** "the compressed data cannot be read: NAME: why", ERR_DATA. Returns: -1. */
int unpack_codec_damaged(const char *name, const char *why, struct err *e);

extern const struct unpack_codec unpack_codec_gzip;

#endif
