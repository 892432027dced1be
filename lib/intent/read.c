#include <stdlib.h>
#include <string.h>

#include "lib/fs/path.h"
#include "lib/intent/believed.h"
#include "lib/intent/intent.h"

#define ROUNDS_MAX 5

/* Why to read again. */
#define AGAIN_CHANGED 1 /* what was read may be of two moments */
#define AGAIN_MISSING 2 /* a document is missing that may have been there a moment ago */

/* One reading under way. */
struct reading {
	struct store *s;
	struct state *state;
	int what;
	struct intent_node *intent;
	struct store_items list, documents;
	int snapshot; /* the documents and the list are of one moment */
	int again;
};

static void
mark_unreadable(struct intent_app *app, const char *reason)
{
	if (app->certainty == INTENT_UNREADABLE)
		return;
	app->certainty = INTENT_UNREADABLE;
	app->reason = xstrdup(reason);
}

/* nodes/<node>/<app>: which cluster of the app is on this node. */
static void
take_assignment(const struct store_item *item, struct intent_app *app)
{
	struct err why = ERR_INIT;
	json_auto_t *doc = intent_parse_item(item, &why);
	const char *cluster = json_string_value(json_object_get(doc, "cluster"));

	if (doc == NULL) {
		mark_unreadable(app, why.msg);
	} else if (cluster == NULL || !path_is_name(cluster)) {
		AUTO_FREE char *reason =
		    xasprintf("%s: cluster: it must be the name of a cluster", item->key);

		mark_unreadable(app, reason);
	} else {
		app->cluster = xstrdup(cluster);
	}
}

static void
take_list(const struct store_items *items, const char *prefix, struct intent_node *intent)
{
	size_t len = strlen(prefix);

	intent->apps = xcalloc(items->n + 1, sizeof *intent->apps);
	for (size_t i = 0; i < items->n; i++) {
		const char *name = items->v[i].key + len;
		struct intent_app *app;

		/* Only documents of this node, and not below them. */
		if (strncmp(items->v[i].key, prefix, len) != 0 || !path_is_name(name))
			continue;
		app = &intent->apps[intent->napps++];
		app->name = xstrdup(name);
		strv_add(&intent->listed, xstrdup(name));
		take_assignment(&items->v[i], app);
	}
}

/* The keys of all documents of the apps that are still readable. */
static void
list_keys(const struct intent_node *intent, int what, struct strv *keys)
{
	for (size_t i = 0; i < intent->napps; i++) {
		const struct intent_app *app = &intent->apps[i];

		if (app->certainty != INTENT_STATED)
			continue;
		strv_add(keys, xasprintf("clusters/%s/%s/config", app->name, app->cluster));
		strv_add(keys, xasprintf("clusters/%s/%s/deploy_config", app->name, app->cluster));
		if (what & INTENT_OWNERS)
			strv_add(keys, xasprintf("owners/%s", app->name));
	}
}

/*
 * A document that was not in the answer: not there, or not for our eyes. If there is none, it may have
 * been there when the list was read.
 */
static void
explain_missing(struct reading *r, const char *key, struct err *e)
{
	int absent = store_absent(r->s, key, e);

	if (absent == 0 || (absent == 1 && !r->snapshot))
		r->again |= AGAIN_MISSING;
	if (absent == 1)
		err_set(e, ERR_DATA, "%s: there is no such document; make it with pp intent set",
		    key);
	else if (absent == 0)
		err_set(e, ERR_STORE, "%s: it appeared while the store was read", key);
}

static int
take_document(struct reading *r, const char *key,
    int (*take)(const json_t *, struct intent_app *, struct err *), struct intent_app *app,
    struct err *e)
{
	const struct store_item *item = store_find(&r->documents, key);
	json_auto_t *doc = NULL;

	if (item == NULL) {
		explain_missing(r, key, e);
		return -1;
	}
	doc = intent_parse_item(item, e);
	if (doc == NULL)
		return -1;
	return take(doc, app, e) < 0 ? err_wrap(e, "%s", key) : 0;
}

