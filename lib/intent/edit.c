#include "lib/intent/edit.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/fs/path.h"
#include "lib/intent/intent.h"

#define DIGITS_MAX 15
#define SHORT_REAL 15 /* digits that any decimal number of so many survives */
#define RENDER_FLAGS (JSON_INDENT(2) | JSON_SORT_KEYS)

/* How the text after "key=" becomes JSON. */
enum form {
	FORM_VERSIONS,
	FORM_DIGESTS,
	FORM_FREE,
	FORM_NUMBER,
	FORM_PORTS,
	FORM_TEXT,
	FORM_TIME,
	FORM_NAMES,
	FORM_PARTS,
	FORM_TEXTS
};

/* Everything a person may set, and where it goes. */
static const struct key {
	const char *name;
	enum edit_doc doc;
	enum form form;
} keys[] = {
	{ "versions", EDIT_CONFIG, FORM_VERSIONS },
	{ "digests", EDIT_CONFIG, FORM_DIGESTS },
	{ "min_nodes", EDIT_CONFIG, FORM_NUMBER },
	{ "canary", EDIT_CONFIG, FORM_NUMBER },
	{ "on_failure", EDIT_CONFIG, FORM_TEXT },
	{ "user_config", EDIT_CONFIG, FORM_FREE },
	{ "basedir", EDIT_DEPLOY_CONFIG, FORM_TEXT },
	{ "ports", EDIT_DEPLOY_CONFIG, FORM_PORTS },
	{ "runas", EDIT_DEPLOY_CONFIG, FORM_TEXT },
	{ "owner", EDIT_DEPLOY_CONFIG, FORM_TEXT },
	{ "supervisor", EDIT_DEPLOY_CONFIG, FORM_TEXT },
	{ "start_timeout", EDIT_DEPLOY_CONFIG, FORM_TIME },
	{ "stop_timeout", EDIT_DEPLOY_CONFIG, FORM_TIME },
	{ "drain", EDIT_DEPLOY_CONFIG, FORM_TIME },
	{ "settle", EDIT_DEPLOY_CONFIG, FORM_TIME },
	{ "restart", EDIT_DEPLOY_CONFIG, FORM_TEXT },
	{ "check", EDIT_DEPLOY_CONFIG, FORM_PARTS },
	{ "limits", EDIT_DEPLOY_CONFIG, FORM_PARTS },
	{ "env", EDIT_DEPLOY_CONFIG, FORM_TEXTS },
	{ "email", EDIT_OWNERS, FORM_TEXT },
	{ "users", EDIT_OWNERS, FORM_NAMES },
	{ "groups", EDIT_OWNERS, FORM_NAMES },
};

const char *
edit_doc_name(enum edit_doc doc)
{
	static const char *const names[EDIT_DOCS] = { "config", "deploy_config", "owners" };

	return names[doc];
}

char *
edit_doc_key(enum edit_doc doc, const char *app, const char *cluster)
{
	if (doc == EDIT_OWNERS)
		return xasprintf("owners/%s", app);
	return xasprintf("clusters/%s/%s/%s", app, cluster, edit_doc_name(doc));
}

/* The entry for "versions.def", and *rest "def", or NULL where the key stands alone. */
static const struct key *
find_key(const char *path, const char **rest, struct err *e)
{
	AUTO_BUF struct buf known = { 0 };
	size_t n = strcspn(path, ".");

	for (size_t i = 0; i < MEM_COUNT(keys); i++) {
		if (strlen(keys[i].name) == n && memcmp(keys[i].name, path, n) == 0) {
			*rest = path[n] == '.' ? path + n + 1 : NULL;
			return &keys[i];
		}
		buf_printf(&known, "%s%s", i ? ", " : "", keys[i].name);
	}
	err_set(e, ERR_DATA, "\"%.*s\": no such key; there are %s", (int)n, path, known.data);
	return NULL;
}

int
edit_is_key(enum edit_doc doc, const char *name)
{
	for (size_t i = 0; i < MEM_COUNT(keys); i++)
		if (keys[i].doc == doc && strcmp(keys[i].name, name) == 0)
			return 1;
	return 0;
}

const char *
edit_key_name(size_t i)
{
	return i < MEM_COUNT(keys) ? keys[i].name : NULL;
}

