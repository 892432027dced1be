/*
 * The formats of minisign: signatures (.minisig) and public keys (.pub). Pure functions; all they are
 * given is hostile.
 */
#ifndef PP_UNPACK_MINISIGN_H
#define PP_UNPACK_MINISIGN_H

#include <stddef.h>

#include "lib/base/err.h"

#define UNPACK_MINISIGN_SIG_MAX 16384 /* bytes of a .minisig */
#define UNPACK_MINISIGN_KEY_MAX 4096  /* bytes of a .pub */

#define UNPACK_MINISIGN_ID_BYTES 8
#define UNPACK_MINISIGN_SIG_BYTES 64
#define UNPACK_MINISIGN_KEY_BYTES 32

/** Room for a key's id as minisign prints it: up to 16 hex digits. */
#define UNPACK_MINISIGN_ID_ROOM 17

struct unpack_minisign_key {
	unsigned char id[UNPACK_MINISIGN_ID_BYTES];
	unsigned char key[UNPACK_MINISIGN_KEY_BYTES]; /* Ed25519 */
};

struct unpack_minisign_sig {
	int prehashed; /* sig is over BLAKE2b-512 of the file; else over the file itself */
	unsigned char id[UNPACK_MINISIGN_ID_BYTES];
	unsigned char sig[UNPACK_MINISIGN_SIG_BYTES];
	unsigned char global[UNPACK_MINISIGN_SIG_BYTES]; /* over sig and the comment after it */
	char comment[UNPACK_MINISIGN_SIG_MAX]; /* the trusted one, one line; not verified yet */
};

/**
 * Parse a .pub: an untrusted comment, which may be left out, and the key.
 *
 * Accepted: lines that end in LF or CRLF, blank lines at the end; nothing else besides.
 * Returns:  0; -1 with *e set (ERR_CONFIG: it is the node's administrator who puts it there), also
 *           for a key of small order, with which anybody could sign.
 */
int unpack_minisign_parse_key(const char *text, size_t n, struct unpack_minisign_key *key,
    struct err *e);

/**
 * Parse a .minisig: untrusted comment, signature, trusted comment, global signature; lines as above.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int unpack_minisign_parse_sig(const char *text, size_t n, struct unpack_minisign_sig *sig,
    struct err *e);

/**
 * Is a trusted comment, which was verified, one for the file `name`? Of its fields, which tabs or
 * blanks separate, exactly one is to begin with "file:", and the rest of it to be the name.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int unpack_minisign_check_name(const char *comment, const char *name, struct err *e);

/** Write a key's id to `text` (UNPACK_MINISIGN_ID_ROOM bytes). */
void unpack_minisign_show_id(char *text, const unsigned char *id);

#endif
