/*
 * Get one URL of a repository: asked again where that is worth it, gone on with where it broke.
 */
#ifndef PP_FETCH_URL_H
#define PP_FETCH_URL_H

#include "lib/artifact/fetch.h"
#include "lib/artifact/fetch_part.h"
#include "lib/artifact/repo.h"
#include "lib/net/http.h"

enum fetch_result {
	FETCH_GOT,
	FETCH_NONE,   /* the repository has nothing of that name; *why says what it answered */
	FETCH_DENIED, /* S3: either that, or we may not know */
	FETCH_FAILED, /* the repository fails; another one may not */
	FETCH_DOWN,   /* the same, and it cannot be reached at all */
	FETCH_OVER,   /* it is no repository's fault: no other one can help */
};

struct fetch_url {
	struct http *http;
	const struct fetch_options *options;
	const struct repo *repo;
	const struct http_auth *auth;
	const char *url;
	int64_t end_ms; /* of clock_now_ms(): it takes no longer, with all that is asked again */

	/* Where it goes: to a file, which is open, or to memory, max bytes at most. */
	struct fetch_part *part;
	struct buf *text;
	uint64_t max;

	int plain_http; /* set: some of it went over http:// */
};

/**
 * Get it.
 * Returns: what became of it; *why is set unless it is FETCH_GOT.
 */
enum fetch_result fetch_url_get(struct fetch_url *u, struct err *why);

#endif
