/*
 * Fetch an artifact from the first repository that has it: <app>/<app>_<version>.tar.gz, or .tar.zst,
 * .tar.xz, .tar.bz2, .tar. pp-repository(7) is what people are told.
 *
 * What comes over the network goes to a file of a given name, so that the next run may go on where
 * this one was interrupted; what is needed for that stands beside it, in <name>.meta.
 */
#ifndef PP_FETCH_H
#define PP_FETCH_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/** From where, and with what. NULL where there is nothing to say. */
struct fetch_options {
	const struct strv *repos; /* in order */
	const char *cacert;       /* certificates to trust for https; NULL: the system's */
	const char *netrc, *headers, *s3_credentials; /* files that only their owner may read */
	const char *s3_endpoint;
	uint64_t max_bytes; /* of an artifact; 0: FETCH_MAX */

	/* How far it is, at most ten times a second, and at the end. total is 0 while not known. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
	/* May so many bytes be written? Asked once the size is known, before the first; -1 and *e: no. */
	int (*room)(void *arg, uint64_t bytes, struct err *e);
	void *room_arg;
};

#define FETCH_MAX (UINT64_C(64) << 30)
#define FETCH_BESIDE_MAX ((size_t)64 * 1024)

struct fetch;

/** An artifact that was found. */
struct fetched {
	int fd;         /* open for reading, at its start */
	char *where;    /* its path or URL, for people */
	char *name;     /* "slug_abc.tar.gz" */
	uint64_t size;  /* bytes */
	int plain_http; /* some of it came over http://, where anybody on the way may change it */
	size_t repo;    /* which of the repositories it was */
};

#define FETCHED_INIT \
	{ \
		.fd = -1 \
	}

/**
 * Check the repositories and the files with credentials, and read these. Nothing is contacted nor
 * loaded yet; a process may fork after this and fetch in each child.
 * Returns: the caller's to fetch_free(); NULL with *e set (ERR_CONFIG).
 */
struct fetch *fetch_new(const struct fetch_options *options, struct err *e);

/** Close connections and forget credentials; NULL is fine. */
void fetch_free(struct fetch *f);

/**
 * Fetch an artifact, from the first repository and by the first ending that there is.
 *
 * Paths:   `part` is one component in the directory `dir`.
 * Effect:  over the network, into the file `part`, which is gone when this returns 0: it lives on as
 *          the descriptor. On failure it stays only where a later run may go on with it.
 * Returns: 0 and *out, to be released; -1 with *e set: ERR_FAIL when there is none, or none can be
 *          had, with all that was tried; ERR_PERM when somebody does not let us; ERR_DATA for one
 *          that is too large; ERR_BUSY where another run is fetching it.
 */
int fetch_artifact(struct fetch *f, const char *app, const char *version, int dir, const char *part,
    struct fetched *out, struct err *e);

/**
 * What lies beside an artifact: <artifact><suffix> of the same repository, FETCH_BESIDE_MAX at most.
 * Returns: 0 and *out added to; 1 if there is none; -1 with *e set.
 */
int fetch_beside(struct fetch *f, const struct fetched *artifact, const char *suffix,
    struct buf *out, struct err *e);

/** Close it and free what it holds. */
void fetched_release(struct fetched *artifact);

#define AUTO_FETCHED __attribute__((cleanup(fetched_release)))

/**
 * May this be a repository: file:///path, http://, https:// or s3://, and no password in it?
 * Returns: 0; -1 with *e set (ERR_CONFIG).
 */
int fetch_check_repo(const char *text, struct err *e);

#endif
