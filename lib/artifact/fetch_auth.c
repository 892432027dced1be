#include "lib/artifact/fetch_auth.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define SECRET_FILE_MAX ((size_t)64 * 1024)

/* Is it ours, and for nobody else to read? */
static int
check_secret(int fd, const char *what, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s: stat %s", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CONFIG, "%s: %s is not a regular file", what, path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(e, ERR_CONFIG,
		    "%s: %s belongs to somebody else (uid %lu); chown it to root or to the user pp "
		    "runs as",
		    what, path, (unsigned long)st.st_uid);
	if ((st.st_mode & 077) != 0)
		return err_set(e, ERR_CONFIG,
		    "%s: %s can be read or written by others (mode %04o); run: chmod 600 %s", what,
		    path, (unsigned)(st.st_mode & 07777), path);
	if ((uint64_t)st.st_size > SECRET_FILE_MAX)
		return err_set(e, ERR_CONFIG, "%s: %s is larger than %zu bytes", what, path,
		    SECRET_FILE_MAX);
	return 0;
}

static int
read_secret(const char *what, const char *path, struct buf *out, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char chunk[4096];
	ssize_t n;

	if (fd < 0 || check_secret(fd, what, path, e) < 0) {
		if (fd < 0)
			err_sys(e, "%s: open %s", what, path);
		e->class = ERR_CONFIG;
		return -1;
	}
	while ((n = read(fd, chunk, sizeof chunk)) > 0 && out->n <= SECRET_FILE_MAX)
		buf_add(out, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof chunk);
	if (n < 0) {
		err_sys(e, "%s: read %s", what, path);
		e->class = ERR_CONFIG;
		return -1;
	}
	buf_add(out, "", 0);
	if (strlen(out->data) != out->n)
		return err_set(e, ERR_CONFIG, "%s: %s is not a text file", what, path);
	return 0;
}

/* The next line without blanks at its ends, cut out of the text; NULL at the end. */
static char *
next_line(char **text)
{
	char *line = strsep(text, "\n"), *end;

	if (line == NULL)
		return NULL;
	line += strspn(line, " \t\r");
	for (end = line + strlen(line); end > line && strchr(" \t\r", end[-1]) != NULL; end--)
		;
	*end = '\0';
	return line;
}

/* "[name]" becomes "name". */
static int
take_section(char *line)
{
	size_t n = strlen(line);

	if (n < 3 || line[0] != '[' || line[n - 1] != ']')
		return 0;
	memmove(line, line + 1, n - 2);
	line[n - 2] = '\0';
	return 1;
}

