#include "lib/intent/parse.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/fs/path.h"

#define DIGEST_HEX 64
#define VERSIONS_MAX 1000
#define NODES_MAX 1000000
#define CANARY_MAX 10000
#define SECONDS_MAX (366 * 86400.0)

json_t *
intent_parse(const char *key, const char *text, size_t len, struct err *e)
{
	json_error_t at;
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);

	if (doc == NULL) {
		err_set(e, ERR_DATA, "%s: line %d, column %d: %s", key, at.line, at.column,
		    at.text);
		return NULL;
	}
	if (!json_is_object(doc)) {
		json_decref(doc);
		err_set(e, ERR_DATA, "%s: it must be a JSON object", key);
		return NULL;
	}
	return doc;
}

json_t *
intent_parse_item(const struct store_item *item, struct err *e)
{
	if (item->fault == NULL)
		return intent_parse(item->key, item->value, item->len, e);
	(void)err_set(e, ERR_DATA, "%s: %s", item->key, item->fault);
	return NULL;
}

int
parse_choice(const json_t *doc, const char *field, const char *const *words, size_t *which,
    struct err *e)
{
	const json_t *value = json_object_get(doc, field);
	const char *text = json_string_value(value);
	AUTO_BUF struct buf known = { 0 };

	if (value == NULL)
		return 0;
	for (size_t i = 0; words[i] != NULL; i++) {
		if (text != NULL && strcmp(text, words[i]) == 0) {
			*which = i;
			return 0;
		}
		buf_printf(&known, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	}
	return err_set(e, ERR_DATA, "%s: it must be %s", field, known.data);
}

int
parse_whole(const json_t *value, const char *field, json_int_t min, json_int_t max,
    json_int_t *number, struct err *e)
{
	json_int_t n = json_integer_value(value);

	if (value == NULL)
		return 0;
	if (!json_is_integer(value) || n < min || n > max)
		return err_set(e, ERR_DATA,
		    "%s: it must be a whole number from %" JSON_INTEGER_FORMAT
		    " to %" JSON_INTEGER_FORMAT,
		    field, min, max);
	*number = n;
	return 0;
}

int
parse_duration(const json_t *value, const char *field, int64_t *ms, struct err *e)
{
	double seconds = json_number_value(value);

	if (value == NULL)
		return 0;
	if (json_is_string(value))
		return clock_parse_duration(json_string_value(value), ms, e) < 0 ?
		    err_wrap(e, "%s", field) :
		    0;
	if (!json_is_number(value) || !(seconds >= 0 && seconds <= SECONDS_MAX))
		return err_set(e, ERR_DATA, "%s: it must be a time, like 30 or \"1m30s\"", field);
	*ms = (int64_t)(seconds * 1000);
	return 0;
}

static int
is_digest(const char *s)
{
	if (strncmp(s, "sha256:", 7) != 0)
		return 0;
	s += 7;
	return strlen(s) == DIGEST_HEX && strspn(s, "0123456789abcdefABCDEF") == DIGEST_HEX;
}

static int
compare_versions(const void *a, const void *b)
{
	return strcmp(((const struct intent_version *)a)->id,
	    ((const struct intent_version *)b)->id);
}

static int
take_versions(const json_t *doc, struct intent_app *app, struct err *e)
{
	const json_t *versions = json_object_get(doc, "versions"), *value;
	const char *id, *active = NULL;

	if (versions == NULL)
		return 0;
	if (!json_is_object(versions) || json_object_size(versions) > VERSIONS_MAX)
		return err_set(e, ERR_DATA,
		    "versions: it must be an object of at most %d versions, "
		    "like {\"abc\": \"active\"}",
		    VERSIONS_MAX);
	app->versions = xcalloc(json_object_size(versions), sizeof *app->versions);
	json_object_foreach((json_t *)versions, id, value) {
		const char *how = json_string_value(value);

		if (!path_is_name(id))
			return err_set(e, ERR_DATA,
			    "versions.%s: that is no version; use letters, digits, . _ and -", id);
		if (how == NULL || (strcmp(how, "active") != 0 && strcmp(how, "prep") != 0))
			return err_set(e, ERR_DATA, "versions.%s: it must be active or prep", id);
		if (how[0] == 'a' && active != NULL)
			return err_set(e, ERR_DATA,
			    "versions: both %s and %s are active; only one can be", active, id);
		if (how[0] == 'a')
			active = id;
		app->versions[app->nversions].id = xstrdup(id);
		app->versions[app->nversions++].active = how[0] == 'a';
	}
	qsort(app->versions, app->nversions, sizeof *app->versions, compare_versions);
	return 0;
}

static int
take_digests(const json_t *doc, struct intent_app *app, struct err *e)
{
	const json_t *digests = json_object_get(doc, "digests"), *value;
	const char *id;

	if (digests == NULL)
		return 0;
	if (!json_is_object(digests))
		return err_set(e, ERR_DATA,
		    "digests: it must be an object, like {\"abc\": \"sha256:<64 hex digits>\"}");
	json_object_foreach((json_t *)digests, id, value) {
		const char *digest = json_string_value(value);

		if (digest == NULL || !is_digest(digest))
			return err_set(e, ERR_DATA,
			    "digests.%s: it must be sha256: and 64 hex digits", id);
		for (size_t i = 0; i < app->nversions; i++)
			if (strcmp(app->versions[i].id, id) == 0)
				app->versions[i].digest = xstrdup(digest);
	}
	return 0;
}

int
intent_take_config(const json_t *doc, struct intent_app *app, struct err *e)
{
	static const char *const outcomes[] = { "hold", "revert", NULL };
	json_t *user_config = json_object_get(doc, "user_config");
	json_int_t min_nodes = 0, canary = 1;
	size_t reverts = 0;

	if (take_versions(doc, app, e) < 0 || take_digests(doc, app, e) < 0 ||
	    parse_whole(json_object_get(doc, "min_nodes"), "min_nodes", 0, NODES_MAX, &min_nodes,
		e) < 0 ||
	    parse_whole(json_object_get(doc, "canary"), "canary", 1, CANARY_MAX, &canary, e) < 0 ||
	    parse_choice(doc, "on_failure", outcomes, &reverts, e) < 0)
		return -1;
	app->min_nodes = (int)min_nodes;
	app->canary = (int)canary;
	app->reverts = reverts != 0;
	if (user_config != NULL && !json_is_null(user_config)) {
		if (!json_is_object(user_config))
			return err_set(e, ERR_DATA, "user_config: it must be an object");
		app->user_config = json_incref(user_config);
	}
	return 0;
}

static int
take_names(const json_t *doc, const char *field, struct strv *names, struct err *e)
{
	const json_t *list = json_object_get(doc, field), *value;
	size_t i;

	if (list == NULL || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return err_set(e, ERR_DATA, "%s: it must be a list of names", field);
	json_array_foreach(list, i, value) {
		const char *name = json_string_value(value);

		if (name == NULL || !intent_is_user_name(name))
			return err_set(e, ERR_DATA,
			    "%s[%zu]: \"%s\" cannot be a name in sudoers: "
			    "letters, digits, . _ and -, not in capitals only",
			    field, i, name ? name : "?");
		strv_add(names, xstrdup(name));
	}
	return 0;
}

int
intent_take_owners(const json_t *doc, struct intent_owners *owners, struct err *e)
{
	owners->stated = 1;
	if (take_names(doc, "users", &owners->users, e) < 0)
		return -1;
	return take_names(doc, "groups", &owners->groups, e);
}

void
intent_owners_release(struct intent_owners *owners)
{
	strv_release(&owners->users);
	strv_release(&owners->groups);
	owners->stated = 0;
}

void
intent_app_release(struct intent_app *app)
{
	for (size_t i = 0; i < app->nversions; i++) {
		free(app->versions[i].id);
		free(app->versions[i].digest);
	}
	for (size_t i = 0; i < app->nports; i++)
		strv_release(&app->ports[i].from);
	free(app->versions);
	free(app->ports);
	json_decref(app->user_config);
	free(app->basedir);
	free(app->runas);
	free(app->supervisor);
	free(app->check.path);
	strv_release(&app->check.argv);
	strv_release(&app->env);
	free(app->reason);
	free(app->owners_reason);
	intent_owners_release(&app->owners);
	free(app->name);
	free(app->cluster);
	*app = (struct intent_app){ 0 };
}

const struct intent_version *
intent_active(const struct intent_app *app)
{
	for (size_t i = 0; i < app->nversions; i++)
		if (app->versions[i].active)
			return &app->versions[i];
	return NULL;
}

uint16_t
intent_tcp_port(const struct intent_app *app)
{
	for (size_t i = 0; i < app->nports; i++)
		if (app->ports[i].proto == INTENT_TCP)
			return app->ports[i].first;
	return 0;
}
