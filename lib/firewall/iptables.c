/*
 * iptables and its IPv6 twin: a chain PP-APPS in the table filter, jumped to once from INPUT.
 *
 * Written by iptables-restore --noflush, which replaces that one chain in one go and leaves all others
 * as they are; read through iptables-save. A rule that lets everybody in stands in both families.
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

/* One family's chain as it is. */
struct listing {
	struct fw_rules rules;
	int chain;      /* it is there */
	size_t jumps;   /* from INPUT to it */
	int odd;        /* it holds a rule that is not ours */
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
read_rule(char *text, uint64_t packets, uint64_t bytes, struct fw_rules *rules)
{
	char *words[WORDS_MAX];
	size_t n = split_words(text, words), at = 0;
	const char *from = NULL, *proto, *app;
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
read_line(char *line, struct listing *l)
{
	static const char ours[] = "-A " CHAIN " ", jump[] = "-A INPUT -j " CHAIN;
	unsigned long long packets = 0, bytes = 0;
	char *rule = strchr(line, ']');

	if (strncmp(line, ":" CHAIN " ", strlen(CHAIN) + 2) == 0)
		l->chain = 1;
	if (line[0] != '[' || rule == NULL ||
	    sscanf(line, "[%llu:%llu]", &packets, &bytes) != 2)
		return;
	rule += 2;
	if (strcmp(rule, jump) == 0)
		l->jumps++;
	else if (strncmp(rule, ours, strlen(ours)) == 0)
		l->odd |= read_rule(rule + strlen(ours), packets, bytes, &l->rules) < 0;
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
		read_line(lines.items[i], l);
	fw_rules_sort(&l->rules);
	return 0;
}

static int
is_for(const struct fw_rule *r, enum family family)
{
	return r->from == NULL || fw_is_ipv6(r->from) == (family == IPV6);
}

/* Do both families say the same? Then what was found is either's. */
static void
merge(struct firewall *f, const struct listing *l)
{
	size_t in_both = 0, everybody = 0;

	for (int family = 0; family < FAMILIES; family++)
		for (size_t i = 0; i < l[family].rules.n; i++) {
			const struct fw_rule *r = &l[family].rules.v[i];

			everybody += r->from == NULL;
			fw_rules_add(&f->found, r->app, r->proto, r->first, r->last, r->from,
			    r->packets, r->bytes);
		}
	fw_rules_sort(&f->found);
	for (size_t i = 0; i < f->found.n; i++)
		in_both += f->found.v[i].from == NULL;
	if (everybody != 2 * in_both)
		f->damage = xstrdup("IPv4 and IPv6 differ");
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
		for (int i = 0; i < FAMILIES; i++) {
			/* As many jumps as there are beyond one are to go. */
			AUTO_FREE char *jumps = xasprintf("%zu", l[i].jumps);

			strv_add(&f->leftover_objects, mem_take(&jumps));
			if (f->damage == NULL && l[i].odd)
				f->damage = xstrdup("chain " CHAIN " has a rule that pp did not "
						    "put there");
			if (f->damage == NULL && !f->absent && (!l[i].chain || l[i].jumps != 1))
				f->damage = xasprintf("chain " CHAIN " is jumped to %zu times from "
				    "INPUT, not once", l[i].jumps);
		}
	}
	for (int i = 0; i < FAMILIES; i++)
		fw_rules_release(&l[i].rules);
	return r;
}

static char *
describe_family(const struct firewall *f, const struct fw_rules *wanted, enum family family)
{
	AUTO_BUF struct buf out = { 0 };
	unsigned long jumps = strtoul(f->leftover_objects.items[family], NULL, 10);

	buf_printf(&out, "*filter\n:" CHAIN " - [0:0]\n");
	for (size_t i = 0; i < wanted->n; i++) {
		const struct fw_rule *r = &wanted->v[i];
		const char *proto = fw_proto_name(r->proto);
		char ports[16];

		if (!is_for(r, family))
			continue;
		buf_printf(&out, "[%llu:%llu] -A " CHAIN, (unsigned long long)r->packets,
		    (unsigned long long)r->bytes);
		if (r->from != NULL)
			buf_printf(&out, " -s %s", r->from);
		buf_printf(&out, " -p %s -m %s --dport %s -m comment --comment %s -j ACCEPT\n", proto,
		    proto, fw_rule_ports(r, ':', ports), r->app);
	}
	if (jumps == 0)
		buf_printf(&out, "-I INPUT 1 -j " CHAIN "\n");
	for (; jumps > 1; jumps--)
		buf_printf(&out, "-D INPUT -j " CHAIN "\n");
	buf_printf(&out, "COMMIT\n");
	return mem_take(&out.data);
}

static char *
describe(const struct firewall *f, const struct fw_rules *wanted)
{
	AUTO_FREE char *v4 = describe_family(f, wanted, IPV4);
	AUTO_FREE char *v6 = describe_family(f, wanted, IPV6);

	return xasprintf("# %s\n%s# %s\n%s", programs[IPV4].restore, v4, programs[IPV6].restore, v6);
}

static int
check(const struct firewall *f, const struct intent_app *app, struct err *e)
{
	(void)app;
	if (f->options.mode == FIREWALL_ENFORCE)
		return err_set(e, ERR_CONFIG, "the iptables backend opens ports and leaves the policy "
		    "of INPUT to the host; use --mode=allow, or --backend=nft");
	return 0;
}

static int
write_rules(struct firewall *f, const struct fw_rules *wanted, struct err *e)
{
	for (int i = 0; i < FAMILIES; i++) {
		const char *argv[] = { programs[i].restore, "--noflush", "--counters", NULL };
		AUTO_FREE char *text = describe_family(f, wanted, (enum family)i);

		if (firewall_feed(argv, text, e) < 0)
			return -1;
	}
	return 0;
}

const struct firewall_ops firewall_iptables = {
	.name = "iptables",
	.refreshing = "applying the iptables rules",
	.look = look,
	.check = check,
	.describe = describe,
	.write = write_rules,
};
