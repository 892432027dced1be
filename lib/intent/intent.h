/*
 * Intent: what people want of an app on a node, and how sure that is.
 *
 * Documents are parsed into structs with every field checked; one that does not hold makes its app
 * UNREADABLE and no other. Fields that pp does not know are ignored here and kept by the editor.
 */
#ifndef PP_INTENT_H
#define PP_INTENT_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/store/store.h"
#include "lib/sys/state.h"

enum intent_certainty {
	INTENT_STATED,     /* read and parsed: this is what is wanted */
	INTENT_UNREADABLE, /* assigned to the node, but what is wanted of it cannot be told */
	INTENT_GONE,       /* positively not assigned to the node any more */
	INTENT_DOUBTED,    /* not in the list, and that may be a mistake: hold what is there */
	INTENT_LEAVING, /* gone, but with too much else at once: not believed before it is said twice */
};

enum intent_proto { INTENT_TCP, INTENT_UDP };

/** A port or a range of them, and who may reach it. */
struct intent_port {
	uint16_t first, last;
	enum intent_proto proto;
	struct strv from; /* CIDR networks; none: everybody */
};

struct intent_version {
	char *id;
	int active;
	char *digest; /* "sha256:<hex>", or NULL */
};

/** How deploy_config says that an app's health is to be found out. */
enum intent_check_kind {
	INTENT_CHECK_DEFAULT, /* it does not: bin/check, else a TCP connect, else the supervisor's word */
	INTENT_CHECK_HTTP,
	INTENT_CHECK_TCP,
	INTENT_CHECK_EXEC,
};

/** deploy_config's `check`: {"http": "/health"}, {"tcp": 1212}, {"exec": ["bin/mine", "-q"]}. */
struct intent_check {
	enum intent_check_kind kind;
	char *path;    /* http: of the URL */
	uint16_t port; /* http, tcp; 0: the app's first */
	struct strv
	    argv; /* exec: a path below the install, or an absolute one; and its arguments */
	int64_t interval_ms, timeout_ms;
};

#define INTENT_CHECK_INTERVAL_MS 10000
#define INTENT_CHECK_TIMEOUT_MS 5000

/** deploy_config's `limits`; 0: none. */
struct intent_limits {
	uint64_t nofile;      /* open files of a process */
	uint64_t memory;      /* bytes */
	uint64_t cpu_seconds; /* that a process may use */
	uint64_t tasks;       /* processes and threads */
};

/** Who owns an app: owners/<app>. */
struct intent_owners {
	int stated; /* there is such a document */
	struct strv users, groups;
};

struct intent_app {
	char *name, *cluster;
	enum intent_certainty certainty;
	char *reason; /* why it is not INTENT_STATED; NULL when it is */

	/* clusters/<app>/<cluster>/config */
	struct intent_version *versions; /* sorted by id */
	size_t nversions;
	int min_nodes;
	json_t *user_config; /* an object, or NULL */
	int canary;          /* nodes that may try a version before one is healthy on it; 1 */
	int reverts; /* on_failure: a node where a version fails goes back to the last one */

	/* clusters/<app>/<cluster>/deploy_config */
	char *basedir;
	struct intent_port *ports;
	size_t nports;
	char *runas;        /* NULL: not stated */
	int owned_by_runas; /* installs are of that user, not of root */
	char *supervisor;   /* NULL: not stated */
	int64_t start_timeout_ms, stop_timeout_ms, drain_ms, settle_ms;
	int restart_never; /* only people restart it: what needs that waits for them */
	struct intent_check check;
	struct intent_limits limits;
	struct strv env; /* "NAME=value", sorted */

	/* owners/<app>; only where it was asked for */
	struct intent_owners owners;
	enum intent_certainty owners_certainty;
	char *owners_reason;
};

