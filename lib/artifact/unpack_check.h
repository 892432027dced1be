/*
 * Comparing an install with the list that was written when it was unpacked.
 */
#ifndef PP_UNPACK_CHECK_H
#define PP_UNPACK_CHECK_H

#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

struct unpack_check {
	int64_t uid, gid; /* the owner of everything; -1: not looked at */
	FILE *out; /* for the faults, a line each; those past UNPACK_CHECK_SHOWN are counted */
};

#define UNPACK_CHECK_SHOWN 20

/**
 * Is the install in the directory `root` what the list in `list` says, and nothing else?
 *
 * Compared: that all is there and of its kind; modes; sizes and contents of files; targets of
 *           symlinks; that hard links are ones; owners, where asked for. Not times, nor attributes.
 * Effect:   none. Symlinks are not followed, nothing outside is looked at, devices are not opened.
 *           What cannot be read because of damage on the disk is a fault of that file.
 * Returns:  0; or -1 with *e set: ERR_DATA if there are faults, or if the list itself is bad; another
 *           class if it could not be told.
 */
int unpack_check(int root, int list, const struct unpack_check *o, struct err *e);

#endif
