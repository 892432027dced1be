#include "lib/intent/patch.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/intent/secret.h"

#define DEPTH_MAX 2048 /* as deep as jansson reads */

char *
patch_escape(const char *name)
{
	struct buf out = { 0 };

	for (; *name != '\0'; name++) {
		if (*name == '~')
			buf_add(&out, "~0", 2);
		else if (*name == '/')
			buf_add(&out, "~1", 2);
		else
			buf_add(&out, name, 1);
	}
	buf_add(&out, "", 0);
	return out.data;
}

static void
unescape(char *part)
{
	char *to = part;

	for (; *part != '\0'; part++) {
		if (part[0] == '~' && (part[1] == '0' || part[1] == '1'))
			*to++ = *++part == '0' ? '~' : '/';
		else
			*to++ = *part;
	}
	*to = '\0';
}

static void
add_entry(json_t *delta, const char *path, const json_t *before, const json_t *after)
{
	json_t *entry = json_pack("{s:s}", "path", path);

	if (before != NULL)
		(void)json_object_set(entry, "before", (json_t *)before);
	if (after != NULL)
		(void)json_object_set(entry, "after", (json_t *)after);
	(void)json_array_append_new(delta, entry);
}

/* The names of both objects, each once, sorted. */
static void
list_names(const json_t *a, const json_t *b, struct strv *names)
{
	const json_t *value;
	const char *name;

	json_object_foreach((json_t *)a, name, value)
		strv_add(names, xstrdup(name));
	json_object_foreach((json_t *)b, name, value)
		if (json_object_get(a, name) == NULL)
			strv_add(names, xstrdup(name));
	strv_sort(names);
}

static void
compare(json_t *delta, const char *path, const json_t *before, const json_t *after)
{
	AUTO_STRV struct strv names = { 0 };

	if (before == NULL && after == NULL)
		return;
	if (!json_is_object(before) || !json_is_object(after)) {
		if (before == NULL || after == NULL || !json_equal(before, after))
			add_entry(delta, path, before, after);
		return;
	}
	list_names(before, after, &names);
	for (size_t i = 0; i < names.n; i++) {
		AUTO_FREE char *name = patch_escape(names.items[i]);
		AUTO_FREE char *below = xasprintf("%s/%s", path, name);

		compare(delta, below, json_object_get(before, names.items[i]),
		    json_object_get(after, names.items[i]));
	}
}

json_t *
patch_delta(const json_t *before, const json_t *after)
{
	json_t *delta = json_array();

	compare(delta, "", before, after);
	return delta;
}

void
patch_elide(json_t *delta)
{
	json_t *entry;
	size_t i;

	json_array_foreach(delta, i, entry) {
		if (json_object_get(entry, "after") == NULL)
			continue;
		(void)json_object_del(entry, "after");
		(void)json_object_set_new(entry, "elided", json_true());
	}
}

/* The object that holds the last part of a path; objects on the way are made. NULL with *e set. */
static json_t *
find_parent(json_t **doc, const struct strv *parts, const char *path, struct err *e)
{
	json_t *at;

	if (*doc == NULL)
		*doc = json_object();
	at = *doc;
	for (size_t i = 1; i + 1 < parts->n; i++) {
		json_t *next = json_object_get(at, parts->items[i]);

		if (next == NULL) {
			next = json_object();
			(void)json_object_set_new(at, parts->items[i], next);
		}
		if (!json_is_object(next)) {
			err_set(e, ERR_DATA, "%s: what is above it is no object any more", path);
			return NULL;
		}
		at = next;
	}
	return at;
}

/* Set what is at a path, or with NULL remove it. */
static int
put(json_t **doc, const char *path, const json_t *value, struct err *e)
{
	AUTO_STRV struct strv parts = { 0 };
	json_t *parent;

	if (path[0] == '\0') {
		json_decref(*doc);
		*doc = json_deep_copy(value);
		return 0;
	}
	if (path[0] != '/')
		return err_set(e, ERR_DATA, "%s: not a path", path);
	if (value == NULL && *doc == NULL)
		return 0;
	strv_split(&parts, path, '/');
	if (parts.n > DEPTH_MAX)
		return err_set(e, ERR_DATA, "a path of more than %d parts", DEPTH_MAX);
	for (size_t i = 0; i < parts.n; i++)
		unescape(parts.items[i]);
	parent = find_parent(doc, &parts, path, e);
	if (parent == NULL)
		return -1;
	if (value == NULL)
		(void)json_object_del(parent, parts.items[parts.n - 1]);
	else
		(void)json_object_set_new(parent, parts.items[parts.n - 1], json_deep_copy(value));
	return 0;
}

/* The value at a path; NULL if there is none. */
static const json_t *
look(const json_t *doc, const char *path)
{
	AUTO_STRV struct strv parts = { 0 };

	strv_split(&parts, path, '/');
	for (size_t i = 1; i < parts.n; i++) {
		unescape(parts.items[i]);
		doc = json_object_get(doc, parts.items[i]);
	}
	return doc;
}

static const char *
path_of(const json_t *entry, struct err *e)
{
	const char *path = json_string_value(json_object_get(entry, "path"));

	if (path == NULL)
		err_set(e, ERR_DATA, "a change without a path");
	return path;
}

int
patch_undo(json_t **doc, const json_t *delta, struct err *e)
{
	for (size_t i = json_array_size(delta); i > 0; i--) {
		const json_t *entry = json_array_get(delta, i - 1);
		const char *path = path_of(entry, e);

		if (path == NULL || put(doc, path, json_object_get(entry, "before"), e) < 0)
			return -1;
	}
	if (*doc != NULL && !json_is_object(*doc))
		return err_set(e, ERR_DATA, "it would become something else than an object");
	return 0;
}

int
patch_redo(json_t **doc, const json_t *delta, const json_t *now, struct err *e)
{
	for (size_t i = 0; i < json_array_size(delta); i++) {
		const json_t *entry = json_array_get(delta, i);
		const char *path = path_of(entry, e);
		const json_t *after = json_object_get(entry, "after");

		if (path == NULL)
			return -1;
		if (json_is_true(json_object_get(entry, "elided")))
			after = look(now, path);
		if (put(doc, path, after, e) < 0)
			return -1;
	}
	return 0;
}

void
patch_add_rfc6902(json_t *patch, const char *base, const json_t *delta, int secrets)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(delta, i, entry) {
		const char *path = json_string_value(json_object_get(entry, "path"));
		const json_t *before = json_object_get(entry, "before");
		const json_t *after = json_object_get(entry, "after");
		AUTO_FREE char *full = path ? xasprintf("%s%s", base, path) : NULL;
		int elided = json_is_true(json_object_get(entry, "elided"));
		json_t *op;

		if (full == NULL)
			continue;
		op = json_pack("{s:s,s:s}", "op",
		    after == NULL && !elided ? "remove" :
			before == NULL       ? "add" :
					       "replace",
		    "path", full);
		if (after != NULL)
			(void)json_object_set_new(op, "value",
			    secrets ? json_deep_copy(after) : secret_mask(after, path));
		else if (elided)
			(void)json_object_set_new(op, "value", json_string(PATCH_ELIDED));
		(void)json_array_append_new(patch, op);
	}
}
