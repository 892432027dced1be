/*
 * What vouches for an artifact: --verify, digests, whether a signature is wanted. Policy: all but
 * trust_keys_exist() looks at nothing but its arguments. pp-unpack is what enforces the verdict.
 */
#ifndef PP_TRUST_H
#define PP_TRUST_H

#include <stddef.h>

#include "lib/base/err.h"

#define TRUST_KEYS_DIR "/etc/pp/trusted.d"

/** Room for a SHA-256 as hex. */
#define TRUST_HEX_ROOM 65

/** Bytes of a .sha256 file. */
#define TRUST_DIGEST_FILE_MAX 65536

enum trust_mode {
	TRUST_AUTO,      /* signed where this node has keys; any digest that is known */
	TRUST_NONE,      /* nothing is verified */
	TRUST_DIGEST,    /* a digest there must be; signatures are not looked at */
	TRUST_SIGNATURE, /* signed by a key of this node, and a stated digest */
};

/** What is known before anything is fetched. */
struct trust_facts {
	enum trust_mode mode;
	int keys;           /* this node has trusted keys */
	const char *stated; /* intent's "sha256:<hex>", or NULL */
	int plain_http;     /* the artifact comes over http:// */
};

/** What is to be fetched besides the artifact. */
struct trust_needs {
	int signature, digest_file;
};

/** What is to hold of the artifact before it is unpacked. */
struct trust_verdict {
	const char *sha256; /* 64 hex digits, of the facts or of the sidecar; NULL: no digest */
	int signature;      /* a valid one */
};

/** Parse the value of --verify. Returns: 0; -1 with *e set (ERR_CONFIG). */
int trust_parse_mode(const char *text, enum trust_mode *mode, struct err *e);

/**
 * Has this node trusted keys, *.pub in `dir`? They are read by pp-unpack, not here. `stated`: the
 * directory is one that somebody wrote down, so it must be there.
 * Returns: 1 or 0; -1 with *e set, also where other files are there but no *.pub: somebody meant one.
 */
int trust_keys_exist(const char *dir, int stated, struct err *e);

/** Can it come to anything? Refuses before a byte is fetched. Returns: 0; -1 with *e (ERR_CONFIG). */
int trust_check(const struct trust_facts *f, struct err *e);

void trust_needs(const struct trust_facts *f, struct trust_needs *needs);

/**
 * Decide. `sidecar_hex` is the digest that stands beside the artifact, NULL where there is none;
 * `has_signature` says whether a signature does.
 * Returns: 0 and the verdict, which borrows; -1 with *e set: nothing vouches for it, or not enough.
 */
int trust_decide(const struct trust_facts *f, const char *sidecar_hex, int has_signature,
    struct trust_verdict *verdict, struct err *e);

/**
 * The SHA-256 of the file `name` by a digest file, in lower case: as sha256sum writes it
 * ("<hex>  name", "<hex> *name", the name with or without a path), as BSD's sha256 does
 * ("SHA256 (name) = <hex>"), or a digest and nothing else. Lines about other files, and of other
 * algorithms in BSD's form, may be there too; they end in LF or CRLF.
 *
 * Returns: 0; -1 with *e set (ERR_DATA) where it is none, is about other files only, or says two
 *          things about this one.
 */
int trust_parse_digest(const char *text, size_t n, const char *name, char hex[TRUST_HEX_ROOM],
    struct err *e);

#endif
