/*
 * A check from NAME=VALUE words of a command line:
 *
 *     tcp=PORT | http=PORT/PATH | exec=PROGRAM | supervisor=1    how
 *     arg=TEXT env=NAME=VALUE cwd=DIR user=NAME                  of exec
 *     timeout=MS interval=MS
 */
#ifndef PP_DRIVERS_CHECK_H
#define PP_DRIVERS_CHECK_H

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "lib/service/health.h"

#define CHECK_INIT \
	{ \
		.timeout_ms = 3000, .interval_ms = 10000, .cwd = xstrdup("/"), .user = { \
			.uid = geteuid(), \
			.gid = getegid(), \
			.self = 1 \
		} \
	}

static inline void
take_user(const char *name, struct user *u)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL)
		exit(64);
	(void)snprintf(u->name, sizeof u->name, "%s", name);
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	u->self = pw->pw_uid == geteuid();
}

static inline void
take_check(struct health_check *c, const char *name, const char *value)
{
	if (strcmp(name, "tcp") == 0) {
		c->kind = HEALTH_TCP;
		c->port = (uint16_t)strtol(value, NULL, 10);
	} else if (strcmp(name, "http") == 0) {
		c->kind = HEALTH_HTTP;
		c->port = (uint16_t)strtol(value, NULL, 10);
		c->path = xstrdup(strchr(value, '/'));
	} else if (strcmp(name, "exec") == 0) {
		c->kind = HEALTH_EXEC;
		strv_add(&c->argv, xstrdup(value));
	} else if (strcmp(name, "arg") == 0) {
		strv_add(&c->argv, xstrdup(value));
	} else if (strcmp(name, "env") == 0) {
		strv_add(&c->env, xstrdup(value));
	} else if (strcmp(name, "cwd") == 0) {
		free(c->cwd);
		c->cwd = xstrdup(value);
	} else if (strcmp(name, "user") == 0) {
		take_user(value, &c->user);
	} else if (strcmp(name, "timeout") == 0) {
		c->timeout_ms = strtol(value, NULL, 10);
	} else if (strcmp(name, "interval") == 0) {
		c->interval_ms = strtol(value, NULL, 10);
	}
}

#endif
