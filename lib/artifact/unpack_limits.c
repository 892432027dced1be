#include "lib/artifact/unpack_limits.h"

#include <inttypes.h>

/* What file systems give out, at least; an entry takes one for itself. */
#define DISK_BLOCK_BYTES UINT64_C(4096)

/* Sizes are at most INT64_MAX each, and together they are checked each time: no overflow. */
int
unpack_limits_room(const struct unpack_limits *l, struct unpack_usage *u, uint64_t size_bytes,
    struct err *e)
{
	const uint64_t blocks =
	    size_bytes / DISK_BLOCK_BYTES + (size_bytes % DISK_BLOCK_BYTES != 0);

	u->room_bytes += blocks * DISK_BLOCK_BYTES;
	if (u->room_bytes > l->room_bytes)
		return err_set(e, ERR_FAIL,
		    "not enough room: the artifact unpacks to more than the %" PRIu64
		    " bytes that may be used; free some, or prune what is not needed",
		    l->room_bytes);
	return 0;
}

int
unpack_limits_entry(const struct unpack_limits *l, struct unpack_usage *u, struct err *e)
{
	if (u->files >= l->max_files)
		return err_set(e, ERR_DATA, "more than %" PRIu64 " files in the artifact",
		    l->max_files);
	u->files++;
	return unpack_limits_room(l, u, DISK_BLOCK_BYTES, e);
}

int
unpack_limits_content(const struct unpack_limits *l, struct unpack_yield *y, uint64_t size_bytes,
    struct err *e)
{
	if (size_bytes > l->max_size_bytes - y->size_bytes)
		return err_set(e, ERR_DATA, "the artifact unpacks to more than %" PRIu64 " bytes",
		    l->max_size_bytes);
	y->size_bytes += size_bytes;
	return unpack_limits_ratio(l, y, y->size_bytes, e);
}

int
unpack_limits_ratio(const struct unpack_limits *l, const struct unpack_yield *y, uint64_t out_bytes,
    struct err *e)
{
	if (out_bytes <= UNPACK_RATIO_FREE_BYTES || out_bytes / l->max_ratio < y->artifact_bytes)
		return 0;
	return err_set(e, ERR_DATA,
	    "the artifact unpacks to more than %" PRIu64
	    " times its size, as a bomb would; --max-ratio allows more",
	    l->max_ratio);
}
