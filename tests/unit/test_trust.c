/* What vouches for an artifact: the policy over all that can be, and digest files. */
#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/artifact/trust.h"
#include "lib/base/mem.h"
#include "tests/unit/tap.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define B_UPPER "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
#define NAME "slug_abc.tar.gz"

static const char stated[] = "sha256:" A, sidecar[] = B;

/*
 * What is the case, a letter each or - where it is not, * where that does not matter:
 * the mode (a n d s), trusted keys, a digest stated in intent, plain http, a digest (c) beside the
 * artifact, a signature there.
 */
static const struct {
	const char *when, *then;
} rules[] = {
	{ "n*****", "nothing" },
	{ "d*t***", "stated" },
	{ "d*-*c*", "sidecar" },
	{ "d*-*-*", "refused: no digest" },
	{ "s-****", "refused: no trusted key" },
	{ "sk***-", "refused: not signed" },
	{ "skt**s", "signature, stated" },
	{ "sk-**s", "signature" },
	{ "ak***-", "refused: not signed" },
	{ "akt**s", "signature, stated" },
	{ "ak-*cs", "signature, sidecar" },
	{ "ak-*-s", "signature" },
	{ "a-t***", "stated" },
	{ "a--*c*", "sidecar" },
	{ "a--h-*", "refused: plain http" },
	{ "a----*", "nothing" },
};

static const char *
words_of(const struct err *e)
{
	if (strstr(e->msg, "no digest is known") != NULL && e->class == ERR_DATA)
		return "refused: no digest";
	if (strstr(e->msg, "no trusted key") != NULL && e->class == ERR_CONFIG)
		return "refused: no trusted key";
	if (strstr(e->msg, "not signed") != NULL && e->class == ERR_DATA)
		return "refused: not signed";
	if (strstr(e->msg, "plain http") != NULL && e->class == ERR_DATA)
		return "refused: plain http";
	return "refused: for some other reason";
}

static const char *
decide(const struct trust_facts *f, const char *sidecar_hex, int has_signature)
{
	struct trust_verdict v = { "x", 1 };
	struct err e = ERR_INIT;

	if (trust_decide(f, sidecar_hex, has_signature, &v, &e) < 0)
		return words_of(&e);
	if (v.sha256 == NULL)
		return v.signature ? "signature" : "nothing";
	if (strcmp(v.sha256, A) == 0)
		return v.signature ? "signature, stated" : "stated";
	if (strcmp(v.sha256, B) == 0)
		return v.signature ? "signature, sidecar" : "sidecar";
	return "some other digest";
}

static int
matches(const char *when, const char *is_so)
{
	for (size_t i = 0; is_so[i] != '\0'; i++)
		if (when[i] != '*' && when[i] != is_so[i])
			return 0;
	return 1;
}

/* What was not asked for must not matter, for it is not there to be looked at. */
static void
test_needs(const struct trust_facts *f, const char *is_so, const char *result)
{
	struct trust_needs needs = { 7, 7 };

	trust_needs(f, &needs);
	for (int i = 0; i < 4; i++) {
		const char *with = needs.digest_file ? (is_so[4] == 'c' ? sidecar : NULL) :
		    (i & 1) != 0                     ? sidecar :
						       NULL;
		int has_signature = needs.signature ? is_so[5] == 's' : (i & 2) != 0;

		if (strcmp(decide(f, with, has_signature), result) != 0)
			ok(0, "%s: what is not needed does not matter", is_so);
	}
	ok((f->mode == TRUST_NONE && !needs.signature && !needs.digest_file) ||
		f->mode != TRUST_NONE,
	    "%s: nothing is fetched to verify nothing", is_so);
	ok(!(f->stated != NULL && needs.digest_file), "%s: intent's digest beats the sidecar",
	    is_so);
}

static void
test_policy(void)
{
	static const enum trust_mode modes[] = { TRUST_AUTO, TRUST_NONE, TRUST_DIGEST,
		TRUST_SIGNATURE };
	int used[MEM_COUNT(rules)] = { 0 };

	for (unsigned int i = 0; i < 4 * 32; i++) {
		const char is_so[] = { "ands"[i / 32], "-k"[i & 1], "-t"[i >> 1 & 1],
			"-h"[i >> 2 & 1], "-c"[i >> 3 & 1], "-s"[i >> 4 & 1], '\0' };
		struct trust_facts f = { modes[i / 32], is_so[1] == 'k',
			is_so[2] == 't' ? stated : NULL, is_so[3] == 'h' };
		const char *result = decide(&f, is_so[4] == 'c' ? sidecar : NULL, is_so[5] == 's');
		int n = 0;

		for (size_t k = 0; k < MEM_COUNT(rules); k++)
			if (matches(rules[k].when, is_so)) {
				n++;
				used[k] = 1;
				is(result, rules[k].then, is_so);
			}
		ok(n == 1, "%s: there is one rule for it", is_so);
		test_needs(&f, is_so, result);
	}
	for (size_t k = 0; k < MEM_COUNT(rules); k++)
		ok(used[k], "the rule for %s was used", rules[k].when);
}