static json_t *
names_from_text(const char *text)
{
	AUTO_STRV struct strv parts = { 0 };
	json_t *list = json_array();

	strv_split(&parts, text, ',');
	for (size_t i = 0; i < parts.n; i++)
		if (parts.items[i][0] != '\0')
			(void)json_array_append_new(list, json_string(parts.items[i]));
	return list;
}

static json_t *
port_from_text(const char *text)
{
	size_t n = strcspn(text, "/");
	int number = n > 0 && n <= 5 && strspn(text, "0123456789") == n;
	json_t *port = number ? json_integer(strtol(text, NULL, 10)) : json_stringn(text, n);

	if (text[n] == '\0' || strcmp(text + n, "/tcp") == 0)
		return number || text[n] == '\0' ? port : json_pack("{s:o}", "port", port);
	return json_pack("{s:o,s:s}", "port", port, "protocol", text + n + 1);
}

static json_t *
ports_from_text(const char *text)
{
	AUTO_STRV struct strv parts = { 0 };
	json_t *list = json_array();

	strv_split(&parts, text, ',');
	for (size_t i = 0; i < parts.n; i++)
		if (parts.items[i][0] != '\0')
			(void)json_array_append_new(list, port_from_text(parts.items[i]));
	return list;
}

/* "abc:prep,def:active", or the same for digests, whose values hold a colon of their own. */
static json_t *
map_from_text(const char *key, const char *text, struct err *e)
{
	AUTO_STRV struct strv parts = { 0 };
	json_t *map = json_object();

	strv_split(&parts, text, ',');
	for (size_t i = 0; i < parts.n; i++) {
		char *colon = strchr(parts.items[i], ':');

		if (parts.items[i][0] == '\0' && parts.n == 1)
			break;
		if (colon == NULL) {
			err_set(e, ERR_DATA, "%s: \"%s\": write id:value, several with commas", key,
			    parts.items[i]);
			json_decref(map);
			return NULL;
		}
		*colon = '\0';
		if (json_object_get(map, parts.items[i]) != NULL) {
			err_set(e, ERR_DATA, "%s: %s is there twice", key, parts.items[i]);
			json_decref(map);
			return NULL;
		}
		(void)json_object_set_new(map, parts.items[i], json_string(colon + 1));
	}
	return map;
}

static json_t *
number_from_text(const char *key, const char *text, struct err *e)
{
	size_t n = strlen(text);

	if (n == 0 || n > 9 || strspn(text, "0123456789") != n) {
		err_set(e, ERR_DATA, "%s: \"%s\": write a whole number", key, text);
		return NULL;
	}
	return json_integer(strtol(text, NULL, 10));
}

/* Digits are a number, unless that would read otherwise than they are written. */
static json_t *
number_or_text(const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n > DIGITS_MAX || strspn(text, "0123456789") != n ||
	    (text[0] == '0' && n > 1))
		return json_string(text);
	return json_integer(strtoll(text, NULL, 10));
}

/* "limits.nofile=4096", "limits.memory=512M", "check.tcp=true"; "env.DEBUG=1" is text. */
static json_t *
part_from_text(const struct key *key, const char *rest, const char *text, struct err *e)
{
	if (rest == NULL) {
		err_set(e, ERR_DATA, "%s: it has parts; write %s.NAME=value for each, or %s:=JSON",
		    key->name, key->name, key->name);
		return NULL;
	}
	if (key->form == FORM_TEXTS)
		return json_string(text);
	if (strcmp(rest, "tcp") == 0 && strcmp(text, "true") == 0)
		return json_true();
	return number_or_text(text);
}

static json_t *
value_from_text(const struct key *key, const char *rest, const char *text, struct err *e)
{
	json_t *value = NULL;

	switch (key->form) {
	case FORM_VERSIONS:
	case FORM_DIGESTS:
		value = rest != NULL ? json_string(text) : map_from_text(key->name, text, e);
		break;
	case FORM_NUMBER:
		value = number_from_text(key->name, text, e);
		break;
	case FORM_PORTS:
		value = ports_from_text(text);
		break;
	case FORM_NAMES:
		value = names_from_text(text);
		break;
	case FORM_TIME:
		value = number_or_text(text);
		break;
	case FORM_PARTS:
	case FORM_TEXTS:
		value = part_from_text(key, rest, text, e);
		break;
	case FORM_FREE:
	case FORM_TEXT:
		value = json_string(text);
		break;
	}
	if (value == NULL && e->class == ERR_NONE)
		err_set(e, ERR_DATA, "%s: the value is not valid UTF-8", key->name);
	return value;
}

