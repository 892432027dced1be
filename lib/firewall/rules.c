#include "lib/firewall/rules.h"

#include <arpa/inet.h>

#include <stdio.h>
#include <string.h>

#include "lib/base/hash.h"

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
	rules->v[rules->n++] = (struct fw_rule){ xstrdup(app), proto, first, last, xstrdup(from),
		packets, bytes };
}

void
fw_rules_add_app(struct fw_rules *rules, const struct intent_app *app)
{
	for (size_t i = 0; i < app->nports; i++) {
		const struct intent_port *port = &app->ports[i];

		if (port->from.n == 0)
			fw_rules_add(rules, app->name, port->proto, port->first, port->last, NULL, 0, 0);
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

void
fw_rules_sort(struct fw_rules *rules)
{
	size_t kept = 0;

	if (rules->n < 2)
		return;
	qsort(rules->v, rules->n, sizeof *rules->v, compare_rules);
	for (size_t i = 1; i < rules->n; i++) {
		if (compare_rules(&rules->v[kept], &rules->v[i]) != 0) {
			rules->v[++kept] = rules->v[i];
			continue;
		}
		free(rules->v[i].app);
		free(rules->v[i].from);
	}
	rules->n = kept + 1;
}

static int
compare_app(const void *key, const void *rule)
{
	return strcmp(key, ((const struct fw_rule *)rule)->app);
}

const struct fw_rule *
fw_rules_of(const struct fw_rules *rules, const char *app, size_t *n)
{
	const struct fw_rule *hit = rules->n == 0 ?
	    NULL :
	    bsearch(app, rules->v, rules->n, sizeof *rules->v, compare_app);
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

uint64_t
fw_rules_hash(const struct fw_rules *rules, const char *app)
{
	size_t n;
	const struct fw_rule *rule = fw_rules_of(rules, app, &n);
	AUTO_BUF struct buf text = { 0 };

	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "%d %u %u %s\n", (int)rule[i].proto, rule[i].first, rule[i].last,
		    rule[i].from ? rule[i].from : "-");
	return n > 0 ? hash_bytes(text.data, text.n) : 0;
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
