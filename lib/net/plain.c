#include "lib/net/plain.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/clock.h"

#define CONNECT_TIMEOUT_MS 5000
#define STALL_MS 30000
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define LINE_MAX_BYTES 16384
#define HEADERS_MAX 200
#define READ_ROOM 65536

struct plain {
	const struct http_opts *opts;
	int fd;   /* -1: not connected */
	char *in; /* READ_ROOM bytes; what was read and is not used up is from..to */
	size_t from, to;
	size_t pending; /* requests that were sent and not answered */
	int64_t end_ms; /* of the request under way */
	const char *url;
};

/* The parts of "http://host:port/path", borrowed. */
struct place {
	const char *host, *path;
	size_t host_len; /* with the port */
	int family;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} addr;
	socklen_t len;
};

static int
parse_port(const char *text, size_t n, in_port_t *port)
{
	unsigned value = 0;

	if (n == 0) {
		*port = htons(80);
		return 0;
	}
	if (*text++ != ':' || --n == 0 || n > 5)
		return -1;
	for (; n > 0; n--, text++) {
		if (!isdigit((unsigned char)*text))
			return -1;
		value = value * 10 + (unsigned)(*text - '0');
	}
	*port = htons((uint16_t)value);
	return value > 0 && value <= UINT16_MAX ? 0 : -1;
}

/* The host is this one, by a name that needs no resolver. */
static int
parse_host(struct place *at)
{
	size_t n = at->host[0] == '[' ? strcspn(at->host, "]") + 1 : strcspn(at->host, ":/");
	char name[64];

	if (n >= sizeof name || n > at->host_len)
		return -1;
	memcpy(name, at->host, n);
	name[n] = '\0';
	if (strcmp(name, "[::1]") == 0) {
		at->addr.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
			.sin6_addr = IN6ADDR_LOOPBACK_INIT };
		at->len = sizeof at->addr.in6;
		return parse_port(at->host + n, at->host_len - n, &at->addr.in6.sin6_port);
	}
	at->addr.in = (struct sockaddr_in){ .sin_family = AF_INET };
	at->len = sizeof at->addr.in;
	if (strcmp(name, "localhost") == 0)
		(void)inet_pton(AF_INET, "127.0.0.1", &at->addr.in.sin_addr);
	else if (inet_pton(AF_INET, name, &at->addr.in.sin_addr) != 1 ||
	    strncmp(name, "127.", 4) != 0)
		return -1;
	return parse_port(at->host + n, at->host_len - n, &at->addr.in.sin_port);
}

static int
find_place(const struct http_opts *opts, const char *url, struct place *at)
{
	*at = (struct place){ 0 };
	if (strncmp(url, "http://", 7) != 0 || opts->connect_to != NULL)
		return -1;
	at->host = url + 7;
	at->host_len = strcspn(at->host, "/");
	at->path = at->host + at->host_len;
	if (opts->unix_socket == NULL)
		return parse_host(at);
	at->addr.un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	at->len = sizeof at->addr.un;
	if (strlen(opts->unix_socket) >= sizeof at->addr.un.sun_path)
		return -1;
	memcpy(at->addr.un.sun_path, opts->unix_socket, strlen(opts->unix_socket) + 1);
	return 0;
}

int
plain_can(const struct http_opts *opts, const char *url)
{
	struct place at;

	return find_place(opts, url, &at) == 0;
}

struct plain *
plain_new(const struct http_opts *opts)
{
	struct plain *p = xcalloc(1, sizeof *p);

	p->opts = opts;
	p->fd = -1;
	p->in = xcalloc(1, READ_ROOM);
	return p;
}

void
plain_hang_up(struct plain *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
	p->from = p->to = p->pending = 0;
}

void
plain_free(struct plain *p)
{
	if (p == NULL)
		return;
	plain_hang_up(p);
	free(p->in);
	free(p);
}

