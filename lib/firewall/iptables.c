/*
 * iptables and its IPv6 twin: a chain PP-APPS in the table filter, jumped to once from INPUT.
 *
 * Written by iptables-restore --noflush, which replaces that one chain in one go and leaves all others
 * as they are; read through iptables-save. A rule that lets everybody in stands in both families; one
 * that stands in one of them only lets in all of that family.
 */
#include <stdio.h>
#include <string.h>

#include "lib/firewall/firewall.h"
#include "lib/fs/path.h"
#include "lib/sys/run.h"

#define CHAIN "PP-APPS"
#define LISTING_MAX ((size_t)64 << 20) /* bytes */
#define WORDS_MAX 24                   /* in a rule of ours */

enum family { IPV4, IPV6, FAMILIES };

static const struct {
	const char *save, *restore;
} programs[FAMILIES] = { { "iptables-save", "iptables-restore" },
	{ "ip6tables-save", "ip6tables-restore" } };

static const char *const all_of[FAMILIES] = { FW_ANY_IPV4, FW_ANY_IPV6 };

/* One family's chain as it is. */
struct listing {
	struct fw_rules rules;
	int chain;    /* it is there */
	size_t jumps; /* from INPUT to it */
	int odd;      /* it holds a rule that is not ours */
};

/* Split a rule into its words, undoing the quotes of iptables-save. */
static size_t
split_words(char *line, char **words)
{
	size_t n = 0;

	while (n < WORDS_MAX) {
		line += strspn(line, " ");
		if (*line == '\0')
			break;
		if (*line == '"') {
			words[n++] = ++line;
			line += strcspn(line, "\"");
		} else {
			words[n++] = line;
			line += strcspn(line, " ");
		}
		if (*line != '\0')
			*line++ = '\0';
	}
	return n;
}

static int
parse_ports(const char *text, unsigned *first, unsigned *last)
{
	int n = sscanf(text, "%5u:%5u", first, last);

	if (n == 1)
		*last = *first;
	return n >= 1 && *first >= 1 && *first <= *last && *last <= 65535 ? 0 : -1;
}

/* [-s NET] -p tcp -m tcp --dport P[:Q] -m comment --comment APP -j ACCEPT, and nothing else. */
static int
read_rule(char *text, const char *everybody, uint64_t packets, uint64_t bytes,
    struct fw_rules *rules)
{
	char *words[WORDS_MAX];
	size_t n = split_words(text, words), at = 0;
	const char *from = everybody, *proto, *app;
	unsigned first, last;

	if (n >= 2 && strcmp(words[0], "-s") == 0) {
		from = words[1];
		at = 2;
	}
	if (n - at != 12 || strcmp(words[at], "-p") != 0 || strcmp(words[at + 2], "-m") != 0 ||
	    strcmp(words[at + 1], words[at + 3]) != 0 || strcmp(words[at + 4], "--dport") != 0 ||
	    strcmp(words[at + 6], "-m") != 0 || strcmp(words[at + 7], "comment") != 0 ||
	    strcmp(words[at + 8], "--comment") != 0 || strcmp(words[at + 10], "-j") != 0 ||
	    strcmp(words[at + 11], "ACCEPT") != 0)
		return -1;
	proto = words[at + 1];
	app = words[at + 9];
	if ((strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0) || !path_is_name(app) ||
	    parse_ports(words[at + 5], &first, &last) < 0)
		return -1;
	fw_rules_add(rules, app, proto[0] == 'u' ? INTENT_UDP : INTENT_TCP, (uint16_t)first,
	    (uint16_t)last, from, packets, bytes);
	return 0;
}

static void
read_line(char *line, enum family family, struct listing *l)
{
	static const char ours[] = "-A " CHAIN " ", jump[] = "-A INPUT -j " CHAIN;
	unsigned long long packets = 0, bytes = 0;
	char *rule = strchr(line, ']');

	if (strncmp(line, ":" CHAIN " ", strlen(CHAIN) + 2) == 0)
		l->chain = 1;
	if (line[0] != '[' || rule == NULL || sscanf(line, "[%llu:%llu]", &packets, &bytes) != 2)
		return;
	rule += 2;
	if (strcmp(rule, jump) == 0)
		l->jumps++;
	else if (strncmp(rule, ours, strlen(ours)) == 0)
		l->odd |=
		    read_rule(rule + strlen(ours), all_of[family], packets, bytes, &l->rules) < 0;
}

static int
read_family(enum family family, struct listing *l, struct err *e)
{
	const char *argv[] = { programs[family].save, "-c", "-t", "filter", NULL };
	AUTO_BUF struct buf output = { 0 };
	AUTO_STRV struct strv lines = { 0 };
	struct run run = { .argv = argv, .output_max = LISTING_MAX };
	int status = run_program(&run, &output, e);

	if (status < 0)
		return -1;
	if (status > 0) {
		output.data[strcspn(output.data, "\n")] = '\0';
		return err_set(e, strstr(output.data, "ermission denied") ? ERR_PERM : ERR_FAIL,
		    "%s: %.300s", argv[0], output.data);
	}
	strv_split(&lines, output.data, '\n');
	for (size_t i = 0; i < lines.n; i++)
		read_line(lines.items[i], family, l);
	l->odd |= fw_rules_sort(&l->rules) > 0;
	return 0;
}

