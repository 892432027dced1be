/*
 * An install: <basedir>/installs/<app>_<version>/, complete or not there.
 *
 * It is unpacked in a staging directory beside it, ".<app>_<version>.XXXXXX", which is locked for as
 * long as its run lives, then put on disk and renamed. Beside it lies the list of what is in it,
 * ".<app>_<version>.list" (pp-unpack(8) has its format).
 */
#ifndef PP_INSTALL_H
#define PP_INSTALL_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/artifact/room.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/** Which one, and how it is to be. */
struct install {
	const char *path; /* of the directory "installs", for messages */
	int dir;          /* that directory */
	const char *app, *version;
	uid_t uid; /* the owner of all files; (uid_t)-1: whoever unpacks */
	gid_t gid; /* their group; (gid_t)-1: the same */
	int mend;  /* take the place of the one that is there */

	/* What it may take; 0: what pp-unpack allows by itself. */
	uint64_t max_bytes, max_files, max_ratio;
	struct room_reserve reserve;

	const char *keys;   /* the directory of trusted keys */
	int link_unchanged; /* hard-link unchanged files where they cannot be cloned */

	int start_sync;         /* give the disk its work while there is more to write */
	void (*settling)(void); /* called when all is written and has to get to the disk; or NULL */
};

/** What is unpacked. */
struct install_source {
	int fd;                      /* the artifact, a regular file; closed when it is unpacked */
	const char *where;           /* for messages: its path or URL */
	const char *name;            /* its file name, which a signature is for */
	const char *sha256;          /* 64 hex digits it must have; NULL: not verified */
	const struct buf *signature; /* a .minisig that must be right; NULL: not verified */
};

/** The staging directory of an install under way: no other run unpacks the same one. */
struct install_stage {
	char *name; /* NULL: none */
	int dir;
};

/**
 * Claim the install and make its staging directory.
 * Returns: 0 and *stage, which the caller must give to install_end(); -1 with *e set: ERR_BUSY while
 *          another run is at it.
 */
int install_begin(const struct install *in, struct install_stage *stage, struct err *e);

/**
 * Verify the artifact and unpack it, by pp-unpack; once per stage.
 *
 * Effect:  the install appears whole, with its list, or nothing does. One that is there stays as it
 *          is, unless in->mend.
 * Returns: 0; -1 with *e set: ERR_DATA for an artifact that is refused.
 */
int install_unpack(const struct install *in, struct install_stage *stage,
    const struct install_source *source, struct err *e);

/** Remove what is left of the stage, and give up the claim. */
void install_end(const struct install *in, struct install_stage *stage);

/**
 * Compare an install with its list, by pp-unpack --check.
 * Returns: 0 and *fault, what differs in a line, the caller's to free, NULL where nothing does; -1
 *          with *e set where that cannot be told.
 */
int install_check(const struct install *in, char **fault, struct err *e);

#endif