/* Wait for the socket; an error where nothing comes in time. */
static int
await(const struct plain *p, short events, int64_t most_ms, struct err *e)
{
	struct pollfd one = { p->fd, events, 0 };
	int64_t left = p->end_ms - clock_now_ms();
	int r;

	left = clock_bound_ms(left < most_ms ? left : most_ms);
	do
		r = poll(&one, 1, left > 0 ? (int)left : 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(e, ERR_STORE, "%s: poll: %s", p->url, strerror(errno));
	return r > 0 ? 0 : err_set(e, ERR_STORE, "%s: no answer in time", p->url);
}

static int
fail_connect(struct plain *p, int number, struct err *e)
{
	plain_hang_up(p);
	return err_set(e, ERR_STORE, "%s: Failed to connect to %s: %s", p->url,
	    p->opts->unix_socket ? p->opts->unix_socket : "it", strerror(number));
}

static int
dial(struct plain *p, const struct place *at, struct err *e)
{
	int one = 1, number = 0;
	socklen_t len = sizeof number;

	p->fd = socket(at->addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return fail_connect(p, errno, e);
	if (connect(p->fd, &at->addr.any, at->len) < 0) {
		if (errno != EINPROGRESS)
			return fail_connect(p, errno, e);
		if (await(p, POLLOUT, CONNECT_TIMEOUT_MS, e) < 0) {
			plain_hang_up(p);
			return -1;
		}
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &number, &len) < 0 || number != 0)
			return fail_connect(p, number, e);
	}
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return 0;
}

/* Is the connection of the request before still there, with nothing on it that nobody asked for? */
static int
is_idle(const struct plain *p)
{
	char byte;

	return p->fd >= 0 && p->from == p->to &&
	    recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK);
}

static int
open_connection(struct plain *p, struct place *at, struct err *e)
{
	if (p->pending > 0 || is_idle(p))
		return 0;
	plain_hang_up(p);
	if (dial(p, at, e) == 0)
		return 0;
	/* A name for this host, which may listen on either. */
	if (p->opts->unix_socket != NULL || strncmp(at->host, "localhost", 9) != 0)
		return -1;
	at->addr.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
		.sin6_port = at->addr.in.sin_port,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	at->len = sizeof at->addr.in6;
	return dial(p, at, e);
}

