#include "lib/service/registry_doc.h"

#include <bsd/stdlib.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/service/registry_script.h"

#define SCHEMA "1"
#define ID_PREFIX "pp:"
#define MAINTENANCE "_service_maintenance:"

/* --- names */

char *
registry_doc_ttl_id(const char *app)
{
	return xasprintf(ID_PREFIX "%s:ttl", app);
}

char *
registry_doc_new_id(const char *app)
{
	return xasprintf(ID_PREFIX "%s:%08" PRIx32, app, arc4random());
}

int
registry_doc_is_own_check(const char *app, const char *id)
{
	size_t n = strlen(app);

	return strncmp(id, ID_PREFIX, strlen(ID_PREFIX)) == 0 &&
	    strncmp(id + strlen(ID_PREFIX), app, n) == 0 && id[strlen(ID_PREFIX) + n] == ':';
}

/* --- writing */

static int64_t
ttl_of(const struct health_check *c)
{
	return c->interval_ms > REGISTRY_DOC_TTL_MIN_MS / 3 ? 3 * c->interval_ms :
							      REGISTRY_DOC_TTL_MIN_MS;
}

static void
add_words(struct buf *b, const struct strv *words)
{
	for (size_t i = 0; i < words->n; i++)
		buf_add(b, words->items[i], strlen(words->items[i]) + 1);
	buf_add(b, "", 1);
}

char *
registry_doc_digest(const struct registration *w)
{
	const struct health_check *c = w->check;
	AUTO_BUF struct buf b = { 0 };
	AUTO_STRV struct strv env = { 0 };

	buf_printf(&b, "%d %d %u %" PRId64 " %" PRId64 " %" PRId64 " %s %s", (int)c->kind, w->port,
	    c->port, c->interval_ms, c->timeout_ms, ttl_of(c), c->path ? c->path : "",
	    c->cwd ? c->cwd : "");
	buf_add(&b, "", 1);
	if (c->kind == HEALTH_EXEC) {
		add_words(&b, &c->argv);
		if (registry_script_env(c, &env))
			add_words(&b, &env);
		buf_printf(&b, "%lu %lu", (unsigned long)c->user.uid, (unsigned long)c->user.gid);
	}
	return xasprintf("%016" PRIx64, hash_bytes(b.data, b.n));
}

/* A Go duration; Consul takes none that is 0. */
static json_t *
duration(int64_t ms)
{
	return json_sprintf("%" PRId64 "ms", ms > 0 ? ms : 1);
}

/* Of a program no more than its name: its arguments may be nobody's business. */
static json_t *
name_of_check(const struct health_check *c)
{
	AUTO_FREE char *words = health_describe(c);
	char safe[200];

	log_escape(safe, sizeof safe, c->kind == HEALTH_EXEC ? c->argv.items[0] : words);
	return json_sprintf("pp: %s", safe);
}

static json_t *
render_script(const struct strv *script)
{
	json_t *args = json_array();

	for (size_t i = 0; i < script->n; i++)
		(void)json_array_append_new(args, json_string(script->items[i]));
	return args;
}

static json_t *
render_check(const struct registration *w, const struct strv *script, const char *id)
{
	const struct health_check *c = w->check;
	json_t *doc = json_pack("{s:s,s:o,s:s}", "CheckID", id, "Name", name_of_check(c), "Status",
	    w->failed ? "critical" : "passing");

	if (c->kind == HEALTH_TCP)
		(void)json_object_set_new(doc, "TCP", json_sprintf("localhost:%u", c->port));
	else if (c->kind == HEALTH_HTTP)
		(void)json_object_set_new(doc, "HTTP",
		    json_sprintf("http://localhost:%u%s", c->port, c->path));
	else if (script != NULL)
		(void)json_object_set_new(doc, "Args", render_script(script));
	else {
		(void)json_object_set_new(doc, "TTL", duration(ttl_of(c)));
		return doc;
	}
	(void)json_object_set_new(doc, "Interval", duration(c->interval_ms));
	(void)json_object_set_new(doc, "Timeout", duration(c->timeout_ms));
	return doc;
}

char *
registry_doc_render(const struct registration *w, const struct strv *script, const char *check_id)
{
	AUTO_FREE char *digest = registry_doc_digest(w);
	json_auto_t *doc = json_pack("{s:s,s:s,s:[s],s:i,s:b,s:o,s:{s:s,s:s,s:s,s:s,s:s,s:s}}",
	    "Name", w->app, "ID", w->app, "Tags", w->cluster, "Port", w->port, "EnableTagOverride",
	    0, "Check", render_check(w, script, check_id), "Meta", "pp", SCHEMA, "pp-node", w->node,
	    "pp-cluster", w->cluster, "pp-version", w->version, "pp-failed", w->failed ? "1" : "0",
	    "pp-check", digest);

	return json_dumps(doc, JSON_COMPACT);
}

char *
registry_doc_feed(enum health_verdict verdict, const char *text)
{
	/* Consul has no "unknown"; as with its own script checks, what is not known to be well is not. */
	const char *status = health_name(verdict == HEALTH_UNKNOWN ? HEALTH_CRITICAL : verdict);
	char safe[REGISTRY_DOC_OUTPUT_MAX];
	json_auto_t *doc = NULL;

	log_escape(safe, sizeof safe, text != NULL ? text : "");
	doc = json_pack("{s:s,s:s}", "Status", status, "Output", safe);
	return json_dumps(doc, JSON_COMPACT);
}

/* --- reading */