static void
test_check(void)
{
	struct trust_facts f = { TRUST_SIGNATURE, 0, stated, 0 };
	struct err e = ERR_INIT;

	ok(trust_check(&f, &e) < 0 && e.class == ERR_CONFIG,
	    "signatures wanted and no keys: refused before anything is fetched");
	has(e.msg, "--trusted-keys", "and told where keys go");
	f.keys = 1;
	ok(trust_check(&f, &e) == 0, "with keys it can come to something");
}

static void
test_stated(void)
{
	static const char *const bad[] = { "", A, "sha256:", "sha256:abc", "sha512:" A,
		"sha256:" A "a", "SHA256:" A, "sha256: " A };

	for (size_t i = 0; i < MEM_COUNT(bad); i++) {
		struct trust_facts f = { TRUST_AUTO, 0, bad[i], 0 };
		struct trust_verdict v;
		struct err e = ERR_INIT;

		ok(trust_decide(&f, NULL, 0, &v, &e) < 0 && e.class == ERR_DATA,
		    "no digest to state: \"%s\"", bad[i]);
	}
}

static void
test_modes(void)
{
	static const char *const bad[] = { "", "Auto", "auto ", "off", "digests", "no" };
	enum trust_mode mode = TRUST_NONE;
	struct err e = ERR_INIT;

	ok(trust_parse_mode("auto", &mode, &e) == 0 && mode == TRUST_AUTO, "auto");
	ok(trust_parse_mode("none", &mode, &e) == 0 && mode == TRUST_NONE, "none");
	ok(trust_parse_mode("digest", &mode, &e) == 0 && mode == TRUST_DIGEST, "digest");
	ok(trust_parse_mode("signature", &mode, &e) == 0 && mode == TRUST_SIGNATURE, "signature");
	for (size_t i = 0; i < MEM_COUNT(bad); i++)
		ok(trust_parse_mode(bad[i], &mode, &e) < 0 && e.class == ERR_CONFIG &&
			mode == TRUST_SIGNATURE,
		    "no mode: \"%s\"", bad[i]);
	has(e.msg, "\"no\" is not auto, none, digest or signature", "the modes are named");
}

static void
test_digests(void)
{
	static const char *const good[] = { B, B "\n", B "\r\n", B " \n", B_UPPER "\n", B "  " NAME,
		B "  " NAME "\n", B " *" NAME "\n", B "  " NAME "\r\n", B "  ./" NAME "\n",
		B "  dist/" NAME "\n", B " */abs/" NAME "\n", "SHA256 (" NAME ") = " B "\n",
		"SHA256 (" NAME ") = " B_UPPER, "SHA256 (x/" NAME ") = " B "\n",
		A "  other\n" B "  " NAME "\n" A "  more\n", B "  " NAME "\n" B "  " NAME "\n",
		B_UPPER "  " NAME "\n" B "  " NAME "\n",
		"MD5 (" NAME ") = 0123\nSHA256 (" NAME ") = " B "\nSHA512 (" NAME ") = " A A "\n",
		"\\" A "  a\\nb\n" B "  " NAME "\n", B "  " NAME "\n\n\n",
		A "  " NAME ".minisig\n" A "  x" NAME "\n" B "  " NAME "\n",
		"SHA256 (a)b(c) = " A "\nSHA256 (" NAME ") = " B };

	for (size_t i = 0; i < MEM_COUNT(good); i++) {
		char hex[TRUST_HEX_ROOM] = "x";
		struct err e = ERR_INIT;

		ok(trust_parse_digest(good[i], strlen(good[i]), NAME, hex, &e) == 0 &&
			strcmp(hex, B) == 0,
		    "the digest is found: %zu %s", i, e.msg);
	}
}