static const char *
header_fault(const char *line)
{
	static const char *const ours[] = { "Host", "Range", "If-Range", "Content-Length",
		"Transfer-Encoding", "Connection", "Accept-Encoding", "Expect", "TE", "Upgrade",
		"Trailer", "Proxy-Authorization" };
	size_t n = strspn(line,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");
	const char *value = line + n + 1;

	if (n == 0 || line[n] != ':')
		return "it is not \"Name: value\"";
	value += strspn(value, " \t");
	if (*value == '\0')
		return "it has no value";
	for (; *value != '\0'; value++)
		if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
			return "its value has control characters";
	for (size_t i = 0; i < MEM_COUNT(ours); i++)
		if (strlen(ours[i]) == n && strncasecmp(line, ours[i], n) == 0)
			return "pp sets that header itself";
	return NULL;
}

static struct fetch_headers *
add_headers(struct fetch_auth *auth)
{
	auth->headers = xreallocarray(auth->headers, auth->nheaders + 1, sizeof *auth->headers);
	auth->headers[auth->nheaders] = (struct fetch_headers){ 0 };
	return &auth->headers[auth->nheaders++];
}

static int
is_origin(const char *text)
{
	const char *host = strncasecmp(text, "https://", 8) == 0 ? text + 8 :
	    strncasecmp(text, "http://", 7) == 0                 ? text + 7 :
								   "";

	return host[0] != '\0' && strpbrk(host, "/?#@ \t") == NULL;
}

static int
parse_headers(struct fetch_auth *auth, const char *path, char *text, struct err *e)
{
	struct fetch_headers *now = NULL;
	char *line;

	for (int number = 1; (line = next_line(&text)) != NULL; number++) {
		const char *fault;

		if (line[0] == '\0' || line[0] == '#')
			continue;
		if (take_section(line)) {
			if (!is_origin(line))
				return err_set(e, ERR_CONFIG,
				    "--repo-headers: %s:%d: write [https://host] or "
				    "[https://host:port]",
				    path, number);
			now = add_headers(auth);
			now->origin = xstrdup(line);
			continue;
		}
		fault = header_fault(line);
		if (fault != NULL)
			return err_set(e, ERR_CONFIG, "--repo-headers: %s:%d: %s", path, number,
			    fault);
		now = now != NULL ? now : add_headers(auth);
		strv_add(&now->lines, xstrdup(line));
	}
	return 0;
}

/* A header that names no host is for the only one; which of several is not for us to guess. */
static int
check_one_origin(const struct fetch_auth *auth, const struct repo *repos, size_t n, struct err *e)
{
	const struct repo *first = NULL;

	if (auth->nheaders == 0 || auth->headers[0].origin != NULL)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (repos[i].kind != REPO_HTTP)
			continue;
		if (first != NULL && !http_same_origin(first->base, repos[i].base))
			return err_set(e, ERR_CONFIG,
			    "--repo-headers: %s and %s are on two hosts; say which one a header is "
			    "for by a line [https://host] above it",
			    first->text, repos[i].text);
		first = first != NULL ? first : &repos[i];
	}
	return 0;
}

static void
wipe(struct buf *text)
{
	if (text->data != NULL)
		explicit_bzero(text->data, text->room);
	buf_release(text);
}

static int
load_headers(struct fetch_auth *auth, const char *path, const struct repo *repos, size_t n,
    struct err *e)
{
	struct buf text = { 0 };
	int r = read_secret("--repo-headers", path, &text, e);

	if (r == 0)
		r = parse_headers(auth, path, text.data, e);
	if (r == 0)
		r = check_one_origin(auth, repos, n, e);
	wipe(&text);
	return r;
}

static const char *
env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Of the form that is meant; what it is instead is nobody's business. */
static int
check_keys(const char *where, const char *key, const char *secret, const char *token, struct err *e)
{
	const char *const all[] = { key, secret, token };

	if (key == NULL || secret == NULL)
		return err_set(e, ERR_CONFIG,
		    "%s: the key and the secret go together: %s is missing", where,
		    key == NULL ? "the key" : "the secret");
	for (size_t i = 0; i < MEM_COUNT(all); i++)
		for (const char *at = all[i]; at != NULL && *at != '\0'; at++)
			if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
				return err_set(e, ERR_CONFIG,
				    "%s: a key has no blanks nor control characters", where);
	return 0;
}

static int
use_keys(struct fetch_auth *auth, const char *where, const char *key, const char *secret,
    const char *token, struct err *e)
{
	const char *region = repo_region(e);

	if (region == NULL || check_keys(where, key, secret, token, e) < 0)
		return -1;
	auth->key = xstrdup(key);
	auth->secret = xstrdup(secret);
	auth->sigv4 = xasprintf("aws:amz:%s:s3", region);
	/* libcurl 7.88 leaves it out, and a store insists on it. There is no body that it could be of. */
	strv_add(&auth->signed_headers, xstrdup("x-amz-content-sha256: UNSIGNED-PAYLOAD"));
	if (token != NULL)
		strv_add(&auth->signed_headers, xasprintf("x-amz-security-token: %s", token));
	return 0;
}

/* "name = value"; the value in place. */
static char *
value_of(char *line, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(line, name, n) != 0)
		return NULL;
	line += n + strspn(line + n, " \t");
	return *line == '=' ? line + 1 + strspn(line + 1, " \t") : NULL;
}

