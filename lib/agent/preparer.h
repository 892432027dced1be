/*
 * The preparer's dealings with one version: fetch, verify, unpack, check. preparer.c decides what is
 * to be done.
 */
#ifndef PP_PREPARER_H
#define PP_PREPARER_H

#include "lib/agent/agent.h"

/** Are the settings of repositories, room and trust in order? Credentials are not looked at yet. */
int preparer_check_settings(const struct pass *p, struct err *e);

/** The intended version of that id; NULL if there is none. Borrowed. */
const struct intent_version *preparer_version(const struct intent_app *app, const char *id);

/**
 * Compare an install with its list.
 * Returns: 0 and *rot, what is wrong with it, the caller's to free, NULL where nothing is; -1 with *e
 *          set where that cannot be told.
 */
int preparer_check(const struct pass *p, const struct intent_app *app, const char *path, int dir,
    const struct intent_version *version, char **rot, struct err *e);

/**
 * Fetch, verify and unpack a version into `dir`, which is called `path`; where `mend`, in the place of
 * the install that is there.
 */
int preparer_install(const struct pass *p, const struct intent_app *app, const char *path, int dir,
    const struct intent_version *version, int mend, struct err *e);

#endif