/** What a node should have. */
struct intent_node {
	char *node;
	struct intent_app *apps; /* sorted by name */
	size_t napps;
	struct strv listed; /* every app of the list, sorted, also those that --app leaves out */
	char store_id[64];  /* empty: the store has none */
	int adopts;         /* the node is to remember that id: state_remember_store() */
	char *doubt;        /* why nothing may be removed for not being in the list; NULL: it may */
	char *unkept;       /* why INTENT_KEEP could not; NULL: it could */
};

#define INTENT_START_TIMEOUT_MS 60000
#define INTENT_STOP_TIMEOUT_MS 60000
#define INTENT_SETTLE_MS 3000

/** Also read owners/<app> of each app. */
#define INTENT_OWNERS 1
/** Believe a store whose id is not the one that this node remembers: somebody said so. */
#define INTENT_ADOPT 2
/** Keep what was read, for passes that find no store: intent_recall(). */
#define INTENT_KEEP 4

/**
 * Read what a node should have, in 1 + ceil(2n/62) requests (3n with INTENT_OWNERS).
 *
 * It is one picture: what was changed between two requests is noticed, and all is read again.
 * Effect:  none but INTENT_KEEP's. `state` tells which store this node knows under that URL.
 * Returns: 0 and *intent, the caller's to release; -1 with *e set when the list itself cannot be
 *          read: then nothing is known, and nothing may be changed.
 */
int intent_read(struct store *s, struct state *state, const char *node, int what,
    struct intent_node *intent, struct err *e);

/**
 * Find out whether an app that has something on the node but is not in its list is really gone:
 * INTENT_GONE only if the store is the one this node knows and says so of this very key.
 * Effect:  adds an entry of that name, INTENT_GONE or INTENT_DOUBTED, to *intent.
 */
void intent_resolve_leftover(struct store *s, struct intent_node *intent, const char *name);

/**
 * What was read and believed last, for what needs no store. Everything in it is INTENT_STATED, and
 * `doubt` is set, so that nothing is removed by it.
 * Returns: 0 and *intent, 1 where nothing is remembered. The caller's to release either way.
 */
int intent_recall(struct store *s, struct state *state, const char *node,
    struct intent_node *intent);

/** The app of that name; NULL if there is none. Borrowed. */
struct intent_app *intent_find(const struct intent_node *intent, const char *name);

/** The active version; NULL if there is none. Borrowed. */
const struct intent_version *intent_active(const struct intent_app *app);

/** The first port that speaks TCP; 0: there is none. */
uint16_t intent_tcp_port(const struct intent_app *app);

/** Free what it holds. */
void intent_release(struct intent_node *intent);

/** Free what one app holds. */
void intent_app_release(struct intent_app *app);

/**
 * Parse a document's bytes: an object, no duplicate keys, nested at most as deep as pp reads.
 * Returns: the document, the caller's to json_decref(); NULL with *e set (ERR_DATA), line and
 *          column named. `key` is for the message.
 */
json_t *intent_parse(const char *key, const char *text, size_t len, struct err *e);

/** intent_parse() of a document from the store. */
json_t *intent_parse_item(const struct store_item *item, struct err *e);

/**
 * Take the fields of a document into *app, checking each.
 * Returns: 0; -1 with *e set (ERR_DATA) naming the field, what is wrong and what to write.
 */
int intent_take_config(const json_t *doc, struct intent_app *app, struct err *e);
int intent_take_deploy_config(const json_t *doc, struct intent_app *app, struct err *e);
int intent_take_owners(const json_t *doc, struct intent_owners *owners, struct err *e);

/**
 * May this stand for a user in a sudoers file and after `chpst -u`? A word in capitals is an alias
 * to sudo, and ALL is everybody: never those.
 */
int intent_is_user_name(const char *s);

/** Free what it holds. */
void intent_owners_release(struct intent_owners *owners);

/**
 * Parse one port as the store has it: 1212, "1212", "8000-8010" or an object.
 * Returns: 0 and *port, the caller's to strv_release(&port->from); -1 with *e set.
 */
int intent_parse_port(const json_t *value, struct intent_port *port, struct err *e);

#endif
