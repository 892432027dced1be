/*
 * HTTP/1.1 to a server on this host, over TCP or a unix socket, without TLS: how a node asks its own
 * Consul agent. It is asked at every pass, and the libraries of libcurl alone take several times as long
 * to load as a pass that finds nothing to do. Everything else is http.h's.
 *
 * What answers is believed no more than a stranger: lengths are bounded, and what is not HTTP as it
 * should be is an error. No redirect is followed, no proxy asked, nothing sent twice.
 */
#ifndef PP_PLAIN_H
#define PP_PLAIN_H

#include "lib/net/http.h"

struct plain;

/** Can plain_do() do what these options and this URL ask for? */
int plain_can(const struct http_opts *opts, const char *url);

/** Make a handle; nothing is contacted yet. Borrows `opts`. Owns: the caller plain_free()s it. */
struct plain *plain_new(const struct http_opts *opts);

/** Close the connection and free the handle; NULL is fine. */
void plain_free(struct plain *p);

/**
 * http_do() for what plain_can(); `out_fd` is not heeded.
 * Returns: 0 and *resp; -1 with *e set (ERR_STORE). *resp is to be released either way.
 */
int plain_do(struct plain *p, const struct http_request *req, struct http_response *resp,
    struct err *e);

/**
 * The two halves of it, for who has more than one request and need not wait in between: answers come
 * in the order of the requests. Only for what may be asked twice, as a server may close the connection
 * after any answer; plain_pending() says how many are on their way, and 0 after that.
 */
int plain_send(struct plain *p, const struct http_request *req, struct err *e);
int plain_receive(struct plain *p, const struct http_request *req, struct http_response *resp,
    struct err *e);
size_t plain_pending(const struct plain *p);

/** Close the connection, and with it forget what is pending. */
void plain_hang_up(struct plain *p);

#endif
