#include "lib/service/registry.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/fs/path.h"
#include "lib/service/registry_doc.h"
#include "lib/service/registry_script.h"

/* --- asking */

struct question {
	struct store *s;
	const char *app, *what; /* for the error; app NULL: of no app */
};

static void
first_line(const struct buf *answer, char *line, size_t room)
{
	AUTO_FREE char *text = xmemdup(answer->data ? answer->data : "", answer->n);

	text[strcspn(text, "\r\n")] = '\0';
	log_escape(line, room, text);
}

static int
refuse(const struct question *q, long status, const struct buf *answer, struct err *e)
{
	char text[300];

	first_line(answer, text, sizeof text);
	/* An unknown token is refused, too, and no policy helps that. */
	if (status == 403 && q->app != NULL && strstr(text, "Permission denied") != NULL)
		return err_set(e, ERR_PERM,
		    "%s: the agent may not %s %s: %s; the token's policy lacks service \"%s\" "
		    "{ policy = \"write\" }",
		    q->s->url, q->what, q->app, text, q->app);
	if (status == 403)
		return err_set(e, ERR_PERM,
		    "%s: %s: %s; the token of CONSUL_HTTP_TOKEN may not do that", q->s->url,
		    q->what, text[0] ? text : "Permission denied");
	return err_set(e, ERR_STORE, "%s: %s%s%s: HTTP status %ld%s%s", q->s->url, q->what,
	    q->app ? " " : "", q->app ? q->app : "", status, text[0] ? ": " : "", text);
}

/* Returns: 1 and *status, *answer; 0: no Consul; -1 with *e set. */
static int
tell(const struct question *q, const char *method, const char *path, const char *body, long *status,
    struct buf *answer, struct err *e)
{
	struct store_question question = { method, path, body };
	int r = store_ask(q->s, &question, status, answer, e);

	if (r < 0)
		return q->app ? err_wrap(e, "%s %s", q->what, q->app) : err_wrap(e, "%s", q->what);
	return r;
}

/* The same where only 200 will do. */
static int
ask(const struct question *q, const char *method, const char *path, const char *body,
    struct buf *answer, struct err *e)
{
	long status = 0;
	int r = tell(q, method, path, body, &status, answer, e);

	return r == 1 && status != 200 ? refuse(q, status, answer, e) : r;
}

/* Names come from documents that were checked; any other would be a mistake of the caller's. */
static int
check_name(const char *app, struct err *e)
{
	return path_is_name(app) ? 0 : err_set(e, ERR_DATA, "register: not the name of an app");
}

/* --- reading */

int
registry_read(struct store *s, const char *node, struct registry *r, struct err *e)
{
	struct question q = { s, NULL, "read the agent's services" };
	AUTO_BUF struct buf services = { 0 }, checks = { 0 };
	size_t own = 0;
	int there;

	*r = (struct registry){ .scripts = -1 };
	there = ask(&q, "GET", "/v1/agent/services", NULL, &services, e);
	if (there <= 0)
		return there;
	if (registry_doc_take_services(&services, node, r, e) < 0)
		goto failed;
	for (size_t i = 0; i < r->n; i++)
		own += !r->v[i].foreign;
	q.what = "read the agent's checks";
	if (own > 0 &&
	    (ask(&q, "GET", "/v1/agent/checks", NULL, &checks, e) < 0 ||
		registry_doc_take_checks(&checks, r, e) < 0))
		goto failed;
	r->there = 1;
	return 0;
failed:
	registry_release(r);
	return -1;
}

const struct registered *
registry_find(const struct registry *r, const char *app)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->v[i].app, app) == 0)
			return &r->v[i];
	return NULL;
}

int
registry_same(const struct registered *known, const struct registration *wanted)
{
	AUTO_FREE char *digest = NULL;

	if (known == NULL || known->foreign || strcmp(known->app, wanted->app) != 0 ||
	    strcmp(known->cluster, wanted->cluster) != 0 ||
	    strcmp(known->version, wanted->version) != 0 ||
	    strcmp(known->node, wanted->node) != 0 || known->failed != (wanted->failed != 0))
		return 0;
	digest = registry_doc_digest(wanted);
	return strcmp(known->check, digest) == 0;
}

void
registry_release(struct registry *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct registered *k = &r->v[i];

		free(k->app);
		free(k->cluster);
		free(k->version);
		free(k->node);
		free(k->check);
		free(k->why);
	}
	free(r->v);
	*r = (struct registry){ 0 };
}

/* --- writing */

static int
feed(const struct question *q, enum health_verdict verdict, const char *text, struct err *e)
{
	AUTO_FREE char *id = registry_doc_ttl_id(q->app);
	AUTO_FREE char *path = xasprintf("/v1/agent/check/update/%s", id);
	AUTO_FREE char *body = registry_doc_feed(verdict, text);
	AUTO_BUF struct buf answer = { 0 };

	return ask(q, "PUT", path, body, &answer, e) < 0 ? -1 : 0;
}

int
registry_feed(struct store *s, const char *app, const struct health_answer *answer, struct err *e)
{
	struct question q = { s, app, "feed the TTL check of" };

	return check_name(app, e) < 0 ? -1 : feed(&q, answer->verdict, answer->text, e);
}

