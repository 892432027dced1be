/*
 * Credentials for repositories: netrc, headers from a file, keys for S3. Nothing of them is ever in
 * an error or a log line.
 */
#ifndef PP_FETCH_AUTH_H
#define PP_FETCH_AUTH_H

#include "lib/artifact/fetch.h"
#include "lib/artifact/repo.h"
#include "lib/net/http.h"

/** Headers for one origin. */
struct fetch_headers {
	char *origin; /* "https://host:port"; NULL: the only one there is */
	struct strv lines;
};

struct fetch_auth {
	char *netrc;
	struct fetch_headers *headers;
	size_t nheaders;
	char *key, *secret; /* NULL: anonymous */
	char *sigv4;        /* what libcurl wants to know */
	struct strv signed_headers;
};

/**
 * Read the files that the options name, and the environment's AWS_* where a repository is S3.
 * Returns: 0; -1 with *e set (ERR_CONFIG). Release either way.
 */
int fetch_auth_load(struct fetch_auth *auth, const struct fetch_options *options,
    const struct repo *repos, size_t n, struct err *e);

/** What a request to this repository carries. Borrows from both. */
void fetch_auth_for(const struct fetch_auth *auth, const struct repo *repo, struct http_auth *out);

/** Wipe and free. */
void fetch_auth_release(struct fetch_auth *auth);

#endif
