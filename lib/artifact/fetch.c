#include "lib/artifact/fetch.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/fetch_auth.h"
#include "lib/artifact/fetch_part.h"
#include "lib/artifact/fetch_url.h"
#include "lib/artifact/repo.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/http.h"

#define WHOLE_MS (INT64_C(3600) * 1000) /* for an artifact, with all that is asked again */
#define BESIDE_MS (INT64_C(120) * 1000)
#define DOWN_MS (INT64_C(60) * 1000) /* for so long, what could not be reached is not asked again */

static const char *const endings[] = { ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tar" };

/* A repository, and how it fares. */
struct place {
	struct repo repo;
	int64_t down_until_ms; /* it could not be reached; 0: it was not tried, or could */
};

struct fetch {
	struct fetch_options
	    options; /* its strings are the caller's no more: only what is no string */
	struct place *places;
	size_t n;
	struct fetch_auth auth;
	struct http *http;
};

/* An artifact that is looked for. */
struct search {
	struct fetch *f;
	const char *app, *version;
	int dir;
	const char *part_name;
	struct fetch_part part;
	int64_t end_ms;
	struct strv reasons; /* why not, of each repository so far */
	int failed;          /* some repository failed, and did not only have nothing */
	enum err_class class;
};

int
fetch_check_repo(const char *text, struct err *e)
{
	const char *region = repo_region(e);
	struct repo repo = { 0 };
	int r = region == NULL ? -1 : repo_parse(&repo, text, NULL, region, e);

	repo_release(&repo);
	return r;
}

static int
parse_repos(struct fetch *f, const struct fetch_options *options, struct repo *plain, struct err *e)
{
	const char *region = repo_region(e);

	if (region == NULL)
		return -1;
	for (; f->n < options->repos->n; f->n++) {
		struct place *place = &f->places[f->n];

		if (repo_parse(&place->repo, options->repos->items[f->n], options->s3_endpoint,
			region, e) < 0)
			return -1;
		plain[f->n] = place->repo;
	}
	return 0;
}

struct fetch *
fetch_new(const struct fetch_options *options, struct err *e)
{
	AUTO_FREE struct repo *plain = xcalloc(options->repos->n, sizeof *plain);
	struct http_opts http = { .follow = 1, .cacert = (char *)options->cacert };
	struct fetch *f = xcalloc(1, sizeof *f);

	f->places = xcalloc(options->repos->n, sizeof *f->places);
	f->options = *options;
	f->options.repos = NULL;
	if (f->options.max_bytes == 0)
		f->options.max_bytes = FETCH_MAX;
	if (parse_repos(f, options, plain, e) < 0 ||
	    fetch_auth_load(&f->auth, options, plain, f->n, e) < 0) {
		fetch_free(f);
		return NULL;
	}
	f->http = http_new(&http);
	return f;
}

void
fetch_free(struct fetch *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n; i++)
		repo_release(&f->places[i].repo);
	free(f->places);
	fetch_auth_release(&f->auth);
	http_free(f->http);
	free(f);
}

static char *
url_of(const struct search *s, const char *base, const char *ending)
{
	return xasprintf("%s/%s/%s_%s%s", base, s->app, s->app, s->version, ending);
}

/* A descriptor and *size; -1 with *e set, and errno ENOENT or ENOTDIR where there is none. */
static int
open_file(const char *path, uint64_t *size, struct err *e)
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
	*size = (uint64_t)st.st_size;
	return fd;
}

static int
is_absent(void)
{
	return errno == ENOENT || errno == ENOTDIR;
}

static enum fetch_result
try_file(const struct search *s, const char *path, struct fetched *out, struct err *why)
{
	uint64_t max = s->f->options.max_bytes;

	out->fd = open_file(path, &out->size, why);
	if (out->fd < 0)
		return is_absent() ? FETCH_NONE : FETCH_FAILED;
	if (out->size <= max)
		return FETCH_GOT;
	(void)close(mem_take_fd(&out->fd));
	err_set(why, ERR_DATA, "%s is larger than %llu bytes, the most that is allowed", path,
	    (unsigned long long)max);
	return FETCH_OVER;
}

