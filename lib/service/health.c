#include "lib/service/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/plain.h"
#include "lib/sys/run.h"

#define HOUR_MS 3600000
#define TEXT_MAX 300          /* bytes of an answer's text */
#define WORDS_MAX 200         /* of them, what the app itself says */
#define BODY_MAX 65536        /* bytes of an HTTP answer that are waited for */
#define EXEC_OUTPUT_MAX 16384 /* bytes kept of what a program prints */

static void __attribute__((format(printf, 3, 4)))
answer(struct health_answer *a, enum health_verdict verdict, const char *fmt, ...)
{
	char text[4096], safe[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_escape(safe, sizeof safe, text);
	free(a->text);
	*a = (struct health_answer){ verdict, xstrdup(safe) };
}

/* What the app did not answer in time; where that is for want of pp's own time, it says nothing about it. */
static void
answer_late(struct health_answer *a, const char *what)
{
	if (clock_bound_ms(1) == 0)
		answer(a, HEALTH_UNKNOWN, "%s: the time of this run was up", what);
	else
		answer(a, HEALTH_CRITICAL, "%s", what);
}

/* The first line with something in it, of bytes of any kind (strchr() finds NUL, too); safe to print. */
static void
first_words(const struct buf *from, char *words, size_t room)
{
	AUTO_FREE char *line = NULL;
	size_t at = 0, n = 0;

	while (at < from->n && strchr(" \t\r\n", from->data[at]) != NULL)
		at++;
	while (at + n < from->n && strchr("\r\n", from->data[at + n]) == NULL)
		n++;
	line = xmemdup(from->n > 0 ? from->data + at : "", n);
	while (n > 0 && strchr(" \t", line[n - 1]) != NULL)
		line[--n] = '\0';
	log_escape(words, room, line);
}

/* --- how */

static void
copy_strv(const struct strv *from, struct strv *to)
{
	for (size_t i = 0; from != NULL && i < from->n; i++)
		strv_add(to, xstrdup(from->items[i]));
}

static void
choose_exec(const struct intent_app *app, const struct user *user, const struct strv *env,
    const struct strv *argv, struct health_check *check)
{
	check->kind = HEALTH_EXEC;
	check->cwd = xasprintf("%s/current", app->basedir);
	check->user = *user;
	copy_strv(env, &check->env);
	strv_add(&check->argv,
	    argv->items[0][0] == '/' ? xstrdup(argv->items[0]) :
				       xasprintf("%s/%s", check->cwd, argv->items[0]));
	for (size_t i = 1; i < argv->n; i++)
		strv_add(&check->argv, xstrdup(argv->items[i]));
}

/* deploy_config says nothing. */
static void
choose_default(const struct intent_app *app, const struct user *user, int has_check,
    const struct strv *env, struct health_check *check)
{
	char *items[] = { (char *)"bin/check", NULL };
	struct strv bin_check = { items, 1 };

	if (has_check)
		choose_exec(app, user, env, &bin_check, check);
	else if (intent_tcp_port(app) != 0)
		*check = (struct health_check){ .kind = HEALTH_TCP, .port = intent_tcp_port(app) };
}

void
health_choose(const struct intent_app *app, const struct user *user, int has_check,
    const struct strv *env, struct health_check *check)
{
	const struct intent_check *stated = &app->check;

	*check = (struct health_check){ .kind = HEALTH_SUPERVISOR };
	switch (stated->kind) {
	case INTENT_CHECK_DEFAULT:
		choose_default(app, user, has_check, env, check);
		break;
	case INTENT_CHECK_HTTP:
		check->kind = HEALTH_HTTP;
		check->path = xstrdup(stated->path);
		break;
	case INTENT_CHECK_TCP:
		check->kind = HEALTH_TCP;
		break;
	case INTENT_CHECK_EXEC:
		choose_exec(app, user, env, &stated->argv, check);
		break;
	}
	if (stated->kind == INTENT_CHECK_HTTP || stated->kind == INTENT_CHECK_TCP)
		check->port = stated->port ? stated->port : intent_tcp_port(app);
	check->interval_ms = stated->interval_ms ? stated->interval_ms : INTENT_CHECK_INTERVAL_MS;
	check->timeout_ms = stated->timeout_ms ? stated->timeout_ms : INTENT_CHECK_TIMEOUT_MS;
}

char *
health_describe(const struct health_check *check)
{
	AUTO_FREE char *words = NULL;
	char safe[512];

	switch (check->kind) {
	case HEALTH_TCP:
		return xasprintf("TCP connect to port %u of localhost", check->port);
	case HEALTH_HTTP:
		words = xasprintf("HTTP GET http://localhost:%u%s", check->port, check->path);
		break;
	case HEALTH_EXEC:
		words = strv_join(&check->argv, " ");
		break;
	case HEALTH_SUPERVISOR:
		return xstrdup("the supervisor's word that it runs");
	}
	log_escape(safe, sizeof safe, words);
	return xstrdup(safe);
}

/* --- tcp */

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t
set_address(union address *at, int family, uint16_t port)
{
	memset(at, 0, sizeof *at);
	if (family == AF_INET) {
		at->in = (struct sockaddr_in){ .sin_family = AF_INET,
			.sin_port = htons(port),
			.sin_addr = { htonl(INADDR_LOOPBACK) } };
		return sizeof at->in;
	}
	at->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	return sizeof at->in6;
}

/* Wait until it is connected. Returns: 0; else an errno. */
static int
await_connection(int fd, int64_t end_ms)
{
	struct pollfd one = { fd, POLLOUT, 0 };
	int number = 0, ready;
	socklen_t len = sizeof number;

	do {
		int64_t left = end_ms - clock_now_ms();

		ready = poll(&one, 1, left <= 0 ? 0 : left < HOUR_MS ? (int)left : HOUR_MS);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return errno;
	if (ready == 0)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) < 0 ? errno : number;
}

/*
 * A connection to a port that nobody listens on may, where that is one of the ports that the kernel picks
 * for clients, have been picked for this very connection: it is then connected to itself.
 */
static int
is_its_own_peer(int fd)
{
	union address own, peer;
	socklen_t own_len = sizeof own, peer_len = sizeof peer;

	memset(&own, 0, sizeof own);
	memset(&peer, 0, sizeof peer);
	return getsockname(fd, &own.any, &own_len) == 0 &&
	    getpeername(fd, &peer.any, &peer_len) == 0 && own_len == peer_len &&
	    memcmp(&own, &peer, own_len) == 0;
}

/* Returns: 0; else an errno. */
static int
try_connect(int family, uint16_t port, int64_t end_ms)
{
	AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union address at;
	socklen_t len = set_address(&at, family, port);
	int number = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, &at.any, len) < 0)
		number = errno == EINPROGRESS ? await_connection(fd, end_ms) : errno;
	return number == 0 && is_its_own_peer(fd) ? ECONNREFUSED : number;
}