static void
take_app(struct reading *r, struct intent_app *app)
{
	AUTO_FREE char *config = NULL, *deploy = NULL;
	struct err why = ERR_INIT;

	if (app->certainty != INTENT_STATED)
		return;
	config = xasprintf("clusters/%s/%s/config", app->name, app->cluster);
	deploy = xasprintf("clusters/%s/%s/deploy_config", app->name, app->cluster);
	if (take_document(r, config, intent_take_config, app, &why) < 0 ||
	    take_document(r, deploy, intent_take_deploy_config, app, &why) < 0)
		mark_unreadable(app, why.msg);
}

/* No owners in the answer: there are none, or it cannot be told. */
static void
explain_no_owners(struct reading *r, const char *key, struct intent_app *app)
{
	const char *doubt = r->intent->doubt;
	struct err why = ERR_INIT;
	int absent = store_absent(r->s, key, &why);

	if (absent == 0)
		r->again |= AGAIN_MISSING;
	app->owners_certainty = absent != 1 ? INTENT_UNREADABLE :
	    doubt != NULL                   ? INTENT_DOUBTED :
					      INTENT_GONE;
	app->owners_reason = absent < 0 ? xstrdup(why.msg) :
	    absent == 0                 ? xasprintf("%s appeared meanwhile", key) :
					  xstrdup(doubt != NULL ? doubt : "there is none");
}

static void
take_app_owners(struct reading *r, struct intent_app *app)
{
	AUTO_FREE char *key = xasprintf("owners/%s", app->name);
	const struct store_item *item = store_find(&r->documents, key);
	struct err why = ERR_INIT;
	json_auto_t *doc = NULL;

	if (app->cluster == NULL) {
		app->owners_certainty = INTENT_UNREADABLE;
		app->owners_reason = xstrdup(app->reason);
		return;
	}
	if (item == NULL) {
		explain_no_owners(r, key, app);
		return;
	}
	doc = intent_parse_item(item, &why);
	if (doc != NULL && intent_take_owners(doc, &app->owners, &why) == 0)
		return;
	if (doc != NULL)
		err_wrap(&why, "%s", key);
	app->owners_certainty = INTENT_UNREADABLE;
	app->owners_reason = xstrdup(why.msg);
}

static int
has_below(const struct store_items *items, const char *prefix)
{
	for (size_t i = 0; i < items->n; i++)
		if (strncmp(items->v[i].key, prefix, strlen(prefix)) == 0)
			return 1;
	return 0;
}

/* May what is not in the list be removed? Only where the store is the one this node knows. */
static int
judge_store(struct reading *r, struct err *e)
{
	AUTO_FREE char *known = NULL;
	struct intent_node *intent = r->intent;
	const char *id = intent->store_id, *url = r->s->url;
	struct err why = ERR_INIT;

	if (id[0] == '\0' && store_absent(r->s, STORE_ID_KEY, &why) < 0) {
		intent->doubt =
		    xasprintf("it cannot be told which store this is, so nothing is removed: %s",
			why.msg);
		return 0;
	}
	if (id[0] == '\0') {
		intent->doubt =
		    xasprintf("%s has no id (pp/store), so nothing is removed for not being in "
			      "it; any pp intent set or assign gives it one",
			url);
		return 0;
	}
	if (state_store_id(r->state, url, &known, e) < 0)
		return -1;
	intent->adopts = known == NULL || strcmp(known, id) != 0;
	if (!intent->adopts || (r->what & INTENT_ADOPT))
		return 0;
	/* The first one is remembered without a word, another one only at somebody's. */
	intent->adopts = known == NULL;
	intent->doubt = known == NULL ?
	    xasprintf("this node sees %s for the first time; removing waits for the next run",
		url) :
	    xasprintf("%s is another store than the one this node knows (id %s, was %s), so "
		      "nothing is removed; if that is right, run pp converge once with "
		      "--adopt-store",
		url, id, known);
	return 0;
}

static int
compare_basedirs(const void *a, const void *b)
{
	const struct intent_app *x = *(struct intent_app *const *)a,
				*y = *(struct intent_app *const *)b;
	int order = strcmp(x->basedir, y->basedir);

	return order != 0 ? order : strcmp(x->name, y->name);
}

