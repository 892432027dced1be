/*
 * pp intent apply, export, check: all documents of files.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/intent.h"
#include "lib/intent/bundle.h"

/* ---- apply ---- */

/* The apps that the files name, sorted. */
static void
list_apps(const struct bundle *b, struct strv *apps)
{
	struct change_key k;

	for (size_t i = 0; i < b->n; i++)
		if (change_parse_key(b->v[i].key, &k) == 0)
			strv_add(apps, xstrdup(k.app));
	strv_sort(apps);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

/* The keys in the store of apps that the files name, which the files do not have. */
static int
list_pruned(struct intent_run *run, const struct bundle *b, struct strv *keys, struct err *e)
{
	static const char *const trees[] = { "clusters/", "nodes/", "owners/" };
	AUTO_ITEMS struct store_items items = { 0 };
	AUTO_STRV struct strv apps = { 0 };

	list_apps(b, &apps);
	if (store_read(run->store, trees, MEM_COUNT(trees), &items, e) < 0)
		return -1;
	for (size_t i = 0; i < items.n; i++) {
		struct change_key k;

		if (change_parse_key(items.v[i].key, &k) == 0 &&
		    bsearch(k.app, apps.items, apps.n, sizeof *apps.items, compare_names) != NULL &&
		    bundle_find(b, items.v[i].key) == NULL)
			strv_add(keys, xstrdup(items.v[i].key));
	}
	return 0;
}

static int
make_change(struct intent_run *run, const struct bundle *b, struct change *c, struct err *e)
{
	AUTO_STRV struct strv keys = { 0 };

	for (size_t i = 0; i < b->n; i++)
		strv_add(&keys, xstrdup(b->v[i].key));
	if (settings_flag(run->settings, "prune") && list_pruned(run, b, &keys, e) < 0)
		return -1;
	if (change_read(run->store, c, &keys, e) < 0)
		return -1;
	for (size_t i = 0; i < c->n; i++) {
		const struct bundle_doc *d = bundle_find(b, c->v[i].key);

		json_decref(c->v[i].after);
		c->v[i].after = d != NULL ? json_incref(d->doc) : NULL;
	}
	return 0;
}

int
intent_apply(struct intent_run *run, struct err *e)
{
	const char *where = settings_text(run->settings, "file");
	AUTO_REPORT struct check_report report = { 0 };
	AUTO_BUNDLE struct bundle b = { 0 };
	AUTO_CHANGE struct change c = { 0 };

	if (where == NULL)
		return err_set(e, ERR_USAGE, "usage: pp intent apply -f FILE|DIR|- [--prune]");
	if (bundle_load(where, &b, &report, e) < 0 || intent_tell_report(where, &report, e) < 0 ||
	    make_change(run, &b, &c, e) < 0 || change_check(&c, e) < 0)
		return -1;
	if (change_count(&c) == 0 && !settings_flag(run->settings, "json"))
		printf("nothing to change: all %zu documents are in the store as they are here\n",
		    b.n);
	return intent_commit(run, &c, "", INTENT_ASK, e);
}

/* ---- export ---- */

int
intent_export(struct intent_run *run, struct err *e)
{
	const char *where = run->operands.items[0];
	AUTO_STRV struct strv skipped = { 0 }, left = { 0 };
	AUTO_REPORT struct check_report report = { 0 };
	AUTO_BUNDLE struct bundle b = { 0 };
	AUTO_FREE char *text = NULL;

	if (bundle_read_store(run->store, &b, &skipped, e) < 0)
		return -1;
	for (size_t i = 0; i < skipped.n; i++)
		strv_add(&report.notes,
		    xasprintf("%s: no document of intent, left out", skipped.items[i]));
	if (strcmp(where, "-") == 0) {
		text = bundle_render(&b);
		(void)fputs(text, stdout);
		return intent_tell_report(where, &report, e);
	}
	if (bundle_write(&b, where, settings_flag(run->settings, "prune"), &left, e) < 0)
		return -1;
	for (size_t i = 0; i < left.n; i++)
		strv_add(&report.notes,
		    xasprintf("%s/%s.json: it is not in the store; --prune removes it", where,
			left.items[i]));
	return intent_tell_report(where, &report, e);
}

/* ---- check ---- */

/* What an assignment points at is likely to be here, too. */
static void
note_missing(const struct bundle *b, struct check_report *report)
{
	for (size_t i = 0; i < b->n; i++) {
		const char *cluster = json_string_value(json_object_get(b->v[i].doc, "cluster"));
		AUTO_FREE char *config = NULL, *deploy = NULL;
		struct change_key k;

		if (change_parse_key(b->v[i].key, &k) < 0 || k.kind != CHANGE_NODE ||
		    cluster == NULL)
			continue;
		config = edit_doc_key(EDIT_CONFIG, k.app, cluster);
		deploy = edit_doc_key(EDIT_DEPLOY_CONFIG, k.app, cluster);
		for (int n = 0; n < 2; n++) {
			const char *key = n ? deploy : config;

			if (bundle_find(b, key) == NULL)
				strv_add(&report->notes,
				    xasprintf(
					"%s: %s is not here; without it the node holds what it has",
					b->v[i].key, key));
		}
	}
}

/* On how many of the nodes that are here is each cluster of an app? {"slug/production": 3, ...} */
static json_t *
count_nodes(const struct bundle *b)
{
	json_t *counts = json_object();

	for (size_t i = 0; i < b->n; i++) {
		const char *cluster = json_string_value(json_object_get(b->v[i].doc, "cluster"));
		AUTO_FREE char *name = NULL;
		struct change_key k;

		if (change_parse_key(b->v[i].key, &k) < 0 || k.kind != CHANGE_NODE ||
		    cluster == NULL)
			continue;
		name = xasprintf("%s/%s", k.app, cluster);
		(void)json_object_set_new(counts, name,
		    json_integer(json_integer_value(json_object_get(counts, name)) + 1));
	}
	return counts;
}

/* As many as are to be up, or fewer: then none of them may ever go down. */
static void
note_too_few(const struct bundle *b, struct check_report *report)
{
	json_auto_t *counts = count_nodes(b);

	for (size_t i = 0; i < b->n; i++) {
		long long wanted = json_integer_value(json_object_get(b->v[i].doc, "min_nodes")), n;
		AUTO_FREE char *name = NULL;
		struct change_key k;

		if (change_parse_key(b->v[i].key, &k) < 0 || k.kind != CHANGE_CONFIG)
			continue;
		name = xasprintf("%s/%s", k.app, k.cluster);
		n = json_integer_value(json_object_get(counts, name));
		/* Where no node is here, the nodes are elsewhere. */
		if (n == 0 || wanted < n)
			continue;
		strv_add(&report->notes,
		    xasprintf("%s: min_nodes: %lld are to be up, and %s%lld node%s it; while all "
			      "are up none is restarted, not even for a new version",
			b->v[i].key, wanted, wanted > n ? "only " : "just ", n,
			n == 1 ? " has" : "s have"));
	}
}

int
intent_check(struct intent_run *run, struct err *e)
{
	const char *where = run->operands.n > 0 ? run->operands.items[0] : ".";
	AUTO_REPORT struct check_report report = { 0 };
	AUTO_BUNDLE struct bundle b = { 0 };

	if (bundle_load(where, &b, &report, e) < 0)
		return -1;
	note_missing(&b, &report);
	note_too_few(&b, &report);
	return intent_tell_report(where, &report, e);
}
