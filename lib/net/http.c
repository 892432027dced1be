#include "lib/net/http.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define CONNECT_TIMEOUT_MS 5000
#define STALL_SECONDS 30
#define REDIRECTS_MAX 5
#define HEADERS_MAX 200

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

/* One request under way. */
struct transfer {
	const struct http_request *req;
	struct http_response *resp;
	uint64_t got;
	int write_errno;
	int too_large;
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

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n, done = 0;

	t->got += len;
	if (t->got > t->req->max_body) {
		t->too_large = 1;
		return 0;
	}
	if (t->req->out_fd <= 0) {
		buf_add(&t->resp->body, data, len);
		return len;
	}
	while (done < len) {
		ssize_t w = write(t->req->out_fd, data + done, len - done);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0) {
			t->write_errno = errno;
			return 0;
		}
		done += (size_t)w;
	}
	return len;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n, keep = len;

	while (keep > 0 && (data[keep - 1] == '\n' || data[keep - 1] == '\r'))
		keep--;
	/* A status line starts the next response: of a redirect, or after 100 Continue. */
	if (keep > 5 && memcmp(data, "HTTP/", 5) == 0)
		strv_release(&t->resp->headers);
	else if (keep > 0 && t->resp->headers.n < HEADERS_MAX)
		strv_add(&t->resp->headers, xmemdup(data, keep));
	return len;
}

#define SET(option, value) (void)curl.easy_setopt(h->easy, option, value)

static void
set_peer(struct http *h)
{
	const struct http_opts *o = &h->opts;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)clock_bound_ms(CONNECT_TIMEOUT_MS) + 1);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
	SET(CURLOPT_USERAGENT, "pp/" PP_VERSION);
	if (o->follow) {
		SET(CURLOPT_FOLLOWLOCATION, 1L);
		SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	}
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
set_request(struct http *h, struct transfer *t, char *errbuf, struct curl_slist *headers,
    struct curl_slist *connect_to)
{
	const struct http_request *req = t->req;
	int64_t timeout = req->timeout_ms ? req->timeout_ms : INT64_C(24) * 3600 * 1000;

	SET(CURLOPT_URL, req->url);
	if (is_this_host(req->url))
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_TIMEOUT_MS, (long)clock_bound_ms(timeout) + 1);
	/* From https only to https; from http to either. */
	if (strncasecmp(req->url, "http:", 5) == 0)
		SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
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
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_ERRORBUFFER, errbuf);
}

static int
explain(const struct transfer *t, CURLcode code, const char *errbuf, struct err *e)
{
	if (t->write_errno != 0) {
		errno = t->write_errno;
		return err_sys(e, "write what %s sent", t->req->url);
	}
	if (t->too_large)
		return err_set(e, ERR_STORE, "%s: the answer is larger than %llu bytes",
		    t->req->url, (unsigned long long)t->req->max_body);
	return err_set(e, ERR_STORE, "%s: %s", t->req->url,
	    errbuf[0] ? errbuf : curl.easy_strerror(code));
}

int
http_do(struct http *h, const struct http_request *req, struct http_response *resp, struct err *e)
{
	struct transfer t = { .req = req, .resp = resp };
	struct curl_slist *headers = NULL, *connect_to = NULL;
	char errbuf[CURL_ERROR_SIZE] = "";
	CURLcode code;

	if (load(e) < 0)
		return -1;
	if (h->easy == NULL && (h->easy = curl.easy_init()) == NULL)
		return err_set(e, ERR_CONFIG, "libcurl gives no handle");
	for (size_t i = 0; req->headers != NULL && i < req->headers->n; i++)
		headers = curl.slist_append(headers, req->headers->items[i]);
	/* A body of ours is small: do not ask first whether it may be sent. */
	headers = curl.slist_append(headers, "Expect:");
	if (h->opts.connect_to != NULL) {
		AUTO_FREE char *rule = xasprintf("::%s", h->opts.connect_to);

		connect_to = curl.slist_append(NULL, rule);
	}
	curl.easy_reset(h->easy);
	set_peer(h);
	set_request(h, &t, errbuf, headers, connect_to);
	code = curl.easy_perform(h->easy);
	if (code == CURLE_OK)
		(void)curl.easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &resp->status);
	buf_add(&resp->body, "", 0);
	curl.slist_free_all(headers);
	curl.slist_free_all(connect_to);
	return code == CURLE_OK ? 0 : explain(&t, code, errbuf, e);
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
	buf_release(&resp->body);
	strv_release(&resp->headers);
	resp->status = 0;
}
