/*
 * The list of an install: what was unpacked, a line an entry, so that it can be compared with what is
 * there later, and with another install.
 *
 *     pp-list 2 <key in hex>
 *     f <TAB> 0755 <TAB> 1234 <TAB> tag in hex     <TAB> bin/launch       a file
 *     h <TAB> -    <TAB> -    <TAB> bin/launch     <TAB> bin/again        one more name of a file above
 *     l <TAB> -    <TAB> -    <TAB> ../bin/launch  <TAB> share/run        a symlink and its target
 *     d <TAB> 0755 <TAB> -    <TAB> -              <TAB> .                a directory; "." is the install
 *     end 4
 *
 * Directories may come before or after what is in them. The last line has the number of lines between
 * it and the first: without it the list is cut short.
 *
 * The tag is that of unpack_tag.h, under the list's own key: a list is as good as its key is secret.
 */
#ifndef PP_UNPACK_LIST_H
#define PP_UNPACK_LIST_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/artifact/unpack_tag.h"
#include "lib/base/err.h"

struct unpack_list;

/**
 * A list written to `fd`, which stays the caller's, with a key that nobody has seen.
 * Returns: the list; NULL with *e set. Owns: the caller frees it.
 */
struct unpack_list *unpack_list_new(int fd, struct err *e);

/** What makes the tags of its files; borrowed. */
struct unpack_tag *unpack_list_tag(struct unpack_list *l);

/**
 * Add an entry. Paths and targets are those that unpack_name.h accepts, paths clean; "" and "." are the
 * install itself. Returns: 0; -1 with *e set: what was not written cannot be made good.
 */
int unpack_list_file(struct unpack_list *l, const char *path, mode_t mode, uint64_t size,
    const unsigned char tag[UNPACK_TAG_BYTES], struct err *e);
int unpack_list_hardlink(struct unpack_list *l, const char *path, const char *target,
    struct err *e);
int unpack_list_symlink(struct unpack_list *l, const char *path, const char *target, struct err *e);
int unpack_list_dir(struct unpack_list *l, const char *path, mode_t mode, struct err *e);

/** Write the last line, and all that is still in memory. Syncs nothing. */
int unpack_list_finish(struct unpack_list *l, struct err *e);

/** NULL is fine. A list that was not finished is cut short. */
void unpack_list_free(struct unpack_list *l);

enum unpack_list_kind {
	UNPACK_LIST_FILE,
	UNPACK_LIST_HARDLINK,
	UNPACK_LIST_SYMLINK,
	UNPACK_LIST_DIR
};

/** One line. `path` is clean, "" the install itself; `target` is set for links, NULL otherwise. */
struct unpack_list_entry {
	enum unpack_list_kind kind;
	mode_t mode;   /* of files and directories */
	uint64_t size; /* of files, as is tag */
	unsigned char tag[UNPACK_TAG_BYTES];
	const char *path, *target;
};

struct unpack_list_reader;

/**
 * Read the list in the regular file `fd` from its beginning, wherever its offset is.
 *
 * The list is not trusted: whatever is not exactly as the writer writes it is ERR_DATA, naming the
 * line. Memory is the same for any length.
 * Returns: the reader; NULL with *e set.
 * Owns:    the caller frees the reader, and closes `fd` after that.
 */
struct unpack_list_reader *unpack_list_open(int fd, struct err *e);

/**
 * The next entry, which is borrowed until the next call.
 * Returns: 1; 0 at the end, which only a list that is whole has; -1 with *e set.
 */
int unpack_list_next(struct unpack_list_reader *r, struct unpack_list_entry *entry, struct err *e);

/** The key of its tags, which is known when an entry has been asked for; borrowed. */
const unsigned char *unpack_list_key(const struct unpack_list_reader *r);

/** Start again with the first entry. */
void unpack_list_rewind(struct unpack_list_reader *r);

/** NULL is fine. */
void unpack_list_close(struct unpack_list_reader *r);

#endif
