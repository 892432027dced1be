/*
 * What an artifact may take of this node.
 */
#ifndef PP_UNPACK_LIMITS_H
#define PP_UNPACK_LIMITS_H

#include <stdint.h>

#include "lib/base/err.h"

#define UNPACK_MAX_SIZE (UINT64_C(64) << 30)
#define UNPACK_MAX_FILES UINT64_C(1000000)
#define UNPACK_MAX_RATIO UINT64_C(200)

/** Below this much, no ratio is too high: small archives of zeros are harmless. */
#define UNPACK_RATIO_FREE_BYTES (UINT64_C(64) << 20)

struct unpack_limits {
	uint64_t max_size_bytes; /* sum of the files' sizes, holes counted */
	uint64_t max_files;      /* entries, with the directories made for them */
	uint64_t max_ratio;      /* of the unpacked to the artifact */
	uint64_t room_bytes;     /* on the file system; UINT64_MAX: not looked at */
};

/** What came out of it so far; starts as zeros but for `artifact_bytes`. */
struct unpack_yield {
	uint64_t artifact_bytes; /* what it comes out of */
	uint64_t size_bytes;
};

/** What was made of it so far; starts as zeros. */
struct unpack_usage {
	uint64_t files, room_bytes;
};

/** Count one thing that is about to be made. Returns: 0; -1 with *e set when it is one too many. */
int unpack_limits_entry(const struct unpack_limits *l, struct unpack_usage *u, struct err *e);

/** Count the room of a file's content that is about to be written. Returns: the same. */
int unpack_limits_room(const struct unpack_limits *l, struct unpack_usage *u, uint64_t size_bytes,
    struct err *e);

/**
 * Count the content of a file that is about to be read, holes and all: they are read like the rest, and may
 * be larger than can ever be. Returns: the same.
 */
int unpack_limits_content(const struct unpack_limits *l, struct unpack_yield *y,
    uint64_t size_bytes, struct err *e);

/** May this much come out of the artifact? Returns: 0; -1 with *e set: it looks like a bomb. */
int unpack_limits_ratio(const struct unpack_limits *l, const struct unpack_yield *y,
    uint64_t out_bytes, struct err *e);

#endif
