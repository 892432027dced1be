#include "lib/net/http.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define CONNECT_TIMEOUT_MS 5000
#define STALL_SECONDS 30
#define REDIRECTS_MAX 5
#define HEADERS_MAX 200
#define HEADERS_BYTES_MAX ((size_t)256 * 1024)
#define BUFFER_BYTES (512L * 1024)
#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* The part of libcurl that is used here; its 30 libraries take 8 ms to load. */
static struct {
	CURLcode (*global_init)(long);
	CURL *(*easy_init)(void);
	void (*easy_reset)(CURL *);
	CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
	CURLcode (*easy_perform)(CURL *);
	CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
	void (*easy_cleanup)(CURL *);
	const char *(*easy_strerror)(CURLcode);
	struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
	void (*slist_free_all)(struct curl_slist *);
} curl;

struct http {
	struct http_opts opts;
	CURL *easy;
};

/* One request under way; with redirects, one of its several. */
struct transfer {
	const struct http_request *req;
	struct http_response *resp;
	struct err *e;
	const char *url;
	int own; /* it is still the origin of the request's URL */
	int64_t timeout_ms;
	uint64_t got;
	size_t head_bytes;
	int headed; /* all headers of the last response have come */
	int stopped, enough, too_large;
};

static int
load(struct err *e)
{
	static const struct {
		const char *name;
		void *slot;
	} symbols[] = {
		{ "curl_global_init", &curl.global_init },
		{ "curl_easy_init", &curl.easy_init },
		{ "curl_easy_reset", &curl.easy_reset },
		{ "curl_easy_setopt", &curl.easy_setopt },
		{ "curl_easy_perform", &curl.easy_perform },
		{ "curl_easy_getinfo", &curl.easy_getinfo },
		{ "curl_easy_cleanup", &curl.easy_cleanup },
		{ "curl_easy_strerror", &curl.easy_strerror },
		{ "curl_slist_append", &curl.slist_append },
		{ "curl_slist_free_all", &curl.slist_free_all },
	};
	static void *library;

	if (library != NULL)
		return 0;
	library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return err_set(e, ERR_CONFIG, "%s; install libcurl (Debian: libcurl4)", dlerror());
	for (size_t i = 0; i < MEM_COUNT(symbols); i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (symbol == NULL) {
			library = NULL;
			return err_set(e, ERR_CONFIG, "libcurl.so.4 has no %s", symbols[i].name);
		}
		memcpy(symbols[i].slot, &symbol, sizeof symbol);
	}
	if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_CONFIG, "libcurl cannot be initialised");
	return 0;
}

struct http *
http_new(const struct http_opts *opts)
{
	struct http *h = xcalloc(1, sizeof *h);

	h->opts = *opts;
	h->opts.unix_socket = xstrdup(opts->unix_socket);
	h->opts.userpwd = xstrdup(opts->userpwd);
	h->opts.cacert = xstrdup(opts->cacert);
	h->opts.capath = xstrdup(opts->capath);
	h->opts.client_cert = xstrdup(opts->client_cert);
	h->opts.client_key = xstrdup(opts->client_key);
	h->opts.connect_to = xstrdup(opts->connect_to);
	return h;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	if (h->easy != NULL)
		curl.easy_cleanup(h->easy);
	free(h->opts.unix_socket);
	if (h->opts.userpwd != NULL)
		explicit_bzero(h->opts.userpwd, strlen(h->opts.userpwd));
	free(h->opts.userpwd);
	free(h->opts.cacert);
	free(h->opts.capath);
	free(h->opts.client_cert);
	free(h->opts.client_key);
	free(h->opts.connect_to);
	free(h);
}

