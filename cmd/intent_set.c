/*
 * pp intent set, unset, assign, unassign.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/intent.h"
#include "lib/fs/path.h"

/* ---- set, unset ---- */

static int
edit(struct intent_run *run, int (*change)(struct edit_docs *, const char *, struct err *),
    struct err *e)
{
	AUTO_TARGET struct target t = { 0 };
	AUTO_DOCS struct edit_docs docs = { { NULL } };
	AUTO_CHANGE struct change c = { 0 };
	AUTO_FREE char *home = NULL;

	if (intent_read_target(run, &t, e) < 0)
		return -1;
	docs = edit_docs_copy(&t.docs);
	for (size_t i = 1; i < run->operands.n; i++)
		if (change(&docs, run->operands.items[i], e) < 0)
			return err_wrap(e, "%s/%s", t.app, t.cluster);
	if (edit_check(&t.docs, &docs, t.app, t.cluster, e) < 0)
		return -1;
	change_add_docs(&c, (const char *const *)t.key, t.version, &t.docs, &docs);
	home = xasprintf("%s/%s", t.app, t.cluster);
	run->note.home = home;
	/* The change names what it takes away. */
	return intent_commit(run, &c, NULL, INTENT_JUST_DO, e) < 0 ?
	    err_wrap(e, "%s/%s", t.app, t.cluster) :
	    0;
}

int
intent_set(struct intent_run *run, struct err *e)
{
	return edit(run, edit_apply, e);
}

int
intent_unset(struct intent_run *run, struct err *e)
{
	return edit(run, edit_unset, e);
}

/* ---- assign, unassign ---- */

static int
list_nodes(const struct intent_run *run, const char *app, struct strv *keys, struct err *e)
{
	for (size_t i = 1; i < run->operands.n; i++) {
		const char *node = run->operands.items[i];
		AUTO_FREE char *key = xasprintf("nodes/%s/%s", node, app);

		if (!path_is_name(node))
			return err_set(e, ERR_DATA,
			    "\"%s\" cannot name a node; use letters, digits, . _ and -", node);
		if (strv_has(keys, key))
			return err_set(e, ERR_USAGE, "%s is named twice", node);
		strv_add(keys, mem_take(&key));
	}
	return 0;
}

static int
change_node(struct change_doc *d, const char *cluster, int assign, struct err *e)
{
	const char *was = json_string_value(json_object_get(d->before, "cluster"));

	if (assign) {
		if (d->after == NULL)
			d->after = json_object();
		(void)json_object_set_new(d->after, "cluster", json_string(cluster));
		return 0;
	}
	if (d->before != NULL && (was == NULL || strcmp(was, cluster) != 0))
		return err_set(e, ERR_DATA,
		    "%s is in cluster %s, not %s; name that one to unassign it", d->key,
		    was ? was : "(none)", cluster);
	json_decref(d->after);
	d->after = NULL;
	return 0;
}

static int
assign_nodes(struct intent_run *run, int assign, struct err *e)
{
	AUTO_CHANGE struct change c = { 0 };
	AUTO_TARGET struct target t = { 0 };
	AUTO_STRV struct strv keys = { 0 };

	if (target_read(run->store, run->operands.items[0], &t, e) < 0 ||
	    list_nodes(run, t.app, &keys, e) < 0 || change_read(run->store, &c, &keys, e) < 0)
		return -1;
	for (size_t i = 0; i < c.n; i++)
		if (change_node(&c.v[i], t.cluster, assign, e) < 0)
			return -1;
	if (assign && (t.docs.doc[EDIT_CONFIG] == NULL || t.docs.doc[EDIT_DEPLOY_CONFIG] == NULL))
		(void)fprintf(stderr,
		    "pp intent: note: %s/%s has no %s yet; its nodes hold what they "
		    "have until it is set\n",
		    t.app, t.cluster, t.docs.doc[EDIT_CONFIG] == NULL ? "config" : "deploy_config");
	return intent_commit(run, &c, NULL, assign ? INTENT_JUST_DO : INTENT_GUARD, e);
}

int
intent_assign(struct intent_run *run, struct err *e)
{
	return assign_nodes(run, 1, e);
}

int
intent_unassign(struct intent_run *run, struct err *e)
{
	return assign_nodes(run, 0, e);
}
