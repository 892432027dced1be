/*
 * Reading nft's JSON (libnftables-json(5)). Whatever is not just what pp writes is damage: the next
 * transaction puts it right.
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/firewall/nft.h"
#include "lib/fs/path.h"
#include "lib/sys/run.h"

#define LISTING_MAX ((size_t)64 << 20) /* bytes */

/* What was met while going through a table. */
struct reading {
	struct firewall *f;
	struct nft_place place;
	int table, set[2], apps, base; /* was it there? */
	int hooked;                    /* the chain to fill is a base chain */
	size_t apps_rules, base_rules; /* how many so far */
	struct nft_base_rule expected[NFT_BASE_RULES_MAX];
	size_t nexpected;
};

/* The first thing that is wrong is what is told. */
static void __attribute__((format(printf, 2, 3))) damaged(struct reading *r, const char *fmt, ...)
{
	va_list ap;

	if (r->f->damage != NULL)
		return;
	va_start(ap, fmt);
	if (vasprintf(&r->f->damage, fmt, ap) < 0)
		abort();
	va_end(ap);
}

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static int
parse_ports(const json_t *value, uint16_t *first, uint16_t *last)
{
	const json_t *range = json_object_get(value, "range");
	json_int_t from = json_integer_value(range ? json_array_get(range, 0) : value);
	json_int_t to = json_integer_value(range ? json_array_get(range, 1) : value);

	if (from < 1 || from > to || to > 65535)
		return -1;
	*first = (uint16_t)from;
	*last = (uint16_t)to;
	return 0;
}

static uint64_t
count(const json_t *counter, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(counter, key));
}

static void
read_element(struct reading *r, enum intent_proto proto, const json_t *entry)
{
	const json_t *element = json_object_get(entry, "elem");
	const json_t *counter = json_object_get(element, "counter");
	const char *app = text_of(element, "comment");
	uint16_t first, last;

	if (counter == NULL || !path_is_name(app) ||
	    parse_ports(json_object_get(element, "val"), &first, &last) < 0) {
		damaged(r, "set %s has an element that pp did not put there", r->place.set[proto]);
		return;
	}
	fw_rules_add(&r->f->found, app, proto, first, last, NULL, count(counter, "packets"),
	    count(counter, "bytes"));
}

static void
read_set(struct reading *r, const json_t *set)
{
	json_auto_t *flags = json_pack("[s]", "interval"), *stmt = json_pack("[{s:n}]", "counter");
	const char *name = text_of(set, "name");
	const json_t *element;
	size_t i;
	int proto = strcmp(name, r->place.set[INTENT_TCP]) == 0 ? INTENT_TCP :
	    strcmp(name, r->place.set[INTENT_UDP]) == 0         ? INTENT_UDP :
								  -1;

	if (proto < 0) {
		if (r->place.own)
			damaged(r, "table inet pp has a set %s that pp did not make", name);
		return;
	}
	r->set[proto] = 1;
	if (!r->place.own)
		strv_add(&r->f->leftover_objects, xstrdup(name));
	if (strcmp(text_of(set, "type"), "inet_service") != 0 ||
	    json_object_get(set, "size") != NULL || json_object_get(set, "timeout") != NULL ||
	    !json_equal(json_object_get(set, "flags"), flags) ||
	    !json_equal(json_object_get(set, "stmt"), stmt))
		damaged(r, "set %s was changed by hand", name);
	json_array_foreach(json_object_get(set, "elem"), i, element)
		read_element(r, (enum intent_proto)proto, element);
}

static void
read_chain(struct reading *r, const json_t *chain)
{
	const char *name = text_of(chain, "name"), *policy = text_of(chain, "policy");
	const char *wanted = r->f->options.mode == FIREWALL_ENFORCE ? "drop" : "accept";

	if (strcmp(name, r->place.chain) == 0) {
		r->apps = 1;
		r->hooked = json_object_get(chain, "hook") != NULL;
		if (r->hooked)
			damaged(r, "chain %s was changed by hand", name);
		return;
	}
	if (!r->place.own)
		return;
	if (strcmp(name, "input") != 0) {
		damaged(r, "table inet pp has a chain %s that pp did not make", name);
		return;
	}
	r->base = 1;
	r->f->drops = strcmp(policy, "drop") == 0;
	if (strcmp(text_of(chain, "type"), "filter") != 0 ||
	    strcmp(text_of(chain, "hook"), "input") != 0 ||
	    json_integer_value(json_object_get(chain, "prio")) != 0)
		damaged(r, "the base chain was changed by hand");
	else if (strcmp(policy, wanted) != 0)
		damaged(r, "the base chain has policy %s, not %s", policy, wanted);
}

