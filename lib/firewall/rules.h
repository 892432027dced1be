/*
 * The ports of apps as rules: one for each port or range, and for each network that may reach it.
 * The same shape serves what is intended and what was found, so that they can be compared.
 */
#ifndef PP_RULES_H
#define PP_RULES_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/intent/intent.h"

struct fw_rule {
	char *app;
	enum intent_proto proto;
	uint16_t first, last;
	char *from; /* a network in its one canonical form; NULL: everybody */
	uint64_t packets, bytes;
};

/** Rules, in the order of fw_rules_sort(). */
struct fw_rules {
	struct fw_rule *v;
	size_t n;
};

/** Add a rule; strings are copied, `from` is made canonical. */
void fw_rules_add(struct fw_rules *rules, const char *app, enum intent_proto proto, uint16_t first,
    uint16_t last, const char *from, uint64_t packets, uint64_t bytes);

/** Add what an app's intent asks for. */
void fw_rules_add_app(struct fw_rules *rules, const struct intent_app *app);

/** Add a copy of the rules of `app` in `from`, with their counters. */
void fw_rules_keep_app(struct fw_rules *rules, const struct fw_rules *from, const char *app);

/**
 * Sort by app, protocol, port and network. For the same ports of one app, a rule that is there twice
 * becomes one, as do networks and the one that holds all of their family, and both families and
 * everybody; what has come through them is added up.
 * Returns: how many rules are gone by that.
 */
size_t fw_rules_sort(struct fw_rules *rules);

/** Do a and b hold the same rules for `app`, counters aside? Both are sorted. */
int fw_rules_same_app(const struct fw_rules *a, const struct fw_rules *b, const char *app);

/** The rules of one app: *n of them. Borrowed; NULL if there are none. */
const struct fw_rule *fw_rules_of(const struct fw_rules *rules, const char *app, size_t *n);

/** The app whose rules begin at `at`; NULL where that is in the midst of them. Borrowed. */
const char *fw_rules_app_at(const struct fw_rules *rules, size_t at);

/** Rules as a document, counters aside: {"slug": ["tcp 1212 1212", "udp 53 53 10.0.0.0/8"]}. */
json_t *fw_rules_dump(const struct fw_rules *rules);

/** Add the rules of such a document, sorted; what does not parse is left out. */
void fw_rules_load(struct fw_rules *rules, const json_t *doc);

/** Give each rule the counters that the same rule has in `found`. Both are sorted. */
void fw_rules_take_counters(struct fw_rules *rules, const struct fw_rules *found);

/** "1212" or "8000-8010", with `dash` between. Returns: out. */
const char *fw_rule_ports(const struct fw_rule *rule, char dash, char out[16]);

/** All of IPv4, and all of IPv6, in canonical form. */
#define FW_ANY_IPV4 "0.0.0.0/0"
#define FW_ANY_IPV6 "::/0"

/** "tcp" or "udp". */
const char *fw_proto_name(enum intent_proto proto);

/**
 * A network in its one canonical form: no host bits, no /32 or /128.
 * Returns: 0; -1 if it is none.
 */
int fw_network(const char *text, char *out, size_t room);

/** Is it an IPv6 network? */
int fw_is_ipv6(const char *network);

/** Free what the rules hold. */
void fw_rules_release(struct fw_rules *rules);

#define AUTO_RULES __attribute__((cleanup(fw_rules_release)))

#endif