static enum fetch_result
try_url(struct search *s, struct place *place, const char *url, struct fetched *out,
    struct err *why)
{
	struct http_auth auth;
	struct fetch_url u = { .http = s->f->http,
		.options = &s->f->options,
		.repo = &place->repo,
		.auth = &auth,
		.url = url,
		.end_ms = s->end_ms,
		.part = &s->part,
		.max = s->f->options.max_bytes };
	enum fetch_result r;

	/* Not before it is needed: of a repository that is a directory, nothing is written. */
	if (s->part.fd < 0 && fetch_part_open(&s->part, s->dir, s->part_name, why) < 0)
		return FETCH_OVER;
	fetch_auth_for(&s->f->auth, &place->repo, &auth);
	log_note("Fetching %s", url);
	r = fetch_url_get(&u, why);
	if (r != FETCH_GOT)
		return r;
	out->plain_http = u.plain_http;
	out->size = s->part.size;
	out->fd = fetch_part_take(&s->part, why);
	return out->fd < 0 ? FETCH_OVER : FETCH_GOT;
}

/* What was tried, as short as it can be understood where there are several repositories. */
static char *
list_tried(const struct search *s, const struct place *place)
{
	AUTO_BUF struct buf list = { 0 };
	const char *base = place->repo.kind == REPO_FILE ? place->repo.text : place->repo.base;
	AUTO_FREE char *first = url_of(s, base, endings[0]);
	int full = s->f->n == 1 && strlen(first) < 300;

	buf_printf(&list, "%s", first);
	for (size_t i = 1; i < MEM_COUNT(endings); i++) {
		AUTO_FREE char *url = full ? url_of(s, base, endings[i]) : xstrdup(endings[i]);

		buf_printf(&list, ", %s", url);
	}
	return mem_take(&list.data);
}

static void
take_reason(struct search *s, const struct place *place, enum fetch_result r, const struct err *why)
{
	char *tried = list_tried(s, place);
	char *reason = tried;

	if (r == FETCH_DENIED)
		reason = xasprintf("%s; it is not there, or we may not read it; tried %s", why->msg,
		    tried);
	else if (r != FETCH_NONE)
		reason = xstrdup(why->msg);
	else if (s->failed)
		reason = xasprintf("no such artifact; tried %s", tried);
	if (r != FETCH_NONE && !s->failed && s->reasons.n > 0) {
		/* Those that only had nothing so far are told apart from those that failed. */
		AUTO_FREE char *list = strv_join(&s->reasons, ", ");

		strv_release(&s->reasons);
		strv_add(&s->reasons, xasprintf("no such artifact; tried %s", list));
	}
	if (r != FETCH_NONE) {
		s->failed = 1;
		if (why->class == ERR_PERM || s->class == ERR_NONE)
			s->class = why->class;
	}
	strv_add(&s->reasons, reason);
	if (reason != tried)
		free(tried);
}

/* One repository, ending after ending. */
static enum fetch_result
search_place(struct search *s, struct place *place, struct fetched *out, struct err *why)
{
	enum fetch_result r = FETCH_NONE, worst = FETCH_NONE;
	struct err denied = ERR_INIT;

	if (place->down_until_ms > clock_now_ms()) {
		err_set(why, ERR_FAIL, "%s could not be reached a moment ago, and was not asked",
		    place->repo.text);
		return FETCH_FAILED;
	}
	for (size_t i = 0; i < MEM_COUNT(endings); i++) {
		AUTO_FREE char *url = url_of(s, place->repo.base, endings[i]);

		r = place->repo.kind == REPO_FILE ? try_file(s, url, out, why) :
						    try_url(s, place, url, out, why);
		if (r == FETCH_GOT) {
			out->where = mem_take(&url);
			out->name = xasprintf("%s_%s%s", s->app, s->version, endings[i]);
		}
		if (r == FETCH_DENIED && worst == FETCH_NONE) {
			worst = r;
			denied = *why;
		}
		if (r != FETCH_NONE && r != FETCH_DENIED)
			break;
	}
	if (r == FETCH_DOWN)
		place->down_until_ms = clock_now_ms() + DOWN_MS;
	if (worst == FETCH_DENIED && (r == FETCH_NONE || r == FETCH_DENIED)) {
		*why = denied;
		return FETCH_DENIED;
	}
	return r;
}