/* Put `value` (taken over; NULL removes) at a.b.c below `object`. */
static int
put_nested(json_t *object, const char *path, json_t *value, struct err *e)
{
	AUTO_STRV struct strv parts = { 0 };
	size_t last;

	strv_split(&parts, path, '.');
	last = parts.n - 1;
	for (size_t i = 0; i < parts.n; i++) {
		json_t *next;

		if (parts.items[i][0] == '\0') {
			json_decref(value);
			return err_set(e, ERR_DATA, "user_config.%s: a part of the name is empty",
			    path);
		}
		if (i == last)
			break;
		next = json_object_get(object, parts.items[i]);
		if (!json_is_object(next)) {
			if (value == NULL)
				return 0;
			next = json_object();
			(void)json_object_set_new(object, parts.items[i], next);
		}
		object = next;
	}
	if (value == NULL)
		(void)json_object_del(object, parts.items[last]);
	else if (json_object_set_new(object, parts.items[last], value) < 0)
		return err_set(e, ERR_DATA, "user_config.%s: not valid UTF-8", path);
	return 0;
}

/* The object that is at `name` in the document, made where there is none. */
static json_t *
own_object(json_t *doc, const char *name)
{
	json_t *object = json_object_get(doc, name);

	if (!json_is_object(object)) {
		object = json_object();
		(void)json_object_set_new(doc, name, object);
	}
	return object;
}

static void
demote_others(json_t *versions, const char *id)
{
	const char *other;
	json_t *state;

	json_object_foreach(versions, other, state)
		if (strcmp(other, id) != 0 && json_is_string(state) &&
		    strcmp(json_string_value(state), "active") == 0)
			(void)json_string_set(state, "prep");
}

static int
has_parts(enum form form)
{
	return form == FORM_VERSIONS || form == FORM_DIGESTS || form == FORM_PARTS ||
	    form == FORM_TEXTS;
}

/* Set (or with NULL remove) what is at a key of the documents; `value` is taken over. */
static int
put(struct edit_docs *docs, const struct key *key, const char *rest, json_t *value, struct err *e)
{
	json_t **doc = &docs->doc[key->doc];

	if (value == NULL && *doc == NULL)
		return 0;
	if (*doc == NULL)
		*doc = json_object();
	if (rest == NULL) {
		if (value == NULL)
			(void)json_object_del(*doc, key->name);
		else
			(void)json_object_set_new(*doc, key->name, value);
		return 0;
	}
	if (key->form == FORM_FREE)
		return put_nested(own_object(*doc, key->name), rest, value, e);
	if (!has_parts(key->form)) {
		json_decref(value);
		return err_set(e, ERR_DATA, "%s.%s: %s has no parts", key->name, rest, key->name);
	}
	if (value != NULL) {
		if (key->form == FORM_VERSIONS && json_is_string(value) &&
		    strcmp(json_string_value(value), "active") == 0)
			demote_others(own_object(*doc, key->name), rest);
		if (json_object_set_new(own_object(*doc, key->name), rest, value) < 0)
			return err_set(e, ERR_DATA, "%s.%s: not valid UTF-8", key->name, rest);
		return 0;
	}
	(void)json_object_del(json_object_get(*doc, key->name), rest);
	if (key->form == FORM_VERSIONS)
		(void)json_object_del(json_object_get(*doc, "digests"), rest);
	return 0;
}

int
edit_unset(struct edit_docs *docs, const char *path, struct err *e)
{
	const char *rest;
	const struct key *key = find_key(path, &rest, e);

	return key == NULL ? -1 : put(docs, key, rest, NULL, e);
}

int
edit_apply(struct edit_docs *docs, const char *change, struct err *e)
{
	const char *equals = strchr(change, '='), *rest;
	size_t n = strlen(change);
	AUTO_FREE char *path = NULL;
	const struct key *key;
	json_t *value;
	int raw;

	if (equals == NULL) {
		if (n < 2 || change[n - 1] != '-')
			return err_set(e, ERR_USAGE,
			    "\"%s\": write key=value, key:=JSON, or key- to remove", change);
		path = xmemdup(change, n - 1);
		return edit_unset(docs, path, e);
	}
	raw = equals > change && equals[-1] == ':';
	path = xmemdup(change, (size_t)(equals - change) - (raw ? 1 : 0));
	key = find_key(path, &rest, e);
	if (key == NULL)
		return -1;
	if (raw) {
		json_error_t at;

		value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
		if (value == NULL)
			return err_set(e, ERR_DATA, "%s: not JSON: column %d: %s", path, at.column,
			    at.text);
	} else {
		value = value_from_text(key, rest, equals + 1, e);
	}
	return value == NULL ? -1 : put(docs, key, rest, value, e);
}

