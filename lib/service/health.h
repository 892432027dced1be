/*
 * Health: is an app on this node fit for use, and how is that found out?
 *
 * By deploy_config's `check`; else bin/check of the install; else a TCP connect to its first port; else by
 * the supervisor's word that its services have run for `settle`.
 */
#ifndef PP_HEALTH_H
#define PP_HEALTH_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/intent/intent.h"
#include "lib/sys/user.h"

enum health_kind {
	HEALTH_SUPERVISOR, /* nothing to ask but the supervisor, which is the caller's to do */
	HEALTH_TCP,
	HEALTH_HTTP,
	HEALTH_EXEC,
};

/** As bin/check exits: 0, 1, 2, 3 (what else it exits with is critical). */
enum health_verdict { HEALTH_PASSING, HEALTH_WARNING, HEALTH_CRITICAL, HEALTH_UNKNOWN };

/** How one app is asked. */
struct health_check {
	enum health_kind kind;
	uint16_t port;    /* tcp, http: on 127.0.0.1, else on ::1 */
	char *path;       /* http */
	struct strv argv; /* exec; the first is absolute */
	struct strv env;  /* exec: "NAME=value", the environment of the app's services */
	char *cwd;        /* exec: <basedir>/current */
	struct user user; /* exec: as whom */
	int64_t interval_ms, timeout_ms;
};

struct health_answer {
	enum health_verdict verdict;
	char *text; /* one line, safe to print: "HTTP status 503", "connection refused" */
};

/**
 * How the app is to be asked. `has_check`: the live install has an executable bin/check. `env` is what its services
 * get. Owns: *check is the caller's to release.
 */
void health_choose(const struct intent_app *app, const struct user *user, int has_check,
    const struct strv *env, struct health_check *check);

/**
 * Ask once, in at most check->timeout_ms and what is left of the run's own time. HEALTH_SUPERVISOR passes.
 * What cannot be asked (no such program, no permission) is critical and says why; never an error. Where
 * the run's own time is up, it is unknown.
 * Owns: the caller releases *answer.
 */
void health_ask(const struct health_check *check, struct health_answer *answer);

/** "passing", "warning", "critical", "unknown". */
const char *health_name(enum health_verdict verdict);

/** One line of what it is, for people: "HTTP GET http://localhost:1212/health". Owns: the caller frees. */
char *health_describe(const struct health_check *check);

/** Free what they hold. */
void health_check_release(struct health_check *check);
void health_answer_release(struct health_answer *answer);

#endif
