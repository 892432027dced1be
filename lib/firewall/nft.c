/*
 * nftables, by nft(8): written as one transaction through `nft -f -`, read through `nft -j list`.
 *
 * By default pp owns `table inet pp` whole, and a transaction replaces it whole; the counters of rules
 * that stay go on from where they were. With --chain pp owns that one chain, and two sets named after
 * it, in a table of somebody else's.
 */
#include <stdio.h>
#include <string.h>

#include "lib/firewall/firewall.h"
#include "lib/firewall/nft.h"

void
nft_place(const struct firewall *f, struct nft_place *p)
{
	*p = (struct nft_place){ .family = "inet", .table = "pp", .chain = "apps", .own = 1 };
	(void)snprintf(p->set[INTENT_TCP], sizeof p->set[INTENT_TCP], "tcp_ports");
	(void)snprintf(p->set[INTENT_UDP], sizeof p->set[INTENT_UDP], "udp_ports");
	if (f->options.chain == NULL)
		return;
	p->own = 0;
	(void)sscanf(f->options.chain, "%15s %127s %127s", p->family, p->table, p->chain);
	(void)snprintf(p->set[INTENT_TCP], sizeof p->set[INTENT_TCP], "%s-tcp", p->chain);
	(void)snprintf(p->set[INTENT_UDP], sizeof p->set[INTENT_UDP], "%s-udp", p->chain);
}

/* The rules of the base chain: as nft takes them, and as it lists them. */
size_t
nft_base_rules(const struct firewall *f, struct nft_base_rule *rules, size_t room)
{
	static const struct nft_base_rule before[] = {
		{ "iifname \"lo\" accept",
		    "[{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"iifname\"}},"
		    "\"right\":\"lo\"}},{\"accept\":null}]" },
		{ "ct state established,related accept",
		    "[{\"match\":{\"op\":\"in\",\"left\":{\"ct\":{\"key\":\"state\"}},"
		    "\"right\":[\"established\",\"related\"]}},{\"accept\":null}]" },
		{ "meta l4proto icmp accept",
		    "[{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"l4proto\"}},"
		    "\"right\":\"icmp\"}},{\"accept\":null}]" },
		{ "meta l4proto ipv6-icmp accept",
		    "[{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"l4proto\"}},"
		    "\"right\":\"ipv6-icmp\"}},{\"accept\":null}]" },
	};
	static const struct nft_base_rule after[] = {
		{ "jump apps", "[{\"jump\":{\"target\":\"apps\"}}]" },
		{ "counter", "[{\"counter\":null}]" },
	};
	size_t n = 0;

	for (size_t i = 0; f->options.mode == FIREWALL_ENFORCE && i < MEM_COUNT(before); i++)
		rules[n++] = before[i];
	for (size_t i = 0; f->options.mode == FIREWALL_ENFORCE && i < f->options.always_allow.n &&
	     n + MEM_COUNT(after) < room;
	     i++) {
		const char *port = f->options.always_allow.items[i];

		(void)snprintf(rules[n].text, sizeof rules[n].text, "tcp dport %s accept", port);
		(void)snprintf(rules[n].json, sizeof rules[n].json,
		    "[{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"tcp\","
		    "\"field\":\"dport\"}},\"right\":%s}},{\"accept\":null}]",
		    port);
		n++;
	}
	for (size_t i = 0; i < MEM_COUNT(after); i++)
		rules[n++] = after[i];
	return n;
}

static void
add_elements(const struct fw_rules *wanted, enum intent_proto proto, struct buf *out)
{
	const char *sep = "";

	for (size_t i = 0; i < wanted->n; i++) {
		const struct fw_rule *r = &wanted->v[i];
		char ports[16];

		if (r->proto != proto || r->from != NULL)
			continue;
		buf_printf(out, "%s\n\t\t\t%s counter packets %llu bytes %llu comment \"%s\"", sep,
		    fw_rule_ports(r, '-', ports), (unsigned long long)r->packets,
		    (unsigned long long)r->bytes, r->app);
		sep = ",";
	}
}

static void
add_set(const struct nft_place *p, const struct fw_rules *wanted, enum intent_proto proto,
    struct buf *out)
{
	AUTO_BUF struct buf elements = { 0 };