/* What was found is both families' together; what has come through each is its own. */
static void
merge(struct firewall *f, struct listing *l)
{
	for (int family = 0; family < FAMILIES; family++) {
		const struct fw_rules *rules = &l[family].rules;

		for (size_t i = 0; i < rules->n; i++)
			fw_rules_add(&f->found, rules->v[i].app, rules->v[i].proto,
			    rules->v[i].first, rules->v[i].last, rules->v[i].from,
			    rules->v[i].packets, rules->v[i].bytes);
		f->by_family[family] = *rules;
		l[family].rules = (struct fw_rules){ 0 };
	}
	(void)fw_rules_sort(&f->found);
}

static void
judge(struct firewall *f, const struct listing *l)
{
	/* There is to be one. */
	strv_add(&f->leftover_objects, xasprintf("%zu", l->jumps));
	if (f->damage != NULL || f->absent)
		return;
	if (l->odd)
		f->damage = xstrdup("chain " CHAIN " has a rule that pp did not put there");
	else if (!l->chain || l->jumps != 1)
		f->damage = xasprintf("chain " CHAIN " is jumped to %zu times from INPUT, not once",
		    l->jumps);
}

static int
look(struct firewall *f, struct err *e)
{
	struct listing l[FAMILIES] = { { { 0 }, 0, 0, 0 } };
	int r = 0;

	for (int i = 0; r == 0 && i < FAMILIES; i++)
		r = read_family((enum family)i, &l[i], e);
	if (r == 0) {
		f->absent = !l[IPV4].chain && !l[IPV6].chain;
		merge(f, l);
		for (int i = 0; i < FAMILIES; i++)
			judge(f, &l[i]);
	}
	for (int i = 0; i < FAMILIES; i++)
		fw_rules_release(&l[i].rules);
	return r;
}

/* This family's part of what is wanted, each with the counters that it has in this family. */
static void
pick(const struct firewall *f, const struct fw_rules *wanted, enum family family,
    struct fw_rules *own)
{
	for (size_t i = 0; i < wanted->n; i++) {
		const struct fw_rule *r = &wanted->v[i];

		if (r->from == NULL || fw_is_ipv6(r->from) == (family == IPV6))
			fw_rules_add(own, r->app, r->proto, r->first, r->last,
			    r->from ? r->from : all_of[family], 0, 0);
	}
	(void)fw_rules_sort(own);
	fw_rules_take_counters(own, &f->by_family[family]);
}

static char *
describe_family(const struct firewall *f, const struct fw_rules *wanted, enum family family)
{
	AUTO_BUF struct buf out = { 0 };
	AUTO_RULES struct fw_rules own = { 0 };
	unsigned long jumps = strtoul(f->leftover_objects.items[family], NULL, 10);

	pick(f, wanted, family, &own);
	buf_printf(&out, "*filter\n:" CHAIN " - [0:0]\n");
	for (size_t i = 0; i < own.n; i++) {
		const struct fw_rule *r = &own.v[i];
		const char *proto = fw_proto_name(r->proto);
		char ports[16];

		buf_printf(&out, "[%llu:%llu] -A " CHAIN, (unsigned long long)r->packets,
		    (unsigned long long)r->bytes);
		if (strcmp(r->from, all_of[family]) != 0)
			buf_printf(&out, " -s %s", r->from);
		buf_printf(&out, " -p %s -m %s --dport %s -m comment --comment %s -j ACCEPT\n",
		    proto, proto, fw_rule_ports(r, ':', ports), r->app);
	}
	/* Which of several is the one that counts cannot be told; a single one stays where it is. */
	if (jumps != 1) {
		for (; jumps > 0; jumps--)
			buf_printf(&out, "-D INPUT -j " CHAIN "\n");
		buf_printf(&out, "-I INPUT 1 -j " CHAIN "\n");
	}
	buf_printf(&out, "COMMIT\n");
	return mem_take(&out.data);
}

static char *
describe(const struct firewall *f, const struct fw_rules *wanted)
{
	AUTO_FREE char *v4 = describe_family(f, wanted, IPV4);
	AUTO_FREE char *v6 = describe_family(f, wanted, IPV6);

	return xasprintf("# %s\n%s# %s\n%s", programs[IPV4].restore, v4, programs[IPV6].restore,
	    v6);
}

static int
check(const struct firewall *f, const struct intent_app *app, struct err *e)
{
	/* It can say all that can be asked. */
	(void)f;
	(void)app;
	(void)e;
	return 0;
}

static int
write_rules(struct firewall *f, const struct fw_rules *wanted, struct err *e)
{
	for (int i = 0; i < FAMILIES; i++) {
		const char *argv[] = { programs[i].restore, "--noflush", "--counters", "--wait=10",
			NULL };
		AUTO_FREE char *text = describe_family(f, wanted, (enum family)i);

		if (firewall_feed(argv, text, e) < 0)
			return i == IPV4 ? -1 :
					   err_wrap(e, "IPv4 has the new rules, IPv6 the old ones");
	}
	return 0;
}

const struct firewall_ops firewall_iptables = {
	.name = "iptables",
	.refreshing = "applying the iptables rules",
	.counts = 1,
	.look = look,
	.check = check,
	.describe = describe,
	.write = write_rules,
};
