#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/intent/edit.h"
#include "lib/intent/secret.h"

/* Text that set would read as something else when bare: show it as JSON. */
static int
is_bare(const char *s, size_t len)
{
	json_error_t at;
	json_t *other;

	if (len == 0 || len != strlen(s) || isspace((unsigned char)s[0]) ||
	    isspace((unsigned char)s[len - 1]))
		return 0;
	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)s[i]))
			return 0;
	other = json_loads(s, JSON_DECODE_ANY, &at);
	json_decref(other);
	return other == NULL;
}

/* A list of plain words and numbers, the way ports= and users= take it; NULL if it is not one. */
static char *
show_list(const json_t *list)
{
	AUTO_STRV struct strv parts = { 0 };
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);

		if (json_is_integer(item))
			strv_add(&parts, xasprintf("%lld", (long long)json_integer_value(item)));
		else if (text != NULL && text[0] != '\0' && strpbrk(text, ", \"[]{}") == NULL &&
		    strlen(text) == json_string_length(item))
			strv_add(&parts, xstrdup(text));
		else
			return NULL;
	}
	return parts.n > 0 ? strv_join(&parts, ",") : NULL;
}

char *
edit_show(const json_t *value)
{
	char *list;

	if (value == NULL)
		return xstrdup("(none)");
	if (json_is_string(value) && is_bare(json_string_value(value), json_string_length(value)))
		return xstrdup(json_string_value(value));
	if (json_is_array(value) && (list = show_list(value)) != NULL)
		return list;
	return edit_dump(value, JSON_COMPACT | JSON_SORT_KEYS);
}

/* Lists that set takes in their short form. */
static int
is_short_list(const char *path)
{
	return strcmp(path, "ports") == 0 || strcmp(path, "users") == 0 ||
	    strcmp(path, "groups") == 0;
}

char *
edit_show_leaf(const struct edit_leaf *leaf)
{
	int number = json_is_integer(leaf->value) &&
	    (strcmp(leaf->path, "min_nodes") == 0 || strcmp(leaf->path, "canary") == 0);
	AUTO_FREE char *text = NULL;
	const char *sign = ":=";

	if (json_is_string(leaf->value) &&
	    is_bare(json_string_value(leaf->value), json_string_length(leaf->value)))
		sign = "=";
	if (number ||
	    (json_is_array(leaf->value) && is_short_list(leaf->path) &&
		(text = show_list(leaf->value)) != NULL))
		sign = "=";
	if (text == NULL && sign[0] == '=')
		text = edit_show(leaf->value);
	if (text == NULL)
		text = edit_dump(leaf->value, JSON_COMPACT | JSON_SORT_KEYS);
	return xasprintf("%s%s%s", leaf->path, sign, text);
}

/* An object of user_config that has a name which set could not take apart is shown whole. */
static int
opens(const json_t *object, const char *path)
{
	const json_t *child;
	const char *name;

	if (json_object_size(object) == 0)
		return 0;
	if (strncmp(path, "user_config", strlen("user_config")) != 0)
		return 1;
	json_object_foreach((json_t *)object, name, child)
		if (name[0] == '\0' || strpbrk(name, ".=:\n") != NULL)
			return 0;
	return 1;
}

static void
flatten(const json_t *value, const char *path, struct edit_leaves *leaves)
{
	const json_t *child;
	const char *name;

	if (json_is_object(value) && opens(value, path)) {
		json_object_foreach((json_t *)value, name, child) {
			AUTO_FREE char *below = xasprintf("%s%s%s", path, path[0] ? "." : "", name);

			flatten(child, below, leaves);
		}
		return;
	}
	if (path[0] == '\0')
		return;
	leaves->v = xreallocarray(leaves->v, leaves->n + 1, sizeof *leaves->v);
	leaves->v[leaves->n++] = (struct edit_leaf){ xstrdup(path), json_incref((json_t *)value) };
}

static int
compare_leaves(const void *a, const void *b)
{
	return strcmp(((const struct edit_leaf *)a)->path, ((const struct edit_leaf *)b)->path);
}

void
edit_flatten(const struct edit_docs *docs, struct edit_leaves *leaves)
{
	for (int d = 0; d < EDIT_DOCS; d++) {
		size_t from = leaves->n;

		if (docs->doc[d] != NULL)
			flatten(docs->doc[d], "", leaves);
		if (leaves->n > from)
			qsort(leaves->v + from, leaves->n - from, sizeof *leaves->v,
			    compare_leaves);
	}
}