static int
is_wanted(const struct transfer *t)
{
	return t->req->on_body == NULL || (t->resp->status >= 200 && t->resp->status <= 299);
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;

	if (!is_wanted(t)) {
		t->enough = t->resp->body.n + len > HTTP_WORDS_MAX;
		if (!t->enough)
			buf_add(&t->resp->body, data, len);
		return t->enough ? 0 : len;
	}
	t->got += len;
	if (t->got > t->req->max_body) {
		t->too_large = 1;
		return 0;
	}
	if (t->req->on_body == NULL) {
		buf_add(&t->resp->body, data, len);
		return len;
	}
	t->stopped = t->req->on_body(t->req->arg, data, len, t->e) < 0;
	return t->stopped ? 0 : len;
}

/* The end of a response's headers; those before the last one have a status of 1xx. */
static int
end_head(struct transfer *t)
{
	if (t->resp->status < 200)
		return 0;
	t->headed = 1;
	if (t->req->on_head != NULL && is_wanted(t))
		t->stopped = t->req->on_head(t->req->arg, t->resp, t->e) < 0;
	return t->stopped ? -1 : 0;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n, keep = len;

	t->head_bytes += len;
	if (t->head_bytes > HEADERS_BYTES_MAX) {
		t->too_large = 1;
		return 0;
	}
	/* What comes after the body are trailers: they change nothing of what was decided. */
	if (t->headed && t->req->on_body != NULL)
		return len;
	while (keep > 0 && (data[keep - 1] == '\n' || data[keep - 1] == '\r'))
		keep--;
	if (keep == 0)
		return end_head(t) < 0 ? 0 : len;
	/* A status line starts the next response, after 100 Continue. */
	if (keep > 5 && memcmp(data, "HTTP/", 5) == 0) {
		AUTO_FREE char *line = xmemdup(data, keep);

		strv_release(&t->resp->headers);
		t->resp->status = strtol(line + strcspn(line, " "), NULL, 10);
	} else if (t->resp->headers.n < HEADERS_MAX) {
		strv_add(&t->resp->headers, xmemdup(data, keep));
	}
	return len;
}

#define SET(option, value) (void)curl.easy_setopt(h->easy, option, value)

static void
set_peer(struct http *h)
{
	const struct http_opts *o = &h->opts;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)clock_bound_ms(CONNECT_TIMEOUT_MS) + 1);
	SET(CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
	SET(CURLOPT_USERAGENT, "pp/" PP_VERSION);
	if (o->unix_socket != NULL)
		SET(CURLOPT_UNIX_SOCKET_PATH, o->unix_socket);
	if (o->userpwd != NULL) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(CURLOPT_USERPWD, o->userpwd);
	}
	/* Whoever names authorities means these and no others. */
	if (o->cacert != NULL || o->capath != NULL) {
		SET(CURLOPT_CAINFO, o->cacert);
		SET(CURLOPT_CAPATH, o->capath);
	}
	if (o->client_cert != NULL)
		SET(CURLOPT_SSLCERT, o->client_cert);
	if (o->client_key != NULL)
		SET(CURLOPT_SSLKEY, o->client_key);
	SET(CURLOPT_SSL_VERIFYPEER, o->skip_verify ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, o->skip_verify ? 0L : 2L);
}

/* This host is asked without a proxy, whatever the environment says for the rest. */
static int
is_this_host(const char *url)
{
	static const char *const names[] = { "localhost", "127.", "[::1]" };
	const char *host = strstr(url, "://");

	for (size_t i = 0; host != NULL && i < MEM_COUNT(names); i++)
		if (strncasecmp(host + 3, names[i], strlen(names[i])) == 0)
			return 1;
	return 0;
}

