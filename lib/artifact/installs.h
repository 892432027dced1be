/*
 * The directory <basedir>/installs: what is in it, and what of that may go.
 */
#ifndef PP_INSTALLS_H
#define PP_INSTALLS_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum installs_kind {
	INSTALLS_INSTALL, /* <app>_<version>/ */
	INSTALLS_STAGING, /* .<app>_<version>.XXXXXX/ */
	INSTALLS_LIST,    /* .<app>_<version>.list, and .list.tmp while it is written */
	INSTALLS_PART, /* .<app>_<version>.part and .part.meta: an artifact that is being fetched */
};

struct installs_entry {
	enum installs_kind kind;
	char *name, *version;
	int held;       /* a staging directory that a run has locked */
	int unfinished; /* a list that is being written */
	int64_t time;   /* of an install, installs_date(): when it was made, in ns since 1970 */
};

/** What is there of one app. */
struct installs {
	struct installs_entry *entries;
	size_t n;
};

/** Look at all that is in `dir` of the app. Effect: none. */
int installs_scan(int dir, const char *app, struct installs *found, struct err *e);

/** Is there such an entry for the version? */
int installs_has(const struct installs *found, enum installs_kind kind, const char *version);

/** Is a run at work on the version? */
int installs_held(const struct installs *found, const char *version);

/** Find out when each install was made, and put the newest first. */
int installs_date(int dir, const char *app, struct installs *found, struct err *e);

/** Free what it holds. */
void installs_release(struct installs *found);

#define AUTO_INSTALLS __attribute__((cleanup(installs_release)))

/** The name of a hidden thing of a version: ".<app>_<version>.<ending>". Owns: the caller frees. */
char *installs_name(const char *app, const char *version, const char *ending);

/** A new name for a staging directory. Owns: the caller frees. */
char *installs_staging_name(const char *app, const char *version);

/**
 * Open the staging directory `name` and lock it, for as long as the descriptor is open.
 * Returns: the descriptor; -1 with *e set; -2 where it is not there, or another run holds it.
 */
int installs_hold(int dir, const char *name, struct err *e);

/** Remove a hidden thing that no run needs. One that a run has after all stays. */
int installs_sweep(int dir, const char *name, struct err *e);

/**
 * Is `target` of a link the install `name`? By its last component: links that the prototype made are
 * absolute, and in doubt one is in use.
 */
int installs_points_at(const char *target, const char *name);

/**
 * Do `current` or `last`, which are beside the directory `dir`, point at the install?
 * Returns: 1 or 0; -1 with *e set.
 */
int installs_linked(int dir, const char *app, const char *version, struct err *e);

/**
 * Remove an install, unless `current` or `last` points at it, even if only just now.
 * Effect:  it is gone under its name at once, then from the disk.
 */
int installs_prune(int dir, const char *app, const char *version, struct err *e);

#endif
