#include "lib/artifact/trust.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/fs/file.h"

#define HEX_LEN ((size_t)TRUST_HEX_ROOM - 1)
#define SHOWN_ROOM 400

static const char *const modes[] = {
	[TRUST_AUTO] = "auto",
	[TRUST_NONE] = "none",
	[TRUST_DIGEST] = "digest",
	[TRUST_SIGNATURE] = "signature",
};

int
trust_parse_mode(const char *text, enum trust_mode *mode, struct err *e)
{
	char shown[SHOWN_ROOM];

	for (size_t i = 0; i < MEM_COUNT(modes); i++)
		if (strcmp(text, modes[i]) == 0) {
			*mode = (enum trust_mode)i;
			return 0;
		}
	log_escape(shown, sizeof shown, text);
	return err_set(e, ERR_CONFIG, "verify: \"%s\" is not auto, none, digest or signature",
	    shown);
}

int
trust_keys_exist(const char *dir, int stated, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };
	AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char shown[SHOWN_ROOM] = "";

	if (fd < 0 && errno == ENOENT && !stated)
		return 0;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ERR_CONFIG, "trusted-keys: there is no directory %s", dir);
	if (fd < 0)
		return err_sys(e, "trusted keys %s", dir);
	if (dir_list(fd, &names, e) < 0)
		return err_wrap(e, "trusted keys %s", dir);
	for (size_t i = 0; i < names.n; i++) {
		size_t n = strlen(names.items[i]);

		if (names.items[i][0] == '.')
			continue;
		if (n > 4 && strcmp(names.items[i] + n - 4, ".pub") == 0)
			return 1;
		log_escape(shown, sizeof shown, names.items[i]);
	}
	if (shown[0] != '\0')
		return err_set(e, ERR_CONFIG,
		    "trusted keys: %s has no *.pub, but %s: rename it, or remove it if it is not a "
		    "key",
		    dir, shown);
	return 0;
}

int
trust_check(const struct trust_facts *f, struct err *e)
{
	if (f->mode == TRUST_SIGNATURE && !f->keys)
		return err_set(e, ERR_CONFIG,
		    "--verify=signature, and there is no trusted key to verify with; put the "
		    "signers' .pub files into the directory of --trusted-keys");
	return 0;
}

void
trust_needs(const struct trust_facts *f, struct trust_needs *needs)
{
	needs->signature = f->keys && (f->mode == TRUST_AUTO || f->mode == TRUST_SIGNATURE);
	needs->digest_file =
	    f->stated == NULL && (f->mode == TRUST_AUTO || f->mode == TRUST_DIGEST);
}

static int
is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isxdigit((unsigned char)s[i]))
			return 0;
	return n > 0;
}

/* The digits of a stated digest; NULL with *e set. */
static const char *
stated_hex(const char *stated, struct err *e)
{
	static const char prefix[] = "sha256:";
	const char *hex = stated + sizeof prefix - 1;

	if (strncmp(stated, prefix, sizeof prefix - 1) == 0 && strlen(hex) == HEX_LEN &&
	    is_hex(hex, HEX_LEN))
		return hex;
	(void)err_set(e, ERR_DATA, "its digest in intent is not sha256: and 64 hex digits");
	return NULL;
}

/* Is what there is enough? */
static int
check_verdict(const struct trust_facts *f, const struct trust_verdict *v, int has_signature,
    struct err *e)
{
	if (v->signature && !has_signature)
		return err_set(e, ERR_DATA,
		    "it is not signed, and this node has trusted keys; sign it (pp-trust(7)), or say "
		    "--verify=digest");
	if (f->mode == TRUST_DIGEST && v->sha256 == NULL)
		return err_set(e, ERR_DATA,
		    "no digest is known, and --verify=digest wants one; state it in the intent, or "
		    "put a .sha256 beside the artifact");
	if (f->mode == TRUST_AUTO && f->plain_http && v->sha256 == NULL && !v->signature)
		return err_set(e, ERR_DATA,
		    "it came over plain http, and neither a signature nor a digest vouches for it; "
		    "state its digest in the intent, sign it (pp-trust(7)), or use https");
	return 0;
}

int
trust_decide(const struct trust_facts *f, const char *sidecar_hex, int has_signature,
    struct trust_verdict *verdict, struct err *e)
{
	struct trust_needs needs;
	const char *stated = NULL;

	*verdict = (struct trust_verdict){ 0 };
	if (f->mode == TRUST_NONE)
		return 0;
	if (trust_check(f, e) < 0)
		return -1;
	if (f->stated != NULL && (stated = stated_hex(f->stated, e)) == NULL)
		return -1;
	trust_needs(f, &needs);
	verdict->signature = needs.signature;
	verdict->sha256 = needs.digest_file ? sidecar_hex : stated;
	return check_verdict(f, verdict, has_signature, e);
}

/* A line of a digest file: the digest of a file, or of a file by another algorithm (hex NULL). */
struct line {
	const char *hex, *name;
	size_t name_len;
};

