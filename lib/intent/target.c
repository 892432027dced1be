#include "lib/intent/target.h"

#include <stdlib.h>
#include <string.h>

#include "lib/fs/path.h"
#include "lib/intent/intent.h"

/* The names of the clusters of an app, by its documents. */
static int
list_clusters(struct store *s, const char *app, struct strv *clusters, struct err *e)
{
	AUTO_FREE char *prefix = xasprintf("clusters/%s/", app);
	AUTO_ITEMS struct store_items items = { 0 };
	const char *key = prefix;

	if (store_read(s, &key, 1, &items, e) < 0)
		return -1;
	for (size_t i = 0; i < items.n; i++) {
		const char *rest = items.v[i].key + strlen(prefix);
		AUTO_FREE char *name = NULL;

		if (strncmp(items.v[i].key, prefix, strlen(prefix)) != 0)
			continue;
		name = xmemdup(rest, strcspn(rest, "/"));
		if (path_is_name(name) && !strv_has(clusters, name)) {
			strv_add(clusters, mem_take(&name));
		}
	}
	return 0;
}

static int
choose_cluster(struct store *s, struct target *t, struct err *e)
{
	AUTO_STRV struct strv clusters = { 0 };
	AUTO_FREE char *list = NULL;
	const char *given = getenv("PP_CLUSTER");

	if (given != NULL && given[0] != '\0') {
		t->cluster = xstrdup(given);
		return 0;
	}
	if (list_clusters(s, t->app, &clusters, e) < 0)
		return -1;
	if (clusters.n == 1) {
		t->cluster = xstrdup(clusters.items[0]);
		return 0;
	}
	if (clusters.n == 0)
		return err_set(e, ERR_USAGE, "%s has no cluster yet; name one, like %s/production",
		    t->app, t->app);
	list = strv_join(&clusters, ", ");
	return err_set(e, ERR_USAGE, "%s has several clusters, name one of them as %s/CLUSTER: %s",
	    t->app, t->app, list);
}

static int
parse_target(struct store *s, const char *text, struct target *t, struct err *e)
{
	size_t n = strcspn(text, "/");

	t->app = xmemdup(text, n);
	if (!path_is_name(t->app))
		return err_set(e, ERR_DATA,
		    "\"%s\" cannot name an app; use letters, digits, . _ and -", t->app);
	if (text[n] == '/')
		t->cluster = xstrdup(text + n + 1);
	else if (choose_cluster(s, t, e) < 0)
		return -1;
	if (!path_is_name(t->cluster))
		return err_set(e, ERR_DATA,
		    "\"%s\" cannot name a cluster; use letters, digits, . _ and -", t->cluster);
	return 0;
}

int
target_read(struct store *s, const char *text, struct target *t, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };
	const char *keys[EDIT_DOCS];

	*t = (struct target){ 0 };
	if (parse_target(s, text, t, e) < 0)
		return -1;
	for (int d = 0; d < EDIT_DOCS; d++)
		keys[d] = t->key[d] = edit_doc_key((enum edit_doc)d, t->app, t->cluster);
	if (store_read(s, keys, EDIT_DOCS, &items, e) < 0)
		return -1;
	for (int d = 0; d < EDIT_DOCS; d++) {
		const struct store_item *item = store_find(&items, keys[d]);

		if (item == NULL)
			continue;
		t->version[d] = item->version;
		t->docs.doc[d] = intent_parse_item(item, e);
		if (t->docs.doc[d] == NULL)
			return -1;
	}
	return 0;
}

void
target_release(struct target *t)
{
	free(t->app);
	free(t->cluster);
	for (int d = 0; d < EDIT_DOCS; d++)
		free(t->key[d]);
	edit_docs_release(&t->docs);
	*t = (struct target){ 0 };
}
