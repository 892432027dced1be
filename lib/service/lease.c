#include "lib/service/lease.h"

#include <bsd/stdlib.h>
#include <jansson.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/fs/path.h"
#include "lib/service/lease_catalog.h"

#define PATIENCE_MS 30000 /* for a mark to be certain */
#define PAUSE_MS 100      /* the first one at most; it doubles */
#define PAUSE_DOUBLINGS 4
#define GONE_PAUSE_MS 250     /* between two looks at what is to be gone */
#define MIN_NODES_MAX 1000000 /* as pp intent has it */
#define NONCE_BYTES 16

/* Repeating what may yet succeed, for a while. */
struct patience {
	int64_t end; /* of clock_now_ms() */
	unsigned tries;
};

static struct patience
be_patient(int64_t ms)
{
	return (struct patience){ .end = clock_now_ms() + clock_bound_ms(ms), .tries = 0 };
}

/* Is it worth while to try again after this failure? Then pause, each node for another while. */
static int
try_again(struct patience *p, struct err *e)
{
	int64_t left = p->end - clock_now_ms(), pause;

	if ((e->class != ERR_BUSY && e->class != ERR_STORE) || left <= 0)
		return 0;
	pause = 1 +
	    arc4random_uniform(
		PAUSE_MS << (p->tries < PAUSE_DOUBLINGS ? p->tries : PAUSE_DOUBLINGS));
	clock_sleep_ms(pause < left ? pause : left);
	p->tries++;
	*e = (struct err)ERR_INIT;
	return 1;
}

static int
is_consul(const struct store *s)
{
	return s->ops->ask != NULL;
}

/* They become parts of keys and of a URL. */
static int
check_names(const char *app, const char *cluster, const char *node, struct err *e)
{
	if (!path_is_name(app) || !path_is_name(cluster) || (node != NULL && !path_is_name(node)))
		return err_set(e, ERR_DATA, "app \"%s\", cluster \"%s\"%s%s%s: not all are names",
		    app, cluster, node ? ", node \"" : "", node ? node : "", node ? "\"" : "");
	return 0;
}

static char *
lock_key(const char *app, const char *cluster)
{
	return xasprintf("locks/%s/%s", app, cluster);
}

/* --- documents */

static int
refuse_lock(const char *key, const char *why, struct err *e)
{
	return err_set(e, ERR_DATA,
	    "%s: %s; it has to be an object of nodes and marks, and is not overwritten: look at it, and "
	    "write {} once no node of the cluster is being changed (pp-lease(7))",
	    key, why);
}

/* The lock document; one that was never written has no marks. The caller's; NULL with *e set. */
static json_t *
parse_lock(const struct store_item *item, const char *key, struct err *e)
{
	json_error_t parse;
	json_t *doc, *value;
	const char *name;

	if (item == NULL)
		return json_object();
	if (item->fault != NULL) {
		refuse_lock(key, item->fault, e);
		return NULL;
	}
	doc = json_loadb(item->value, item->len, JSON_REJECT_DUPLICATES, &parse);
	if (!json_is_object(doc)) {
		refuse_lock(key, doc == NULL ? parse.text : "not an object", e);
		json_decref(doc);
		return NULL;
	}
	json_object_foreach(doc, name, value) {
		if (!json_is_string(value)) {
			refuse_lock(key, "a mark that is no text", e);
			json_decref(doc);
			return NULL;
		}
	}
	return doc;
}

/* "<nonce> <version>"; what is no node's name can be no node's mark, and is only kept. */
static void
take_marks(json_t *doc, struct lease_view *view)
{
	json_t *value;
	const char *name;

	view->marks = xcalloc(json_object_size(doc) + 1, sizeof *view->marks);
	json_object_foreach(doc, name, value) {
		const char *version = strchr(json_string_value(value), ' ');

		if (!path_is_name(name))
			continue;
		view->marks[view->nmarks++] = (struct lease_mark){ .node = xstrdup(name),
			.version = xstrdup(
			    version != NULL && lease_is_release(version + 1) ? version + 1 : "") };
	}
}

