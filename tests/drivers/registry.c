/*
 * What this node's Consul agent is told and knows, by lib/service/registry.h.
 *
 *     registry read NODE            "there", and a line a service
 *     registry put WORD...          app= cluster= version= node= port= failed=, and a check's (check.h)
 *     registry same WORD...         is that what is known? exit code 0 or 1
 *     registry remove APP
 *     registry maintain APP on|off
 *     registry feed APP VERDICT TEXT
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/service/registry.h"
#include "lib/store/store.h"
#include "tests/drivers/check.h"

static void
take_word(struct registration *w, struct health_check *c, const char *name, const char *value)
{
	if (strcmp(name, "app") == 0)
		w->app = value;
	else if (strcmp(name, "cluster") == 0)
		w->cluster = value;
	else if (strcmp(name, "version") == 0)
		w->version = value;
	else if (strcmp(name, "node") == 0)
		w->node = value;
	else if (strcmp(name, "port") == 0)
		w->port = (int)strtol(value, NULL, 10);
	else if (strcmp(name, "failed") == 0)
		w->failed = (int)strtol(value, NULL, 10);
	else
		take_check(c, name, value);
}

static int
show(struct store *s, const char *node, struct err *e)
{
	struct registry r;

	if (registry_read(s, node, &r, e) < 0)
		return -1;
	(void)printf("%s\n", r.there ? "there" : "not there");
	for (size_t i = 0; i < r.n; i++) {
		const struct registered *k = &r.v[i];

		(void)printf("%s cluster=%s version=%s node=%s%s%s%s%s%s%s%s\n", k->app, k->cluster,
		    k->version, k->node, k->check[0] ? "" : " check-unknown",
		    k->failed ? " failed" : "", k->maintenance ? " maintenance" : "",
		    k->maintained_by_pp ? " by-pp" : "", k->fed ? " fed" : "",
		    k->foreign ? " foreign: " : "", k->foreign ? k->why : "");
	}
	registry_release(&r);
	return 0;
}

static int
is_same(struct store *s, const struct registration *w, struct err *e)
{
	struct registry r;
	int same;

	if (registry_read(s, w->node, &r, e) < 0)
		return -1;
	same = registry_same(registry_find(&r, w->app), w);
	registry_release(&r);
	return !same;
}

static int
with_words(struct store *s, int argc, char **argv, struct err *e)
{
	struct health_check check = CHECK_INIT;
	struct registration w = { "slug", "demo", "v1", "node1", 0, 0, &check };
	int r;

	for (int i = 2; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value == NULL)
			exit(64);
		*value++ = '\0';
		take_word(&w, &check, argv[i], value);
	}
	r = strcmp(argv[1], "put") == 0 ? registry_put(s, &w, e) : is_same(s, &w, e);
	health_check_release(&check);
	return r;
}

static int
carry_out(struct store *s, int argc, char **argv, struct err *e)
{
	const char *verb = argc > 2 ? argv[1] : "";
	struct health_answer a = { HEALTH_PASSING, argc > 4 ? argv[4] : NULL };

	if (strcmp(verb, "read") == 0)
		return show(s, argv[2], e);
	if (strcmp(verb, "put") == 0 || strcmp(verb, "same") == 0)
		return with_words(s, argc, argv, e);
	if (strcmp(verb, "remove") == 0)
		return registry_remove(s, argv[2], e);
	if (strcmp(verb, "maintain") == 0 && argc > 3)
		return registry_maintain(s, argv[2], strcmp(argv[3], "on") == 0, e);
	if (strcmp(verb, "feed") != 0 || argc < 5)
		exit(64);
	while (strcmp(health_name(a.verdict), argv[3]) != 0 && a.verdict < HEALTH_UNKNOWN)
		a.verdict++;
	return registry_feed(s, argv[2], &a, e);
}

int
main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct store *s = store_open(getenv("PP_STORE"), STORE_THERE, &e);
	int r = s == NULL ? -1 : 0;

	log_set_verbose(1);
	if (r == 0)
		r = carry_out(s, argc, argv, &e);
	store_free(s);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", e.msg);
	return r < 0 ? err_exit_code(&e) : r;
}