static int
send_all(struct plain *p, const char *data, size_t n, struct err *e)
{
	while (n > 0) {
		ssize_t done = send(p->fd, data, n, MSG_NOSIGNAL);

		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (await(p, POLLOUT, STALL_MS, e) < 0)
				return -1;
			continue;
		}
		if (done < 0 && errno != EINTR)
			return err_set(e, ERR_STORE, "%s: send: %s", p->url, strerror(errno));
		if (done > 0) {
			data += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int
send_request(struct plain *p, const struct place *at, const struct http_request *req, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	const char *method = req->method ? req->method : req->body ? "POST" : "GET";
	int r;

	buf_printf(&text,
	    "%s %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: pp/" PP_VERSION "\r\nAccept: */*\r\n",
	    method, at->path[0] ? at->path : "/", (int)at->host_len, at->host);
	for (size_t i = 0; req->headers != NULL && i < req->headers->n; i++)
		buf_printf(&text, "%s\r\n", req->headers->items[i]);
	if (p->opts->userpwd != NULL) {
		AUTO_FREE char *pair =
		    xasprintf("%s%s", p->opts->userpwd, strchr(p->opts->userpwd, ':') ? "" : ":");
		AUTO_BUF struct buf coded = { 0 };

		base64_encode(pair, strlen(pair), &coded);
		buf_printf(&text, "Authorization: Basic %s\r\n", coded.data);
		explicit_bzero(coded.data, coded.n);
		explicit_bzero(pair, strlen(pair));
	}
	if (req->body != NULL)
		buf_printf(&text, "Content-Length: %zu\r\n", req->body_len);
	buf_add(&text, "\r\n", 2);
	if (req->body != NULL)
		buf_add(&text, req->body, req->body_len);
	r = send_all(p, text.data, text.n, e);
	explicit_bzero(text.data, text.n);
	return r;
}

/* Read more. Returns: how much; 0 at the end; -1 with *e set. */
static ssize_t
fill(struct plain *p, struct err *e)
{
	ssize_t n;

	if (p->from == p->to)
		p->from = p->to = 0;
	else if (p->to == READ_ROOM) {
		memmove(p->in, p->in + p->from, p->to - p->from);
		p->to -= p->from;
		p->from = 0;
	}
	for (;;) {
		n = recv(p->fd, p->in + p->to, READ_ROOM - p->to, 0);
		if (n >= 0)
			break;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_set(e, ERR_STORE, "%s: receive: %s", p->url, strerror(errno));
		if (await(p, POLLIN, STALL_MS, e) < 0)
			return -1;
	}
	p->to += (size_t)n;
	return n;
}

static int
cut_short(const struct plain *p, struct err *e)
{
	return err_set(e, ERR_STORE, "%s: the connection was closed before the answer was whole",
	    p->url);
}

static int
no_http(const struct plain *p, const char *what, struct err *e)
{
	return err_set(e, ERR_STORE, "%s: what answers does not speak HTTP as it should: %s",
	    p->url, what);
}

/* The next line, without its end; borrowed until more is read. */
static int
read_line(struct plain *p, const char **line, size_t *n, struct err *e)
{
	for (;;) {
		const char *at = p->in + p->from;
		const char *end = memchr(at, '\n', p->to - p->from);
		ssize_t got;

		if (end != NULL) {
			*line = at;
			*n = (size_t)(end - at);
			p->from += *n + 1;
			if (*n > 0 && at[*n - 1] == '\r')
				(*n)--;
			return 0;
		}
		if (p->to - p->from >= LINE_MAX_BYTES)
			return no_http(p, "a line without an end", e);
		got = fill(p, e);
		if (got <= 0)
			return got < 0 ? -1 : cut_short(p, e);
	}
}

/* Take `n` bytes of the body, or with SIZE_MAX all there are until the connection ends. */
static int
read_body(struct plain *p, const struct http_request *req, uint64_t n, struct buf *body,
    struct err *e)
{
	int to_end = n == UINT64_MAX;

	while (n > 0) {
		size_t have = p->to - p->from;
		ssize_t got;

		if (have > n)
			have = (size_t)n;
		if (body->n + have > req->max_body || (!to_end && n > req->max_body))
			return err_set(e, ERR_STORE, "%s: the answer is larger than %llu bytes",
			    p->url, (unsigned long long)req->max_body);
		buf_add(body, p->in + p->from, have);
		p->from += have;
		n -= to_end ? 0 : have;
		if (n == 0)
			break;
		got = fill(p, e);
		if (got < 0)
			return -1;
		if (got == 0)
			return to_end ? 0 : cut_short(p, e);
	}
	return 0;
}

/* "1f4" or "1f4;extension". Returns: -1 where it is no number that can be meant. */
static int
parse_chunk(const char *line, size_t n, uint64_t *size)
{
	size_t digits = 0;

	for (*size = 0; digits < n && isxdigit((unsigned char)line[digits]); digits++) {
		char c = (char)tolower((unsigned char)line[digits]);

		if (digits >= 15)
			return -1;
		*size = *size * 16 + (uint64_t)(isdigit((unsigned char)c) ? c - '0' : c - 'a' + 10);
	}
	return digits > 0 && (digits == n || line[digits] == ';') ? 0 : -1;
}

static int
read_chunks(struct plain *p, const struct http_request *req, struct buf *body, struct err *e)
{
	const char *line;
	uint64_t size;
	size_t n;

	do {
		if (read_line(p, &line, &n, e) < 0)
			return -1;
		if (parse_chunk(line, n, &size) < 0)
			return no_http(p, "a chunk without a size", e);
		if (read_body(p, req, size, body, e) < 0)
			return -1;
		/* The end of the chunk; after the last one there may be trailers. */
		for (int i = 0; i <= HEADERS_MAX; i++) {
			if (read_line(p, &line, &n, e) < 0)
				return -1;
			if (n == 0)
				break;
			if (size > 0 || i == HEADERS_MAX)
				return no_http(p, "a chunk that does not end where it should", e);
		}
	} while (size > 0);
	return 0;
}

/* Status and headers of one message. */
static int
read_head(struct plain *p, struct http_response *resp, int *minor, struct err *e)
{
	const char *line;
	long status;
	size_t n;

	if (read_line(p, &line, &n, e) < 0)
		return -1;
	if (n < 12 || strncmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
	    !isdigit((unsigned char)line[9]) || !isdigit((unsigned char)line[10]) ||
	    !isdigit((unsigned char)line[11]) || (n > 12 && line[12] != ' '))
		return no_http(p, "no status line", e);
	*minor = line[7] - '0';
	status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	strv_release(&resp->headers);
	for (;;) {
		if (read_line(p, &line, &n, e) < 0)
			return -1;
		if (n == 0) {
			resp->status = status;
			return 0;
		}
		if (resp->headers.n >= HEADERS_MAX || memchr(line, '\0', n) != NULL)
			return no_http(p, "its headers", e);
		strv_add(&resp->headers, xmemdup(line, n));
	}
}

/* Content-Length. Returns: 1 and *length; 0 where there is none; -1 with *e set. */
static int
find_length(const struct plain *p, const struct http_response *resp, uint64_t *length,
    struct err *e)
{
	const char *text = http_header(resp, "Content-Length");
	size_t digits;

	if (text == NULL)
		return 0;
	digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 18 || text[digits + strspn(text + digits, " \t")] != '\0')
		return no_http(p, "its Content-Length", e);
	for (*length = 0; digits > 0; digits--)
		*length = *length * 10 + (uint64_t)(*text++ - '0');
	return 1;
}

static int
read_answer(struct plain *p, const struct http_request *req, struct http_response *resp,
    struct err *e)
{
	const char *coding, *connection;
	uint64_t length = UINT64_MAX;
	int minor = 0, known;

	for (int i = 0; i < 10; i++) {
		if (read_head(p, resp, &minor, e) < 0)
			return -1;
		if (resp->status >= 200)
			break;
	}
	if (resp->status < 200)
		return no_http(p, "no end of interim answers", e);
	coding = http_header(resp, "Transfer-Encoding");
	connection = http_header(resp, "Connection");
	known = find_length(p, resp, &length, e);
	if (known < 0)
		return -1;
	if (coding != NULL && (known || strcasecmp(coding, "chunked") != 0))
		return no_http(p, "its Transfer-Encoding", e);
	if (resp->status == 204 || resp->status == 304)
		length = 0;
	if ((coding != NULL ? read_chunks(p, req, &resp->body, e) :
			      read_body(p, req, length, &resp->body, e)) < 0)
		return -1;
	if (minor < 1 || (coding == NULL && length == UINT64_MAX) ||
	    (connection != NULL && strcasecmp(connection, "keep-alive") != 0))
		plain_hang_up(p);
	return 0;
}

static void
begin(struct plain *p, const struct http_request *req)
{
	p->url = req->url;
	p->end_ms = clock_now_ms() + clock_bound_ms(req->timeout_ms ? req->timeout_ms : DAY_MS);
}

int
plain_send(struct plain *p, const struct http_request *req, struct err *e)
{
	struct place at;

	begin(p, req);
	if (find_place(p->opts, req->url, &at) < 0)
		return err_set(e, ERR_STORE, "%s: not an address of this host", req->url);
	if (open_connection(p, &at, e) < 0 || send_request(p, &at, req, e) < 0) {
		plain_hang_up(p);
		return -1;
	}
	p->pending++;
	return 0;
}

int
plain_receive(struct plain *p, const struct http_request *req, struct http_response *resp,
    struct err *e)
{
	int r;

	begin(p, req);
	r = read_answer(p, req, resp, e);
	buf_add(&resp->body, "", 0);
	if (r < 0)
		plain_hang_up(p);
	else if (p->pending > 0)
		p->pending--;
	return r;
}

size_t
plain_pending(const struct plain *p)
{
	return p->pending;
}

int
plain_do(struct plain *p, const struct http_request *req, struct http_response *resp, struct err *e)
{
	if (plain_send(p, req, e) < 0) {
		buf_add(&resp->body, "", 0);
		return -1;
	}
	return plain_receive(p, req, resp, e);
}