	add_elements(wanted, proto, &elements);
	buf_printf(out, "\tset %s {\n\t\ttype inet_service\n\t\tflags interval\n\t\tcounter\n",
	    p->set[proto]);
	if (elements.n > 0)
		buf_printf(out, "\t\telements = {%s\n\t\t}\n", elements.data);
	buf_printf(out, "\t}\n");
}

/* The chain of apps: what is open to everybody by the sets, then what is not. */
static void
add_apps_chain(const struct nft_place *p, const struct fw_rules *wanted, struct buf *out)
{
	buf_printf(out, "\tchain %s {\n\t\ttcp dport @%s accept\n\t\tudp dport @%s accept\n",
	    p->chain, p->set[INTENT_TCP], p->set[INTENT_UDP]);
	for (size_t i = 0; i < wanted->n; i++) {
		const struct fw_rule *r = &wanted->v[i];
		char ports[16];

		if (r->from == NULL)
			continue;
		buf_printf(out,
		    "\t\t%s saddr %s %s dport %s counter packets %llu bytes %llu accept "
		    "comment \"%s\"\n",
		    fw_is_ipv6(r->from) ? "ip6" : "ip", r->from, fw_proto_name(r->proto),
		    fw_rule_ports(r, '-', ports), (unsigned long long)r->packets,
		    (unsigned long long)r->bytes, r->app);
	}
	buf_printf(out, "\t}\n");
}

static void
add_base_chain(const struct firewall *f, struct buf *out)
{
	struct nft_base_rule rules[NFT_BASE_RULES_MAX];
	size_t n = nft_base_rules(f, rules, NFT_BASE_RULES_MAX);

	buf_printf(out, "\tchain input {\n\t\ttype filter hook input priority filter; policy %s;\n",
	    f->options.mode == FIREWALL_ENFORCE ? "drop" : "accept");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "\t\t%s\n", rules[i].text);
	buf_printf(out, "\t}\n");
}

static char *
describe(const struct firewall *f, const struct fw_rules *wanted)
{
	AUTO_BUF struct buf out = { 0 };
	struct nft_place p;

	nft_place(f, &p);
	buf_printf(&out, "add table %s %s\n", p.family, p.table);
	if (p.own) {
		buf_printf(&out, "delete table %s %s\n", p.family, p.table);
	} else {
		buf_printf(&out, "add chain %s %s %s\nflush chain %s %s %s\n", p.family, p.table,
		    p.chain, p.family, p.table, p.chain);
		for (size_t i = 0; i < f->leftover_objects.n; i++)
			buf_printf(&out, "delete set %s %s %s\n", p.family, p.table,
			    f->leftover_objects.items[i]);
	}
	buf_printf(&out, "table %s %s {\n", p.family, p.table);
	add_set(&p, wanted, INTENT_TCP, &out);
	add_set(&p, wanted, INTENT_UDP, &out);
	add_apps_chain(&p, wanted, &out);
	if (p.own)
		add_base_chain(f, &out);
	buf_printf(&out, "}\n");
	return mem_take(&out.data);
}

static int
check(const struct firewall *f, const struct intent_app *app, struct err *e)
{
	struct nft_place p;

	nft_place(f, &p);
	for (size_t i = 0; strcmp(p.family, "inet") != 0 && i < app->nports; i++)
		for (size_t k = 0; k < app->ports[i].from.n; k++)
			if (fw_is_ipv6(app->ports[i].from.items[k]) !=
			    (strcmp(p.family, "ip6") == 0))
				return err_set(e, ERR_DATA,
				    "ports: a chain of family %s cannot tell "
				    "who comes from %s; use one of family inet",
				    p.family, app->ports[i].from.items[k]);
	return 0;
}

static int
write_rules(struct firewall *f, const struct fw_rules *wanted, struct err *e)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	AUTO_FREE char *text = describe(f, wanted);

	return firewall_feed(argv, text, e);
}

const struct firewall_ops firewall_nft = {
	.name = "nft",
	.refreshing = "applying the nftables ruleset",
	.counts = 1,
	.look = nft_look,
	.check = check,
	.describe = describe,
	.write = write_rules,
};