static void
test_no_digests(void)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "no SHA-256" },
		{ "\n\n", "no SHA-256" },
		{ "0123\n", "line 1 is not a digest" },
		{ B "0\n", "line 1 is not a digest" },
		{ " " B "\n", "line 1 is not a digest" },
		{ "\xef\xbb\xbf" B "\n", "line 1 is not a digest" },
		{ B " x\n", "line 1 is not a digest" },
		{ B "\n" B "\n", "line 1 is not a digest" },
		{ B "  " NAME "\nrubbish\n", "line 2 is not a digest" },
		{ B "  " NAME "\n\n" B "  " NAME "\n", "line 2 is not a digest" },
		{ B "\t" NAME "\n", "line 1 is not a digest" },
		{ B "  \n\n" B, "line 1 is not a digest" },
		{ "<html>404</html>", "line 1 is not a digest" },
		{ B "  slug_def.tar.gz\n", "for the file slug_def.tar.gz, not for " NAME },
		{ B "  x" NAME "\n", "for the file x" NAME ", not for " NAME },
		{ B "  " NAME "/x\n", ", not for " NAME },
		{ B "  " NAME " \n", ", not for " NAME },
		{ B "  -\n", "for the file -, not for " NAME },
		{ B "  a\033[2Jb\n", "for the file a\\x1b[2Jb, not" },
		{ "SHA256 (slug_def.tar.gz) = " B, "for the file slug_def.tar.gz, not for" },
		{ "SHA512 (" NAME ") = " B B, "no SHA-256" },
		{ "SHA256 (" NAME ") = abc", "line 1 is not a digest" },
		{ "SHA256 (" NAME ") = " B "zz", "line 1 is not a digest" },
		{ "SHA256 (" NAME ")= " B, "line 1 is not a digest" },
		{ "SHA256 () = " B, "line 1 is not a digest" },
		{ " (" NAME ") = " B, "line 1 is not a digest" },
		{ B "  " NAME "\n" A "  " NAME "\n", "two digests are given for " NAME },
		{ B "  " NAME "\nSHA256 (" NAME ") = " A "\n", "two digests are given" },
		{ B "  a/" NAME "\n" A "  b/" NAME "\n", "two digests are given" },
	};

	for (size_t i = 0; i < MEM_COUNT(bad); i++) {
		char hex[TRUST_HEX_ROOM];
		struct err e = ERR_INIT;

		ok(trust_parse_digest(bad[i].text, strlen(bad[i].text), NAME, hex, &e) < 0 &&
			e.class == ERR_DATA,
		    "refused: %zu", i);
		has(e.msg, bad[i].why, "for that reason");
	}
}

static void
test_digest_bytes(void)
{
	static const char nul[] = B "  " NAME "\n\0";
	AUTO_FREE char *large = xcalloc(1, TRUST_DIGEST_FILE_MAX + 2);
	char hex[TRUST_HEX_ROOM];
	struct err e = ERR_INIT;

	ok(trust_parse_digest(nul, sizeof nul, NAME, hex, &e) < 0, "a NUL is refused");
	has(e.msg, "not text", "as what it is");
	ok(trust_parse_digest(NULL, 0, NAME, hex, &e) < 0, "no bytes at all are refused");
	memset(large, '\n', TRUST_DIGEST_FILE_MAX + 1);
	memcpy(large, B, sizeof B - 1);
	ok(trust_parse_digest(large, TRUST_DIGEST_FILE_MAX, NAME, hex, &e) == 0, "64 KiB will do");
	ok(trust_parse_digest(large, TRUST_DIGEST_FILE_MAX + 1, NAME, hex, &e) < 0,
	    "more are refused");
}

static int
make(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	return fd >= 0 ? close(fd) : -1;
}

static void
test_keys(void)
{
	char path[] = "/tmp/test_trust.XXXXXX";
	AUTO_FREE char *missing = NULL;
	AUTO_CLOSE int dir = -1;
	struct err e = ERR_INIT;

	if (mkdtemp(path) == NULL || (dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		ok(0, "make a directory");
		return;
	}
	missing = xasprintf("%s/missing", path);
	ok(trust_keys_exist(missing, 0, &e) == 0, "no directory, no keys");
	ok(trust_keys_exist(missing, 1, &e) < 0 && e.class == ERR_CONFIG,
	    "a directory that was written down has to be there");
	ok(trust_keys_exist(path, 1, &e) == 0, "an empty one has none");
	ok(make(dir, ".hidden.pub") == 0 && trust_keys_exist(path, 0, &e) == 0,
	    "a hidden file is none");
	ok(make(dir, "a.pub.txt") == 0 && trust_keys_exist(path, 0, &e) < 0 &&
		e.class == ERR_CONFIG,
	    "other files and no key: somebody meant one");
	has(e.msg, "a.pub.txt", "and is told which file");
	ok(make(dir, "b.pub") == 0 && trust_keys_exist(path, 0, &e) == 1, "a key is one");
	(void)unlinkat(dir, ".hidden.pub", 0);
	(void)unlinkat(dir, "a.pub.txt", 0);
	(void)unlinkat(dir, "b.pub", 0);
	(void)rmdir(path);
}

int
main(void)
{
	test_modes();
	test_policy();
	test_check();
	test_stated();
	test_digests();
	test_no_digests();
	test_digest_bytes();
	test_keys();
	return done();
}
