/*
 * The trail: from the root of the install to the directory being written to, each directory on the
 * way open. What it keeps in memory is that way, not the tree.
 *
 * A directory gets its mode and time when the trail leaves it, for its owner has to be able to write
 * into it until then, and writing changes its time. When an archive comes back to one, it is given
 * back what it had when the trail leaves it again. Each step opens one component below an open
 * directory and follows no symlink, so no path leads out.
 *
 * Paths are clean ones (unpack_name.h). Errors about the artifact are ERR_DATA.
 */
#ifndef PP_UNPACK_TRAIL_H
#define PP_UNPACK_TRAIL_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "lib/artifact/unpack_limits.h"
#include "lib/artifact/unpack_list.h"
#include "lib/base/err.h"

/** No setuid, setgid or sticky bit; write for the owner only. */
#define UNPACK_WRITE_MODES 0755

/** What an entry says of itself; tv_nsec UTIME_OMIT: no time. */
struct unpack_meta {
	mode_t mode;
	struct timespec mtime;
};

/** What a trail is laid with. */
struct unpack_place {
	int root;      /* an empty directory, O_RDONLY; borrowed */
	int set_modes; /* what is made does not get the mode it is made with: set it again */
	const struct unpack_limits *limits;
	struct unpack_usage *usage;
	struct unpack_list *list; /* gets the directories; NULL: there is none */
};

struct unpack_trail;

/** A trail that is at the root. Owns: the caller frees it, and keeps `place` until then. */
struct unpack_trail *unpack_trail_new(const struct unpack_place *place);

/**
 * Go to the directory `path` to make something in it; directories that are missing on the way are made.
 * Returns: a descriptor of it, borrowed until the next call; -1 with *e set.
 */
int unpack_trail_enter(struct unpack_trail *t, const char *path, struct err *e);

/** Make the directory `path` and go there; or, where it is there already, give it this mode and time. */
int unpack_trail_dir(struct unpack_trail *t, const char *path, const struct unpack_meta *meta,
    struct err *e);

/**
 * Open the directory `path` to look at what is in it, the trail staying where it is.
 * Returns: a descriptor, borrowed until the next call; -1 with *e set.
 */
int unpack_trail_look(struct unpack_trail *t, const char *path, struct err *e);

/** Leave all directories, the root too. */
int unpack_trail_finish(struct unpack_trail *t, struct err *e);

/** NULL is fine. */
void unpack_trail_free(struct unpack_trail *t);

/** "doing PATH: reason" from errno. Returns: -1. */
int unpack_trail_failed(struct err *e, const char *doing, const char *path);

/** `path`, which is `name` in `dir`, was not made as a `what`: because there is something, or so errno says. */
int unpack_trail_not_made(int dir, const char *name, const char *what, const char *path,
    struct err *e);

/** "file", "directory", ... */
const char *unpack_trail_kind(mode_t mode);

#endif