/* No repository gave it. */
static int
give_up(struct search *s, struct err *e)
{
	AUTO_FREE char *list = strv_join(&s->reasons, s->failed ? "; then " : ", ");

	if (!s->failed) {
		if (s->part.fd >= 0)
			fetch_part_drop(&s->part);
		else
			fetch_part_remove(s->dir, s->part_name);
		return err_set(e, ERR_FAIL, "no such artifact; tried %s", list);
	}
	return err_set(e, s->class, "%s", list);
}

static int
search(struct search *s, struct fetched *out, struct err *e)
{
	struct fetch *f = s->f;

	for (size_t i = 0; i < f->n; i++) {
		struct err why = ERR_INIT;
		enum fetch_result r = search_place(s, &f->places[i], out, &why);

		out->repo = i;
		if (r == FETCH_GOT)
			return 0;
		if (r == FETCH_OVER) {
			*e = why;
			return -1;
		}
		take_reason(s, &f->places[i], r, &why);
		if (r != FETCH_NONE && i + 1 < f->n)
			log_warn("%s; asking %s instead", why.msg, f->places[i + 1].repo.text);
	}
	return give_up(s, e);
}

int
fetch_artifact(struct fetch *f, const char *app, const char *version, int dir, const char *part,
    struct fetched *out, struct err *e)
{
	struct search s = { .f = f,
		.app = app,
		.version = version,
		.dir = dir,
		.part_name = part,
		.part = FETCH_PART_INIT,
		.end_ms = clock_now_ms() + WHOLE_MS };
	int r;

	*out = (struct fetched)FETCHED_INIT;
	r = search(&s, out, e);
	/* Here or elsewhere, it has been found: what is left of another run is of no use. */
	if (r == 0 && s.part.name == NULL)
		fetch_part_remove(dir, part);
	fetch_part_release(&s.part);
	strv_release(&s.reasons);
	return r;
}

static int
beside_file(const char *path, struct buf *out, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	uint64_t size;
	AUTO_CLOSE int fd = open_file(path, &size, e);
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return is_absent() ? 1 : -1;
	while ((n = read(fd, chunk, sizeof chunk)) > 0) {
		buf_add(&text, chunk, (size_t)n);
		if (text.n > FETCH_BESIDE_MAX)
			return err_set(e, ERR_DATA, "%s is larger than %zu bytes", path,
			    FETCH_BESIDE_MAX);
	}
	if (n < 0)
		return err_sys(e, "read %s", path);
	buf_add(out, text.n ? text.data : "", text.n);
	return 0;
}

static int
beside_url(struct fetch *f, const struct place *place, const char *url, struct buf *out,
    struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	struct http_auth auth;
	struct fetch_url u = { .http = f->http,
		.options = &f->options,
		.repo = &place->repo,
		.auth = &auth,
		.url = url,
		.end_ms = clock_now_ms() + BESIDE_MS,
		.text = &text,
		.max = FETCH_BESIDE_MAX };

	fetch_auth_for(&f->auth, &place->repo, &auth);
	log_note("Fetching %s", url);
	switch (fetch_url_get(&u, e)) {
	case FETCH_GOT:
		buf_add(out, text.n ? text.data : "", text.n);
		return 0;
	case FETCH_NONE:
	case FETCH_DENIED:
		return 1;
	case FETCH_FAILED:
	case FETCH_DOWN:
	case FETCH_OVER:
		break;
	}
	return -1;
}

int
fetch_beside(struct fetch *f, const struct fetched *artifact, const char *suffix, struct buf *out,
    struct err *e)
{
	const struct place *place = &f->places[artifact->repo];
	AUTO_FREE char *url = xasprintf("%s%s", artifact->where, suffix);

	return place->repo.kind == REPO_FILE ? beside_file(url, out, e) :
					       beside_url(f, place, url, out, e);
}

void
fetched_release(struct fetched *artifact)
{
	if (artifact->fd >= 0)
		(void)close(artifact->fd);
	free(artifact->where);
	free(artifact->name);
	*artifact = (struct fetched)FETCHED_INIT;
}
