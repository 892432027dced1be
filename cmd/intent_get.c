/*
 * pp intent get, diff.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/intent.h"
#include "lib/fs/file.h"
#include "lib/intent/intent.h"
#include "lib/intent/patch.h"

#define FILE_MAX (8 * STORE_VALUE_MAX) /* bytes of a file with documents */
#define REV_DIGITS 15

/* ---- get ---- */

/* "abc:prep,def:active", as versions= takes it. */
static void
print_map(const json_t *map)
{
	AUTO_STRV struct strv parts = { 0 };
	AUTO_FREE char *text = NULL;
	const json_t *value;
	const char *id;

	json_object_foreach((json_t *)map, id, value)
		strv_add(&parts,
		    xasprintf("%s:%s", id, json_is_string(value) ? json_string_value(value) : "?"));
	strv_sort(&parts);
	text = strv_join(&parts, ",");
	printf("%s\n", text);
}

static int
get_path(const struct target *t, const char *path, int as_json, struct err *e)
{
	const json_t *value = edit_find(&t->docs, path);
	AUTO_FREE char *text = NULL;

	if (value == NULL)
		return err_set(e, ERR_FAIL, "%s/%s has no %s", t->app, t->cluster, path);
	if (as_json) {
		intent_print_json(value);
	} else if (json_is_object(value) &&
	    (strcmp(path, "versions") == 0 || strcmp(path, "digests") == 0)) {
		print_map(value);
	} else {
		text = json_is_string(value) ? xstrdup(json_string_value(value)) : edit_show(value);
		printf("%s\n", text);
	}
	return 0;
}

static void
get_all(const struct target *t, int as_json)
{
	AUTO_LEAVES struct edit_leaves leaves = { 0 };
	json_auto_t *all = json_object();

	for (int d = 0; d < EDIT_DOCS; d++)
		if (t->docs.doc[d] != NULL)
			(void)json_object_set(all, edit_doc_name((enum edit_doc)d), t->docs.doc[d]);
	if (as_json) {
		(void)json_object_set_new(all, "app", json_string(t->app));
		(void)json_object_set_new(all, "cluster", json_string(t->cluster));
		(void)json_object_set_new(all, "index", json_integer(intent_index(t)));
		intent_print_json(all);
		return;
	}
	edit_flatten(&t->docs, &leaves);
	for (size_t i = 0; i < leaves.n; i++) {
		AUTO_FREE char *line = edit_show_leaf(&leaves.v[i]);

		printf("%s\n", line);
	}
}

int
intent_get(struct intent_run *run, struct err *e)
{
	AUTO_TARGET struct target t = { 0 };
	int as_json = settings_flag(run->settings, "json");

	if (target_read(run->store, run->operands.items[0], &t, e) < 0 ||
	    intent_require_some(run, &t, e) < 0)
		return -1;
	if (run->operands.n > 1)
		return get_path(&t, run->operands.items[1], as_json, e);
	get_all(&t, as_json);
	return 0;
}

/* ---- diff ---- */

static int
docs_of_file(const char *path, struct edit_docs *docs, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	json_auto_t *json = NULL;

	if (file_read_path(path, FILE_MAX, &text, e) < 0)
		return -1;
	json = intent_parse(path, text.data, text.n, e);
	if (json == NULL)
		return -1;
	return edit_from_json(json, docs, e) < 0 ? err_wrap(e, "%s", path) : 0;
}

/* A file, rather than APP/CLUSTER: "-", one that says so by its form, or one that is there. */
static int
is_file(const char *text)
{
	size_t n = strlen(text);
	struct stat st;

	return text[0] == '-' || text[0] == '.' || text[0] == '/' ||
	    (n > 5 && strcmp(text + n - 5, ".json") == 0) ||
	    (stat(text, &st) == 0 && !S_ISDIR(st.st_mode));
}

static int
print_diff(const struct intent_run *run, const struct edit_docs *from, const struct edit_docs *to,
    struct err *e)
{
	AUTO_BUF struct buf lines = { 0 };
	json_auto_t *patch = json_array();
	struct edit_look look;
	size_t n;

	if (intent_look(run, &look, e) < 0)
		return -1;
	n = edit_diff(from, to, &look, &lines);
	for (int d = 0; d < EDIT_DOCS; d++) {
		json_auto_t *delta = patch_delta(from->doc[d], to->doc[d]);
		AUTO_FREE char *base = xasprintf("/%s", edit_doc_name((enum edit_doc)d));

		patch_add_rfc6902(patch, base, delta, look.secrets);
	}
	if (settings_flag(run->settings, "json"))
		intent_print_json(patch);
	else if (n > 0)
		(void)fwrite(lines.data, 1, lines.n, stdout);
	return n > 0 ? INTENT_DIFFERS : 0;
}

