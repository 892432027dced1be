#include "lib/firewall/rules.h"

#include <arpa/inet.h>

#include <stdio.h>
#include <string.h>

#include "lib/fs/path.h"

#define NETWORK_MAX 64 /* bytes of a network's text */

int
fw_is_ipv6(const char *network)
{
	return strchr(network, ':') != NULL;
}

int
fw_network(const char *text, char *out, size_t room)
{
	int family = fw_is_ipv6(text) ? AF_INET6 : AF_INET, all = family == AF_INET ? 32 : 128;
	const char *slash = strchr(text, '/');
	AUTO_FREE char *address = xmemdup(text, strcspn(text, "/"));
	unsigned char bytes[sizeof(struct in6_addr)] = { 0 };
	char plain[INET6_ADDRSTRLEN];
	int bits = all;

	if (inet_pton(family, address, bytes) != 1)
		return -1;
	if (slash != NULL && (sscanf(slash + 1, "%3d", &bits) != 1 || bits < 0 || bits > all))
		return -1;
	for (int i = bits; i < all; i++)
		bytes[i / 8] &= (unsigned char)~(0x80 >> i % 8);
	if (inet_ntop(family, bytes, plain, sizeof plain) == NULL)
		return -1;
	(void)snprintf(out, room, bits < all ? "%s/%d" : "%s", plain, bits);
	return 0;
}

const char *
fw_proto_name(enum intent_proto proto)
{
	return proto == INTENT_UDP ? "udp" : "tcp";
}

const char *
fw_rule_ports(const struct fw_rule *rule, char dash, char out[16])
{
	if (rule->first == rule->last)
		(void)snprintf(out, 16, "%u", rule->first);
	else
		(void)snprintf(out, 16, "%u%c%u", rule->first, dash, rule->last);
	return out;
}

void
fw_rules_add(struct fw_rules *rules, const char *app, enum intent_proto proto, uint16_t first,
    uint16_t last, const char *from, uint64_t packets, uint64_t bytes)
{
	char network[NETWORK_MAX];

	if (from != NULL && fw_network(from, network, sizeof network) == 0)
		from = network;
	/* Everybody is no network: one rule says it for both families. */
	if ((rules->n & (rules->n - 1)) == 0)
		rules->v = xreallocarray(rules->v, rules->n ? 2 * rules->n : 1, sizeof *rules->v);
	rules->v[rules->n++] =
	    (struct fw_rule){ xstrdup(app), proto, first, last, xstrdup(from), packets, bytes };
}

void
fw_rules_add_app(struct fw_rules *rules, const struct intent_app *app)
{
	for (size_t i = 0; i < app->nports; i++) {
		const struct intent_port *port = &app->ports[i];

		if (port->from.n == 0)
			fw_rules_add(rules, app->name, port->proto, port->first, port->last, NULL,
			    0, 0);
		for (size_t k = 0; k < port->from.n; k++)
			fw_rules_add(rules, app->name, port->proto, port->first, port->last,
			    port->from.items[k], 0, 0);
	}
}

static int
compare_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

static int
compare_rules(const void *left, const void *right)
{
	const struct fw_rule *a = left, *b = right;
	int order = strcmp(a->app, b->app);

	if (order == 0)
		order = (int)a->proto - (int)b->proto;
	if (order == 0)
		order = (int)a->first - (int)b->first;
	if (order == 0)
		order = (int)a->last - (int)b->last;
	return order != 0 ? order : compare_text(a->from, b->from);
}

static int
is_same_port(const struct fw_rule *a, const struct fw_rule *b)
{
	return strcmp(a->app, b->app) == 0 && a->proto == b->proto && a->first == b->first &&
	    a->last == b->last;
}

/* Among rules for the same ports: does one let in all that `network` holds? Which, then. */
static const char *
widest(const struct fw_rule *rules, size_t n, const char *network)
{
	int all[2] = { 0, 0 };

	for (size_t i = 0; i < n; i++) {
		all[0] |= rules[i].from == NULL || strcmp(rules[i].from, FW_ANY_IPV4) == 0;
		all[1] |= rules[i].from == NULL || strcmp(rules[i].from, FW_ANY_IPV6) == 0;
	}
	if (all[0] && all[1])
		return NULL;
	return network == NULL || !all[fw_is_ipv6(network)] ? network :
	    fw_is_ipv6(network)                             ? FW_ANY_IPV6 :
							      FW_ANY_IPV4;
}

/* Widen each rule among those for the same ports to what lets in the same. */
static void
widen(struct fw_rule *rules, size_t n)
{
	AUTO_FREE char **from = xcalloc(n, sizeof *from);

	for (size_t i = 0; i < n; i++)
		from[i] = xstrdup(widest(rules, n, rules[i].from));
	for (size_t i = 0; i < n; i++) {
		free(rules[i].from);
		rules[i].from = from[i];
	}
	qsort(rules, n, sizeof *rules, compare_rules);
}