static void
set_auth(struct http *h, const struct http_auth *auth)
{
	if (auth->netrc != NULL) {
		SET(CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
		SET(CURLOPT_NETRC_FILE, auth->netrc);
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	}
	if (auth->sigv4 != NULL) {
		SET(CURLOPT_AWS_SIGV4, auth->sigv4);
		SET(CURLOPT_USERNAME, auth->user);
		SET(CURLOPT_PASSWORD, auth->password);
	}
}

static void
set_request(struct http *h, struct transfer *t, char *errbuf, struct curl_slist *headers,
    struct curl_slist *connect_to)
{
	const struct http_request *req = t->req;

	SET(CURLOPT_URL, t->url);
	if (is_this_host(t->url))
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_TIMEOUT_MS, (long)clock_bound_ms(t->timeout_ms) + 1);
	SET(CURLOPT_LOW_SPEED_LIMIT, req->min_rate ? (long)req->min_rate : 1L);
	if (req->on_body != NULL)
		SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	if (req->body != NULL) {
		SET(CURLOPT_POSTFIELDS, req->body);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
	}
	if (req->method != NULL)
		SET(CURLOPT_CUSTOMREQUEST, req->method);
	if (headers != NULL)
		SET(CURLOPT_HTTPHEADER, headers);
	if (connect_to != NULL)
		SET(CURLOPT_CONNECT_TO, connect_to);
	if (req->auth != NULL && t->own)
		set_auth(h, req->auth);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_ERRORBUFFER, errbuf);
}

static struct curl_slist *
make_headers(const struct transfer *t)
{
	const struct http_request *req = t->req;
	const struct strv *own =
	    req->auth != NULL && t->own && req->auth->headers != NULL ? req->auth->headers : NULL;
	struct curl_slist *list = NULL;

	for (size_t i = 0; req->headers != NULL && i < req->headers->n; i++)
		list = curl.slist_append(list, req->headers->items[i]);
	for (size_t i = 0; own != NULL && i < own->n; i++)
		list = curl.slist_append(list, own->items[i]);
	/* A body of ours is small: do not ask first whether it may be sent. */
	return req->body != NULL ? curl.slist_append(list, "Expect:") : list;
}

static enum http_fault
fault_of(struct http *h, const struct transfer *t, CURLcode code)
{
	curl_off_t began = 0;

	if (t->stopped)
		return HTTP_STOPPED;
	if (t->too_large)
		return HTTP_REFUSED;
	switch (code) {
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_PROXY:
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		(void)curl.easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &began);
		return began > 0 ? HTTP_BROKEN : HTTP_UNREACHABLE;
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return HTTP_BROKEN;
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
		return HTTP_HERE;
	default:
		return HTTP_REFUSED;
	}
}

/* Redirects may carry a token behind the question mark: that is not for people. */
static char *
shown(const struct transfer *t)
{
	return strcmp(t->url, t->req->url) == 0 ?
	    xstrdup(t->url) :
	    xasprintf("%s: redirected to %.*s", t->req->url, (int)strcspn(t->url, "?#"), t->url);
}

static int
explain(const struct transfer *t, CURLcode code, const char *errbuf, struct err *e)
{
	AUTO_FREE char *url = shown(t);

	if (t->stopped)
		return -1;
	if (t->too_large && t->head_bytes > HEADERS_BYTES_MAX)
		return err_set(e, ERR_STORE, "%s: the headers of the answer do not end", url);
	if (t->too_large)
		return err_set(e, ERR_STORE, "%s: the answer is larger than %llu bytes", url,
		    (unsigned long long)t->req->max_body);
	return err_set(e, ERR_STORE, "%s: %s", url, errbuf[0] ? errbuf : curl.easy_strerror(code));
}

static int
perform(struct http *h, struct transfer *t, struct err *e)
{
	struct curl_slist *headers = make_headers(t), *connect_to = NULL;
	char errbuf[CURL_ERROR_SIZE] = "";
	curl_off_t after = 0;
	CURLcode code;

	if (h->opts.connect_to != NULL) {
		AUTO_FREE char *rule = xasprintf("::%s", h->opts.connect_to);

		connect_to = curl.slist_append(NULL, rule);
	}
	curl.easy_reset(h->easy);
	set_peer(h);
	set_request(h, t, errbuf, headers, connect_to);
	code = curl.easy_perform(h->easy);
	if (code == CURLE_OK)
		(void)curl.easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &t->resp->status);
	if (curl.easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &after) == CURLE_OK && after > 0)
		t->resp->retry_after_s = after < LONG_MAX ? (long)after : LONG_MAX;
	buf_add(&t->resp->body, "", 0);
	curl.slist_free_all(headers);
	curl.slist_free_all(connect_to);
	/* The status is what is wanted of such an answer, whatever becomes of its words. */
	if (code == CURLE_OK || (t->headed && !is_wanted(t)))
		return 0;
	t->resp->fault = fault_of(h, t, code);
	return explain(t, code, errbuf, e);
}

