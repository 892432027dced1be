/*
 * The policy on names in an artifact. Pure functions: they look at nothing but their arguments.
 */
#ifndef PP_UNPACK_NAME_H
#define PP_UNPACK_NAME_H

#include "lib/base/err.h"

/** Room for a path with its NUL, as the kernel has it. */
#define UNPACK_PATH_ROOM 4096

/** Room for a name as a message shows it. */
#define UNPACK_SHOW_ROOM 400

/**
 * Is `name` acceptable as the path of an entry (or of a hard link's target), and what is it in plain?
 *
 * Accepted: a relative path of at most 4095 bytes, components of at most 255, one line of printable
 *           UTF-8, no "..". "./" in front, slashes at the end or doubled and "." in between do not
 *           matter.
 * Returns:  0 with the path in `clean` (UNPACK_PATH_ROOM bytes) without any of those, "" for the
 *           install itself; or -1 with *e set (ERR_DATA), the name not in the message.
 */
int unpack_name_clean(char *clean, const char *name, struct err *e);

/**
 * Does the symlink `path` (a clean path) with this target stay inside the install?
 *
 * Accepted: a relative target whose ".." all come first and do not climb above the install from the
 *           link's own directory. As that is a real directory, and all other links of the artifact
 *           obey the same rule, following it can never lead out. A ".." after a name could: the name
 *           may be a link to somewhere less deep.
 * Returns:  0; or -1 with *e set (ERR_DATA).
 */
int unpack_name_check_target(const char *path, const char *target, struct err *e);

/** Write `name` to `out` (UNPACK_SHOW_ROOM bytes) as a message can show it: escaped, and cut if long. */
void unpack_name_show(char *out, const char *name);

/** What *e says is about `what` (such as "entry") of that name. Returns: -1. */
int unpack_name_wrap(struct err *e, const char *what, const char *name);

#endif
