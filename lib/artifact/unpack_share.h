/*
 * Not storing twice what another install of the same app has already: clones where the file system
 * can make them (btrfs, xfs), else, if asked for, hard links.
 */
#ifndef PP_UNPACK_SHARE_H
#define PP_UNPACK_SHARE_H

#include <stdint.h>

#include "lib/base/err.h"

struct unpack_share {
	int root, list;         /* what was just unpacked: its directory and its list */
	int old_root, old_list; /* the other install */
	int link;               /* hard links where clones cannot be made */
};

struct unpack_shared {
	uint64_t files, bytes;
	struct err
	    old_list; /* why the other install's list could not be read: nothing is shared then */
};

/**
 * Let files that both lists have under the same path, with the same size and SHA-256, share their
 * data, once they were compared byte by byte.
 *
 * Needs:    nobody else changes what was just unpacked. The other install may be in use, and is not
 *           trusted: what is compared is what is shared.
 * Effect:   contents, modes, owners and times in `root` stay what they are. A clone shares blocks
 *           until one of the two is written to. A hard link shares the file itself: made only of
 *           files that are root's (or the caller's, who is not root), that group and others cannot
 *           write, and whose mode, owner and time are just those of the new one. Files with several
 *           names in `root` are left alone, and small ones. If it is killed or fails, a temporary
 *           file may be in `root`: such a directory must not become an install.
 * Returns:  0, a file that cannot be shared being no error, nor a list of the other install that is
 *           bad; or -1 with *e set.
 */
int unpack_share(const struct unpack_share *o, struct unpack_shared *done, struct err *e);

#endif
