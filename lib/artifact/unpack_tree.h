/*
 * Reaching things below a directory descriptor, and never out of it.
 *
 * Every path is a clean one (unpack_name.h). No symlink is followed on the way, whatever stands there:
 * openat2(2) sees to that, and a walk from component to component where the kernel has none of it.
 * errno says what went wrong: ELOOP or ENOTDIR where something else than a directory is in the way.
 */
#ifndef PP_UNPACK_TREE_H
#define PP_UNPACK_TREE_H

#include "lib/artifact/unpack_name.h"

struct unpack_tree {
	int root; /* borrowed */

	/* The directory of the last path: most paths have the same one as the path before. */
	int parent;
	char parent_path[UNPACK_PATH_ROOM];
};

/** A tree below the descriptor `root`, which has to outlive it. Nothing is opened yet. */
void unpack_tree_init(struct unpack_tree *t, int root);

/** Close the directory that is kept open. */
void unpack_tree_release(struct unpack_tree *t);

/**
 * Open the directory `path` below `root` ("": root itself) with `flags` (O_RDONLY, O_PATH).
 * Returns: the descriptor, the caller's; -1 with errno set.
 */
int unpack_tree_open_dir(int root, const char *path, int flags);

/**
 * The directory that `path` is in, and the name it has there, "." for the root.
 * Returns: an O_PATH descriptor, borrowed until the next call with this tree; -1 with errno set.
 */
int unpack_tree_parent(struct unpack_tree *t, const char *path, const char **name);

/** Is the directory kept open the one that `path` is in? */
int unpack_tree_is_at(const struct unpack_tree *t, const char *path);

#endif
