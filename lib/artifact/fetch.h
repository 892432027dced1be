/*
 * Find an artifact in a repository and open it.
 */
#ifndef PP_FETCH_H
#define PP_FETCH_H

#include "lib/base/err.h"

/**
 * May this be a repository: file:///path, http:// or https://, and no password in it?
 * Returns: 0; -1 with *e set (ERR_CONFIG).
 */
int fetch_check_repo(const char *repo, struct err *e);

/**
 * Open <repo>/<app>/<app>_<version>.tar.gz, or .tar.zst, .tar.xz, .tar.bz2, .tar, the first there is.
 * `cacert` is a file of certificates to trust for https; NULL: the system's.
 *
 * Effect:  what comes over HTTP goes to a file in the directory `scratch` that has no name, and so
 *          is gone with the process.
 * Returns: a descriptor open for reading at its start, and *where, its path or URL, the caller's to
 *          free; -1 with *e set: ERR_FAIL when there is none, with all that was tried.
 */
int fetch_open(const char *repo, const char *cacert, const char *app, const char *version,
    int scratch, char **where, struct err *e);

#endif