/*
 * With a script check, where it is the same check as pp's own.
 * Returns: 1 and *id, its name; 0: it has to be another kind of check; -1 with *e set.
 */
static int
put_script(const struct question *q, const struct registration *wanted, char **id, struct err *e)
{
	AUTO_STRV struct strv script = { 0 };
	AUTO_BUF struct buf answer = { 0 };
	AUTO_FREE char *body = NULL, *new_id = registry_doc_new_id(wanted->app);
	long status = 0;
	uid_t agent;
	int r;

	if (wanted->check->kind != HEALTH_EXEC || !registry_script_agent(q->s->url, &agent) ||
	    !registry_script_command(wanted->check, agent, &script))
		return 0;
	body = registry_doc_render(wanted, &script, new_id);
	r = tell(q, "PUT", "/v1/agent/service/register", body, &status, &answer, e);
	if (r <= 0)
		return r;
	if (status == 500 && answer.data != NULL &&
	    strstr(answer.data, "Scripts are disabled") != NULL) {
		log_note("%s: the Consul agent runs no script checks: pp's passes tell it",
		    wanted->app);
		return 0;
	}
	if (status != 200)
		return refuse(q, status, &answer, e);
	*id = mem_take(&new_id);
	return 1;
}

/* With a check that needs no script. Returns: 0 and *id, the check's name; -1 with *e set. */
static int
put_plain(const struct question *q, const struct registration *wanted, char **id, struct err *e)
{
	int by_consul = wanted->check->kind == HEALTH_TCP || wanted->check->kind == HEALTH_HTTP;
	AUTO_BUF struct buf answer = { 0 };
	AUTO_FREE char *body = NULL;

	*id = by_consul ? registry_doc_new_id(wanted->app) : registry_doc_ttl_id(wanted->app);
	body = registry_doc_render(wanted, NULL, *id);
	if (ask(q, "PUT", "/v1/agent/service/register", body, &answer, e) < 0)
		return -1;
	if (by_consul)
		return 0;
	/* A TTL check of that name that was there before has kept its status. */
	return feed(q, wanted->failed ? HEALTH_CRITICAL : HEALTH_PASSING,
	    wanted->failed ? "it did not get healthy" : "registered as healthy", e);
}

/* Checks of pp's that were there before. */
static int
drop_checks(const struct question *q, const struct strv *ids, const char *except, struct err *e)
{
	for (size_t i = 0; i < ids->n; i++) {
		AUTO_FREE char *path = xasprintf("/v1/agent/check/deregister/%s", ids->items[i]);
		AUTO_BUF struct buf answer = { 0 };
		long status = 0;

		if (strcmp(ids->items[i], except) == 0)
			continue;
		if (tell(q, "PUT", path, NULL, &status, &answer, e) < 0)
			return -1;
		if (status != 200 && status != 404)
			return refuse(q, status, &answer, e);
	}
	return 0;
}

/*
 * Not by ?replace-existing-checks: that ends maintenance mode, which is somebody's decision, and takes
 * away checks that others have added. What pp made before goes by name.
 */
int
registry_put(struct store *s, const struct registration *wanted, struct err *e)
{
	struct question q = { s, wanted->app, "register" };
	AUTO_FREE char *path = NULL, *id = NULL;
	AUTO_STRV struct strv before = { 0 };
	AUTO_BUF struct buf answer = { 0 };
	int r;

	if (check_name(wanted->app, e) < 0)
		return -1;
	path = xasprintf("/v1/agent/checks?filter=ServiceID%%3D%%3D%%22%s%%22", wanted->app);
	r = ask(&q, "GET", path, NULL, &answer, e);
	if (r <= 0)
		return r;
	if (registry_doc_own_checks(&answer, wanted->app, &before, e) < 0)
		return -1;
	r = put_script(&q, wanted, &id, e);
	if (r < 0 || (r == 0 && put_plain(&q, wanted, &id, e) < 0))
		return -1;
	return drop_checks(&q, &before, id, e);
}

static int
put_unless_absent(const struct question *q, const char *path, struct err *e)
{
	AUTO_BUF struct buf answer = { 0 };
	long status = 0;
	int r;

	if (check_name(q->app, e) < 0)
		return -1;
	r = tell(q, "PUT", path, NULL, &status, &answer, e);
	if (r <= 0)
		return r;
	/* 1.8 says 200 of what it does not know, later ones 404. */
	return status == 200 || status == 404 ? 0 : refuse(q, status, &answer, e);
}

int
registry_remove(struct store *s, const char *app, struct err *e)
{
	struct question q = { s, app, "deregister" };
	AUTO_FREE char *path = xasprintf("/v1/agent/service/deregister/%s", app);

	return put_unless_absent(&q, path, e);
}

int
registry_maintain(struct store *s, const char *app, int on, struct err *e)
{
	struct question q = { s, app, "set the maintenance mode of" };
	AUTO_BUF struct buf path = { 0 };

	buf_printf(&path, "/v1/agent/service/maintenance/%s?enable=%s", app,
	    on ? "true&reason=" : "false");
	for (const char *c = REGISTRY_DOC_REASON; on && *c != '\0'; c++)
		buf_printf(&path, strchr(" :", *c) ? "%%%02X" : "%c", (unsigned char)*c);
	return put_unless_absent(&q, path.data, e);
}
