/*
 * Driving services by sv(8), which both backends have in common.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/service/definition.h"
#include "lib/service/sv.h"
#include "lib/sys/run.h"

#define STATUS_AT_ONCE 256 /* services asked of one sv */
#define UNWATCHED_MS 12000 /* runsvdir looks every 5 s */
#define SEEN_MS 1000       /* for a start to be seen */
#define SETTLE_MS 5000     /* runsv sleeps a second before it starts again what has ended */
#define KILL_WAIT_MS 7000  /* for the effect of a kill */
#define SLACK_MS 5000      /* what sv may take beyond its own time-out */
#define POLL_MS 200
#define TAIL_BYTES 8192 /* of a log, that are looked at for its last lines */

struct answer {
	enum service_state state;
	long seconds;  /* for how long */
	long pid;      /* 0: none */
	int unwatched; /* no runsv is there to ask */
	int wants_up;  /* down it may be, but runsv is about to start it */
};

static char *
path_of(const struct supervisor *s, const char *service)
{
	return xasprintf("%s/%s", s->scan, service);
}

/* Of the service itself, not of its log, which comes after a semicolon. */
static int
wants_up(const char *line)
{
	const char *found = strstr(line, ", want up");

	return found != NULL && (size_t)(found - line) < strcspn(line, ";");
}

/*
 * One line of `sv status`: "run: PATH: (pid 12) 34s; run: log: ...", "down: PATH: 3s, normally up",
 * "finish: PATH: ...", "fail: PATH: unable to ...", "warning: PATH: ...".
 */
static int
parse_line(const char *line, const char *path, struct answer *a)
{
	static const struct {
		const char *word;
		enum service_state state;
		int unwatched;
	} words[] = { { "run: ", SERVICE_UP, 0 }, { "down: ", SERVICE_DOWN, 0 },
		{ "finish: ", SERVICE_DOWN, 0 }, { "fail: ", SERVICE_ABSENT, 1 },
		{ "warning: ", SERVICE_ABSENT, 1 } };
	size_t n = strlen(path);

	for (size_t i = 0; i < MEM_COUNT(words); i++) {
		size_t len = strlen(words[i].word);
		const char *rest = line + len;

		if (strncmp(line, words[i].word, len) != 0 || strncmp(rest, path, n) != 0 ||
		    rest[n] != ':')
			continue;
		a->state = words[i].state;
		a->unwatched = words[i].unwatched;
		a->seconds = a->pid = 0;
		if (sscanf(rest + n, ": (pid %ld) %lds", &a->pid, &a->seconds) < 1)
			(void)sscanf(rest + n, ": %lds", &a->seconds);
		a->wants_up = wants_up(rest + n);
		return 0;
	}
	return -1;
}

static int
ask(const struct supervisor *s, char *const *services, size_t n, struct answer *answers,
    struct err *e)
{
	AUTO_FREE const char **argv = xcalloc(n + 3, sizeof *argv);
	AUTO_STRV struct strv paths = { 0 }, lines = { 0 };
	AUTO_BUF struct buf output = { 0 };
	struct run run = { .argv = argv };

	argv[0] = "sv";
	argv[1] = "status";
	for (size_t i = 0; i < n; i++) {
		strv_add(&paths, path_of(s, services[i]));
		argv[i + 2] = paths.items[i];
	}
	/* Its exit status counts the services that are not supervised: no error here. */
	if (run_program(&run, &output, e) < 0)
		return -1;
	strv_split(&lines, output.data, '\n');
	for (size_t i = 0; i < n; i++) {
		int found = -1;

		for (size_t k = 0; k < lines.n && found < 0; k++)
			found = parse_line(lines.items[k], paths.items[i], &answers[i]);
		if (found < 0)
			return err_set(e, ERR_FAIL, "sv status %s: it answers \"%.200s\"",
			    paths.items[i], output.data);
	}
	return 0;
}

int
sv_status(const struct supervisor *s, const struct strv *services, struct service_status *status,
    struct err *e)
{
	AUTO_FREE struct answer *answers = xcalloc(services->n, sizeof *answers);

