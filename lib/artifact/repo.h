/*
 * Repositories: where artifacts are, and the URL or path that each has there.
 *
 *     file:///path   http://host/path   https://host/path   s3://bucket/prefix
 */
#ifndef PP_REPO_H
#define PP_REPO_H

#include "lib/base/err.h"

enum repo_kind { REPO_FILE, REPO_HTTP, REPO_S3 };

struct repo {
	enum repo_kind kind;
	char *text; /* as it was given */
	char *base; /* without a slash at its end: a path, or a URL to ask; names are added to it */
};

/**
 * Understand a repository.
 *
 * `s3_endpoint` is a URL that has buckets below it; NULL: Amazon's, of `region`.
 * Returns: 0 and *repo, to be released; -1 with *e set (ERR_CONFIG), nothing of a password in it.
 */
int repo_parse(struct repo *repo, const char *text, const char *s3_endpoint, const char *region,
    struct err *e);

/** The region to sign for: AWS_REGION, AWS_DEFAULT_REGION, us-east-1. NULL with *e set if it is none. */
const char *repo_region(struct err *e);

/** Free what it holds. */
void repo_release(struct repo *repo);

#endif