/* Read here and not by inih, which cuts a line at 200 bytes: a session's token is longer. */
static int
parse_credentials(struct fetch_auth *auth, const char *path, char *text, struct err *e)
{
	static const char *const names[] = { "aws_access_key_id", "aws_secret_access_key",
		"aws_session_token" };
	const char *profile = env("AWS_PROFILE") != NULL ? env("AWS_PROFILE") : "default";
	const char *values[MEM_COUNT(names)] = { NULL };
	int here = 0, found = 0;
	char *line;

	while ((line = next_line(&text)) != NULL) {
		if (line[0] == '#' || line[0] == ';')
			continue;
		if (take_section(line)) {
			here = strcmp(line + strspn(line, " \t"), profile) == 0;
			found |= here;
			continue;
		}
		for (size_t i = 0; here && i < MEM_COUNT(names); i++) {
			const char *value = value_of(line, names[i]);

			if (value != NULL && *value != '\0')
				values[i] = value;
		}
	}
	if (!found)
		return err_set(e, ERR_CONFIG, "%s has no section [%s]; AWS_PROFILE names another",
		    path, profile);
	return use_keys(auth, path, values[0], values[1], values[2], e);
}

static int
load_keys(struct fetch_auth *auth, const char *file, struct err *e)
{
	const char *key = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
	const char *what = "--s3-credentials";
	struct buf text = { 0 };
	int r;

	if (file == NULL && (key != NULL || secret != NULL))
		return use_keys(auth, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", key, secret,
		    env("AWS_SESSION_TOKEN"), e);
	if (file == NULL) {
		file = env("AWS_SHARED_CREDENTIALS_FILE");
		what = "AWS_SHARED_CREDENTIALS_FILE";
	}
	if (file == NULL)
		return 0;
	r = read_secret(what, file, &text, e);
	if (r == 0)
		r = parse_credentials(auth, file, text.data, e);
	wipe(&text);
	return r;
}

int
fetch_auth_load(struct fetch_auth *auth, const struct fetch_options *options,
    const struct repo *repos, size_t n, struct err *e)
{
	struct buf netrc = { 0 };
	int s3 = 0, r;

	*auth = (struct fetch_auth){ 0 };
	for (size_t i = 0; i < n; i++)
		s3 |= repos[i].kind == REPO_S3;
	if (options->netrc != NULL) {
		/* libcurl reads it by itself; here it is only looked at whether it may. */
		r = read_secret("--netrc", options->netrc, &netrc, e);
		wipe(&netrc);
		if (r < 0)
			return -1;
		auth->netrc = xstrdup(options->netrc);
	}
	if (options->headers != NULL && load_headers(auth, options->headers, repos, n, e) < 0)
		return -1;
	return s3 ? load_keys(auth, options->s3_credentials, e) : 0;
}

void
fetch_auth_for(const struct fetch_auth *auth, const struct repo *repo, struct http_auth *out)
{
	*out = (struct http_auth){ 0 };
	if (repo->kind == REPO_S3) {
		if (auth->key == NULL)
			return;
		*out = (struct http_auth){ .sigv4 = auth->sigv4,
			.user = auth->key,
			.password = auth->secret,
			.headers = &auth->signed_headers };
		return;
	}
	out->netrc = auth->netrc;
	for (size_t i = 0; i < auth->nheaders; i++)
		if (auth->headers[i].origin == NULL ||
		    http_same_origin(auth->headers[i].origin, repo->base))
			out->headers = &auth->headers[i].lines;
}

static void
wipe_text(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void
wipe_list(struct strv *list)
{
	for (size_t i = 0; i < list->n; i++)
		explicit_bzero(list->items[i], strlen(list->items[i]));
	strv_release(list);
}

void
fetch_auth_release(struct fetch_auth *auth)
{
	for (size_t i = 0; i < auth->nheaders; i++) {
		free(auth->headers[i].origin);
		wipe_list(&auth->headers[i].lines);
	}
	free(auth->headers);
	free(auth->netrc);
	wipe_text(auth->key);
	wipe_text(auth->secret);
	free(auth->sigv4);
	wipe_list(&auth->signed_headers);
	*auth = (struct fetch_auth){ 0 };
}