/* min_nodes of config. A config that positively is not there wants none; one that is hidden is an error. */
static int
take_config(struct store *s, const struct store_item *item, const char *key,
    struct lease_view *view, struct err *e)
{
	json_auto_t *doc = NULL;
	const json_t *min_nodes;
	json_error_t parse;
	json_int_t n;
	int absent;

	if (item == NULL) {
		absent = store_absent(s, key, e);
		if (absent == 0)
			return err_set(e, ERR_BUSY, "%s: it was written only just now; try again",
			    key);
		return absent < 0 ? err_wrap(e, "%s", key) : 0;
	}
	if (item->fault != NULL)
		return err_set(e, ERR_DATA, "%s: %s", key, item->fault);
	doc = json_loadb(item->value, item->len, JSON_REJECT_DUPLICATES, &parse);
	if (!json_is_object(doc))
		return err_set(e, ERR_DATA, "%s: %s", key, doc ? "not an object" : parse.text);
	min_nodes = json_object_get(doc, "min_nodes");
	n = json_integer_value(min_nodes);
	if (min_nodes != NULL && (!json_is_integer(min_nodes) || n < 0 || n > MIN_NODES_MAX))
		return err_set(e, ERR_DATA, "%s: min_nodes: it must be a whole number from 0 to %d",
		    key, MIN_NODES_MAX);
	view->min_nodes = (int)n;
	view->config_version = item->version;
	return 0;
}

/* --- looking */

static int
look_at_catalog(struct store *s, const char *app, const char *cluster, struct lease_view *view,
    struct err *e)
{
	AUTO_FREE char *path = xasprintf("/v1/health/service/%s?tag=%s&consistent", app, cluster);
	struct store_question q = { .path = path };
	AUTO_BUF struct buf answer = { 0 };
	long status = 0;
	int there = store_ask(s, &q, &status, &answer, e);

	if (there < 0)
		return err_wrap(e, "ask for the health of %s", app);
	view->there = there;
	if (!there)
		return 0;
	if (status == 403)
		return err_set(e, ERR_PERM,
		    "%s: the token may not see the health of %s: %.200s; its policy lacks "
		    "service \"%s\" { policy = \"read\" }",
		    s->url, app, answer.data ? answer.data : "", app);
	if (status != 200)
		return err_set(e, ERR_STORE, "%s: the health of %s: HTTP status %ld: %.200s",
		    s->url, app, status, answer.data ? answer.data : "");
	return lease_catalog_take(answer.data, answer.n, app, cluster, view, e);
}

/* Also gives the lock document as it is, which the caller releases. */
static int
look(struct store *s, const char *app, const char *cluster, struct lease_view *view, json_t **lock,
    struct err *e)
{
	AUTO_FREE char *config = xasprintf("clusters/%s/%s/config", app, cluster);
	AUTO_FREE char *key = lock_key(app, cluster);
	const char *const keys[] = { config, key };
	AUTO_ITEMS struct store_items items = { 0 };
	const struct store_item *item;

	if (check_names(app, cluster, NULL, e) < 0)
		return -1;
	if (!is_consul(s))
		return 0;
	if (store_read(s, keys, MEM_COUNT(keys), &items, e) < 0 ||
	    take_config(s, store_find(&items, config), config, view, e) < 0)
		return -1;
	item = store_find(&items, key);
	*lock = parse_lock(item, key, e);
	if (*lock == NULL)
		return -1;
	view->lock_version = item == NULL ? 0 : item->version;
	take_marks(*lock, view);
	/*
	 * Only now: who leaves takes its mark out once the catalogue has it as not passing, so what
	 * passes in an answer younger than the marks, and is not marked, has not left.
	 */
	return look_at_catalog(s, app, cluster, view, e);
}

int
lease_look(struct store *s, const char *app, const char *cluster, struct lease_view *view,
    struct err *e)
{
	json_auto_t *lock = NULL;

	*view = (struct lease_view){ 0 };
	if (look(s, app, cluster, view, &lock, e) == 0)
		return 0;
	lease_view_release(view);
	return -1;
}