/* "<hex>  name" or "<hex> *name". */
static int
parse_gnu(const char *s, struct line *line)
{
	/* A backslash in front: the name is one that had to be escaped. It is none of ours. */
	s += *s == '\\';
	if (strlen(s) < HEX_LEN + 3 || !is_hex(s, HEX_LEN) || s[HEX_LEN] != ' ' ||
	    (s[HEX_LEN + 1] != ' ' && s[HEX_LEN + 1] != '*'))
		return 0;
	line->hex = s;
	line->name = s + HEX_LEN + 2;
	line->name_len = strlen(line->name);
	return 1;
}

/* "SHA256 (name) = <hex>". */
static int
parse_bsd(const char *s, struct line *line)
{
	static const char open[] = " (", middle[] = ") = ";
	size_t algorithm = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/");
	const char *end = strrchr(s, ')');

	if (algorithm == 0 || strncmp(s + algorithm, open, strlen(open)) != 0 || end == NULL ||
	    strncmp(end, middle, strlen(middle)) != 0)
		return 0;
	line->name = s + algorithm + strlen(open);
	line->hex = end + strlen(middle);
	if (end <= line->name || !is_hex(line->hex, strlen(line->hex)))
		return 0;
	line->name_len = (size_t)(end - line->name);
	if (algorithm != strlen("SHA256") || strncmp(s, "SHA256", algorithm) != 0)
		line->hex = NULL;
	else if (strlen(line->hex) != HEX_LEN)
		return 0;
	return 1;
}

static int
is_about(const struct line *line, const char *name)
{
	size_t n = strlen(name), at = line->name_len - n;

	return line->name_len >= n && memcmp(line->name + at, name, n) == 0 &&
	    (at == 0 || line->name[at - 1] == '/');
}

static void
take_hex(char *hex, const char *from)
{
	for (size_t i = 0; i < HEX_LEN; i++)
		hex[i] = (char)tolower((unsigned char)from[i]);
	hex[HEX_LEN] = '\0';
}

/* One line, the `number`th: into `hex` if it is about the file, else the name into `other`. */
static int
take_line(const char *s, size_t number, const char *name, char *hex, char *other, struct err *e)
{
	struct line line;
	AUTO_FREE char *its_name = NULL;
	char found[TRUST_HEX_ROOM];

	if (!parse_gnu(s, &line) && !parse_bsd(s, &line))
		return err_set(e, ERR_DATA,
		    "line %zu is not a digest; `sha256sum %s` writes what is wanted", number, name);
	if (line.hex == NULL)
		return 0;
	if (!is_about(&line, name)) {
		its_name = xmemdup(line.name, line.name_len);
		log_escape(other, SHOWN_ROOM, its_name);
		return 0;
	}
	take_hex(found, line.hex);
	if (hex[0] != '\0' && strcmp(hex, found) != 0)
		return err_set(e, ERR_DATA, "two digests are given for %s", name);
	memcpy(hex, found, sizeof found);
	return 0;
}

/* Is it one digest, and nothing but blanks after it? */
static int
is_bare(const struct strv *lines)
{
	const char *s = lines->n == 1 ? lines->items[0] : "";

	return strlen(s) >= HEX_LEN && is_hex(s, HEX_LEN) &&
	    s[HEX_LEN + strspn(s + HEX_LEN, " \t")] == '\0';
}

static void
split_lines(const char *text, size_t n, struct strv *lines)
{
	AUTO_FREE char *copy = xmemdup(text, n);

	strv_split(lines, copy, '\n');
	for (size_t i = 0; i < lines->n; i++) {
		size_t length = strlen(lines->items[i]);

		if (length > 0 && lines->items[i][length - 1] == '\r')
			lines->items[i][length - 1] = '\0';
	}
	while (lines->n > 0 && lines->items[lines->n - 1][0] == '\0')
		free(mem_take(&lines->items[--lines->n]));
}

int
trust_parse_digest(const char *text, size_t n, const char *name, char hex[TRUST_HEX_ROOM],
    struct err *e)
{
	AUTO_STRV struct strv lines = { 0 };
	char other[SHOWN_ROOM] = "";

	hex[0] = '\0';
	if (n > TRUST_DIGEST_FILE_MAX)
		return err_set(e, ERR_DATA, "longer than %d bytes", TRUST_DIGEST_FILE_MAX);
	if (n > 0 && memchr(text, '\0', n) != NULL)
		return err_set(e, ERR_DATA, "not text");
	split_lines(text, n, &lines);
	if (is_bare(&lines)) {
		take_hex(hex, lines.items[0]);
		return 0;
	}
	for (size_t i = 0; i < lines.n; i++)
		if (take_line(lines.items[i], i + 1, name, hex, other, e) < 0)
			return -1;
	if (hex[0] != '\0')
		return 0;
	if (other[0] != '\0')
		return err_set(e, ERR_DATA, "for the file %s, not for %s", other, name);
	return err_set(e, ERR_DATA, "no SHA-256 is in it");
}