static int
check_active_kept(const struct edit_docs *old, const struct intent_app *now, struct err *e)
{
	const json_t *was = json_object_get(old->doc[EDIT_CONFIG], "versions"), *state;
	const char *id;

	json_object_foreach((json_t *)was, id, state) {
		int kept = 0;

		if (!json_is_string(state) || strcmp(json_string_value(state), "active") != 0)
			continue;
		for (size_t i = 0; i < now->nversions; i++)
			kept |= strcmp(now->versions[i].id, id) == 0;
		if (!kept && intent_active(now) == NULL)
			return err_set(e, ERR_DATA,
			    "versions.%s is the active version and cannot be "
			    "removed; activate another one first, or stop it by versions.%s=prep",
			    id, id);
	}
	return 0;
}

static int
check_docs(const struct edit_docs *old, const struct edit_docs *docs, struct intent_app *app,
    struct err *e)
{
	const json_t *const *doc = (const json_t *const *)docs->doc;

	if (doc[EDIT_CONFIG] != NULL && intent_take_config(doc[EDIT_CONFIG], app, e) < 0)
		return -1;
	if (doc[EDIT_CONFIG] != NULL && check_active_kept(old, app, e) < 0)
		return -1;
	if (doc[EDIT_DEPLOY_CONFIG] != NULL &&
	    intent_take_deploy_config(doc[EDIT_DEPLOY_CONFIG], app, e) < 0)
		return -1;
	if (doc[EDIT_OWNERS] != NULL && intent_take_owners(doc[EDIT_OWNERS], &app->owners, e) < 0)
		return -1;
	return 0;
}

int
edit_check(const struct edit_docs *old, const struct edit_docs *docs, const char *name,
    const char *cluster, struct err *e)
{
	struct intent_app app = { .name = xstrdup(name) };
	int r = check_docs(old, docs, &app, e);

	intent_app_release(&app);
	return r < 0 ? err_wrap(e, "%s/%s", name, cluster) : 0;
}

int
edit_from_json(const json_t *json, struct edit_docs *docs, struct err *e)
{
	json_t *value;
	const char *name, *rest;
	int wrapped = 0;

	for (int d = 0; d < EDIT_DOCS; d++) {
		json_t *doc = json_object_get(json, edit_doc_name((enum edit_doc)d));

		if (doc != NULL && !json_is_object(doc) && !json_is_null(doc))
			return err_set(e, ERR_DATA, "%s: it must be an object",
			    edit_doc_name((enum edit_doc)d));
		wrapped |= doc != NULL;
		docs->doc[d] = json_is_object(doc) ? json_deep_copy(doc) : NULL;
	}
	if (wrapped)
		return 0;
	json_object_foreach((json_t *)json, name, value) {
		const struct key *key = find_key(name, &rest, e);

		if (key == NULL)
			return -1;
		if (put(docs, key, NULL, json_deep_copy(value), e) < 0)
			return -1;
	}
	return 0;
}

char *
edit_dump(const json_t *value, size_t flags)
{
	char *text = json_dumps(value, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(SHORT_REAL));
	json_auto_t *again = json_loads(text ? text : "", JSON_DECODE_ANY, NULL);

	if (text != NULL && json_equal(again, value))
		return text;
	free(text);
	return json_dumps(value, flags | JSON_ENCODE_ANY);
}

char *
edit_render(const json_t *doc)
{
	AUTO_FREE char *text = edit_dump(doc, RENDER_FLAGS);

	return xasprintf("%s\n", text ? text : "{}");
}

struct edit_docs
edit_docs_copy(const struct edit_docs *docs)
{
	struct edit_docs copy;

	for (int d = 0; d < EDIT_DOCS; d++)
		copy.doc[d] = json_deep_copy(docs->doc[d]);
	return copy;
}

void
edit_docs_release(struct edit_docs *docs)
{
	for (int d = 0; d < EDIT_DOCS; d++) {
		json_decref(docs->doc[d]);
		docs->doc[d] = NULL;
	}
}
