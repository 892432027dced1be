#include "lib/intent/change.h"

#include <stdio.h>
#include <string.h>

#include "lib/fs/path.h"
#include "lib/intent/intent.h"
#include "lib/intent/patch.h"

static int
take_name(char name[CHANGE_NAME_MAX], const struct strv *parts, size_t at)
{
	if (at >= parts->n || !path_is_name(parts->items[at]))
		return -1;
	(void)snprintf(name, CHANGE_NAME_MAX, "%s", parts->items[at]);
	return 0;
}

int
change_parse_key(const char *key, struct change_key *k)
{
	AUTO_STRV struct strv parts = { 0 };
	const char *kind;

	*k = (struct change_key){ 0 };
	strv_split(&parts, key, '/');
	kind = parts.items[0];
	if (parts.n == 2 && strcmp(kind, "owners") == 0) {
		k->kind = CHANGE_OWNERS;
		return take_name(k->app, &parts, 1);
	}
	if (parts.n == 3 && strcmp(kind, "nodes") == 0) {
		k->kind = CHANGE_NODE;
		return take_name(k->node, &parts, 1) < 0 ? -1 : take_name(k->app, &parts, 2);
	}
	if (parts.n != 4 || strcmp(kind, "clusters") != 0)
		return -1;
	k->kind = CHANGE_CONFIG;
	if (strcmp(parts.items[3], "deploy_config") == 0)
		k->kind = CHANGE_DEPLOY_CONFIG;
	else if (strcmp(parts.items[3], "config") != 0)
		return -1;
	return take_name(k->app, &parts, 1) < 0 ? -1 : take_name(k->cluster, &parts, 2);
}

struct change_doc *
change_add(struct change *c, const char *key, json_t *before, uint64_t version, json_t *after)
{
	struct change_key k;

	if (change_parse_key(key, &k) < 0)
		return NULL;
	if ((c->n & (c->n - 1)) == 0)
		c->v = xreallocarray(c->v, c->n ? 2 * c->n : 1, sizeof *c->v);
	c->v[c->n] = (struct change_doc){ xstrdup(key), k, before, after, version };
	return &c->v[c->n++];
}

struct change_doc *
change_find(const struct change *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i].key, key) == 0)
			return &c->v[i];
	return NULL;
}

void
change_add_docs(struct change *c, const char *const keys[EDIT_DOCS],
    const uint64_t versions[EDIT_DOCS], const struct edit_docs *before,
    const struct edit_docs *after)
{
	for (int d = 0; d < EDIT_DOCS; d++)
		(void)change_add(c, keys[d], json_incref(before->doc[d]), versions[d],
		    json_incref(after->doc[d]));
}

int
change_take(struct change *c, const struct store_items *items, const struct strv *keys,
    struct err *e)
{
	for (size_t i = 0; i < keys->n; i++) {
		const struct store_item *item = store_find(items, keys->items[i]);
		json_t *doc = item != NULL ? intent_parse_item(item, e) : NULL;
		json_t *copy = json_deep_copy(doc);

		if (item != NULL && doc == NULL)
			return -1;
		if (change_add(c, keys->items[i], doc, item ? item->version : 0, copy) != NULL)
			continue;
		json_decref(doc);
		json_decref(copy);
		return err_set(e, ERR_DATA, "%s: there is no such document", keys->items[i]);
	}
	return 0;
}

int
change_read(struct store *s, struct change *c, const struct strv *keys, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };

	if (keys->n == 0)
		return 0;
	if (store_read(s, (const char *const *)keys->items, keys->n, &items, e) < 0)
		return -1;
	return change_take(c, &items, keys, e);
}

static int
is_changed(const struct change_doc *d)
{
	if (d->before == NULL || d->after == NULL)
		return d->before != d->after;
	return !json_equal(d->before, d->after);
}

size_t
change_count(const struct change *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += (size_t)is_changed(&c->v[i]);
	return n;
}

static int
check_doc(const struct change_doc *d, struct intent_app *app, struct err *e)
{
	const char *cluster;

	switch (d->k.kind) {
	case CHANGE_CONFIG:
		return intent_take_config(d->after, app, e);
	case CHANGE_DEPLOY_CONFIG:
		return intent_take_deploy_config(d->after, app, e);
	case CHANGE_OWNERS:
		return intent_take_owners(d->after, &app->owners, e);
	case CHANGE_NODE:
		cluster = json_string_value(json_object_get(d->after, "cluster"));
		if (cluster == NULL || !path_is_name(cluster))
			return err_set(e, ERR_DATA,
			    "cluster: it must be the name of a cluster, like {\"cluster\": \"production\"}");
		break;
	}
	return 0;
}

int
change_check(const struct change *c, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct change_doc *d = &c->v[i];
		struct intent_app app = { .name = xstrdup(d->k.app) };
		int r = is_changed(d) && d->after != NULL ? check_doc(d, &app, e) : 0;

		intent_app_release(&app);
		if (r < 0)
			return err_wrap(e, "%s", d->key);
	}
	return 0;
}

