#include <arpa/inet.h>

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/fs/path.h"
#include "lib/intent/intent.h"

#define DIGEST_HEX 64
#define VERSIONS_MAX 1000
#define PORTS_MAX 1000
#define NODES_MAX 1000000
#define USER_NAME_MAX 64

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

/* Seconds as a number, or text as clock_parse_duration() takes it. */
static int
take_duration(const json_t *doc, const char *field, int64_t *ms, struct err *e)
{
	const json_t *value = json_object_get(doc, field);
	double seconds;

	if (value == NULL)
		return 0;
	if (json_is_string(value))
		return clock_parse_duration(json_string_value(value), ms, e) < 0 ?
		    err_wrap(e, "%s", field) :
		    0;
	seconds = json_number_value(value);
	if (!json_is_number(value) || !(seconds >= 0 && seconds <= 86400 * 366.0))
		return err_set(e, ERR_DATA, "%s: it must be a time, like 30 or \"1m30s\"", field);
	*ms = (int64_t)(seconds * 1000);
	return 0;
}

int
intent_take_config(const json_t *doc, struct intent_app *app, struct err *e)
{
	json_t *min_nodes = json_object_get(doc, "min_nodes");
	json_t *user_config = json_object_get(doc, "user_config");

	if (take_versions(doc, app, e) < 0 || take_digests(doc, app, e) < 0)
		return -1;
	if (min_nodes != NULL) {
		json_int_t n = json_integer_value(min_nodes);

		if (!json_is_integer(min_nodes) || n < 0 || n > NODES_MAX)
			return err_set(e, ERR_DATA,
			    "min_nodes: it must be a whole number from 0 to %d", NODES_MAX);
		app->min_nodes = (int)n;
	}
	if (user_config != NULL && !json_is_null(user_config)) {
		if (!json_is_object(user_config))
			return err_set(e, ERR_DATA, "user_config: it must be an object");
		app->user_config = json_incref(user_config);
	}
	return 0;
}

static int
parse_number(const char **at, long *number)
{
	if (!isdigit((unsigned char)**at))
		return -1;
	for (*number = 0; isdigit((unsigned char)**at); (*at)++) {
		*number = *number * 10 + (**at - '0');
		if (*number > 65535)
			return -1;
	}
	return 0;
}

static int
parse_port_numbers(const json_t *value, struct intent_port *port, struct err *e)
{
	const char *text = json_string_value(value);
	long first = 0, last = 0;
	int good = 0;

	if (json_is_integer(value)) {
		json_int_t n = json_integer_value(value);

		good = n >= 1 && n <= 65535;
		first = last = good ? (long)n : 0;
	} else if (text != NULL) {
		good = parse_number(&text, &first) == 0;
		last = first;
		if (good && *text == '-') {
			text++;
			good = parse_number(&text, &last) == 0;
		}
		good = good && *text == '\0' && first >= 1 && first <= last;
	}
	if (!good)
		return err_set(e, ERR_DATA,
		    "a port is a number from 1 to 65535 or a range like \"8000-8010\"");
	port->first = (uint16_t)first;
	port->last = (uint16_t)last;
	return 0;
}

static int
is_network(const char *text)
{
	AUTO_FREE char *address = xmemdup(text, strcspn(text, "/"));
	const char *at = strchr(text, '/');
	unsigned char bytes[sizeof(struct in6_addr)];
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;
	long bits = 0;

	if (inet_pton(family, address, bytes) != 1)
		return 0;
	if (at == NULL)
		return 1;
	at++;
	return parse_number(&at, &bits) == 0 && *at == '\0' &&
	    bits <= (family == AF_INET ? 32 : 128);
}

static int
take_from(const json_t *from, struct intent_port *port, struct err *e)
{
	const json_t *value;
	size_t i;

	if (from == NULL)
		return 0;
	if (!json_is_array(from) || json_array_size(from) == 0)
		return err_set(e, ERR_DATA,
		    "from: it must be a list of networks, like "
		    "[\"10.0.0.0/8\"]; leave it out to let everybody in");
	json_array_foreach(from, i, value) {
		const char *text = json_string_value(value);

		if (text == NULL || !is_network(text))
			return err_set(e, ERR_DATA,
			    "from: \"%s\" is no network; write an address "
			    "or a CIDR block like 10.0.0.0/8",
			    text ? text : "?");
		strv_add(&port->from, xstrdup(text));
	}
	return 0;
}

int
intent_parse_port(const json_t *value, struct intent_port *port, struct err *e)
{
	const char *proto;

	*port = (struct intent_port){ .proto = INTENT_TCP };
	if (!json_is_object(value))
		return parse_port_numbers(value, port, e);
	if (parse_port_numbers(json_object_get(value, "port"), port, e) < 0)
		return -1;
	if (json_object_get(value, "protocol") != NULL) {
		proto = json_string_value(json_object_get(value, "protocol"));
		if (proto == NULL || (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0))
			return err_set(e, ERR_DATA, "protocol: it must be tcp or udp");
		port->proto = proto[0] == 'u' ? INTENT_UDP : INTENT_TCP;
	}
	return take_from(json_object_get(value, "from"), port, e);
}