void
lease_view_release(struct lease_view *view)
{
	for (size_t i = 0; i < view->nmarks; i++) {
		free(view->marks[i].node);
		free(view->marks[i].version);
	}
	for (size_t i = 0; i < view->ninstances; i++) {
		free(view->instances[i].node);
		free(view->instances[i].version);
	}
	free(view->marks);
	free(view->instances);
	*view = (struct lease_view){ 0 };
}

/* --- marking */

/* Write the lock document, if it and config (where it was looked at) are as they were. */
static int
write_lock(struct store *s, const char *key, const json_t *doc, uint64_t version,
    const struct store_write *config, struct err *e)
{
	AUTO_FREE char *json = json_dumps(doc, JSON_INDENT(2) | JSON_SORT_KEYS);
	AUTO_FREE char *text = xasprintf("%s\n", json ? json : "{}");
	struct store_write writes[2] = {
		{ .key = key, .value = text, .len = strlen(text), .version = version }
	};

	if (json == NULL)
		return err_set(e, ERR_DATA, "%s: it cannot be written as JSON", key);
	if (config != NULL)
		writes[1] = *config;
	return store_write(s, writes, config != NULL ? 2 : 1, e);
}

/* Always another text: the write is what fails every compare-and-set that others have under way. */
static char *
make_mark(const char *version)
{
	unsigned char nonce[NONCE_BYTES];
	AUTO_BUF struct buf text = { 0 };

	arc4random_buf(nonce, sizeof nonce);
	for (size_t i = 0; i < sizeof nonce; i++)
		buf_printf(&text, "%02x", nonce[i]);
	buf_printf(&text, " %s", version ? version : "");
	return mem_take(&text.data);
}

static int
mark(struct store *s, const struct lease_request *req, const struct lease_view *view, json_t *lock,
    struct err *e)
{
	AUTO_FREE char *key = lock_key(req->app, req->cluster);
	AUTO_FREE char *config = xasprintf("clusters/%s/%s/config", req->app, req->cluster);
	AUTO_FREE char *text = make_mark(req->version);
	struct store_write check = { .key = config, .version = view->config_version, .check = 1 };

	if (json_object_set_new(lock, req->node, json_string(text)) < 0)
		return err_set(e, ERR_DATA, "%s: the mark of %s cannot be written as JSON", key,
		    req->node);
	/* Without a config there is no min_nodes that could have changed. */
	return write_lock(s, key, lock, view->lock_version,
	    req->healthy && view->config_version != 0 ? &check : NULL, e);
}

static int
take_once(struct store *s, const struct lease_request *req, enum lease_verdict *verdict, char **why,
    struct err *e)
{
	struct lease_view view __attribute__((cleanup(lease_view_release))) = { 0 };
	json_auto_t *lock = NULL;

	if (look(s, req->app, req->cluster, &view, &lock, e) < 0)
		return -1;
	*verdict = lease_judge(&view, req, why);
	if (!view.there)
		return 0;
	if (*verdict == LEASE_GRANTED)
		return mark(s, req, &view, lock, e);
	/* Two that are up, marked and waiting for each other would wait for ever. */
	if (json_object_get(lock, req->node) != NULL)
		return lease_return(s, req->app, req->cluster, req->node, e);
	return 0;
}

int
lease_take(struct store *s, const struct lease_request *req, enum lease_verdict *verdict,
    char **why, struct err *e)
{
	struct patience patience = be_patient(PATIENCE_MS);

	*verdict = LEASE_WAITING;
	*why = NULL;
	if (check_names(req->app, req->cluster, req->node, e) < 0)
		return -1;
	if (req->version != NULL && req->version[0] != '\0' && !lease_is_release(req->version))
		return err_set(e, ERR_DATA, "version \"%s\": not a name", req->version);
	while (take_once(s, req, verdict, why, e) < 0) {
		free(*why);
		*why = NULL;
		if (!try_again(&patience, e))
			return err_wrap(e, "mark %s as going down in locks/%s/%s", req->node,
			    req->app, req->cluster);
	}
	return 0;
}

