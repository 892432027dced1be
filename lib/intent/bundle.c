#include "lib/intent/bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fs/file.h"
#include "lib/intent/intent.h"

#define FILE_MAX ((size_t)256 * 1024 * 1024) /* bytes of a file with documents */

static const char *const trees[] = { "clusters/", "nodes/", "owners/" };

static void
add(struct bundle *b, const char *key, json_t *doc)
{
	if ((b->n & (b->n - 1)) == 0)
		b->v = xreallocarray(b->v, b->n ? 2 * b->n : 1, sizeof *b->v);
	b->v[b->n++] = (struct bundle_doc){ xstrdup(key), doc };
}

static int
compare_docs(const void *a, const void *b)
{
	return strcmp(((const struct bundle_doc *)a)->key, ((const struct bundle_doc *)b)->key);
}

static void
sort(struct bundle *b)
{
	if (b->n > 1)
		qsort(b->v, b->n, sizeof *b->v, compare_docs);
}

const struct bundle_doc *
bundle_find(const struct bundle *b, const char *key)
{
	struct bundle_doc wanted = { .key = (char *)key };

	return b->n > 0 ? bsearch(&wanted, b->v, b->n, sizeof *b->v, compare_docs) : NULL;
}

/* ---- from files ---- */

static void
take(struct bundle *b, struct check_source *source, const char *key, json_t *doc,
    struct check_report *report)
{
	struct change_key k;

	if (json_is_null(doc) && change_parse_key(key, &k) == 0) {
		add(b, key, NULL);
		return;
	}
	check_document(source, key, doc, report);
	if (change_parse_key(key, &k) == 0)
		add(b, key, json_incref(doc));
}

static json_t *
parse(struct check_source *source, struct check_report *report)
{
	json_error_t at;
	json_t *doc = json_loadb(source->text, source->len, JSON_REJECT_DUPLICATES, &at);

	if (doc == NULL)
		strv_add(&report->faults,
		    xasprintf("%s:%d:%d: %s", source->file, at.line, at.column > 0 ? at.column : 1,
			at.text));
	return doc;
}

/* What `get --json` prints says itself which app's it is. */
static int
take_target(struct bundle *b, struct check_source *source, const json_t *json,
    struct check_report *report)
{
	const char *app = json_string_value(json_object_get(json, "app"));
	const char *cluster = json_string_value(json_object_get(json, "cluster"));

	if (app == NULL || cluster == NULL)
		return 0;
	for (int d = 0; d < EDIT_DOCS; d++) {
		const char *name = edit_doc_name((enum edit_doc)d);
		AUTO_FREE char *key = edit_doc_key((enum edit_doc)d, app, cluster);
		json_t *doc = json_object_get(json, name);

		if (doc == NULL)
			continue;
		strv_add(&source->path, xstrdup(name));
		take(b, source, key, doc, report);
		strv_release(&source->path);
	}
	return 1;
}

static int
load_file(const char *path, struct bundle *b, struct check_report *report, struct err *e)
{
	struct check_source source = { .file = strcmp(path, "-") == 0 ? "stdin" : path };
	AUTO_BUF struct buf text = { 0 };
	json_auto_t *json = NULL;
	const char *key;
	json_t *doc;

	if (file_read_path(path, FILE_MAX, &text, e) < 0)
		return -1;
	source.text = text.data;
	source.len = text.n;
	json = parse(&source, report);
	if (json == NULL)
		return 0;
	if (!json_is_object(json)) {
		check_fault(&source, report, "it must be a JSON object of keys and documents");
		return 0;
	}
	if (take_target(b, &source, json, report))
		return 0;
	json_object_foreach(json, key, doc) {
		strv_add(&source.path, xstrdup(key));
		take(b, &source, key, doc, report);
		strv_release(&source.path);
	}
	return 0;
}

/* As the store that it is laid out like: with its lock, its journal, and git's lock. */
static int
load_dir(const char *path, struct bundle *b, struct check_report *report, struct err *e)
{
	AUTO_FREE char *spec = xasprintf("dir:%s", path);
	AUTO_ITEMS struct store_items items = { 0 };
	struct store *s = store_open(spec, STORE_THERE, e);
	int r = s != NULL ? store_read(s, trees, MEM_COUNT(trees), &items, e) : -1;

	store_free(s);
	for (size_t i = 0; r == 0 && i < items.n; i++) {
		const struct store_item *item = &items.v[i];
		AUTO_FREE char *file = xasprintf("%s/%s.json", path, item->key);
		struct check_source source = { .file = file,
			.text = item->value,
			.len = item->len };
		json_auto_t *doc = NULL;

		if (strcmp(item->key, STORE_ID_KEY) == 0)
			continue;
		if (item->fault != NULL) {
			check_fault(&source, report, "%s", item->fault);
			continue;
		}
		doc = parse(&source, report);
		if (doc != NULL)
			take(b, &source, item->key, doc, report);
	}
	return r;
}