static void
clear(struct http_response *resp)
{
	buf_release(&resp->body);
	strv_release(&resp->headers);
	resp->status = 0;
	resp->retry_after_s = 0;
}

/* The length of scheme, host and port. */
static size_t
origin_length(const char *url)
{
	const char *host = strstr(url, "://");

	return host == NULL ? 0 : (size_t)(host + 3 - url) + strcspn(host + 3, "/?#");
}

int
http_same_origin(const char *a, const char *b)
{
	size_t n = origin_length(a);

	return n > 0 && n == origin_length(b) && strncasecmp(a, b, n) == 0;
}

static int
is_plain(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0;
}

/* libcurl puts what it found in netrc there; what a server put there is none of our passwords. */
static char *
without_userinfo(const char *url)
{
	const char *host = strstr(url, "://") + 3, *at = host;
	size_t n = origin_length(url);

	for (const char *p = host; p < url + n; p++)
		if (*p == '@')
			at = p + 1;
	return xasprintf("%.*s%s", (int)(host - url), url, at);
}

/* 1 and *next, where the answer sends us; 0 if it does not; -1 where we do not go. */
static int
redirect(struct http *h, const struct transfer *t, int hops, char **next, struct err *e)
{
	long status = t->resp->status;
	const char *to = NULL, *fault = NULL;

	if (!h->opts.follow || status < 301 || status > 308 || (status > 303 && status < 307))
		return 0;
	if (curl.easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK || to == NULL)
		return 0;
	if (hops == REDIRECTS_MAX)
		fault = "it redirects more than 5 times";
	else if (!is_plain(to) && strncasecmp(to, "https://", 8) != 0)
		fault = "it redirects to what is neither http nor https";
	else if (is_plain(to) && !is_plain(t->url))
		fault = "it redirects from https to http";
	if (fault != NULL) {
		t->resp->fault = HTTP_REFUSED;
		return err_set(e, ERR_STORE, "%s: %s", t->req->url, fault);
	}
	*next = without_userinfo(to);
	return 1;
}

int
http_do(struct http *h, const struct http_request *req, struct http_response *resp, struct err *e)
{
	int64_t end = clock_now_ms() + (req->timeout_ms ? req->timeout_ms : DAY_MS);
	AUTO_FREE char *url = xstrdup(req->url);
	int own = 1, r = 1;

	resp->fault = HTTP_HERE;
	if (load(e) < 0)
		return -1;
	if (h->easy == NULL && (h->easy = curl.easy_init()) == NULL)
		return err_set(e, ERR_CONFIG, "libcurl gives no handle");
	resp->fault = HTTP_FINE;
	for (int hops = 0; r == 1; hops++) {
		int64_t left = end - clock_now_ms();
		struct transfer t = { .req = req,
			.resp = resp,
			.e = e,
			.url = url,
			.own = own,
			.timeout_ms = left > 0 ? left : 0 };
		char *next = NULL;

		resp->plain |= is_plain(url);
		r = perform(h, &t, e) < 0 ? -1 : redirect(h, &t, hops, &next, e);
		if (r == 1) {
			free(url);
			url = next;
			/* Once elsewhere, never trusted again: the way back may be another's idea. */
			own = own && http_same_origin(url, req->url);
			clear(resp);
		}
	}
	return r;
}

const char *
http_header(const struct http_response *resp, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < resp->headers.n; i++) {
		const char *line = resp->headers.items[i];

		if (strncasecmp(line, name, n) == 0 && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " \t");
	}
	return NULL;
}

void
http_response_release(struct http_response *resp)
{
	clear(resp);
	resp->plain = 0;
	resp->fault = HTTP_FINE;
}
