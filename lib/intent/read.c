#include <stdlib.h>
#include <string.h>

#include "lib/fs/path.h"
#include "lib/intent/intent.h"

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

/* A document that was not in the answer: not there, or not for our eyes. */
static void
explain_missing(struct store *s, const char *key, struct err *e)
{
	int absent = store_absent(s, key, e);

	if (absent == 1)
		err_set(e, ERR_DATA, "%s: there is no such document; make it with pp intent set",
		    key);
	else if (absent == 0)
		err_set(e, ERR_STORE, "%s: it appeared while the store was read", key);
}

static int
take_document(struct store *s, const struct store_items *items, const char *key,
    int (*take)(const json_t *, struct intent_app *, struct err *), struct intent_app *app,
    struct err *e)
{
	const struct store_item *item = store_find(items, key);
	json_auto_t *doc = NULL;

	if (item == NULL) {
		explain_missing(s, key, e);
		return -1;
	}
	doc = intent_parse_item(item, e);
	if (doc == NULL)
		return -1;
	return take(doc, app, e) < 0 ? err_wrap(e, "%s", key) : 0;
}

static void
take_app(struct store *s, const struct store_items *items, struct intent_app *app)
{
	AUTO_FREE char *config = NULL, *deploy = NULL;
	struct err why = ERR_INIT;

	if (app->certainty != INTENT_STATED)
		return;
	config = xasprintf("clusters/%s/%s/config", app->name, app->cluster);
	deploy = xasprintf("clusters/%s/%s/deploy_config", app->name, app->cluster);
	if (take_document(s, items, config, intent_take_config, app, &why) < 0 ||
	    take_document(s, items, deploy, intent_take_deploy_config, app, &why) < 0)
		mark_unreadable(app, why.msg);
}

static void
take_app_owners(struct store *s, const struct store_items *items, struct intent_app *app,
    const char *doubt)
{
	AUTO_FREE char *key = xasprintf("owners/%s", app->name);
	const struct store_item *item = store_find(items, key);
	struct err why = ERR_INIT;
	json_auto_t *doc = NULL;
	int absent;

	if (app->cluster == NULL) {
		app->owners_certainty = INTENT_UNREADABLE;
		app->owners_reason = xstrdup(app->reason);
		return;
	}
	if (item == NULL) {
		absent = store_absent(s, key, &why);
		app->owners_certainty = absent != 1 ? INTENT_UNREADABLE :
		    doubt != NULL                   ? INTENT_DOUBTED :
						      INTENT_GONE;
		app->owners_reason = absent < 0 ? xstrdup(why.msg) :
		    absent == 0                 ? xasprintf("%s appeared meanwhile", key) :
						  xstrdup(doubt != NULL ? doubt : "there is none");
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
judge_store(struct store *s, struct state *state, struct intent_node *intent, struct err *e)
{
	AUTO_FREE char *known = NULL;
	const char *id = intent->store_id;
	struct err why = ERR_INIT;

	if (id[0] == '\0' && store_absent(s, STORE_ID_KEY, &why) < 0) {
		intent->doubt =
		    xasprintf("it cannot be told which store this is, so nothing is removed: %s",
			why.msg);
		return 0;
	}
	if (id[0] == '\0') {
		intent->doubt =
		    xasprintf("%s has no id (pp/store), so nothing is removed for not being in "
			      "it; any pp intent set or assign gives it one",
			s->url);
		return 0;
	}
	if (state_store_id(state, s->url, &known, e) < 0)
		return -1;
	intent->store_is_new = known == NULL;
	if (known == NULL)
		intent->doubt =
		    xasprintf("this node sees %s for the first time; removing waits for the "
			      "next run",
			s->url);
	else if (strcmp(known, id) != 0)
		intent->doubt =
		    xasprintf("%s is another store than the one this node knows (id %s, was "
			      "%s), so nothing is removed; if that is right, remove %s/stores",
			s->url, id, known, state->path);
	return 0;
}

/* Two apps in one basedir would take turns in what is current: neither is touched. */
static void
check_basedir(struct intent_node *intent, size_t at)
{
	struct intent_app *app = &intent->apps[at];

	for (size_t i = 0; app->basedir != NULL && i < at; i++) {
		struct intent_app *other = &intent->apps[i];
		AUTO_FREE char *reason = NULL;

		if (other->basedir == NULL || strcmp(app->basedir, other->basedir) != 0)
			continue;
		reason = xasprintf("basedir %s is that of both %s and %s; give each its own",
		    app->basedir, other->name, app->name);
		mark_unreadable(app, reason);
		mark_unreadable(other, reason);
	}
}

static int
read_documents(struct store *s, int what, struct intent_node *intent, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };
	AUTO_STRV struct strv keys = { 0 };

	list_keys(intent, what, &keys);
	if (keys.n == 0)
		return 0;
	if (store_read(s, (const char *const *)keys.items, keys.n, &items, e) < 0)
		return -1;
	if (strcmp(items.id, intent->store_id) != 0)
		return err_set(e, ERR_STORE, "%s became another store while it was read", s->url);
	for (size_t i = 0; i < intent->napps; i++) {
		take_app(s, &items, &intent->apps[i]);
		check_basedir(intent, i);
		if (what & INTENT_OWNERS)
			take_app_owners(s, &items, &intent->apps[i], intent->doubt);
	}
	return 0;
}

int
intent_read(struct store *s, struct state *state, const char *node, int what,
    struct intent_node *intent, struct err *e)
{
	AUTO_FREE char *prefix = xasprintf("nodes/%s/", node), *probe = xasprintf("%spp", prefix);
	AUTO_ITEMS struct store_items items = { 0 };
	const char *key = prefix;

	*intent = (struct intent_node){ .node = xstrdup(node) };
	if (store_read(s, &key, 1, &items, e) < 0)
		goto fail;
	/* A list that is forbidden looks like an empty one; a single key does not. */
	if (!has_below(&items, prefix) && store_absent(s, probe, e) < 0)
		goto fail;
	memcpy(intent->store_id, items.id, sizeof intent->store_id);
	if (judge_store(s, state, intent, e) < 0)
		goto fail;
	take_list(&items, prefix, intent);
	if (read_documents(s, what, intent, e) < 0)
		goto fail;
	return 0;
fail:
	intent_release(intent);
	return -1;
}

static int
compare_apps(const void *a, const void *b)
{
	return strcmp(((const struct intent_app *)a)->name, ((const struct intent_app *)b)->name);
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
	free(intent->node);
	free(intent->doubt);
	*intent = (struct intent_node){ 0 };
}
