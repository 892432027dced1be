#include "lib/artifact/fetch.h"

#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/http.h"

#define ARTIFACT_MAX (UINT64_C(64) << 30) /* bytes */

static const char *const endings[] = { ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tar" };

int
fetch_check_repo(const char *repo, struct err *e)
{
	const char *host;

	for (const char *at = repo; *at != '\0'; at++)
		if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
			return err_set(e, ERR_CONFIG,
			    "repository: blanks and bytes that are not "
			    "ASCII must be written as %%XX");
	if (strncasecmp(repo, "file://", 7) == 0) {
		if (repo[7] != '/')
			return err_set(e, ERR_CONFIG,
			    "repository %s: write file:///path, with three slashes", repo);
		return 0;
	}
	if (strncasecmp(repo, "http://", 7) != 0 && strncasecmp(repo, "https://", 8) != 0)
		return err_set(e, ERR_CONFIG,
		    "repository %s: write file:///path, http://host/path or https://host/path",
		    repo);
	host = strstr(repo, "://") + 3;
	if (memchr(host, '@', strcspn(host, "/")) != NULL)
		return err_set(e, ERR_CONFIG,
		    "repository: a password in its URL would end up in logs; leave it out");
	if (strpbrk(repo, "?#") != NULL)
		return err_set(e, ERR_CONFIG,
		    "repository %s: names are added at its end, so it cannot have ? or #", repo);
	return 0;
}

/* The path in a file:// URL, with %XX undone. Owns: the caller frees. */
static char *
file_path(const char *url)
{
	char *path = xstrdup(url + strlen("file://")), *out = path;

	for (const char *in = path; *in != '\0'; in++) {
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
	return path;
}

static int
open_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		errno = EINVAL;
		return err_set(e, ERR_DATA, "%s is not a regular file", path);
	}
	return fd;
}

/* A file without a name in `dir`. */
static int
open_scratch(int dir, struct err *e)
{
	char name[64];
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	(void)snprintf(name, sizeof name, ".fetch.%ld.tmp", (long)getpid());
	(void)unlinkat(dir, name, 0);
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "create %s", name);
	(void)unlinkat(dir, name, 0);
	return fd;
}

/* 0 and *fd; 1 if the server has none of that name; -1. */
static int
download(struct http *http, const char *url, int scratch, int *fd, struct err *e)
{
	AUTO_RESPONSE struct http_response resp = { 0 };
	struct http_request req = { .url = url, .max_body = ARTIFACT_MAX };
	AUTO_CLOSE int out = open_scratch(scratch, e);

	if (out < 0)
		return -1;
	req.out_fd = out;
	if (http_do(http, &req, &resp, e) < 0)
		return -1;
	if (resp.status == 404 || resp.status == 410)
		return 1;
	if (resp.status == 401 || resp.status == 403)
		return err_set(e, ERR_PERM, "%s: HTTP status %ld", url, resp.status);
	if (resp.status != 200)
		return err_set(e, ERR_FAIL, "%s: HTTP status %ld", url, resp.status);
	if (lseek(out, 0, SEEK_SET) < 0)
		return err_sys(e, "rewind %s", url);
	*fd = mem_take_fd(&out);
	return 0;
}

static int
try_file(const char *url, char **where, int *fd, struct err *e)
{
	AUTO_FREE char *path = file_path(url);

	*fd = open_file(path, e);
	if (*fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 1 : -1;
	*where = mem_take(&path);
	return 0;
}

int
fetch_open(const char *repo, const char *cacert, const char *app, const char *version, int scratch,
    char **where, struct err *e)
{
	struct http_opts opts = { .follow = 1, .cacert = (char *)cacert };
	AUTO_STRV struct strv tried = { 0 };
	AUTO_FREE char *list = NULL;
	struct http *http = NULL;
	size_t n = strlen(repo);
	int r = 1, fd = -1;

	while (n > 0 && repo[n - 1] == '/')
		n--;
	for (size_t i = 0; i < MEM_COUNT(endings) && r == 1; i++) {
		AUTO_FREE char *url =
		    xasprintf("%.*s/%s/%s_%s%s", (int)n, repo, app, app, version, endings[i]);

		if (strncasecmp(url, "file:", 5) == 0) {
			r = try_file(url, where, &fd, e);
		} else {
			http = http != NULL ? http : http_new(&opts);
			log_note("Fetching %s", url);
			r = download(http, url, scratch, &fd, e);
			if (r == 0)
				*where = xstrdup(url);
		}
		strv_add(&tried, xstrdup(url));
	}
	http_free(http);
	if (r == 0)
		return fd;
	if (r < 0)
		return -1;
	list = strv_join(&tried, ", ");
	return err_set(e, ERR_FAIL, "no such artifact; tried %s", list);
}
