/*
 * HTTP, by libcurl, which is loaded at the first request: a run that needs none does not pay for it.
 * One handle keeps one connection alive from request to request.
 */
#ifndef PP_HTTP_H
#define PP_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct http;

/** How to reach the peer. All strings are copied; NULL where there is nothing to say. */
struct http_opts {
	char *unix_socket; /* path of a socket to use instead of TCP */
	char *userpwd;     /* "user:password" for basic authentication */
	char *cacert, *capath;
	char *client_cert, *client_key;
	char *connect_to; /* "host:port" to connect to, whatever the URL names */
	int skip_verify;  /* do not verify the peer's certificate */
	int follow;       /* follow up to 5 redirects, never from https to http */
};

struct http_request {
	const char *method; /* NULL: GET */
	const char *url;
	const char *body; /* NULL: none */
	size_t body_len;
	const struct strv *headers; /* "Name: value"; NULL: none */
	int64_t timeout_ms;         /* for the whole of it; 0: none but the stall limit */
	uint64_t max_body;          /* bytes; more is an error */
	int out_fd;                 /* where the body goes; 0: into the response */
};

struct http_response {
	long status;
	struct buf body;
	struct strv headers; /* "Name: value", as they came, of the last response */
};

/** Make a handle. Nothing is loaded nor contacted yet. Owns: the caller http_free()s it. */
struct http *http_new(const struct http_opts *opts);

/** Close the connection and free the handle; NULL is fine. */
void http_free(struct http *h);

/**
 * Make one request. Any status is a response, not an error.
 *
 * Connecting is bounded by 5 s, and a transfer that stays below 1 byte/s for 30 s is ended.
 * Returns: 0 and *resp; -1 with *e set (ERR_STORE; ERR_FAIL where it could not write to out_fd;
 *          ERR_CONFIG where libcurl cannot be loaded). *resp is to be released either way.
 */
int http_do(struct http *h, const struct http_request *req, struct http_response *resp,
    struct err *e);

/** The value of a response's header, whatever the case of its name; NULL if it has none. Borrowed. */
const char *http_header(const struct http_response *resp, const char *name);

/** Free what a response holds. */
void http_response_release(struct http_response *resp);

#define AUTO_RESPONSE __attribute__((cleanup(http_response_release)))

#endif