/* A node's document reads "nodes/web1/slug: demo -> production". */
static json_t *
node_view(const struct change_doc *d, const json_t *doc)
{
	const json_t *value;
	const char *name;
	json_t *view;

	if (doc == NULL)
		return NULL;
	view = json_object();
	json_object_foreach((json_t *)doc, name, value) {
		int is_cluster = strcmp(name, "cluster") == 0;
		AUTO_FREE char *path =
		    xasprintf("%s%s%s", d->key, is_cluster ? "" : ".", is_cluster ? "" : name);

		(void)json_object_set(view, path, (json_t *)value);
	}
	return view;
}

static void
diff_doc(const struct change_doc *d, const struct edit_look *given, struct buf *out)
{
	struct edit_look look = *given;
	AUTO_FREE char *prefix = NULL;
	json_auto_t *from = NULL, *to = NULL;

	if (d->k.kind == CHANGE_NODE) {
		from = node_view(d, d->before);
		to = node_view(d, d->after);
		(void)edit_diff_doc(d->key, from, to, &look, out);
		return;
	}
	if (look.prefix != NULL)
		prefix = xasprintf("%s%s%s%s ", look.prefix, d->k.app, d->k.cluster[0] ? "/" : "",
		    d->k.cluster);
	look.prefix = prefix;
	(void)edit_diff_doc(strrchr(d->key, '/') + 1, d->before, d->after, &look, out);
}

void
change_diff(const struct change *c, const struct edit_look *look, struct buf *out)
{
	for (size_t i = 0; i < c->n; i++)
		if (is_changed(&c->v[i]))
			diff_doc(&c->v[i], look, out);
}

json_t *
change_patch(const struct change *c, int secrets)
{
	json_t *patch = json_array();

	for (size_t i = 0; i < c->n; i++) {
		json_auto_t *delta = patch_delta(c->v[i].before, c->v[i].after);
		AUTO_FREE char *name = patch_escape(c->v[i].key);
		AUTO_FREE char *base = xasprintf("/%s", name);

		patch_add_rfc6902(patch, base, delta, secrets);
	}
	return patch;
}

static int
has_active(const json_t *config)
{
	const json_t *versions = json_object_get(config, "versions"), *state;
	const char *id;

	json_object_foreach((json_t *)versions, id, state)
		if (json_is_string(state) && strcmp(json_string_value(state), "active") == 0)
			return 1;
	return 0;
}

static const char *
cluster_of(const json_t *node)
{
	const char *cluster = json_string_value(json_object_get(node, "cluster"));

	return cluster != NULL ? cluster : "";
}

/* How many nodes leave this cluster of the app. */
static size_t
count_leaving(const struct change *c, const char *app, const char *cluster)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct change_doc *d = &c->v[i];

		n += (size_t)(d->k.kind == CHANGE_NODE && strcmp(d->k.app, app) == 0 &&
		    strcmp(cluster_of(d->before), cluster) == 0 &&
		    strcmp(cluster_of(d->after), cluster) != 0);
	}
	return n;
}

/* How many nodes the app has in this cluster. */
static size_t
count_nodes(const struct store_items *items, const char *app, const char *cluster)
{
	size_t n = 0;

	for (size_t i = 0; i < items->n; i++) {
		struct change_key k;
		const char *slash = strrchr(items->v[i].key, '/');
		struct err ignored = ERR_INIT;
		json_auto_t *doc = NULL;

		if (slash == NULL || strcmp(slash + 1, app) != 0)
			continue;
		if (change_parse_key(items->v[i].key, &k) < 0 || k.kind != CHANGE_NODE)
			continue;
		doc = intent_parse_item(&items->v[i], &ignored);
		n += (size_t)(strcmp(cluster_of(doc), cluster) == 0);
	}
	return n;
}

static int
node_losses(struct store *s, const struct change *c, struct buf *why, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };
	AUTO_STRV struct strv done = { 0 };
	const char *all = "nodes/";
	int lines = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct change_doc *d = &c->v[i];
		const char *cluster = cluster_of(d->before);
		AUTO_FREE char *target = xasprintf("%s/%s", d->k.app, cluster);
		size_t leaving, there;

		if (d->k.kind != CHANGE_NODE || cluster[0] == '\0' ||
		    strcmp(cluster, cluster_of(d->after)) == 0 || strv_has(&done, target))
			continue;
		if (done.n == 0 && store_read(s, &all, 1, &items, e) < 0)
			return -1;
		leaving = count_leaving(c, d->k.app, cluster);
		there = count_nodes(&items, d->k.app, cluster);
		if (there >= 2 && 2 * leaving > there) {
			buf_printf(why, "%s is taken off %zu of its %zu nodes\n", target, leaving,
			    there);
			lines++;
		}
		strv_add(&done, mem_take(&target));
	}
	return lines;
}

int
change_losses(struct store *s, const struct change *c, struct buf *why, struct err *e)
{
	int lines = node_losses(s, c, why, e);

	if (lines < 0)
		return -1;
	for (size_t i = 0; i < c->n; i++) {
		const struct change_doc *d = &c->v[i];

		if (d->k.kind != CHANGE_CONFIG || !has_active(d->before) || has_active(d->after))
			continue;
		buf_printf(why, "%s/%s is left without an active version\n", d->k.app,
		    d->k.cluster);
		lines++;
	}
	return lines;
}

void
change_release(struct change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].key);
		json_decref(c->v[i].before);
		json_decref(c->v[i].after);
	}
	free(c->v);
	*c = (struct change){ 0 };
}