/* Returns 1 when the mark is out, 0 when it was taken out only now. */
static int
return_once(struct store *s, const char *key, const char *node, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };
	const struct store_item *item;
	json_auto_t *lock = NULL;
	int absent;

	if (store_read(s, &key, 1, &items, e) < 0)
		return -1;
	item = store_find(&items, key);
	if (item == NULL) {
		/* A document that the token may not see looks as if it were not there. */
		absent = store_absent(s, key, e);
		return absent == 0 ? err_set(e, ERR_BUSY, "%s: it was written only just now", key) :
				     absent;
	}
	lock = parse_lock(item, key, e);
	if (lock == NULL)
		return -1;
	if (json_object_del(lock, node) < 0)
		return 1;
	/*
	 * The last mark leaves an empty document behind. Were it removed, "there must be none" would hold
	 * again, and with it the compare-and-set of somebody who looked before all of this.
	 */
	return write_lock(s, key, lock, item->version, NULL, e);
}

int
lease_return(struct store *s, const char *app, const char *cluster, const char *node, struct err *e)
{
	struct patience patience = be_patient(PATIENCE_MS);
	AUTO_FREE char *key = lock_key(app, cluster);

	if (check_names(app, cluster, node, e) < 0)
		return -1;
	if (!is_consul(s))
		return 0;
	while (return_once(s, key, node, e) < 0)
		if (!try_again(&patience, e))
			return err_wrap(e, "take the mark of %s out of %s", node, key);
	return 0;
}

/* --- asking */

/* 1 when the catalogue has no instance of the node that passes. */
static int
is_gone(struct store *s, const char *app, const char *cluster, const char *node, struct err *e)
{
	struct lease_view view __attribute__((cleanup(lease_view_release))) = { 0 };

	if (look_at_catalog(s, app, cluster, &view, e) < 0)
		return -1;
	for (size_t i = 0; i < view.ninstances; i++)
		if (view.instances[i].passing && !view.instances[i].by_hand &&
		    strcmp(view.instances[i].node, node) == 0)
			return 0;
	return 1;
}

int
lease_await_gone(struct store *s, const char *app, const char *cluster, const char *node,
    int64_t timeout_ms, struct err *e)
{
	int64_t end = clock_now_ms() + clock_bound_ms(timeout_ms);

	if (check_names(app, cluster, node, e) < 0)
		return -1;
	for (;;) {
		int gone = is_gone(s, app, cluster, node, e);

		if (gone > 0)
			return 0;
		if (gone < 0 && e->class != ERR_STORE)
			return -1;
		if (clock_now_ms() >= end)
			return gone < 0 ?
			    -1 :
			    err_set(e, ERR_FAIL,
				"%s is stopped, and the catalogue still has %s as passing in %s; it stays "
				"marked until that is over",
				app, node, cluster);
		*e = (struct err)ERR_INIT;
		clock_sleep_ms(GONE_PAUSE_MS);
	}
}

int
lease_marked(struct store *s, const char *node, const struct lease_place *places, size_t n,
    int *marked, struct err *e)
{
	AUTO_STRV struct strv keys = { 0 };
	AUTO_ITEMS struct store_items items = { 0 };

	for (size_t i = 0; i < n; i++) {
		marked[i] = 0;
		if (check_names(places[i].app, places[i].cluster, node, e) < 0)
			return -1;
		strv_add(&keys, lock_key(places[i].app, places[i].cluster));
	}
	if (n == 0 || !is_consul(s))
		return 0;
	if (store_read(s, (const char *const *)keys.items, n, &items, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const char *key = keys.items[i];
		struct err why = ERR_INIT;
		json_auto_t *lock = parse_lock(store_find(&items, key), key, &why);

		/* One that cannot be read is the trouble of its own app, and of no other. */
		if (lock == NULL)
			log_warn("%s: %s", places[i].app, why.msg);
		else
			marked[i] = json_object_get(lock, node) != NULL;
	}
	return 0;
}
