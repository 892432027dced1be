#include "lib/artifact/repo.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/mem.h"

#define REPO_MAX 1024
#define REGION_MAX 32

static int
check_text(const char *text, struct err *e)
{
	if (strlen(text) > REPO_MAX)
		return err_set(e, ERR_CONFIG, "repository: longer than %d bytes", REPO_MAX);
	for (const char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
			return err_set(e, ERR_CONFIG,
			    "repository: blanks and bytes that are not "
			    "ASCII must be written as %%XX");
	return 0;
}

/* `rest` is what follows the scheme. */
static int
check_url(const char *what, const char *text, const char *rest, struct err *e)
{
	size_t host = strcspn(rest, "/?#");

	if (memchr(rest, '@', host) != NULL)
		return err_set(e, ERR_CONFIG,
		    "%s: a password in its URL would end up in logs; leave it out, and name a "
		    "netrc file with --netrc",
		    what);
	if (strpbrk(rest, "?#") != NULL)
		return err_set(e, ERR_CONFIG,
		    "%s %s: names are added at its end, so it cannot have ? or #", what, text);
	if (host == 0)
		return err_set(e, ERR_CONFIG, "%s %s: it names no host", what, text);
	return 0;
}

static size_t
without_slashes(const char *text)
{
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '/')
		n--;
	return n;
}

/* %XX undone, but for %00, which no name can have. Owns: the caller frees. */
static char *
decode(const char *text, size_t n)
{
	char *plain = xmemdup(text, n), *out = plain;

	for (const char *in = plain; *in != '\0'; in++) {
		unsigned byte;

		if (in[0] == '%' && isxdigit((unsigned char)in[1]) &&
		    isxdigit((unsigned char)in[2]) && sscanf(in + 1, "%2x", &byte) == 1 &&
		    byte != 0) {
			*out++ = (char)byte;
			in += 2;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
	return plain;
}

/* As the signature has it: a store makes its own of the key, and the two must be the same. */
static void
add_encoded(struct buf *out, const char *key)
{
	for (; *key != '\0'; key++) {
		if (isalnum((unsigned char)*key) || strchr("-._~/", *key) != NULL)
			buf_add(out, key, 1);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*key);
	}
}

/* Segments that a client would take out on its way. */
static int
has_dots(const char *key)
{
	for (const char *at = key; at != NULL; at = strchr(at, '/')) {
		size_t n;

		at += *at == '/';
		n = strcspn(at, "/");
		if ((n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
			return 1;
	}
	return 0;
}

static int
is_bucket(const char *name, size_t n)
{
	if (n < 3 || n > 63)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
		    strchr("-._", name[i]) == NULL)
			return 0;
	return isalnum((unsigned char)name[0]) && isalnum((unsigned char)name[n - 1]);
}

static int
check_endpoint(const char *endpoint, struct err *e)
{
	const char *rest = strstr(endpoint, "://");

	if (check_text(endpoint, e) < 0)
		return err_wrap(e, "--s3-endpoint");
	if (strncasecmp(endpoint, "http://", 7) != 0 && strncasecmp(endpoint, "https://", 8) != 0)
		return err_set(e, ERR_CONFIG, "--s3-endpoint: write https://host or http://host");
	return check_url("--s3-endpoint", endpoint, rest + 3, e);
}

static int
parse_s3(struct repo *repo, const char *text, const char *endpoint, const char *region,
    struct err *e)
{
	const char *bucket = text + strlen("s3://");
	size_t n = strcspn(bucket, "/");
	AUTO_FREE char *key = decode(bucket + n, without_slashes(bucket + n));
	AUTO_BUF struct buf base = { 0 };
	const char *cn = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";

	if (check_url("repository", text, bucket, e) < 0)
		return -1;
	if (!is_bucket(bucket, n))
		return err_set(e, ERR_CONFIG, "repository %s: \"%.*s\" is no name of a bucket",
		    text, (int)n, bucket);
	if (has_dots(key))
		return err_set(e, ERR_CONFIG, "repository %s: it cannot have . or .. in it", text);
	if (endpoint != NULL && check_endpoint(endpoint, e) < 0)
		return -1;
	/* A certificate for *.s3.amazonaws.com is not one for two labels before that. */
	if (endpoint != NULL)
		buf_printf(&base, "%.*s/%.*s", (int)without_slashes(endpoint), endpoint, (int)n,
		    bucket);
	else if (memchr(bucket, '.', n) != NULL || memchr(bucket, '_', n) != NULL)
		buf_printf(&base, "https://s3.%s.amazonaws.com%s/%.*s", region, cn, (int)n, bucket);
	else
		buf_printf(&base, "https://%.*s.s3.%s.amazonaws.com%s", (int)n, bucket, region, cn);
	add_encoded(&base, key);
	repo->kind = REPO_S3;
	repo->base = mem_take(&base.data);
	return 0;
}

int
repo_parse(struct repo *repo, const char *text, const char *s3_endpoint, const char *region,
    struct err *e)
{
	size_t n = without_slashes(text);
	int r = 0;

	*repo = (struct repo){ 0 };
	if (check_text(text, e) < 0)
		return -1;
	if (strncasecmp(text, "file://", 7) == 0) {
		if (text[7] != '/')
			return err_set(e, ERR_CONFIG,
			    "repository %s: write file:///path, with three slashes", text);
		repo->kind = REPO_FILE;
		repo->base = n > 7 ? decode(text + 7, n - 7) : xstrdup("");
	} else if (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0) {
		r = check_url("repository", text, strstr(text, "://") + 3, e);
		repo->kind = REPO_HTTP;
		repo->base = xmemdup(text, n);
	} else if (strncasecmp(text, "s3://", 5) == 0) {
		r = parse_s3(repo, text, s3_endpoint, region, e);
	} else {
		r = err_set(e, ERR_CONFIG,
		    "repository %s: write file:///path, http://host/path, https://host/path or "
		    "s3://bucket/prefix",
		    text);
	}
	if (r < 0)
		repo_release(repo);
	else
		repo->text = xmemdup(text, n);
	return r;
}

const char *
repo_region(struct err *e)
{
	static const char *const names[] = { "AWS_REGION", "AWS_DEFAULT_REGION" };

	for (size_t i = 0; i < MEM_COUNT(names); i++) {
		const char *region = getenv(names[i]);
		size_t n = region != NULL ? strlen(region) : 0;

		if (n == 0)
			continue;
		if (n <= REGION_MAX && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == n)
			return region;
		err_set(e, ERR_CONFIG, "%s: that is no name of a region", names[i]);
		return NULL;
	}
	return "us-east-1";
}

void
repo_release(struct repo *repo)
{
	free(repo->text);
	free(repo->base);
	*repo = (struct repo){ 0 };
}