static void
ask_tcp(const struct health_check *check, int64_t timeout_ms, struct health_answer *a)
{
	int64_t end = clock_now_ms() + timeout_ms;
	int number = try_connect(AF_INET, check->port, end);
	char what[80];

	if (number != 0 && number != ETIMEDOUT && try_connect(AF_INET6, check->port, end) == 0)
		number = 0;
	(void)snprintf(what, sizeof what, "connect to port %u of localhost", check->port);
	if (number == 0)
		answer(a, HEALTH_PASSING, "%s: it listens", what);
	else if (number == ETIMEDOUT)
		answer_late(a, "connect: nothing came of it in time");
	else
		answer(a, HEALTH_CRITICAL, "%s: %s", what, strerror(number));
}

/* --- http */

/* As Consul has it, so that it makes no difference who asks. */
static enum health_verdict
judge_status(long status)
{
	if (status >= 200 && status < 300)
		return HEALTH_PASSING;
	return status == 429 ? HEALTH_WARNING : HEALTH_CRITICAL;
}

static int
is_path(const char *path)
{
	if (path == NULL || path[0] != '/')
		return 0;
	for (; *path != '\0'; path++)
		if ((unsigned char)*path <= ' ' || (unsigned char)*path >= 0x7f || *path == '#')
			return 0;
	return 1;
}

static int
get(struct plain *p, const char *url, int64_t timeout_ms, struct http_response *resp, struct err *e)
{
	int64_t end = clock_now_ms() + timeout_ms;
	struct http_request req = { .url = url, .timeout_ms = timeout_ms, .max_body = BODY_MAX };

	if (plain_send(p, &req, e) < 0)
		return -1;
	req.timeout_ms = end - clock_now_ms();
	if (req.timeout_ms < 1)
		req.timeout_ms = 1;
	return plain_receive(p, &req, resp, e);
}