/* Counters move; the rule they are in is the same. */
static json_t *
without_counters(const json_t *expr)
{
	json_t *copy = json_deep_copy(expr), *part;
	size_t i;

	json_array_foreach(copy, i, part)
		if (json_object_get(part, "counter") != NULL)
			(void)json_object_set_new(part, "counter", json_null());
	return copy;
}

static int
is_expr(const json_t *expr, const char *json)
{
	json_auto_t *plain = without_counters(expr), *wanted = json_loads(json, 0, NULL);

	return json_equal(plain, wanted);
}

/* The two rules that stand at the head of the chain of apps. */
static int
is_set_rule(const struct reading *r, const json_t *expr, enum intent_proto proto)
{
	AUTO_FREE char *json = xasprintf(
	    "[{\"match\":{\"op\":\"==\",\"left\":{\"payload\":"
	    "{\"protocol\":\"%s\",\"field\":\"dport\"}},\"right\":\"@%s\"}},{\"accept\":null}]",
	    fw_proto_name(proto), r->place.set[proto]);

	return is_expr(expr, json);
}

/* What a match on a payload's field is compared with; NULL if it is not such a match. */
static const json_t *
match_right(const json_t *part, const char **protocol, const char *field)
{
	const json_t *match = json_object_get(part, "match");
	const json_t *payload = json_object_get(json_object_get(match, "left"), "payload");

	*protocol = text_of(payload, "protocol");
	if (strcmp(text_of(match, "op"), "==") != 0 ||
	    strcmp(text_of(payload, "field"), field) != 0)
		return NULL;
	return json_object_get(match, "right");
}

static int
read_network(const json_t *right, char *out, size_t room)
{
	const json_t *prefix = json_object_get(right, "prefix");
	AUTO_FREE char *text = NULL;

	if (json_is_string(right))
		return fw_network(json_string_value(right), out, room);
	if (prefix == NULL)
		return -1;
	text = xasprintf("%s/%lld", text_of(prefix, "addr"),
	    (long long)json_integer_value(json_object_get(prefix, "len")));
	return fw_network(text, out, room);
}

/* "ip saddr 10.0.0.0/8 udp dport 53 counter accept" of an app. */
static int
read_from_rule(struct reading *r, const json_t *rule, const json_t *expr)
{
	const char *family, *protocol, *app = text_of(rule, "comment");
	const json_t *saddr = match_right(json_array_get(expr, 0), &family, "saddr");
	const json_t *dport = match_right(json_array_get(expr, 1), &protocol, "dport");
	const json_t *counter = json_object_get(json_array_get(expr, 2), "counter");
	uint16_t first, last;
	char network[64];
	int udp = strcmp(protocol, "udp") == 0;

	if (json_array_size(expr) != 4 || saddr == NULL || dport == NULL || counter == NULL ||
	    json_object_get(json_array_get(expr, 3), "accept") == NULL || !path_is_name(app) ||
	    (!udp && strcmp(protocol, "tcp") != 0) ||
	    read_network(saddr, network, sizeof network) < 0 ||
	    strcmp(family, fw_is_ipv6(network) ? "ip6" : "ip") != 0 ||
	    parse_ports(dport, &first, &last) < 0)
		return -1;
	fw_rules_add(&r->f->found, app, udp ? INTENT_UDP : INTENT_TCP, first, last, network,
	    count(counter, "packets"), count(counter, "bytes"));
	return 0;
}

