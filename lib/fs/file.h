/*
 * Files that appear whole or not at all, and directories by descriptor.
 *
 * Every `name` is one component inside a directory descriptor; symlinks in its place are never
 * followed. A temporary file is called ".NAME.tmp": the run lock makes it ours, and programs that
 * read such directories (sudo, port_authority, servicebuilder) skip it.
 */
#ifndef PP_FILE_H
#define PP_FILE_H

#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define FILE_KEEP ((uid_t)-1) /* for uid or gid: whoever creates it */

/** The mode and owner a file shall have. */
struct file_attr {
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/**
 * Read a regular file of at most `max` bytes.
 * Returns: 0; 1 if there is none; -1 with *e set (ERR_DATA when it is larger or not a file).
 */
int file_read(int dir, const char *name, size_t max, struct buf *out, struct err *e);

/**
 * Read a file that a person named, by any path, or standard input for "-": at most `max` bytes.
 * Returns: 0; -1 with *e set (ERR_DATA when it is larger).
 */
int file_read_path(const char *path, size_t max, struct buf *out, struct err *e);

/**
 * Write `n` bytes beside `name`, with `attr`, and fsync them.
 * Effect:  `name` itself is as it was; file_publish() moves the new one there.
 * Returns: 0 and *tmp, the temporary's name, the caller's to free; or -1 with *e set, nothing left.
 */
int file_stage(int dir, const char *name, const void *data, size_t n, const struct file_attr *attr,
    char **tmp, struct err *e);

/** Could file_write() do this? Effect: none that lasts. Returns: 0; -1 with *e set. */
int file_rehearse(int dir, const char *name, const void *data, size_t n,
    const struct file_attr *attr, struct err *e);

/** Rename a staged `tmp` to `name` and fsync the directory. */
int file_publish(int dir, const char *tmp, const char *name, struct err *e);

/** file_stage() and file_publish(): readers see the old content or the new. */
int file_write(int dir, const char *name, const void *data, size_t n, const struct file_attr *attr,
    struct err *e);

/**
 * Is `name` a regular file with just these bytes, mode and owner?
 * Returns: 1 or 0; -1 with *e set when that cannot be told.
 */
int file_same(int dir, const char *name, const void *data, size_t n, const struct file_attr *attr,
    struct err *e);

/** Remove `name` and fsync the directory. Not there is fine. */
int file_remove(int dir, const char *name, struct err *e);

/**
 * Open a directory. Symlinks on the way are followed.
 * Returns: the descriptor; -1 with *e set.
 */
int dir_open(const char *path, struct err *e);

/**
 * Open the directory `name` inside `dir`, which must not be a symlink.
 * Returns: the descriptor; -1 with *e set; *missing says whether it was only not there.
 */
int dir_open_at(int dir, const char *name, int *missing, struct err *e);

/**
 * dir_open_at(), but make the directory (mode `mode`) where it is not there.
 * Returns: the descriptor; -1 with *e set, also where a symlink is in its place.
 */
int dir_make_at(int dir, const char *name, mode_t mode, struct err *e);

/** Make a directory and its parents (mode `mode`), and fsync each parent that got one. */
int dir_make(const char *path, mode_t mode, struct err *e);

/** The names in a directory, sorted, without "." and "..". */
int dir_list(int dir, struct strv *names, struct err *e);

/**
 * Remove a tree, or a single file, without following a symlink. Not there is fine.
 * Directories that forbid it to their owner are made writable first.
 */
int tree_remove(int dir, const char *name, struct err *e);

/**
 * Point the symlink `name` at `target`, atomically.
 *
 * Paths:   `target` is stored as given.
 * Effect:  none if already right; readers see the old link or the new one, never neither.
 * Returns: 0; or -1 with *e set, the old link still in place. Anything but a symlink in the
 *          place of `name` is left there and is an error.
 */
int link_flip(int dir, const char *name, const char *target, struct err *e);

/**
 * Read a symlink.
 * Returns: the target, the caller's to free; NULL if there is none, or with e->class set on error.
 */
char *link_read(int dir, const char *name, struct err *e);

#endif
