/*
 * A download under way: a file that grows, and beside it, in <name>.meta, what it is a part of.
 *
 * Only what pp itself wrote since this host was started is gone on with. Anything else in the place of
 * the two files is replaced: symlinks, files with other links or owners, files that are larger than
 * their meta says.
 */
#ifndef PP_FETCH_PART_H
#define PP_FETCH_PART_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/** What tells one state of a resource from another. */
enum part_validator { PART_NONE, PART_ETAG, PART_DATE };

struct fetch_part {
	int dir;
	char *name, *meta;
	int fd;         /* -1: not open yet */
	uint64_t size;  /* bytes that are there, the last of them still in `buffer` */
	uint64_t total; /* bytes that there will be; 0: not known */
	char *url;      /* what it is a part of; NULL: it cannot be gone on with */
	enum part_validator kind;
	char *validator; /* as it goes into If-Range */

	char *buffer; /* what has yet to be written, as libcurl gives it in small pieces */
	size_t buffered;
	int64_t written_ms; /* when that was done last */
};

#define FETCH_PART_INIT \
	{ \
		.dir = -1, .fd = -1 \
	}

/**
 * Open the part file `name` in `dir`, make it where there is none, and lock it.
 * Returns: 0; -1 with *e set: ERR_BUSY where another run has it. Release either way.
 */
int fetch_part_open(struct fetch_part *p, int dir, const char *name, struct err *e);

/** May a download of this URL go on behind what is there? */
int fetch_part_fits(const struct fetch_part *p, const char *url);

/**
 * Begin anew: empty, and remember what it will be a part of, where there is a validator.
 * Returns: 0; -1 with *e set.
 */
int fetch_part_begin(struct fetch_part *p, const char *url, enum part_validator kind,
    const char *validator, uint64_t total, struct err *e);

/** Go on at the end of what is there. */
int fetch_part_continue(struct fetch_part *p, struct err *e);

/**
 * Add bytes, which get to the file within about a second. Returns: 0; -1 with *e set, and nothing left of it
 * where the file system is full.
 */
int fetch_part_write(struct fetch_part *p, const char *data, size_t n, struct err *e);

/** It is whole: take its names away. Returns: its descriptor, at its start; -1 with *e set. */
int fetch_part_take(struct fetch_part *p, struct err *e);

/** Remove it. */
void fetch_part_drop(struct fetch_part *p);

/** Close and free; the files go where nobody could go on with them. */
void fetch_part_release(struct fetch_part *p);

/** Remove the files of that name, whoever left them there. */
void fetch_part_remove(int dir, const char *name);

#endif
