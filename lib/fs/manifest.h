/*
 * Which files in a directory that others use too were written by pp, and whether the program that
 * reads them has yet to be told.
 *
 * The directory itself remembers, in ".pp-written" (one name a line) and ".pp-pending" (there or
 * not). A name is noted before its file appears and forgotten after it is gone: a crash in between
 * leaves a name too many, never a file that nobody owns.
 */
#ifndef PP_MANIFEST_H
#define PP_MANIFEST_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

/** The names that pp wrote in `dir`, sorted. None are recorded: none. */
int manifest_read(int dir, struct strv *names, struct err *e);

/** Note that pp writes (`ours` 1) or has removed (0) the file `name`. */
int manifest_note(int dir, const char *name, int ours, struct err *e);

/** Is the program that reads the directory still to be told of a change? 1, 0, or -1 with *e. */
int manifest_is_pending(int dir, struct err *e);

/** Note before the first change, and clear after the program was told. */
int manifest_set_pending(int dir, int pending, struct err *e);

#endif
