/*
 * health [NAME=VALUE]... : asks once by lib/service/health.h, and prints the verdict and the text.
 *
 *     tcp=PORT | http=PORT/PATH | exec=PROGRAM | supervisor=1    how
 *     arg=TEXT env=NAME=VALUE cwd=DIR user=NAME                  of exec
 *     timeout=MS                                                 at most
 *     deadline=MS                                                of the run
 */
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/service/health.h"

static void
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

static void
take(struct health_check *c, const char *name, const char *value)
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
	} else if (strcmp(name, "deadline") == 0) {
		clock_set_deadline(strtol(value, NULL, 10));
	}
}

int
main(int argc, char **argv)
{
	struct health_check check = { .timeout_ms = 3000,
		.cwd = xstrdup("/"),
		.user = { .uid = geteuid(), .gid = getegid(), .self = 1 } };
	struct health_answer a;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value == NULL)
			return 64;
		*value++ = '\0';
		take(&check, argv[i], value);
	}
	health_ask(&check, &a);
	(void)printf("%s: %s\n", health_name(a.verdict), a.text);
	health_answer_release(&a);
	health_check_release(&check);
	return 0;
}
