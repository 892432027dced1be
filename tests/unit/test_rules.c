/* Rules of a firewall: their canonical form, how they are compared, kept and remembered. */
#include <string.h>

#include "lib/firewall/rules.h"
#include "tests/unit/tap.h"

static void
add(struct fw_rules *rules, const char *app, enum intent_proto proto, int first, int last,
    const char *from)
{
	fw_rules_add(rules, app, proto, (uint16_t)first, (uint16_t)last, from, 1, 10);
}

/* All rules on one line, with their packets. Owns: the caller frees. */
static char *
show(const struct fw_rules *rules)
{
	AUTO_BUF struct buf out = { 0 };

	buf_printf(&out, "%s", "");
	for (size_t i = 0; i < rules->n; i++) {
		const struct fw_rule *r = &rules->v[i];
		char ports[16];

		buf_printf(&out, "%s%s %s %s%s%s*%llu", i ? "; " : "", r->app,
		    fw_proto_name(r->proto), fw_rule_ports(r, '-', ports), r->from ? " " : "",
		    r->from ? r->from : "", (unsigned long long)r->packets);
	}
	return mem_take(&out.data);
}

static void
shows(const struct fw_rules *rules, const char *wanted, const char *name)
{
	AUTO_FREE char *got = show(rules);

	is(got, wanted, name);
}