	for (size_t at = 0; at < services->n; at += STATUS_AT_ONCE) {
		size_t n = services->n - at < STATUS_AT_ONCE ? services->n - at : STATUS_AT_ONCE;

		if (ask(s, services->items + at, n, answers + at, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < services->n; i++)
		status[i] = (struct service_status){ answers[i].state,
			answers[i].seconds > 0 ? answers[i].seconds * 1000 : 0, answers[i].pid };
	return 0;
}

/* sv -w SECONDS VERB PATH */
static int
tell(const struct supervisor *s, const char *verb, const char *service, int64_t timeout_ms,
    struct err *e)
{
	AUTO_FREE char *path = path_of(s, service);
	AUTO_FREE char *wait = xasprintf("%lld", (long long)((timeout_ms + 999) / 1000));
	const char *argv[] = { "sv", "-w", wait, verb, path, NULL };
	struct run run = { .argv = argv, .timeout_ms = timeout_ms + SLACK_MS };

	return run_checked(&run, e);
}

static int
ask_one(const struct supervisor *s, const char *service, struct answer *a, struct err *e)
{
	char *one = (char *)service;

	return ask(s, &one, 1, a, e);
}

static int
wait_until_watched(const struct supervisor *s, const char *service, int64_t timeout_ms,
    struct err *e)
{
	int64_t end =
	    clock_now_ms() + clock_bound_ms(timeout_ms < UNWATCHED_MS ? timeout_ms : UNWATCHED_MS);
	struct answer a = { 0 };

	for (;;) {
		if (ask_one(s, service, &a, e) < 0)
			return -1;
		if (!a.unwatched)
			return 0;
		if (clock_now_ms() >= end)
			return err_set(e, ERR_FAIL,
			    "nothing supervises %s/%s; is this running: runsvdir -P %s", s->scan,
			    service, s->scan);
		clock_sleep_ms(POLL_MS);
	}
}

int
sv_start(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	struct err why = ERR_INIT;

	if (wait_until_watched(s, service, timeout_ms, e) < 0)
		return -1;
	/* What ends as soon as it is started is never up when sv looks: whether it is, others ask. */
	if (tell(s, "start", service, timeout_ms < SEEN_MS ? timeout_ms : SEEN_MS, &why) == 0 ||
	    strstr(why.msg, "timeout:") != NULL)
		return 0;
	*e = why;
	return -1;
}

/* What was told to stop and did not is killed: 0 once it is down. */
static int
kill_service(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *path = path_of(s, service);
	const char *argv[] = { "sv", "kill", path, NULL };
	struct run run = { .argv = argv };
	int64_t end = clock_now_ms() + clock_bound_ms(KILL_WAIT_MS);
	struct answer a = { 0 };

	if (run_checked(&run, e) < 0)
		return -1;
	for (;;) {
		if (ask_one(s, service, &a, e) < 0)
			return -1;
		if (a.state != SERVICE_UP)
			return 0;
		if (clock_now_ms() >= end)
			return err_set(e, ERR_FAIL, "it survives a kill");
		clock_sleep_ms(POLL_MS);
	}
}

/*
 * What ends at once is down when sv looks, while runsv sleeps before it starts it again and has not
 * read yet that it should not. A start that is told now would be lost: sv takes it for wanted.
 */
static int
wait_until_unwanted(const struct supervisor *s, const char *service, struct err *e)
{
	int64_t end = clock_now_ms() + clock_bound_ms(SETTLE_MS);
	struct answer a = { 0 };

	for (;;) {
		if (ask_one(s, service, &a, e) < 0)
			return -1;
		if (!a.wants_up)
			return 0;
		if (clock_now_ms() >= end)
			return err_set(e, ERR_FAIL,
			    "service %s is not stopped: runsv does not answer", service);
		clock_sleep_ms(POLL_MS);
	}
}

int
sv_stop(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	struct err ignored = ERR_INIT;
	struct answer a = { 0 };

	if (ask_one(s, service, &a, e) < 0)
		return -1;
	if (a.unwatched)
		return 0;
	if (tell(s, "stop", service, timeout_ms, e) == 0)
		return wait_until_unwanted(s, service, e);
	/* Only what sv itself says is still running is killed; any other failure changes nothing. */
	if (ask_one(s, service, &a, &ignored) == 0 && a.state == SERVICE_UP &&
	    strstr(e->msg, "timeout:") != NULL) {
		log_warn("service %s did not stop in time, killing it", service);
		if (kill_service(s, service, &ignored) == 0)
			return 0;
	}
	/* It goes on as before: it was to be up. */
	sv_restore(s, service);
	return -1;
}

void
sv_restore(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *path = path_of(s, service);
	const char *argv[] = { "sv", "-w", "5", "start", path, NULL };
	struct run run = { .argv = argv, .restoring = 1 };
	struct err ignored = ERR_INIT;

	(void)run_checked(&run, &ignored);
}

char *
sv_log_place(const struct supervisor *s, const char *service)
{
	return xasprintf("%s/%s/log/main/current", s->stage, service);
}

/* Only a look, for people: whatever is wrong with the file, there is nothing to show. */
char *
sv_log_tail(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *path = sv_log_place(s, service);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char text[TAIL_BYTES];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	n = pread(fd, text, sizeof text,
	    st.st_size > (off_t)sizeof text ? st.st_size - (off_t)sizeof text : 0);
	return n > 0 ? definition_tail(text, (size_t)n) : NULL;
}
