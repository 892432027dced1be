/*
 * Unpacking: an artifact, which nobody vouches for yet, becomes an install in a staging directory.
 *
 * unpack_verify.c reads all of it first, for digest and signature. Then one thread reads: it undoes the
 * compression (unpack_stream.c, unpack_codec.c, unpack_gzip.c) and reads the tar inside (unpack_tar.c),
 * where unpack_name.c says which names are acceptable. The other one, to which steps and data come
 * through unpack_pipe.c, writes: unpack_limits.c says how much is acceptable, unpack_write.c and
 * unpack_trail.c write below one directory descriptor and never out of it, and unpack_list.c notes what
 * was written. What is unpacked is what was verified: a lease (unpack_lease.h) sees to it where there is
 * one, else a second digest.
 */
#ifndef PP_UNPACK_H
#define PP_UNPACK_H

#include "lib/artifact/unpack_limits.h"
#include "lib/artifact/unpack_list.h"
#include "lib/artifact/unpack_sign.h"
#include "lib/base/err.h"

struct unpack_options {
	const char *sha256;       /* 64 hex digits the artifact must have; NULL: not verified */
	struct unpack_sign *sign; /* what its signature must match; NULL: not verified */
	struct unpack_limits limits;
	struct unpack_list *list; /* of what is unpacked; NULL: none is written */
	int leased;               /* the artifact is under a lease of unpack_lease.h */
	int start_sync;           /* give the disk its work while there is more to write */
};

/**
 * Verify `artifact`, an open regular file, and unpack it into the empty directory `root`, opened
 * O_RDONLY.
 *
 * Formats: tar (ustar, pax, GNU), plain or compressed with gzip, zstd, xz or bzip2; told by content.
 * Kept:    permission bits but setuid, setgid, sticky and write for group and others; mtimes;
 *          symlinks that stay inside; hard links. Not: owners, xattrs, ACLs.
 * Effect:  what is to be verified is before anything is written; an artifact that has changed by the
 *          time it is unpacked is an error. On failure what was written so far stays for the caller
 *          to sweep. What has to be on the disk, and renamed, is for the caller to see to.
 * Needs:   umask 0; LC_CTYPE of a UTF-8 locale, for names that are not ASCII.
 * Returns: 0; or -1 with *e set: ERR_DATA if the artifact is bad, naming the entry.
 */
int unpack_run(int artifact, int root, const struct unpack_options *o, struct err *e);

#endif