size_t
fw_rules_sort(struct fw_rules *rules)
{
	size_t kept = 0, group = 0, all = rules->n;

	if (rules->n < 2)
		return 0;
	qsort(rules->v, rules->n, sizeof *rules->v, compare_rules);
	for (size_t i = 1; i <= rules->n; i++) {
		if (i < rules->n && is_same_port(&rules->v[group], &rules->v[i]))
			continue;
		if (i - group > 1)
			widen(&rules->v[group], i - group);
		group = i;
	}
	for (size_t i = 1; i < rules->n; i++) {
		if (compare_rules(&rules->v[kept], &rules->v[i]) != 0) {
			rules->v[++kept] = rules->v[i];
			continue;
		}
		rules->v[kept].packets += rules->v[i].packets;
		rules->v[kept].bytes += rules->v[i].bytes;
		free(rules->v[i].app);
		free(rules->v[i].from);
	}
	rules->n = kept + 1;
	return all - rules->n;
}

static int
compare_app(const void *key, const void *rule)
{
	return strcmp(key, ((const struct fw_rule *)rule)->app);
}

const struct fw_rule *
fw_rules_of(const struct fw_rules *rules, const char *app, size_t *n)
{
	const struct fw_rule *hit =
	    rules->n == 0 ? NULL : bsearch(app, rules->v, rules->n, sizeof *rules->v, compare_app);
	const struct fw_rule *first = hit, *end = rules->v + rules->n;

	*n = 0;
	if (hit == NULL)
		return NULL;
	while (first > rules->v && strcmp(first[-1].app, app) == 0)
		first--;
	while (first + *n < end && strcmp(first[*n].app, app) == 0)
		(*n)++;
	return first;
}

const char *
fw_rules_app_at(const struct fw_rules *rules, size_t at)
{
	const char *app = rules->v[at].app;

	return at > 0 && strcmp(app, rules->v[at - 1].app) == 0 ? NULL : app;
}

void
fw_rules_keep_app(struct fw_rules *rules, const struct fw_rules *from, const char *app)
{
	size_t n;
	const struct fw_rule *kept = fw_rules_of(from, app, &n);

	for (size_t i = 0; i < n; i++)
		fw_rules_add(rules, app, kept[i].proto, kept[i].first, kept[i].last, kept[i].from,
		    kept[i].packets, kept[i].bytes);
}

int
fw_rules_same_app(const struct fw_rules *a, const struct fw_rules *b, const char *app)
{
	size_t na, nb;
	const struct fw_rule *ra = fw_rules_of(a, app, &na), *rb = fw_rules_of(b, app, &nb);

	if (na != nb)
		return 0;
	for (size_t i = 0; i < na; i++)
		if (compare_rules(&ra[i], &rb[i]) != 0)
			return 0;
	return 1;
}

json_t *
fw_rules_dump(const struct fw_rules *rules)
{
	json_t *doc = json_object();

	for (size_t i = 0; i < rules->n; i++) {
		const struct fw_rule *r = &rules->v[i];
		AUTO_FREE char *text = xasprintf("%s %u %u%s%s", fw_proto_name(r->proto), r->first,
		    r->last, r->from ? " " : "", r->from ? r->from : "");

		if (json_object_get(doc, r->app) == NULL)
			(void)json_object_set_new(doc, r->app, json_array());
		(void)json_array_append_new(json_object_get(doc, r->app), json_string(text));
	}
	return doc;
}

static void
load_rule(struct fw_rules *rules, const char *app, const char *text)
{
	char proto[4], network[NETWORK_MAX] = "", canonical[NETWORK_MAX];
	unsigned first, last;
	int n;

	n = text == NULL ? 0 : sscanf(text, "%3s %5u %5u %63s", proto, &first, &last, network);
	if (n < 3 || (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0) || first > last ||
	    last > UINT16_MAX || (n > 3 && fw_network(network, canonical, sizeof canonical) < 0))
		return;
	fw_rules_add(rules, app, proto[0] == 'u' ? INTENT_UDP : INTENT_TCP, (uint16_t)first,
	    (uint16_t)last, n > 3 ? canonical : NULL, 0, 0);
}

void
fw_rules_load(struct fw_rules *rules, const json_t *doc)
{
	const json_t *list, *rule;
	const char *app;
	size_t i;

	json_object_foreach((json_t *)doc, app, list)
		if (path_is_name(app))
			json_array_foreach(list, i, rule)
				load_rule(rules, app, json_string_value(rule));
	(void)fw_rules_sort(rules);
}

void
fw_rules_take_counters(struct fw_rules *rules, const struct fw_rules *found)
{
	for (size_t i = 0; found->n > 0 && i < rules->n; i++) {
		const struct fw_rule *same =
		    bsearch(&rules->v[i], found->v, found->n, sizeof *found->v, compare_rules);

		if (same == NULL)
			continue;
		rules->v[i].packets = same->packets;
		rules->v[i].bytes = same->bytes;
	}
}

void
fw_rules_release(struct fw_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		free(rules->v[i].app);
		free(rules->v[i].from);
	}
	free(rules->v);
	*rules = (struct fw_rules){ 0 };
}