/* A port that is open to everybody twice is a slip, and firewalls refuse it. */
static int
check_overlap(const struct intent_app *app, struct err *e)
{
	for (size_t i = 1; i < app->nports; i++)
		for (size_t k = 0; k < i; k++) {
			const struct intent_port *a = &app->ports[k], *b = &app->ports[i];

			if (a->proto == b->proto && a->first <= b->last && b->first <= a->last &&
			    a->from.n == 0 && b->from.n == 0)
				return err_set(e, ERR_DATA, "ports: %u/%s is there twice",
				    a->first > b->first ? a->first : b->first,
				    a->proto == INTENT_UDP ? "udp" : "tcp");
		}
	return 0;
}

static int
take_ports(const json_t *doc, struct intent_app *app, struct err *e)
{
	const json_t *ports = json_object_get(doc, "ports"), *value;
	size_t i;

	if (ports == NULL)
		return 0;
	if (!json_is_array(ports) || json_array_size(ports) > PORTS_MAX)
		return err_set(e, ERR_DATA,
		    "ports: it must be a list of at most %d ports, like [1212, 1231]", PORTS_MAX);
	app->ports = xcalloc(json_array_size(ports), sizeof *app->ports);
	json_array_foreach(ports, i, value) {
		/* Counted first: a half-parsed one is released with the rest. */
		struct intent_port *port = &app->ports[app->nports++];

		if (intent_parse_port(value, port, e) < 0)
			return err_wrap(e, "ports[%zu]", i);
	}
	return check_overlap(app, e);
}

int
intent_is_user_name(const char *s)
{
	int lower = 0;
	size_t n;

	if (!isalnum((unsigned char)s[0]) && s[0] != '_')
		return 0;
	for (n = 0; s[n] != '\0'; n++) {
		unsigned char c = (unsigned char)s[n];

		if (!isalnum(c) && strchr("._-", c) == NULL)
			return 0;
		lower |= !isupper(c) && !isdigit(c) && c != '_';
	}
	return n <= USER_NAME_MAX && (lower || isdigit((unsigned char)s[0]) || s[0] == '_');
}

static int
take_name(const json_t *doc, const char *field, char **name, struct err *e)
{
	const json_t *value = json_object_get(doc, field);
	const char *text = json_string_value(value);

	if (value == NULL || json_is_null(value))
		return 0;
	if (text == NULL || !intent_is_user_name(text))
		return err_set(e, ERR_DATA,
		    "%s: it must be the name of a user, not in capitals only", field);
	*name = xstrdup(text);
	return 0;
}

/* Who may rewrite what is installed: root only, or the user that runs it. */
static int
take_owner(const json_t *doc, struct intent_app *app, struct err *e)
{
	const json_t *value = json_object_get(doc, "owner");
	const char *text = json_string_value(value);

	if (value == NULL || json_is_null(value))
		return 0;
	if (text == NULL || (strcmp(text, "root") != 0 && strcmp(text, "runas") != 0))
		return err_set(e, ERR_DATA, "owner: it must be root or runas");
	app->owned_by_runas = strcmp(text, "runas") == 0;
	return 0;
}

int
intent_take_deploy_config(const json_t *doc, struct intent_app *app, struct err *e)
{
	const char *basedir = json_string_value(json_object_get(doc, "basedir")), *fault;
	const json_t *supervisor = json_object_get(doc, "supervisor");
	const char *text = json_string_value(supervisor);

	app->start_timeout_ms = INTENT_START_TIMEOUT_MS;
	app->stop_timeout_ms = INTENT_STOP_TIMEOUT_MS;
	if (basedir == NULL)
		return err_set(e, ERR_DATA,
		    "basedir: it must be there, an absolute path like \"/data/%s\"",
		    app->name ? app->name : "app");
	fault = path_basedir_fault(basedir);
	if (fault != NULL)
		return err_set(e, ERR_DATA, "basedir: \"%s\": %s", basedir, fault);
	app->basedir = xstrdup(basedir);
	if (supervisor != NULL) {
		if (text == NULL ||
		    (strcmp(text, "runit") != 0 && strcmp(text, "servicebuilder") != 0))
			return err_set(e, ERR_DATA,
			    "supervisor: it must be runit or servicebuilder");
		app->supervisor = xstrdup(text);
	}
	if (take_ports(doc, app, e) < 0 || take_name(doc, "runas", &app->runas, e) < 0 ||
	    take_owner(doc, app, e) < 0 ||
	    take_duration(doc, "start_timeout", &app->start_timeout_ms, e) < 0 ||
	    take_duration(doc, "stop_timeout", &app->stop_timeout_ms, e) < 0 ||
	    take_duration(doc, "drain", &app->drain_ms, e) < 0)
		return -1;
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
