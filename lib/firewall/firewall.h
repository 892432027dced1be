/*
 * Firewalls: what opens the ports of a node's apps.
 *
 * A backend reads what is there as rules, and puts a whole new set of them there in one go. It owns
 * what HACKING.md says it owns, and leaves everything else as it is. Which backend it is, the agent
 * does not know.
 */
#ifndef PP_FIREWALL_H
#define PP_FIREWALL_H

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/firewall/rules.h"

enum firewall_mode {
	FIREWALL_ALLOW,   /* open ports; what is not open is not pp's business */
	FIREWALL_ENFORCE, /* and drop everything else that comes in */
};

/** What a backend is told. All of it is owned by the firewall. */
struct firewall_options {
	enum firewall_mode mode;
	struct strv always_allow; /* TCP ports that enforce leaves open */
	char *chain;              /* nft: "FAMILY TABLE CHAIN" to fill instead of pp's own table */
	char *config_dir, *cmd;   /* port_authority */
};

struct firewall_ops;

struct firewall {
	const struct firewall_ops *ops;
	struct firewall_options options;

	/* As look() found it. */
	struct fw_rules found;
	int absent;    /* nothing of pp's is there */
	char *damage;  /* why it must be written even where the rules agree; NULL: nothing */
	int drops;     /* what is not open is dropped already */
	char *foreign; /* why what is there may be somebody else's; NULL: it is pp's */
	struct strv leftover_objects; /* of the backend's own, to be removed when writing */
	struct fw_rules by_family[2]; /* iptables: IPv4's own, with its counters, and IPv6's */

	/* What pp wrote there last, as its agent remembers; it counts only where it does. */
	struct fw_rules remembered;
};

struct firewall_ops {
	const char *name;
	const char *refreshing; /* the log's words when it writes */
	int counts;             /* it counts what comes through each rule */
	int (*look)(struct firewall *, struct err *);
	int (*check)(const struct firewall *, const struct intent_app *, struct err *);
	char *(*describe)(const struct firewall *, const struct fw_rules *wanted);
	int (*write)(struct firewall *, const struct fw_rules *wanted, struct err *);
};

extern const struct firewall_ops firewall_nft, firewall_iptables, firewall_port_authority;

/** The backend of that name; NULL if there is none. */
const struct firewall_ops *firewall_find(const char *name);

/**
 * Read what is there. Starts one program at most (iptables: two).
 * Returns: 0 and found, absent, damage, drops of *f; -1 with *e set.
 */
int firewall_look(struct firewall *f, struct err *e);

/** Can this backend say what the app asks for? 0; -1 with *e set (ERR_DATA). */
int firewall_check(const struct firewall *f, const struct intent_app *app, struct err *e);

/** The exact change that firewall_write() would make, for people. Pure. Owns: the caller frees. */
char *firewall_describe(const struct firewall *f, const struct fw_rules *wanted);

/**
 * Make `wanted` (sorted) all that is there. Counters of rules that stay are kept.
 * Returns: 0; -1 with *e set, the old rules still in place (port_authority: file by file).
 */
int firewall_write(struct firewall *f, const struct fw_rules *wanted, struct err *e);

/** Does some program listen on one of these TCP ports, for others than this host? 1 or 0. */
int firewall_is_listening(const struct strv *ports);

/** Free it; NULL is fine. */
void firewall_free(struct firewall *f);

/** Run a program with `text` as its stdin; its own words are in the error. For backends. */
int firewall_feed(const char *const *argv, const char *text, struct err *e);

#endif
