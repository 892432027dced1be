/*
 * What the two halves of the nft backend, writing and reading, have in common.
 */
#ifndef PP_NFT_H
#define PP_NFT_H

#include "lib/firewall/firewall.h"

#define NFT_BASE_RULES_MAX 64

/** Where the rules are. */
struct nft_place {
	char family[16], table[128], chain[128];
	char set[2][160]; /* by protocol */
	int own;          /* the whole table is pp's */
};

/** A rule as nft takes it, and its "expr" as nft lists it. */
struct nft_base_rule {
	char text[96];
	char json[192];
};

/** Find out where the rules are to be. */
void nft_place(const struct firewall *f, struct nft_place *p);

/** The rules of the base chain of pp's own table, in order. Returns: how many. */
size_t nft_base_rules(const struct firewall *f, struct nft_base_rule *rules, size_t room);

/** firewall_ops.look */
int nft_look(struct firewall *f, struct err *e);

#endif