static void
test_networks(void)
{
	static const char *const canonical[][2] = { { "10.1.2.3/8", "10.0.0.0/8" },
		{ "10.0.0.1", "10.0.0.1" }, { "10.0.0.1/32", "10.0.0.1" },
		{ "10.0.0.255/31", "10.0.0.254/31" }, { "1.2.3.4/0", FW_ANY_IPV4 },
		{ "::/0", FW_ANY_IPV6 }, { "ff::1/0", FW_ANY_IPV6 },
		{ "FD00:0:0::1/8", "fd00::/8" }, { "fd00::1/128", "fd00::1" },
		{ "2001:db8::ffff/113", "2001:db8::8000/113" },
		{ "2001:db8:0:0:0:0:0:1/64", "2001:db8::/64" },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4" } };
	static const char *const none[] = { "", "/8", "10.0.0.0/33", "10.0.0", "::1/129", "::1/-1",
		"10.0.0.0/", "a", "10.0.0.0/a", "1.2.3.4.5", ":::" };
	char out[64];

	for (size_t i = 0; i < MEM_COUNT(canonical); i++) {
		ok(fw_network(canonical[i][0], out, sizeof out) == 0, "a network: %s",
		    canonical[i][0]);
		is(out, canonical[i][1], canonical[i][0]);
		ok(fw_network(out, out, sizeof out) == 0 && strcmp(out, canonical[i][1]) == 0,
		    "%s stays what it is", canonical[i][1]);
	}
	for (size_t i = 0; i < MEM_COUNT(none); i++)
		ok(fw_network(none[i], out, sizeof out) < 0, "no network: \"%s\"", none[i]);
	ok(fw_is_ipv6("::/0") && !fw_is_ipv6("0.0.0.0/0"), "which family");
}

static void
test_sort(void)
{
	AUTO_RULES struct fw_rules r = { 0 };

	ok(fw_rules_sort(&r) == 0, "none are sorted");
	add(&r, "b", INTENT_TCP, 80, 80, NULL);
	add(&r, "a", INTENT_UDP, 53, 53, "10.0.0.0/8");
	add(&r, "a", INTENT_TCP, 8000, 8010, NULL);
	add(&r, "a", INTENT_UDP, 53, 53, "10.9.9.9/8");
	add(&r, "a", INTENT_TCP, 8000, 8001, NULL);
	add(&r, "a", INTENT_TCP, 9, 9, NULL);
	ok(fw_rules_sort(&r) == 1, "one was there twice");
	shows(&r,
	    "a tcp 9*1; a tcp 8000-8001*1; a tcp 8000-8010*1; a udp 53 10.0.0.0/8*2; b tcp 80*1",
	    "sorted, packets added up");
	ok(fw_rules_sort(&r) == 0, "sorted again, nothing goes");
}

static void
sorts_to(const char *const *from, size_t n, const char *wanted)
{
	AUTO_RULES struct fw_rules r = { 0 };

	add(&r, "a", INTENT_TCP, 4, 4, "10.0.0.0/8");
	for (size_t i = 0; i < n; i++)
		add(&r, "a", INTENT_TCP, 5, 5, from[i]);
	add(&r, "a", INTENT_TCP, 6, 6, NULL);
	add(&r, "b", INTENT_TCP, 5, 5, "10.0.0.0/8");
	(void)fw_rules_sort(&r);
	{
		AUTO_FREE char *all = xasprintf("a tcp 4 10.0.0.0/8*1; %s; a tcp 6*1; "
						"b tcp 5 10.0.0.0/8*1",
		    wanted);

		shows(&r, all, wanted);
	}
}

static void
test_wide(void)
{
	static const char *const both[] = { "::/0", "10.0.0.0/8", "0.0.0.0/0" };
	static const char *const four[] = { "10.0.0.0/8", "2001:db8::/32", "3.0.0.0/8",
		"0.0.0.0/0" };
	static const char *const six[] = { "::1", "::/0", "fd00::/8", "3.0.0.0/8" };
	static const char *const all[] = { "10.0.0.0/8", NULL, "::/0" };

	sorts_to(both, 3, "a tcp 5*3");
	sorts_to(four, 4, "a tcp 5 0.0.0.0/0*3; a tcp 5 2001:db8::/32*1");
	sorts_to(six, 4, "a tcp 5 3.0.0.0/8*1; a tcp 5 ::/0*3");
	sorts_to(all, 3, "a tcp 5*3");
}

static void
test_apps(void)
{
	AUTO_RULES struct fw_rules a = { 0 }, b = { 0 };
	size_t n;

	ok(fw_rules_of(&a, "x", &n) == NULL && n == 0, "no rules of nobody");
	ok(fw_rules_same_app(&a, &b, "x"), "none are the same as none");
	add(&a, "x", INTENT_TCP, 1, 1, NULL);
	add(&a, "x", INTENT_TCP, 2, 2, NULL);
	add(&a, "xy", INTENT_TCP, 3, 3, NULL);
	add(&a, "w", INTENT_TCP, 4, 4, NULL);
	(void)fw_rules_sort(&a);
	ok(fw_rules_of(&a, "x", &n) == &a.v[1] && n == 2, "the rules of one app");
	ok(fw_rules_of(&a, "xy", &n) == &a.v[3] && n == 1, "not those of one called like it");
	ok(fw_rules_of(&a, "v", &n) == NULL && n == 0, "before the first");
	ok(fw_rules_of(&a, "z", &n) == NULL && n == 0, "after the last");
	ok(!fw_rules_same_app(&a, &b, "x"), "some are not the same as none");
	fw_rules_keep_app(&b, &a, "x");
	fw_rules_keep_app(&b, &a, "nobody");
	shows(&b, "x tcp 1*1; x tcp 2*1", "kept, with their counters");
	b.v[0].packets = 99;
	ok(fw_rules_same_app(&a, &b, "x"), "counters aside they are the same");
	b.v[0].proto = INTENT_UDP;
	ok(!fw_rules_same_app(&a, &b, "x"), "another protocol is not the same");
	b.v[0].proto = INTENT_TCP;
	fw_rules_take_counters(&a, &b);
	shows(&a, "w tcp 4*1; x tcp 1*99; x tcp 2*1; xy tcp 3*1", "counters of the same rules");
}

static void
test_memory(void)
{
	AUTO_RULES struct fw_rules a = { 0 }, b = { 0 }, c = { 0 };
	json_auto_t *doc = NULL, *bad = NULL;
	AUTO_FREE char *text = NULL;

	add(&a, "slug", INTENT_TCP, 1212, 1212, NULL);
	add(&a, "slug", INTENT_TCP, 8000, 8010, NULL);
	add(&a, "dns", INTENT_UDP, 53, 53, "fd00::/8");
	(void)fw_rules_sort(&a);
	doc = fw_rules_dump(&a);
	text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
	is(text,
	    "{\"dns\":[\"udp 53 53 fd00::/8\"],\"slug\":[\"tcp 1212 1212\",\"tcp 8000 8010\"]}",
	    "as a document");
	fw_rules_load(&b, doc);
	ok(b.n == 3 && fw_rules_same_app(&a, &b, "slug") && fw_rules_same_app(&a, &b, "dns"),
	    "and back");
	bad =
	    json_loads("{\"a\": [1, null, \"\", \"tcp\", \"tcp 1\", \"tcp 5 4\", \"tcp 1 65536\", "
		       "\"sctp 1 1\", \"tcp 1 1 x\", \"tcp -1 1\"], \"../b\": [\"tcp 1 1\"], "
		       "\"c\": {}, \"d\": \"tcp 1 1\"}",
		0, NULL);
	fw_rules_load(&c, bad);
	fw_rules_load(&c, NULL);
	ok(bad != NULL && c.n == 0, "what does not parse is left out");
}

int
main(void)
{
	test_networks();
	test_sort();
	test_wide();
	test_apps();
	test_memory();
	return done();
}