/* Two apps in one basedir would take turns in what is current: neither is touched. */
static void
check_basedirs(struct intent_node *intent)
{
	AUTO_FREE struct intent_app **apps = xcalloc(intent->napps, sizeof(void *));
	size_t n = 0;

	for (size_t i = 0; i < intent->napps; i++)
		if (intent->apps[i].basedir != NULL)
			apps[n++] = &intent->apps[i];
	qsort(apps, n, sizeof(void *), compare_basedirs);
	for (size_t i = 1; i < n; i++) {
		AUTO_FREE char *reason = NULL;

		if (strcmp(apps[i]->basedir, apps[i - 1]->basedir) != 0)
			continue;
		reason = xasprintf("basedir %s is that of both %s and %s; give each its own",
		    apps[i]->basedir, apps[i - 1]->name, apps[i]->name);
		mark_unreadable(apps[i - 1], reason);
		mark_unreadable(apps[i], reason);
	}
}

/* The items below the prefix that stand together in a sorted list: their number, and the first. */
static size_t
find_below(const struct store_items *items, const char *prefix, const struct store_item **first)
{
	size_t len = strlen(prefix), n = 0;

	*first = NULL;
	for (size_t i = 0; i < items->n; i++) {
		if (strncmp(items->v[i].key, prefix, len) != 0)
			continue;
		if (n++ == 0)
			*first = &items->v[i];
	}
	return n;
}

static int
is_same_list(const struct store_items *a, const struct store_items *b, const char *prefix)
{
	const struct store_item *x, *y;
	size_t n = find_below(a, prefix, &x);

	if (find_below(b, prefix, &y) != n)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (strcmp(x[i].key, y[i].key) != 0 || x[i].version != y[i].version)
			return 0;
	return 1;
}

static int
fetch_documents(struct reading *r, const char *prefix, struct err *e)
{
	AUTO_STRV struct strv keys = { 0 };
	int twice;

	list_keys(r->intent, r->what, &keys);
	r->snapshot = keys.n == 0 || r->s->stands;
	if (keys.n == 0)
		return 0;
	/* Where there is room in the only request, the list comes again: then it is one picture. */
	twice = !r->snapshot && keys.n <= STORE_WRITES_MAX;
	if (twice)
		strv_add(&keys, xstrdup(prefix));
	if (store_read(r->s, (const char *const *)keys.items, keys.n, &r->documents, e) < 0)
		return -1;
	if (strcmp(r->documents.id, r->intent->store_id) != 0)
		return err_set(e, ERR_STORE, "%s became another store while it was read",
		    r->s->url);
	r->snapshot |= twice;
	if (twice && !is_same_list(&r->list, &r->documents, prefix))
		r->again |= AGAIN_CHANGED;
	return 0;
}

static void
take_documents(struct reading *r)
{
	struct intent_node *intent = r->intent;

	for (size_t i = 0; i < intent->napps; i++) {
		take_app(r, &intent->apps[i]);
		if (r->what & INTENT_OWNERS)
			take_app_owners(r, &intent->apps[i]);
	}
	check_basedirs(intent);
}

static int
read_picture(struct reading *r, struct err *e)
{
	AUTO_FREE char *prefix = xasprintf("nodes/%s/", r->intent->node),
		       *probe = xasprintf("%spp", prefix);
	const char *key = prefix;

	if (store_read(r->s, &key, 1, &r->list, e) < 0)
		return -1;
	/* A list that is forbidden looks like an empty one; a single key does not. */
	if (!has_below(&r->list, prefix) && store_absent(r->s, probe, e) < 0)
		return -1;
	memcpy(r->intent->store_id, r->list.id, sizeof r->intent->store_id);
	if (judge_store(r, e) < 0)
		return -1;
	take_list(&r->list, prefix, r->intent);
	if (fetch_documents(r, prefix, e) < 0)
		return -1;
	take_documents(r);
	return 0;
}

/* Read once. Returns: 1 where it has to be done again; -1 with *e set. */
static int
read_round(struct reading *r, const struct believed *head, int round, struct err *e)
{
	struct err why = ERR_INIT;
	int moved = 0;

	if (store_begin(r->s, head->version, e) < 0)
		return -1;
	if (read_picture(r, e) < 0) {
		(void)store_end(r->s, &moved, &why);
		return -1;
	}
	if (store_end(r->s, &moved, e) < 0)
		return -1;
	/* Of Consul's answers one may hold it all. */
	if (moved && !(r->snapshot && r->s->ordered))
		r->again |= AGAIN_CHANGED;
	/* What is missing twice is missing. */
	if ((r->again & AGAIN_CHANGED) || (r->again && round == 1))
		return 1;
	if ((r->what & INTENT_KEEP) &&
	    believed_keep(r->s, r->state, head, r->intent, &r->list, &r->documents, &why) < 0)
		r->intent->unkept = xstrdup(why.msg);
	return 0;
}

