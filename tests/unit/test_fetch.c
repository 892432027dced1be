/* Fetching, as its caller sees it: limits, room, progress, what lies beside. Against tests/net/odd.pl. */
#include "lib/artifact/fetch.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/fs/file.h"
#include "tests/unit/tap.h"

#define SIZE 300000

static char root[] = "/tmp/pp-fetch.XXXXXX";
static char *url;
static pid_t server;
static int dir = -1;

static void
put(const char *name, const void *data, size_t n)
{
	AUTO_FREE char *path = xasprintf("%s/%s", root, name);
	FILE *f = fopen(path, "we");

	if (f == NULL || fwrite(data, 1, n, f) != n || fclose(f) != 0)
		exit(1);
}

static void
plan(const char *text)
{
	put("plan.new", text, strlen(text));
	(void)renameat(dir, "plan.new", dir, "plan");
}

static int
start(void)
{
	AUTO_FREE char *port = xasprintf("%s/port", root), *log = xasprintf("%s/log", root);
	AUTO_FREE char *lines = xasprintf("%s/plan", root);
	AUTO_BUF struct buf text = { 0 };
	struct err e = ERR_INIT;

	plan("");
	server = fork();
	if (server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execlp("perl", "perl", "tests/net/odd.pl", port, log, root, lines,
		    (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 200 && file_read(dir, "port", 16, &text, &e) != 0; i++)
		clock_sleep_ms(50);
	if (text.n == 0)
		return -1;
	text.data[strcspn(text.data, "\n")] = '\0';
	url = xasprintf("http://127.0.0.1:%s", text.data);
	return 0;
}

struct seen {
	uint64_t room, last, total;
	int asked, told, refuse, backwards;
};

static int
on_room(void *arg, uint64_t bytes, struct err *e)
{
	struct seen *seen = arg;

	seen->room = bytes;
	seen->asked++;
	return seen->refuse ? err_set(e, ERR_FAIL, "no room") : 0;
}

static void
on_progress(void *arg, uint64_t sofar, uint64_t total)
{
	struct seen *seen = arg;

	seen->backwards |= sofar < seen->last;
	seen->last = sofar;
	seen->total = total;
	seen->told++;
}

static int
fetch_one(const char *repo, uint64_t max, struct seen *seen, struct fetched *got,
    struct buf *beside, struct err *e)
{
	AUTO_STRV struct strv repos = { 0 };
	struct fetch_options options = { .repos = &repos,
		.max_bytes = max,
		.progress = on_progress,
		.progress_arg = seen,
		.room = on_room,
		.room_arg = seen };
	struct fetch *f;
	int r;

	strv_add(&repos, xstrdup(repo));
	f = fetch_new(&options, e);
	if (f == NULL)
		return -1;
	r = fetch_artifact(f, "slug", "abc", dir, ".slug_abc.part", got, e);
	if (r == 0 && beside != NULL)
		r = fetch_beside(f, got, ".sha256", beside, e);
	fetch_free(f);
	return r;
}

static int
left(void)
{
	struct stat st;

	return fstatat(dir, ".slug_abc.part", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	    fstatat(dir, ".slug_abc.part.meta", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
test_whole(const char *repo, int network)
{
	AUTO_FETCHED struct fetched got = FETCHED_INIT;
	struct seen seen = { 0 };
	struct err e = ERR_INIT;
	struct stat st;

	ok(fetch_one(repo, 0, &seen, &got, NULL, &e) == 0, "an artifact comes from %s: %s", repo,
	    e.msg);
	is(got.name, "slug_abc.tar.gz", "its name");
	has(got.where, "/slug/slug_abc.tar.gz", "where it was");
	ok(got.size == SIZE && fstat(got.fd, &st) == 0 && st.st_size == SIZE, "its size");
	ok(lseek(got.fd, 0, SEEK_CUR) == 0, "it is at its start");
	ok(got.plain_http == network, "whether it came over plain http");
	ok(seen.asked == network, "room is asked for once, where it is needed");
	ok(seen.room == (network ? SIZE : 0), "for all of it");
	ok(!network ||
		(seen.last == SIZE && seen.total == SIZE && seen.told <= 20 && !seen.backwards),
	    "progress is told up to the end, and not too often");
	ok(!left(), "no file has its name");
}

static void
test_limits(const char *repo, int network)
{
	AUTO_FETCHED struct fetched got = FETCHED_INIT;
	struct seen seen = { 0 };
	struct err e = ERR_INIT;

	ok(fetch_one(repo, SIZE, &seen, &got, NULL, &e) == 0, "as large as is allowed");
	fetched_release(&got);
	seen = (struct seen){ 0 };
	ok(fetch_one(repo, SIZE - 1, &seen, &got, NULL, &e) < 0 && e.class == ERR_DATA,
	    "larger than is allowed");
	has(e.msg, "is larger than 299999 bytes", "says the most that is allowed");
	ok(seen.asked == 0 && seen.told == 0, "before anything of it came");
	if (network) {
		plan("slug_abc * chunked\n");
		ok(fetch_one(repo, SIZE - 1, &seen, &got, NULL, &e) < 0 && e.class == ERR_DATA,
		    "larger than is allowed, which it did not say");
		plan("");
	}
	ok(!left() && got.fd < 0, "nothing is left");
}

static void
test_room(void)
{
	AUTO_FETCHED struct fetched got = FETCHED_INIT;
	struct seen seen = { .refuse = 1 };
	struct err e = ERR_INIT;

	ok(fetch_one(url, 0, &seen, &got, NULL, &e) < 0, "no room, no artifact");
	is(e.msg, "no room", "in the words of who was asked");
	ok(seen.asked == 1 && seen.told == 0 && !left(), "nothing was written, nor asked again");
	plan("slug_abc 1 cut 100000\n");
	seen = (struct seen){ 0 };
	ok(fetch_one(url, 0, &seen, &got, NULL, &e) == 0 && seen.asked == 2,
	    "gone on with, it is asked for again");
	ok(seen.room > 0 && seen.room <= SIZE - 1 && !seen.backwards, "but for the rest only");
	plan("");
}

static void
test_beside(const char *repo, int network)
{
	static char large[FETCH_BESIDE_MAX + 1];
	AUTO_FETCHED struct fetched got = FETCHED_INIT;
	AUTO_BUF struct buf text = { 0 };
	struct seen seen = { 0 };
	struct err e = ERR_INIT;

	(void)unlinkat(dir, "slug/slug_abc.tar.gz.sha256", 0);
	ok(fetch_one(repo, 0, &seen, &got, &text, &e) == 1, "nothing lies beside it");
	put("slug/slug_abc.tar.gz.sha256", "digest\n", 7);
	fetched_release(&got);
	ok(fetch_one(repo, 0, &seen, &got, &text, &e) == 0, "something lies beside it: %s", e.msg);
	is(text.data, "digest\n", "it is read");
	ok(seen.asked == 2 * network, "no room is asked for it");
	put("slug/slug_abc.tar.gz.sha256", large, sizeof large);
	fetched_release(&got);
	ok(fetch_one(repo, 0, &seen, &got, &text, &e) < 0 && e.class == ERR_DATA,
	    "a large one is refused");
	put("slug/slug_abc.tar.gz.sha256", large, sizeof large - 1);
	fetched_release(&got);
	ok(fetch_one(repo, 0, &seen, &got, &text, &e) == 0, "one as large as is allowed is not");
	fetched_release(&got);
	if (network) {
		plan("sha256 1 status 503\n");
		ok(fetch_one(repo, 0, &seen, &got, &text, &e) == 0, "it is asked for again");
		fetched_release(&got);
		plan("sha256 * status 403\n");
		ok(fetch_one(repo, 0, &seen, &got, &text, &e) < 0 && e.class == ERR_PERM,
		    "forbidden is not absent");
		plan("");
	}
}

static void
test_refusals(void)
{
	static const char *const refused[] = { "", "/srv", "file:/x", "ftp://h/", "http://",
		"s3://", "s3://b", "s3://-bucket", "http://h/a b", "http://h/\xc3\xbc",
		"https://h/#x", "https://u:p@h/", "http://h/\x01" };
	struct err e = ERR_INIT;

	for (size_t i = 0; i < MEM_COUNT(refused); i++)
		ok(fetch_check_repo(refused[i], &e) < 0 && e.class == ERR_CONFIG, "refused: \"%s\"",
		    i >= 9 && i != 10 && i != 11 ? "(bytes)" : refused[i]);
	ok(fetch_check_repo("s3://bucket/prefix", &e) == 0, "not refused");
	fetch_free(NULL);
}

int
main(void)
{
	static char data[SIZE];
	AUTO_FREE char *here = NULL;
	struct err e = ERR_INIT;

	if (mkdtemp(root) == NULL)
		return 1;
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	here = xasprintf("file://%s", root);
	(void)mkdirat(dir, "slug", 0755);
	put("slug/slug_abc.tar.gz", data, sizeof data);
	test_refusals();
	test_whole(here, 0);
	test_limits(here, 0);
	test_beside(here, 0);
	(void)unlinkat(dir, "slug/slug_abc.tar.gz.sha256", 0);
	if (ok(start() == 0, "there is a server")) {
		test_whole(url, 1);
		test_limits(url, 1);
		test_room();
		test_beside(url, 1);
		free(url);
	}
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	(void)tree_remove(AT_FDCWD, root, &e);
	(void)close(dir);
	return done();
}