static void
ask_http(const struct health_check *check, int64_t timeout_ms, struct health_answer *a)
{
	AUTO_FREE char *url = xasprintf("http://localhost:%u%s", check->port, check->path);
	AUTO_RESPONSE struct http_response resp = { 0 };
	struct http_opts opts = { 0 };
	struct plain *p = plain_new(&opts);
	struct err e = ERR_INIT;
	char words[WORDS_MAX];
	int r = get(p, url, timeout_ms, &resp, &e);

	plain_free(p);
	/* The status is the answer, whatever becomes of what follows it. */
	if (r < 0 && resp.status < 200) {
		answer_late(a, e.msg);
		return;
	}
	first_words(&resp.body, words, sizeof words);
	answer(a, judge_status(resp.status), "HTTP status %ld%s%s", resp.status,
	    words[0] ? ": " : "", words);
}

/* --- exec */

static enum health_verdict
judge_exit(int status)
{
	static const enum health_verdict verdicts[] = { HEALTH_PASSING, HEALTH_WARNING,
		HEALTH_CRITICAL, HEALTH_UNKNOWN };

	return status >= 0 && (size_t)status < MEM_COUNT(verdicts) ? verdicts[status] :
								     HEALTH_CRITICAL;
}

/* Why a program cannot be run, in words that say more than the kernel's; NULL: nothing is seen. */
static const char *
program_fault(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? "there is no such program" : NULL;
	if (!S_ISREG(st.st_mode))
		return "it is no regular file";
	return (st.st_mode & 0111) == 0 ? "it is not executable; chmod +x, and pack it again" :
					  NULL;
}

static void
ask_exec(const struct health_check *check, int64_t timeout_ms, struct health_answer *a)
{
	static const char *const none[] = { NULL };
	const char *program = check->argv.items[0], *fault = program_fault(program);
	AUTO_CLOSE int cwd = open(check->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct run run = { .argv = (const char *const *)check->argv.items,
		.timeout_ms = timeout_ms,
		.cwd_fd = cwd,
		.output_max = EXEC_OUTPUT_MAX,
		.user = &check->user,
		.env = check->env.n > 0 ? (const char *const *)check->env.items : none,
		.sweeping = 1 };
	AUTO_BUF struct buf output = { 0 };
	struct err e = ERR_INIT;
	char words[WORDS_MAX];
	int status;

	if (fault != NULL) {
		answer(a, HEALTH_CRITICAL, "%s: %s", program, fault);
		return;
	}
	if (cwd < 0) {
		answer(a, HEALTH_CRITICAL, "open %s: %s", check->cwd, strerror(errno));
		return;
	}
	status = run_program(&run, &output, &e);
	first_words(&output, words, sizeof words);
	if (status < 0) {
		AUTO_FREE char *what =
		    xasprintf("%s%s%s", e.msg, words[0] ? "; it said: " : "", words);

		answer_late(a, what);
	} else if (status > 128)
		answer(a, HEALTH_CRITICAL, "exit status %d, as by signal %d%s%s", status,
		    status - 128, words[0] ? ": " : "", words);
	else
		answer(a, judge_exit(status), "exit status %d%s%s", status, words[0] ? ": " : "",
		    words);
}

/* --- asking */

void
health_ask(const struct health_check *check, struct health_answer *a)
{
	int64_t timeout =
	    clock_bound_ms(check->timeout_ms > 0 ? check->timeout_ms : INTENT_CHECK_TIMEOUT_MS);
	int has_port = check->kind == HEALTH_TCP || check->kind == HEALTH_HTTP;

	*a = (struct health_answer){ 0 };
	if (check->kind == HEALTH_SUPERVISOR)
		answer(a, HEALTH_PASSING, "it runs");
	else if (timeout <= 0)
		answer_late(a, "it was not asked");
	else if (has_port && check->port == 0)
		answer(a, HEALTH_CRITICAL,
		    "the check names no port, and the app has none; state one in deploy_config");
	else if (check->kind == HEALTH_TCP)
		ask_tcp(check, timeout, a);
	else if (check->kind == HEALTH_HTTP && !is_path(check->path))
		answer(a, HEALTH_CRITICAL, "the check's path %s is no path of a URL",
		    check->path ? check->path : "(none)");
	else if (check->kind == HEALTH_HTTP)
		ask_http(check, timeout, a);
	else
		ask_exec(check, timeout, a);
}

const char *
health_name(enum health_verdict verdict)
{
	static const char *const names[] = { "passing", "warning", "critical", "unknown" };

	return (size_t)verdict < MEM_COUNT(names) ? names[verdict] : "unknown";
}

void
health_check_release(struct health_check *check)
{
	free(check->path);
	free(check->cwd);
	strv_release(&check->argv);
	strv_release(&check->env);
	*check = (struct health_check){ 0 };
}

void
health_answer_release(struct health_answer *a)
{
	free(a->text);
	*a = (struct health_answer){ 0 };
}
