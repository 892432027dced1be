#include <arpa/inet.h>

#include <ctype.h>
#include <string.h>

#include "lib/fs/path.h"
#include "lib/intent/parse.h"

#define PORTS_MAX 1000
#define USER_NAME_MAX 64

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

static int
take_times(const json_t *doc, struct intent_app *app, struct err *e)
{
	const struct {
		const char *field;
		int64_t *ms;
	} times[] = {
		{ "start_timeout", &app->start_timeout_ms },
		{ "stop_timeout", &app->stop_timeout_ms },
		{ "drain", &app->drain_ms },
		{ "settle", &app->settle_ms },
	};

	for (size_t i = 0; i < MEM_COUNT(times); i++)
		if (parse_duration(json_object_get(doc, times[i].field), times[i].field,
			times[i].ms, e) < 0)
			return -1;
	return 0;
}

int
intent_take_deploy_config(const json_t *doc, struct intent_app *app, struct err *e)
{
	static const char *const backends[] = { "runit", "servicebuilder", "systemd", "none",
		NULL };
	const char *basedir = json_string_value(json_object_get(doc, "basedir")), *fault;
	size_t backend = MEM_COUNT(backends) - 1;

	app->start_timeout_ms = INTENT_START_TIMEOUT_MS;
	app->stop_timeout_ms = INTENT_STOP_TIMEOUT_MS;
	app->settle_ms = INTENT_SETTLE_MS;
	if (basedir == NULL)
		return err_set(e, ERR_DATA,
		    "basedir: it must be there, an absolute path like \"/data/%s\"",
		    app->name ? app->name : "app");
	fault = path_basedir_fault(basedir);
	if (fault != NULL)
		return err_set(e, ERR_DATA, "basedir: \"%s\": %s", basedir, fault);
	app->basedir = xstrdup(basedir);
	if (parse_choice(doc, "supervisor", backends, &backend, e) < 0)
		return -1;
	app->supervisor = xstrdup(backends[backend]);
	if (take_ports(doc, app, e) < 0 || take_name(doc, "runas", &app->runas, e) < 0 ||
	    take_owner(doc, app, e) < 0 || take_times(doc, app, e) < 0)
		return -1;
	return parse_service(doc, app, e);
}
