/*
 * The CONSUL_* environment, as Consul's own command line reads it, and stricter where that guesses.
 */
#ifndef PP_CONSUL_ENV_H
#define PP_CONSUL_ENV_H

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/net/http.h"

struct consul_env {
	char *base; /* "http://127.0.0.1:8500", without a slash at the end */
	struct http_opts http;
	struct strv headers; /* token and namespace; never to be logged */
};

/**
 * Read CONSUL_HTTP_ADDR, _SSL, _SSL_VERIFY, _TOKEN, _TOKEN_FILE, _AUTH, CONSUL_CACERT, _CAPATH,
 * _CLIENT_CERT, _CLIENT_KEY, CONSUL_TLS_SERVER_NAME and CONSUL_NAMESPACE. An empty variable counts
 * as one that is not set.
 * Returns: 0; -1 with *e set (ERR_CONFIG) that names the variable.
 * Owns:    *env is to be released either way.
 */
int consul_env_read(struct consul_env *env, struct err *e);

/** Free what the environment holds. */
void consul_env_release(struct consul_env *env);

#endif
