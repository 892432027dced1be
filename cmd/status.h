/*
 * One look at this node by all agents, and looking until it is as intended.
 */
#ifndef PP_CMD_STATUS_H
#define PP_CMD_STATUS_H

#include <jansson.h>

#include "cmd/cmd.h"
#include "lib/base/mem.h"

#define STATUS_AGENTS_MAX 16

/** What the agents make of one app, put together. */
struct status_row {
	const struct intent_app *app;
	const struct seen *seen;
	enum plan_state state;
	char *reason;
	json_t *agents; /* name -> {state, reason} */
};

struct status_rows {
	struct status_row *v;
	size_t n;
};

/** The node, looked at once. */
struct status_look {
	struct pass p;
	struct settings own[STATUS_AGENTS_MAX];
	struct plan plans[STATUS_AGENTS_MAX];
	struct status_rows rows;
	struct strv news; /* what is said of the node as a whole */
	int left_out;     /* an agent could not look */
	int failed;       /* what an agent says of the node as a whole is that it failed */
};

/**
 * Have every agent observe and plan, in a pass of its own: nothing is kept from one look to the next.
 * Returns: 0; -1 with *e set. Release either way.
 */
int status_look_take(struct status_look *l, const struct settings *given, struct err *e);

/** Print it, as `format` ("table", "json") says. Returns: the exit code, as far as it tells that. */
int status_look_print(const struct status_look *l, const struct strv *names, const char *format);

/** Free what a look holds. */
void status_look_release(struct status_look *l);

/**
 * Is it one of those that were named, "slug" or "slug/production"? None were: all are. What is left of
 * an app that is assigned no more is of whichever cluster.
 */
int status_is_named(const struct intent_app *app, const struct strv *names);

/** Does that name stand for something on this node? */
int status_is_here(const struct status_rows *rows, const char *name);

/** What status_wait() makes of names that are not on this node when it begins. */
enum status_scope {
	STATUS_ALL,  /* they were asked for: the exit code is 1, and nothing is waited for */
	STATUS_HERE, /* they are left out; where none is here, a line on stderr says so */
};

/**
 * Look at this node until each app that is named is converged by every agent, or one is halted, `wait_ms`
 * at most; then print the last look. A store that does not answer is waited for, too.
 * Returns: the exit code; -1 with *e set: ERR_FAIL, the time is over, or one is halted; ERR_STORE, the store does not
 *          answer now that it is.
 */
int status_wait(const struct settings *given, const struct strv *names, const char *format,
    int64_t wait_ms, enum status_scope scope, struct err *e);

#endif