int
bundle_load(const char *where, struct bundle *b, struct check_report *report, struct err *e)
{
	struct stat st;
	int r;

	if (strcmp(where, "-") == 0) {
		r = load_file(where, b, report, e);
	} else {
		if (stat(where, &st) < 0)
			return err_sys(e, "%s", where);
		r = S_ISDIR(st.st_mode) ? load_dir(where, b, report, e) :
					  load_file(where, b, report, e);
	}
	if (r < 0)
		return -1;
	sort(b);
	if (b->n == 0 && report->faults.n == 0)
		return err_set(e, ERR_DATA,
		    "%s: there is no document in it; write {\"KEY\": {...}}, or have a directory of "
		    "KEY.json",
		    where);
	return 0;
}

/* ---- from a store ---- */

/* Nothing below it may be true, or be all that a token may see: a single key tells. */
static int
check_seen(struct store *s, const struct store_items *items, const char *tree, struct err *e)
{
	AUTO_FREE char *probe = xasprintf("%spp/pp/pp", tree);

	for (size_t i = 0; i < items->n; i++)
		if (strncmp(items->v[i].key, tree, strlen(tree)) == 0)
			return 0;
	return store_absent(s, probe, e) < 0 ? -1 : 0;
}

int
bundle_read_store(struct store *s, struct bundle *b, struct strv *skipped, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };

	if (store_read(s, trees, MEM_COUNT(trees), &items, e) < 0)
		return -1;
	for (size_t i = 0; i < MEM_COUNT(trees); i++)
		if (check_seen(s, &items, trees[i], e) < 0)
			return -1;
	for (size_t i = 0; i < items.n; i++) {
		const char *key = items.v[i].key;
		struct change_key k;
		json_t *doc;

		if (strcmp(key, STORE_ID_KEY) == 0)
			continue;
		if (change_parse_key(key, &k) < 0) {
			strv_add(skipped, xstrdup(key));
			continue;
		}
		doc = intent_parse_item(&items.v[i], e);
		if (doc == NULL)
			return -1;
		add(b, key, doc);
	}
	sort(b);
	return 0;
}

char *
bundle_render(const struct bundle *b)
{
	json_auto_t *all = json_object();

	for (size_t i = 0; i < b->n; i++)
		(void)json_object_set(all, b->v[i].key, b->v[i].doc);
	return edit_render(all);
}

/* ---- to a directory ---- */

/* Open the directory that the file of a key is in, made where it is not there. */
static int
open_parent(const char *path, const char *key, struct err *e)
{
	AUTO_FREE char *dir = xasprintf("%s/%s", path, key);

	*strrchr(dir, '/') = '\0';
	return dir_make(dir, 0755, e) < 0 ? -1 : dir_open(dir, e);
}

static int
write_doc(const char *path, const struct bundle_doc *d, struct err *e)
{
	static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };
	AUTO_FREE char *name = xasprintf("%s.json", strrchr(d->key, '/') + 1);
	AUTO_FREE char *text = edit_render(d->doc);
	AUTO_BUF struct buf old = { 0 };
	struct err ignored = ERR_INIT;
	AUTO_CLOSE int dir = open_parent(path, d->key, e);

	if (dir < 0)
		return -1;
	if (file_read(dir, name, STORE_VALUE_MAX, &old, &ignored) == 0 && old.n == strlen(text) &&
	    memcmp(old.data, text, old.n) == 0)
		return 0;
	return file_write(dir, name, text, strlen(text), &attr, e);
}

static int
remove_doc(const char *path, const char *key, struct err *e)
{
	AUTO_FREE char *name = xasprintf("%s.json", strrchr(key, '/') + 1);
	AUTO_CLOSE int dir = open_parent(path, key, e);

	return dir < 0 ? -1 : file_remove(dir, name, e);
}

int
bundle_write(const struct bundle *b, const char *path, int prune, struct strv *left, struct err *e)
{
	AUTO_FREE char *id = xasprintf("%s/%s.json", path, STORE_ID_KEY);
	AUTO_FREE char *spec = xasprintf("dir:%s", path);
	AUTO_ITEMS struct store_items there = { 0 };
	struct store *s;
	int r;

	if (faccessat(AT_FDCWD, id, F_OK, 0) == 0)
		return err_set(e, ERR_DATA,
		    "%s is a store of its own; to write to it: pp intent export - | "
		    "pp intent apply --store=%s -f -",
		    path, spec);
	if (dir_make(path, 0755, e) < 0)
		return -1;
	s = store_open(spec, STORE_THERE, e);
	r = s != NULL ? store_read(s, trees, MEM_COUNT(trees), &there, e) : -1;
	store_free(s);
	for (size_t i = 0; r == 0 && i < b->n; i++)
		r = write_doc(path, &b->v[i], e);
	for (size_t i = 0; r == 0 && i < there.n; i++) {
		const char *key = there.v[i].key;
		struct change_key k;

		if (change_parse_key(key, &k) < 0 || bundle_find(b, key) != NULL)
			continue;
		if (prune)
			r = remove_doc(path, key, e);
		else
			strv_add(left, xstrdup(key));
	}
	return r;
}

void
bundle_release(struct bundle *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].key);
		json_decref(b->v[i].doc);
	}
	free(b->v);
	*b = (struct bundle){ 0 };
}