static int
diff_other(struct intent_run *run, const char *other, struct err *e)
{
	AUTO_TARGET struct target a = { 0 }, b = { 0 };
	AUTO_DOCS struct edit_docs from = { { NULL } }, to = { { NULL } };
	int file = is_file(other);

	if (target_read(run->store, run->operands.items[0], &a, e) < 0 ||
	    intent_require_some(run, &a, e) < 0)
		return -1;
	if (file && docs_of_file(other, &to, e) < 0)
		return -1;
	if (!file &&
	    (target_read(run->store, other, &b, e) < 0 || intent_require_some(run, &b, e) < 0))
		return -1;
	if (!file)
		to = edit_docs_copy(&b.docs);
	from = edit_docs_copy(&a.docs);
	/* A file speaks only of the documents that it holds. */
	for (int d = 0; file && d < EDIT_DOCS; d++)
		if (to.doc[d] == NULL && from.doc[d] != NULL) {
			json_decref(from.doc[d]);
			from.doc[d] = NULL;
		}
	return print_diff(run, &from, &to, e);
}

/* "7", or "7..9". */
static int
parse_revs(const char *text, const struct history *h, long long *from, long long *to, struct err *e)
{
	size_t n = strspn(text, "0123456789");
	const char *rest = text + n;
	size_t m = strncmp(rest, "..", 2) == 0 ? strspn(rest + 2, "0123456789") : 0;

	*to = history_newest(h);
	if (n == 0 || n > REV_DIGITS || m > REV_DIGITS ||
	    (*rest != '\0' && (m == 0 || rest[2 + m])))
		return err_set(e, ERR_USAGE, "--rev=%s: write a revision, or two like 7..9", text);
	*from = strtoll(text, NULL, 10);
	if (*rest != '\0')
		*to = strtoll(rest + 2, NULL, 10);
	if (*from > history_newest(h) || *to > history_newest(h))
		return err_set(e, ERR_DATA, "--rev=%s: the newest revision is %lld", text,
		    history_newest(h));
	return 0;
}

/* The documents as they were when `rev` was the newest revision. */
static int
state_at(struct intent_run *run, const struct target *t, const struct strv *keys, long long newest,
    long long rev, struct change *c, struct err *e)
{
	AUTO_HISTORY struct history h = { 0 };

	if (history_snapshot(run->store, t->app, t->cluster, keys, &h, c, e) < 0)
		return -1;
	if (history_newest(&h) != newest)
		return err_set(e, ERR_BUSY, "revision %lld came in between, try again",
		    history_newest(&h));
	return rev == newest ? 0 : history_rewind(&h, newest, rev, c, e);
}

static int
diff_revs(struct intent_run *run, const char *revs, struct err *e)
{
	AUTO_CHANGE struct change was = { 0 }, is = { 0 }, both = { 0 };
	AUTO_HISTORY struct history h = { 0 };
	AUTO_TARGET struct target t = { 0 };
	AUTO_STRV struct strv keys = { 0 };
	long long from = 0, to = 0, newest;

	if (target_read(run->store, run->operands.items[0], &t, e) < 0 ||
	    history_read(run->store, t.app, t.cluster, &h, e) < 0 ||
	    parse_revs(revs, &h, &from, &to, e) < 0)
		return -1;
	newest = history_newest(&h);
	for (int d = 0; d < EDIT_DOCS; d++)
		strv_add(&keys, xstrdup(t.key[d]));
	if (history_keys(&h, from < to ? from : to, &keys, e) < 0 ||
	    state_at(run, &t, &keys, newest, from, &was, e) < 0 ||
	    state_at(run, &t, &keys, newest, to, &is, e) < 0)
		return -1;
	for (size_t i = 0; i < was.n; i++)
		(void)change_add(&both, was.v[i].key, json_incref(was.v[i].after), 0,
		    json_incref(is.v[i].after));
	if (intent_print(run, &both, NULL, e) < 0)
		return -1;
	return change_count(&both) > 0 ? INTENT_DIFFERS : 0;
}

int
intent_diff(struct intent_run *run, struct err *e)
{
	const char *revs = settings_text(run->settings, "rev");

	if ((run->operands.n == 2) == (revs != NULL))
		return err_set(e, ERR_USAGE,
		    "usage: pp intent diff APP[/CLUSTER] FILE|APP/CLUSTER|--rev=N[..M]");
	return revs != NULL ? diff_revs(run, revs, e) : diff_other(run, run->operands.items[1], e);
}
