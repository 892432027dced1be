/*
 * Unpacking: an artifact, which nobody vouches for yet, becomes an install in a staging directory.
 *
 * unpack.c reads and verifies: the digest, the tar inside, the policy on names, the limits.
 * unpack_stream.c undoes the compression, unpack_name.c says which names are acceptable, and
 * unpack_write.c writes below one directory descriptor and never out of it.
 */
#ifndef PP_UNPACK_H
#define PP_UNPACK_H

#include <stdint.h>

#include "lib/base/err.h"

#define UNPACK_MAX_SIZE (UINT64_C(64) << 30)
#define UNPACK_MAX_FILES UINT64_C(1000000)

struct unpack_options {
	const char *sha256;      /* 64 hex digits the artifact must have; NULL: not verified */
	int64_t gid;             /* group of all that is unpacked; -1: as it comes */
	uint64_t max_size_bytes; /* sum of the files' sizes, holes counted */
	uint64_t max_files;      /* entries, with the directories made for them */
};

/**
 * Verify `artifact`, an open regular file, and unpack it into the empty directory `root`.
 *
 * Formats: tar (ustar, pax, GNU), plain or compressed with gzip, zstd, xz or bzip2; told by content.
 * Kept:    permission bits but setuid, setgid, sticky and write for group and others; mtimes.
 * Effect:  the digest is verified before anything is written; on failure what was written so far
 *          stays for the caller to sweep. Nothing is synced: the caller does that, once.
 * Needs:   umask 0; LC_CTYPE of a UTF-8 locale, for names that are not ASCII; an artifact that
 *          nobody changes meanwhile.
 * Returns: 0; or -1 with *e set: ERR_DATA if the artifact is bad, naming the entry.
 */
int unpack_run(int artifact, int root, const struct unpack_options *o, struct err *e);

#endif