void
edit_leaves_release(struct edit_leaves *leaves)
{
	for (size_t i = 0; i < leaves->n; i++) {
		free(leaves->v[i].path);
		json_decref(leaves->v[i].value);
	}
	free(leaves->v);
	*leaves = (struct edit_leaves){ 0 };
}

/* Text for a terminal: nothing in it may steer that. Caller frees. */
static char *
safe(const char *text)
{
	size_t room = 4 * strlen(text) + 1;
	char *out = xcalloc(room, 1);

	log_escape(out, room, text);
	return out;
}

static char *
show(const json_t *value, const char *path, const struct edit_look *look, const char *masked)
{
	int inside = !look->secrets && (json_is_object(value) || json_is_array(value));
	AUTO_FREE char *root = xasprintf("/%.*s", (int)strcspn(path, "."), path);
	json_auto_t *shown = NULL;
	AUTO_FREE char *text = NULL;

	if (value != NULL && !look->secrets && secret_is_path(path))
		return xstrdup(masked);
	/* In a value that is shown whole there may be names, too. */
	if (inside)
		shown = secret_mask(value, root);
	text = edit_show(inside ? shown : value);
	return safe(text);
}

static void
add_line(const struct edit_look *look, const char *path, const json_t *from, const json_t *to,
    struct buf *out)
{
	AUTO_FREE char *was = show(from, path, look, SECRET_MASK);
	AUTO_FREE char *is = show(to, path, look, from ? "(another secret)" : SECRET_MASK);
	AUTO_FREE char *name = safe(path);
	const char *prefix = look->prefix ? look->prefix : "";
	/* Of something that is shown whole only a masked part may differ. */
	const char *more = strcmp(was, is) == 0 ? " (a secret in it is another one)" : "";

	if (look->color)
		buf_printf(out, "%s%s: \033[31m%s\033[0m -> \033[32m%s\033[0m%s\n", prefix, name,
		    was, is, more);
	else
		buf_printf(out, "%s%s: %s -> %s%s\n", prefix, name, was, is, more);
}

static size_t
diff_leaves(const struct edit_leaves *from, const struct edit_leaves *to,
    const struct edit_look *look, struct buf *out)
{
	size_t i = 0, k = 0, lines = 0;

	while (i < from->n || k < to->n) {
		int order = i == from->n ? 1 :
		    k == to->n           ? -1 :
					   strcmp(from->v[i].path, to->v[k].path);
		const struct edit_leaf *a = order <= 0 ? &from->v[i++] : NULL;
		const struct edit_leaf *b = order >= 0 ? &to->v[k++] : NULL;

		if (a != NULL && b != NULL && json_equal(a->value, b->value))
			continue;
		add_line(look, a ? a->path : b->path, a ? a->value : NULL, b ? b->value : NULL,
		    out);
		lines++;
	}
	return lines;
}

size_t
edit_diff_doc(const char *name, const json_t *from, const json_t *to, const struct edit_look *look,
    struct buf *out)
{
	AUTO_LEAVES struct edit_leaves a = { 0 }, b = { 0 };
	struct edit_docs one = { { NULL } }, other = { { NULL } };
	size_t lines;

	one.doc[0] = (json_t *)from;
	other.doc[0] = (json_t *)to;
	edit_flatten(&one, &a);
	edit_flatten(&other, &b);
	lines = diff_leaves(&a, &b, look, out);
	/* Documents without any leaf are still there or not. */
	if (lines == 0 && (from == NULL || to == NULL) && from != to) {
		add_line(look, name, from, to, out);
		lines++;
	}
	return lines;
}

size_t
edit_diff(const struct edit_docs *from, const struct edit_docs *to, const struct edit_look *look,
    struct buf *out)
{
	size_t lines = 0;

	for (int d = 0; d < EDIT_DOCS; d++)
		lines += edit_diff_doc(edit_doc_name((enum edit_doc)d), from->doc[d], to->doc[d],
		    look, out);
	return lines;
}

/* Names may hold dots (version 1.2.3), so take the longest that is there. */
static const json_t *
find_below(const json_t *object, const char *path)
{
	const char *end = path + strlen(path);

	for (;;) {
		AUTO_FREE char *name = xmemdup(path, (size_t)(end - path));
		const json_t *value = json_object_get(object, name);

		if (value != NULL)
			return *end == '\0' ? value : find_below(value, end + 1);
		do {
			if (end == path)
				return NULL;
			end--;
		} while (*end != '.');
	}
}

const json_t *
edit_find(const struct edit_docs *docs, const char *path)
{
	const json_t *value = NULL;

	for (int d = 0; d < EDIT_DOCS && value == NULL; d++)
		value = find_below(docs->doc[d], path);
	return value;
}
