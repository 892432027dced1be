/*
 * HTTP, by libcurl, which is loaded at the first request: a run that needs none does not pay for it.
 * One handle keeps its connections alive from request to request.
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

/** What says who asks. It goes to the origin (scheme, host, port) of the request's URL, nowhere else. */
struct http_auth {
	const char *netrc; /* path of a netrc(5) file, or NULL */
	const char *sigv4; /* "aws:amz:REGION:s3": sign, with user and password; or NULL */
	const char *user, *password; /* for sigv4 */
	const struct strv *headers;  /* "Name: value"; NULL: none */
};

struct http_response;

struct http_request {
	const char *method; /* NULL: GET */
	const char *url;
	const char *body; /* NULL: none */
	size_t body_len;
	const struct strv *headers;   /* "Name: value"; NULL: none */
	const struct http_auth *auth; /* NULL: none */
	int64_t timeout_ms;           /* for the whole of it; 0: a day */
	uint64_t max_body;            /* bytes; more is an error */
	unsigned min_rate;            /* bytes/s; what is slower for 30 s is ended; 0: 1 */

	/*
	 * Where on_body is set, the body of a 2xx answer goes there, piece by piece; on_head is called
	 * before, with status and headers. Either ends the request with -1 and *e set. Of the body of
	 * any other answer no more than HTTP_WORDS_MAX bytes are read, into the response.
	 */
	int (*on_head)(void *arg, const struct http_response *resp, struct err *e);
	int (*on_body)(void *arg, const char *data, size_t n, struct err *e);
	void *arg;
};

#define HTTP_WORDS_MAX 16384

/** Why there is no answer. */
enum http_fault {
	HTTP_FINE,
	HTTP_UNREACHABLE, /* there is no connection to be had: name, port, proxy, TLS handshake */
	HTTP_BROKEN,      /* the connection broke, stalled, or took too long */
	HTTP_REFUSED, /* what came is not to be had by asking again: certificate, redirects, size */
	HTTP_STOPPED, /* on_head or on_body ended it */
	HTTP_HERE,    /* it is this host's fault: no libcurl, a file of certificates */
};

struct http_response {
	long status;
	struct buf body;
	struct strv headers;   /* "Name: value", as they came, of the last response */
	enum http_fault fault; /* where http_do() failed */
	int plain;             /* some of it went over http:// */
	long retry_after_s;    /* the server's Retry-After; 0: it said nothing */
};

/** Make a handle. Nothing is loaded nor contacted yet. Owns: the caller http_free()s it. */
struct http *http_new(const struct http_opts *opts);

/** Close the connections and free the handle; NULL is fine. */
void http_free(struct http *h);

/**
 * Make one request. Any status is a response, not an error.
 *
 * Connecting is bounded by 5 s, headers by 256 KiB; a transfer that stays below min_rate for 30 s is
 * ended.
 * Returns: 0 and *resp; -1 with *e set (ERR_STORE; ERR_CONFIG where libcurl cannot be loaded; what
 *          on_head or on_body set) and resp->fault. *resp is to be released either way.
 */
int http_do(struct http *h, const struct http_request *req, struct http_response *resp,
    struct err *e);

/** Have two URLs the same scheme, host and port, as they are written? */
int http_same_origin(const char *a, const char *b);

/** The value of a response's header, whatever the case of its name; NULL if it has none. Borrowed. */
const char *http_header(const struct http_response *resp, const char *name);

/** Free what a response holds. */
void http_response_release(struct http_response *resp);

#define AUTO_RESPONSE __attribute__((cleanup(http_response_release)))

#endif