static void
read_rule(struct reading *r, const json_t *rule)
{
	const char *chain = text_of(rule, "chain");
	const json_t *expr = json_object_get(rule, "expr");
	size_t at;

	if (strcmp(chain, r->place.chain) == 0) {
		at = r->apps_rules++;
		if (at < 2 && is_set_rule(r, expr, at == 0 ? INTENT_TCP : INTENT_UDP))
			return;
		/* Read it wherever it stands: an app in doubt keeps it. */
		if (read_from_rule(r, rule, expr) < 0 || at < 2)
			damaged(r, "chain %s has a rule that pp did not put there", chain);
	} else if (r->place.own && strcmp(chain, "input") == 0) {
		at = r->base_rules++;
		if (at >= r->nexpected || !is_expr(expr, r->expected[at].json))
			damaged(r, "the rules of the base chain are not pp's");
	}
}

static int
finish(struct reading *r, struct err *e)
{
	struct firewall *f = r->f;

	if (!r->place.own && r->hooked)
		return err_set(e, ERR_CONFIG,
		    "chain \"%s\": it is a base chain, which pp would "
		    "empty; name one of pp's own, and jump to it from there",
		    f->options.chain);
	if (!r->place.own && r->apps_rules > 0 && !r->set[INTENT_TCP] && !r->set[INTENT_UDP])
		f->foreign = xasprintf("chain \"%s\" has rules that pp did not write; empty it, or "
				       "name another",
		    f->options.chain);
	f->absent = r->place.own ? !r->table : !r->apps;
	if (f->absent)
		return 0;
	if (!r->set[INTENT_TCP] || !r->set[INTENT_UDP] || !r->apps || (r->place.own && !r->base))
		damaged(r, "a set or a chain of pp's is missing");
	if (r->apps_rules < 2 || r->base_rules < r->nexpected)
		damaged(r, "rules of pp's are missing");
	return 0;
}

static void
read_table(struct reading *r, const json_t *table)
{
	r->table = 1;
	if (r->place.own && json_object_get(table, "flags") != NULL)
		damaged(r, "table inet pp was changed by hand: it has flags");
}

static int
read_listing(struct reading *r, const struct buf *listing, struct err *e)
{
	json_error_t at;
	/* Warnings come before it, on a line of their own. */
	const char *text = strchr(listing->data, '{');
	json_auto_t *doc = json_loads(text ? text : "", JSON_DISABLE_EOF_CHECK, &at);
	const json_t *object;
	size_t i;

	if (!json_is_array(json_object_get(doc, "nftables")))
		return err_set(e, ERR_FAIL, "nft -j list: its answer is not what it should be: %s",
		    doc == NULL ? at.text : "no nftables in it");
	if (r->place.own)
		r->nexpected = nft_base_rules(r->f, r->expected, NFT_BASE_RULES_MAX);
	json_array_foreach(json_object_get(doc, "nftables"), i, object) {
		if (json_object_get(object, "table") != NULL)
			read_table(r, json_object_get(object, "table"));
		else if (json_object_get(object, "set") != NULL)
			read_set(r, json_object_get(object, "set"));
		else if (json_object_get(object, "chain") != NULL)
			read_chain(r, json_object_get(object, "chain"));
		else if (json_object_get(object, "rule") != NULL)
			read_rule(r, json_object_get(object, "rule"));
		else if (r->place.own && json_object_get(object, "metainfo") == NULL)
			damaged(r, "table inet pp holds something that pp did not make");
	}
	return finish(r, e);
}

int
nft_look(struct firewall *f, struct err *e)
{
	struct reading r = { .f = f };
	const char *argv[] = { "nft", "-j", "list", "table", r.place.family, r.place.table, NULL };
	AUTO_BUF struct buf output = { 0 };
	struct run run = { .argv = argv, .output_max = LISTING_MAX };
	int status;

	nft_place(f, &r.place);
	status = run_program(&run, &output, e);
	if (status < 0)
		return -1;
	if (status == 0)
		return read_listing(&r, &output, e);
	if (strstr(output.data, "No such file or directory") != NULL) {
		f->absent = 1;
		return 0;
	}
	output.data[strcspn(output.data, "\n")] = '\0';
	return err_set(e, strstr(output.data, "not permitted") ? ERR_PERM : ERR_FAIL,
	    "nft -j list table %s %s: %.300s", r.place.family, r.place.table, output.data);
}
