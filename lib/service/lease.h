/*
 * The lease: at least min_nodes of a cluster stay healthy while its nodes change.
 *
 * locks/<app>/<cluster> is one document, {"<node>": "<nonce> <version>"}: the nodes that are down on
 * purpose, and for which version. A node marks itself by compare-and-set before it goes down, and only while
 * enough others pass that are not marked; it takes its mark back when it is healthy again. There is no
 * clock and no session in it: a holder that died is not passing either, and its own next pass cleans up.
 * tests/model has it in Promela, pp-lease(7) tells why it holds.
 *
 * Where the store is no Consul there is nobody to count: min_nodes counts as 0, and nothing is marked.
 */
#ifndef PP_LEASE_H
#define PP_LEASE_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/store/store.h"

/** An instance of the app in the cluster, as the catalogue knows it. */
struct lease_instance {
	char *node, *version; /* "" where its registration does not say */
	int passing;          /* every check of it and of its node does */
	int failed;           /* it says that its version did not get healthy */
	int by_hand; /* it is not registered by pp; `node` is Consul's own name of the machine then */
};

/** A node that is down on purpose. */
struct lease_mark {
	char *node, *version;
};

/** What a node has to know before it may go down. */
struct lease_view {
	int there; /* the store is a Consul */
	int min_nodes;
	uint64_t config_version, lock_version;
	struct lease_mark *marks;
	size_t nmarks;
	struct lease_instance *instances;
	size_t ninstances;
};

struct lease_request {
	const char *app, *cluster, *node;
	const char *version; /* the release that it is to go to; "" or NULL: it leaves */
	int healthy;         /* it passes, so somebody may count on it: the guard holds */
	int canary;          /* nodes that may try a version before one is healthy on it */
	int force;           /* --continue-on-failure: failures elsewhere are no reason to stay */
};

enum lease_verdict {
	LEASE_GRANTED,
	LEASE_WAITING, /* min_nodes, or a canary is trying */
	LEASE_HALTED,  /* the version failed elsewhere */
};

/**
 * Look at the cluster, consistently: config's min_nodes, the lock document, the catalogue.
 * Returns: 0 and *view, the caller's to release; -1 with *e set.
 */
int lease_look(struct store *s, const char *app, const char *cluster, struct lease_view *view,
    struct err *e);

/**
 * May this node go down? Pure. U is who passes, is not marked and is not this node:
 * - not healthy: granted, for nobody counts on it;
 * - as many others as `canary` have failed on the version, and not force: halted, naming them; only who is
 *   healthy on another version is halted;
 * - |U| < min_nodes: waiting, naming who is marked and who does not pass;
 * - nobody passes on the version, and as many others as `canary` are marked for it or on it: waiting (with
 *   force, those that failed do not count).
 * Returns: the verdict, and *why: one line for people, the caller's to free; NULL when granted.
 */
enum lease_verdict lease_judge(const struct lease_view *view, const struct lease_request *req,
    char **why);

/**
 * Look, judge and mark, until one of them is certain: always with a fresh nonce, also where this node is marked
 * already. Who is not healthy is marked without the guard. Who may not go down, but is marked, as after a
 * crash, has its mark taken out again: it is up, and others may count on it.
 * Returns: 0 and *verdict (and *why); -1 with *e set.
 */
int lease_take(struct store *s, const struct lease_request *req, enum lease_verdict *verdict,
    char **why, struct err *e);

/** Take this node's mark out, until it is seen to be out. For who is healthy, or gone and seen not passing. */
int lease_return(struct store *s, const char *app, const char *cluster, const char *node,
    struct err *e);

/** Wait until the catalogue does not have this node's instance as passing. */
int lease_await_gone(struct store *s, const char *app, const char *cluster, const char *node,
    int64_t timeout_ms, struct err *e);

/** A cluster of an app. */
struct lease_place {
	const char *app, *cluster;
};

/**
 * In which clusters is this node marked? One request for up to 62.
 * Returns: 0 and marked[i] of each; -1 with *e set.
 */
int lease_marked(struct store *s, const char *node, const struct lease_place *places, size_t n,
    int *marked, struct err *e);

/** May this stand for a release: a version, and "+" and a digest of what else its process sees? */
int lease_is_release(const char *s);

/** Free what it holds. */
void lease_view_release(struct lease_view *view);

#endif
