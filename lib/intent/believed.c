#include "lib/intent/believed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/hash.h"

#define SUB "believed"
#define HEAD_FORMAT "pp-believed 1 %016" PRIx64 " %" PRIu64 " %" PRId64 "\n"
#define HEAD_MAX 128
#define BELIEVED_MAX ((size_t)256 * 1024 * 1024)

struct believed
believed_head(struct state *state, const char *node, const char *url)
{
	AUTO_FREE char *name = state_name(node, url);
	AUTO_BUF struct buf text = { 0 };
	struct believed head = { 0 };
	struct err ignored = ERR_INIT;

	/* One that cannot be read is one that is not there: it is written anew, which says why not. */
	if (state_recall_all(state, SUB, name, HEAD_MAX, &text, &ignored) != 0 ||
	    strncmp(text.data ? text.data : "", "pp-believed 1 ", 14) != 0)
		return head;
	if (sscanf(text.data, "pp-believed 1 %16" SCNx64 " %20" SCNu64 " %20" SCNd64, &head.read,
		&head.version, &head.when) != 3)
		return (struct believed){ 0 };
	return head;
}

/*
 * Owners are not read by every agent, and nothing is started by them; the list comes a second time
 * with the documents of few apps, but how few they must be depends on the agent.
 */
static void
add_reading(const struct store_items *items, const char *below, struct believed *now)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct store_item *item = &items->v[i];

		if (strncmp(item->key, below, strlen(below)) != 0)
			continue;
		now->read +=
		    hash_bytes(item->key, strlen(item->key)) * (item->version | 1) ^ item->version;
		if (item->version > now->version)
			now->version = item->version;
	}
}

static json_t *
parse_document(const struct store_items *items, const struct intent_app *app, const char *name)
{
	AUTO_FREE char *key = xasprintf("clusters/%s/%s/%s", app->name, app->cluster, name);
	const struct store_item *item = store_find(items, key);
	struct err ignored = ERR_INIT;

	return item != NULL ? intent_parse_item(item, &ignored) : NULL;
}

/* *held: whether there are apps in it that the list does not have. */
static json_t *
render(const struct intent_node *intent, const struct store_items *documents, json_t *then,
    int *held)
{
	json_t *now = json_object();
	const char *name;
	json_t *entry;

	for (size_t i = 0; i < intent->napps; i++) {
		const struct intent_app *app = &intent->apps[i];

		entry = json_object_get(then, app->name);
		if (app->certainty == INTENT_STATED)
			(void)json_object_set_new(now, app->name,
			    json_pack("{s:s,s:o,s:o}", "cluster", app->cluster, "config",
				parse_document(documents, app, "config"), "deploy_config",
				parse_document(documents, app, "deploy_config")));
		else if (entry != NULL)
			(void)json_object_set(now, app->name, entry);
	}
	*held = 0;
	if (intent->doubt == NULL && intent->napps > 0)
		return now;
	json_object_foreach(then, name, entry) {
		if (json_object_get(now, name) != NULL)
			continue;
		(void)json_object_set(now, name, entry);
		*held = 1;
	}
	return now;
}

int
believed_keep(struct store *s, struct state *state, const struct believed *head,
    const struct intent_node *intent, const struct store_items *list,
    const struct store_items *documents, struct err *e)
{
	AUTO_FREE char *name = state_name(intent->node, s->url), *rest = NULL, *text = NULL;
	struct believed now = { .read = hash_bytes(intent->store_id, strlen(intent->store_id)) };
	json_auto_t *then = NULL, *apps = NULL;
	int held;

	add_reading(list, "nodes/", &now);
	add_reading(documents, "clusters/", &now);
	/* A directory's versions are numbers of their content, and say nothing of what came first. */
	if (!s->ordered)
		now.version = 0;
	now.read = now.read != 0 ? now.read : 1;
	if (now.read == head->read || (intent->doubt != NULL && ~now.read == head->read))
		return 0;
	then = believed_load(state, intent->node, s->url);
	apps = render(intent, documents, then, &held);
	/* What is in it for a doubt is to go once there is none any more. */
	if (intent->doubt != NULL && held)
		now.read = ~now.read;
	rest = json_dumps(apps, JSON_COMPACT | JSON_SORT_KEYS);
	if (rest == NULL)
		return err_set(e, ERR_FAIL, "what was read cannot be written down");
	text = xasprintf(HEAD_FORMAT "%s\n", now.read, now.version, (int64_t)time(NULL), rest);
	return state_keep_secret(state, SUB, name, text, strlen(text), e);
}

json_t *
believed_load(struct state *state, const char *node, const char *url)
{
	AUTO_FREE char *name = state_name(node, url);
	AUTO_BUF struct buf text = { 0 };
	struct err ignored = ERR_INIT;
	const char *rest;
	json_t *apps;

	if (state_recall_all(state, SUB, name, BELIEVED_MAX, &text, &ignored) != 0 || text.n == 0)
		return NULL;
	rest = memchr(text.data, '\n', text.n);
	if (strncmp(text.data, "pp-believed 1 ", 14) != 0 || rest == NULL)
		return NULL;
	apps = json_loadb(rest, text.n - (size_t)(rest - text.data), JSON_REJECT_DUPLICATES, NULL);
	if (apps == NULL || !json_is_object(apps)) {
		json_decref(apps);
		return NULL;
	}
	return apps;
}
