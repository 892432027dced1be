/*
 * Installs: <basedir>/installs/<app>_<version>/, complete or not there.
 *
 * One is unpacked in a staging directory beside it, ".<app>_<version>.XXXXXX", which is locked for as
 * long as its run lives, then put on disk and renamed.
 */
#ifndef PP_INSTALL_H
#define PP_INSTALL_H

#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct install {
	const char *path; /* of the directory "installs", for messages */
	int dir;          /* that directory */
	const char *app, *version;
	const char *digest; /* "sha256:<hex>" the artifact must have, or NULL */
	gid_t gid;          /* the group of all files; (gid_t)-1: whoever unpacks */
};

/**
 * Unpack the artifact open at `fd`, which is called `where`, by pp-unpack.
 *
 * Effect:  the install appears whole, or nothing does; an install that is there stays as it is.
 * Returns: 0; -1 with *e set: ERR_DATA for an artifact that is refused.
 */
int install_unpack(const struct install *in, int fd, const char *where, struct err *e);

/**
 * The staging directories of the app whose run is gone, sorted: nobody holds their lock.
 * Effect:  none.
 */
int install_leftovers(int dir, const char *app, struct strv *names, struct err *e);

/** Remove one of them, unless a run has it after all. Not there is fine. */
int install_sweep(int dir, const char *name, struct err *e);

#endif