static json_t *
parse(const struct buf *answer, const char *what, struct err *e)
{
	json_error_t fault;
	json_t *doc =
	    json_loadb(answer->data ? answer->data : "", answer->n, JSON_REJECT_DUPLICATES, &fault);

	if (json_is_object(doc))
		return doc;
	json_decref(doc);
	err_set(e, ERR_STORE, "consul's agent: its answer to %s is no JSON object", what);
	return NULL;
}

static char *
text_of(const json_t *doc, const char *name)
{
	const char *text = json_string_value(json_object_get(doc, name));

	return xstrdup(text != NULL ? text : "");
}

int
registry_doc_has_tag(const json_t *service, const char *tag)
{
	const json_t *tags = json_object_get(service, "Tags"), *one;
	size_t i;

	json_array_foreach(tags, i, one) {
		if (json_is_string(one) && strcmp(json_string_value(one), tag) == 0)
			return 1;
	}
	return 0;
}

static char *
why_foreign(const char *id, const json_t *meta, const char *service, const char *node)
{
	const char *owner = json_string_value(json_object_get(meta, "pp-node"));

	if (json_object_get(meta, "pp") == NULL)
		return xasprintf("this node's Consul agent has a service %s that pp did not "
				 "register; it is left alone: give one of the two another name, or "
				 "take it out with: consul services deregister -id=%s",
		    id, id);
	if (owner == NULL || strcmp(service, id) != 0)
		return xasprintf("this node's Consul agent has a service %s that says it is pp's, "
				 "and lacks what pp writes; it is left alone: take it out with: "
				 "consul services deregister -id=%s",
		    id, id);
	if (strcmp(owner, node) != 0)
		return xasprintf(
		    "the Consul agent at hand has a service %s of the node %.128s, and "
		    "this node is %s: each node needs a Consul agent of its own, and "
		    "CONSUL_HTTP_ADDR to name it",
		    id, owner, node);
	return NULL;
}

static void
take_service(const char *id, const json_t *service, const char *node, struct registered *k)
{
	const json_t *meta = json_object_get(service, "Meta");
	AUTO_FREE char *name = text_of(service, "Service");
	const char *schema = json_string_value(json_object_get(meta, "pp"));
	int known = schema != NULL && strcmp(schema, SCHEMA) == 0;

	*k = (struct registered){ .app = xstrdup(id), .why = why_foreign(id, meta, name, node) };
	k->foreign = k->why != NULL;
	k->version = text_of(meta, "pp-version");
	k->node = text_of(meta, "pp-node");
	k->cluster = text_of(meta, "pp-cluster");
	/* Without its tag nobody counts it. */
	if (!registry_doc_has_tag(service, k->cluster))
		k->cluster[0] = '\0';
	/* What another version of pp wrote is written again. */
	k->check = known ? text_of(meta, "pp-check") : xstrdup("");
	if (json_is_string(json_object_get(meta, "pp-failed")))
		k->failed = strcmp(json_string_value(json_object_get(meta, "pp-failed")), "1") == 0;
}

int
registry_doc_take_services(const struct buf *answer, const char *node, struct registry *r,
    struct err *e)
{
	json_auto_t *doc = parse(answer, "/v1/agent/services", e);
	const char *id;
	json_t *service;

	if (doc == NULL)
		return -1;
	r->v = xcalloc(json_object_size(doc), sizeof *r->v);
	json_object_foreach(doc, id, service)
		take_service(id, service, node, &r->v[r->n++]);
	return 0;
}

/* What its checks say of a service; `own`: how many of them pp made. */
static void
take_check(const char *id, const json_t *check, struct registered *k, size_t *own)
{
	const char *type = json_string_value(json_object_get(check, "Type"));
	const char *notes = json_string_value(json_object_get(check, "Notes"));

	if (strncmp(id, MAINTENANCE, strlen(MAINTENANCE)) == 0 &&
	    strcmp(id + strlen(MAINTENANCE), k->app) == 0) {
		k->maintenance = 1;
		k->maintained_by_pp = notes != NULL && strcmp(notes, REGISTRY_DOC_REASON) == 0;
	}
	if (!registry_doc_is_own_check(k->app, id))
		return;
	++*own;
	if (type != NULL && strcmp(type, "ttl") == 0)
		k->fed = 1;
}

int
registry_doc_take_checks(const struct buf *answer, struct registry *r, struct err *e)
{
	json_auto_t *doc = parse(answer, "/v1/agent/checks", e);
	AUTO_FREE size_t *own = xcalloc(r->n, sizeof *own);
	const char *id;
	json_t *check;

	if (doc == NULL)
		return -1;
	json_object_foreach(doc, id, check) {
		const char *service = json_string_value(json_object_get(check, "ServiceID"));

		for (size_t i = 0; service != NULL && i < r->n; i++)
			if (strcmp(r->v[i].app, service) == 0)
				take_check(id, check, &r->v[i], &own[i]);
	}
	/* A run that was killed may have left two; and somebody may have taken it away. */
	for (size_t i = 0; i < r->n; i++)
		if (own[i] != 1)
			r->v[i].check[0] = '\0';
	return 0;
}

int
registry_doc_own_checks(const struct buf *answer, const char *app, struct strv *ids, struct err *e)
{
	json_auto_t *doc = parse(answer, "/v1/agent/checks", e);
	const char *id;
	json_t *check;

	if (doc == NULL)
		return -1;
	json_object_foreach(doc, id, check) {
		const char *service = json_string_value(json_object_get(check, "ServiceID"));

		if (service != NULL && strcmp(service, app) == 0 &&
		    registry_doc_is_own_check(app, id))
			strv_add(ids, xstrdup(id));
	}
	return 0;
}