int
intent_read(struct store *s, struct state *state, const char *node, int what,
    struct intent_node *intent, struct err *e)
{
	struct believed head = believed_head(state, node, s->url);
	int again = 1;

	for (int round = 1; again > 0 && round <= ROUNDS_MAX; round++) {
		struct reading r = { .s = s, .state = state, .what = what, .intent = intent };

		*intent = (struct intent_node){ .node = xstrdup(node) };
		again = read_round(&r, &head, round, e);
		store_items_release(&r.list);
		store_items_release(&r.documents);
		if (again != 0)
			intent_release(intent);
	}
	if (again > 0)
		return err_set(e, ERR_BUSY,
		    "%s changes faster than it can be read; the next run tries again", s->url);
	return again;
}

static int
compare_apps(const void *a, const void *b)
{
	return strcmp(((const struct intent_app *)a)->name, ((const struct intent_app *)b)->name);
}

/* One app of what was believed; nothing is made of one that does not parse any more. */
static int
recall_app(const char *name, const json_t *entry, struct intent_app *app)
{
	const char *cluster = json_string_value(json_object_get(entry, "cluster"));
	struct err ignored = ERR_INIT;

	*app = (struct intent_app){ .name = xstrdup(name), .cluster = xstrdup(cluster) };
	if (cluster != NULL &&
	    intent_take_config(json_object_get(entry, "config"), app, &ignored) == 0 &&
	    intent_take_deploy_config(json_object_get(entry, "deploy_config"), app, &ignored) == 0)
		return 0;
	intent_app_release(app);
	return -1;
}

int
intent_recall(struct store *s, struct state *state, const char *node, struct intent_node *intent)
{
	json_auto_t *apps = believed_load(state, node, s->url);
	const char *name;
	json_t *entry;

	*intent = (struct intent_node){ .node = xstrdup(node) };
	if (apps == NULL)
		return 1;
	intent->doubt = xstrdup("the store cannot be read");
	intent->apps = xcalloc(json_object_size(apps), sizeof *intent->apps);
	json_object_foreach(apps, name, entry)
		if (path_is_name(name) &&
		    recall_app(name, entry, &intent->apps[intent->napps]) == 0)
			intent->napps++;
	qsort(intent->apps, intent->napps, sizeof *intent->apps, compare_apps);
	check_basedirs(intent);
	return 0;
}

void
intent_resolve_leftover(struct store *s, struct intent_node *intent, const char *name)
{
	AUTO_FREE char *key = xasprintf("nodes/%s/%s", intent->node, name);
	struct intent_app app = { .name = xstrdup(name) };
	struct err why = ERR_INIT;
	int absent = 1;

	/* What cannot be a key cannot be in the store. */
	if (intent->doubt == NULL && path_is_name(name))
		absent = store_absent(s, key, &why);
	app.certainty = intent->doubt == NULL && absent == 1 ? INTENT_GONE : INTENT_DOUBTED;
	if (app.certainty == INTENT_DOUBTED)
		app.reason = intent->doubt ? xstrdup(intent->doubt) :
		    absent < 0             ? xstrdup(why.msg) :
				 xasprintf("%s is there, but the list did not show it", key);
	intent->apps = xreallocarray(intent->apps, intent->napps + 1, sizeof *intent->apps);
	intent->apps[intent->napps++] = app;
	qsort(intent->apps, intent->napps, sizeof *intent->apps, compare_apps);
}

struct intent_app *
intent_find(const struct intent_node *intent, const char *name)
{
	struct intent_app wanted = { .name = (char *)name };

	if (intent->napps == 0)
		return NULL;
	return bsearch(&wanted, intent->apps, intent->napps, sizeof *intent->apps, compare_apps);
}

void
intent_release(struct intent_node *intent)
{
	for (size_t i = 0; i < intent->napps; i++)
		intent_app_release(&intent->apps[i]);
	free(intent->apps);
	strv_release(&intent->listed);
	free(intent->node);
	free(intent->doubt);
	free(intent->unkept);
	*intent = (struct intent_node){ 0 };
}
