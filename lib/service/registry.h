/*
 * The registry: what this node's Consul agent is told of the apps that run here, so that the cluster can count
 * who is up. Where the store is no Consul there is none, and all of this does nothing.
 *
 * A service has the app's name and id, the cluster as its tag, and in its meta pp's schema ("pp": "1"),
 * pp-node, pp-cluster, pp-version, pp-failed ("1": this version did not get healthy here) and pp-check, a digest
 * of how it is checked. One without "pp" is somebody else's and is never touched.
 */
#ifndef PP_REGISTRY_H
#define PP_REGISTRY_H

#include "lib/service/health.h"
#include "lib/store/store.h"

/** What the agent is to know of an app. Strings are borrowed. */
struct registration {
	const char *app, *cluster, *version, *node;
	int port;   /* 0: none */
	int failed; /* the version does not get healthy here */
	const struct health_check *check;
};

/** What the agent knows of an app. */
struct registered {
	char *app, *cluster, *version, *node, *check;
	int failed;
	int foreign;     /* not pp's, or another node's: why says so */
	int maintenance; /* it is in maintenance mode */
	int maintained_by_pp;
	int fed; /* it has a TTL check, which registry_feed() has to feed */
	char *why;
};

struct registry {
	int there; /* the store is a Consul, and its agent answered */
	struct registered *v;
	size_t n;
	int scripts; /* the agent runs script checks: 1, 0; -1: not known before one was tried */
};

/**
 * Read what this node's agent knows, in at most two requests.
 * Returns: 0 and *r, the caller's to release; -1 with *e set (ERR_STORE, ERR_PERM).
 */
int registry_read(struct store *s, const char *node, struct registry *r, struct err *e);

/** What is known of an app; NULL: nothing. Borrowed. */
const struct registered *registry_find(const struct registry *r, const char *app);

/** Is what is known just what is wanted? Pure. */
int registry_same(const struct registered *known, const struct registration *wanted);

/**
 * Register. Its check starts as passing: who registers has just seen that it is healthy, or else says
 * `failed`, which makes it critical. Consul itself does the check where it can (http, tcp; exec where scripts
 * are enabled); else it is a TTL check, with a TTL that outlives a missed pass.
 * Returns: 0; -1 with *e set.
 */
int registry_put(struct store *s, const struct registration *wanted, struct err *e);

/** Take it out. Not there is fine. */
int registry_remove(struct store *s, const char *app, struct err *e);

/** Maintenance mode on, with pp's own reason, or off. Not registered is fine. */
int registry_maintain(struct store *s, const char *app, int on, struct err *e);

/** Feed the TTL check. */
int registry_feed(struct store *s, const char *app, const struct health_answer *answer,
    struct err *e);

/** Free what it holds. */
void registry_release(struct registry *r);

#endif
