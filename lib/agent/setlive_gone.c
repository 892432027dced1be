/*
 * Apps that are gone from this node: what is left of them, and how that is to be taken down.
 */
#include <unistd.h>

#include "lib/agent/setlive.h"
#include "lib/fs/path.h"

/* With --purge: apps of which nothing but installs may be left, too. */
int
setlive_observe_places(struct pass *p, struct err *e)
{
	AUTO_STRV struct strv names = { 0 }, leftovers = { 0 };

	if (!settings_flag(p->settings, "purge") || p->storeless)
		return 0;
	if (state_list(&p->state, SETLIVE_PLACE, &names, e) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++)
		if (path_is_name(names.items[i]) && intent_find(&p->intent, names.items[i]) == NULL)
			strv_add(&leftovers, xstrdup(names.items[i]));
	pass_leftovers(p, &leftovers);
	return 0;
}

/* How an app that is gone is to be drained and stopped: as its cluster still has it, where that can be read. */
static void
recall_gone(struct pass *p, struct intent_app *app, struct seen_live *seen)
{
	AUTO_FREE char *key = xasprintf("clusters/%s/%s/deploy_config", app->name, app->cluster);
	const char *keys[] = { key };
	AUTO_ITEMS struct store_items items = { 0 };
	AUTO_FREE char *disable = NULL;
	struct err ignored = ERR_INIT;
	const struct store_item *item;
	json_auto_t *doc = NULL;

	if (store_read(p->store, keys, 1, &items, &ignored) < 0 ||
	    (item = store_find(&items, key)) == NULL ||
	    (doc = intent_parse_item(item, &ignored)) == NULL ||
	    intent_take_deploy_config(doc, app, &ignored) < 0 ||
	    user_of_app(app->runas, app->name, &seen->user, &ignored) < 0)
		return;
	disable = xasprintf("%s/current/bin/disable", app->basedir);
	seen->current = setlive_link(app->basedir, "current");
	seen->has_disable = access(disable, X_OK) == 0;
}

/* What is known of an app that is gone: where it was, as long as something is there that may go with it. */
int
setlive_observe_gone(struct pass *p, struct intent_app *app, struct seen_live *seen, struct err *e)
{
	if (app->certainty != INTENT_GONE || p->storeless)
		return 0;
	if (settings_flag(p->settings, "purge") &&
	    state_recall(&p->state, SETLIVE_PLACE, app->name, &seen->place, e) < 0)
		return -1;
	if (app->cluster == NULL &&
	    state_recall(&p->state, SETLIVE_CLUSTER, app->name, &app->cluster, e) < 0)
		return -1;
	if (app->cluster != NULL && !path_is_name(app->cluster)) {
		free(app->cluster);
		app->cluster = NULL;
	}
	if (app->cluster != NULL && seen->present.n > 0)
		recall_gone(p, app, seen);
	return 0;
}
