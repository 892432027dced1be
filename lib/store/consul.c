/*
 * The store in Consul's key-value space, over its HTTP API.
 *
 * A read is one transaction (PUT /v1/txn?consistent) of get-tree operations, which tolerate absence,
 * 62 keys and pp/store at a time; only the consistent mode is never wrong while a server starts.
 * What a token may not see is missing from such an answer without a word, so absence is asked of a
 * single GET, which says 403.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/net/http.h"
#include "lib/store/consul_env.h"
#include "lib/store/engine.h"

#define BATCH 62
#define REQUEST_TIMEOUT_MS 15000
#define ANSWER_MAX (UINT64_C(64) * 1024 * 1024)
#define WAIT_SLICE_MS 5000

struct consul_store {
	struct store base;
	struct consul_env env;
	struct http *http;
};

static int
request(struct consul_store *s, const char *method, const char *path, const char *body,
    int64_t timeout_ms, struct http_response *resp, struct err *e)
{
	AUTO_FREE char *url = xasprintf("%s%s", s->env.base, path);
	struct http_request req = { .method = method,
		.url = url,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.headers = &s->env.headers,
		.timeout_ms = timeout_ms,
		.max_body = ANSWER_MAX };
	const char *leader;

	if (http_do(s->http, &req, resp, e) < 0)
		return err_wrap(e, "consul");
	leader = http_header(resp, "X-Consul-KnownLeader");
	if (leader != NULL && strcmp(leader, "true") != 0)
		return err_set(e, ERR_STORE, "consul at %s knows no leader; look at its servers",
		    s->env.base);
	return 0;
}

/* An answer that is not what was hoped for, in Consul's own words. */
static int
refuse(struct consul_store *s, const char *what, const struct http_response *resp, struct err *e)
{
	AUTO_FREE char *text = xstrdup(resp->body.data ? resp->body.data : "");

	text[strcspn(text, "\r\n")] = '\0';
	if (resp->status == 403)
		return err_set(e, ERR_PERM,
		    "consul at %s: %s: %.300s; the token of CONSUL_HTTP_TOKEN may not do that",
		    s->env.base, what, text[0] ? text : "Permission denied");
	return err_set(e, ERR_STORE, "consul at %s: %s: HTTP status %ld%s%.300s", s->env.base, what,
	    resp->status, text[0] ? ": " : "", text);
}

static json_t *
parse_answer(struct consul_store *s, const struct http_response *resp, struct err *e)
{
	json_error_t parse;
	json_t *doc = json_loadb(resp->body.data, resp->body.n, JSON_REJECT_DUPLICATES, &parse);

	if (doc == NULL)
		err_set(e, ERR_STORE, "consul at %s: its answer is not JSON: %s", s->env.base,
		    parse.text);
	return doc;
}

static json_t *
read_operation(const char *key)
{
	return json_pack("{s:{s:s,s:s}}", "KV", "Verb", "get-tree", "Key", key);
}

/* A get-tree is a prefix match: "nodes/web1" brings nodes/web10 too. */
static int
was_asked(const char *key, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(keys[i]);

		if (keys[i][len - 1] == '/' ? strncmp(key, keys[i], len) == 0 :
					      strcmp(key, keys[i]) == 0)
			return 1;
	}
	return strcmp(key, STORE_ID_KEY) == 0;
}

static int
take_results(struct consul_store *s, const json_t *answer, const char *const *keys, size_t n,
    struct store_items *items, struct err *e)
{
	const json_t *results = json_object_get(answer, "Results"), *entry;
	size_t i;

	if (json_is_false(json_object_get(answer, "KnownLeader")))
		return err_set(e, ERR_STORE, "consul at %s knows no leader; look at its servers",
		    s->env.base);
	if (json_array_size(json_object_get(answer, "Errors")) > 0)
		return err_set(e, ERR_STORE, "consul at %s: an answer with Errors", s->env.base);
	/* An empty result is null in some versions. */
	if (!json_is_array(results) && !json_is_null(results))
		return err_set(e, ERR_STORE, "consul at %s: an answer without Results",
		    s->env.base);
	json_array_foreach(results, i, entry) {
		const json_t *kv = json_object_get(entry, "KV");
		const char *key = json_string_value(json_object_get(kv, "Key"));
		const json_t *value = json_object_get(kv, "Value");
		json_int_t index = json_integer_value(json_object_get(kv, "ModifyIndex"));
		AUTO_BUF struct buf bytes = { 0 };

		if (key == NULL || index <= 0 || (!json_is_string(value) && !json_is_null(value)) ||
		    base64_decode(json_is_null(value) ? "" : json_string_value(value), &bytes) < 0)
			return err_set(e, ERR_STORE, "consul at %s: an answer of the wrong shape",
			    s->env.base);
		if (was_asked(key, keys, n))
			store_items_add(items, key, bytes.data, bytes.n, (uint64_t)index);
	}
	return 0;
}

static int
read_batch(struct consul_store *s, const char *const *keys, size_t n, struct store_items *items,
    struct err *e)
{
	AUTO_RESPONSE struct http_response resp = { 0 };
	json_auto_t *ops = json_array(), *answer = NULL;
	AUTO_FREE char *body = NULL;

	(void)json_array_append_new(ops, read_operation(STORE_ID_KEY));
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(ops, read_operation(keys[i]));
	body = json_dumps(ops, JSON_COMPACT);
	if (request(s, "PUT", "/v1/txn?consistent", body, REQUEST_TIMEOUT_MS, &resp, e) < 0)
		return -1;
	if (resp.status != 200)
		return refuse(s, "read", &resp, e);
	answer = parse_answer(s, &resp, e);
	return answer == NULL ? -1 : take_results(s, answer, keys, n, items, e);
}

/* The batches are not atomic with each other; at least they must be of one store. */
static int
check_one_store(struct consul_store *s, struct store_items *items, size_t batches, struct err *e)
{
	const struct store_item *first = NULL;
	size_t seen = 0;

	for (size_t i = 0; i < items->n; i++) {
		const struct store_item *item = &items->v[i];

		if (strcmp(item->key, STORE_ID_KEY) != 0)
			continue;
		seen++;
		if (first == NULL)
			first = item;
		else if (first->len != item->len ||
		    memcmp(first->value, item->value, item->len) != 0)
			seen = SIZE_MAX / 2;
	}
	if (seen != 0 && seen != batches)
		return err_set(e, ERR_STORE,
		    "consul at %s: pp/store changed while it was read; nothing is believed",
		    s->env.base);
	return 0;
}

static int
consul_read(struct store *base, const char *const *keys, size_t n, struct store_items *items,
    struct err *e)
{
	struct consul_store *s = (struct consul_store *)base;
	size_t batches = 0;

	for (size_t at = 0; at < n; at += BATCH, batches++) {
		size_t count = n - at < BATCH ? n - at : BATCH;

		if (read_batch(s, keys + at, count, items, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i], STORE_ID_KEY) == 0)
			return 0;
	return check_one_store(s, items, batches, e);
}

static int
consul_absent(struct store *base, const char *key, struct err *e)
{
	struct consul_store *s = (struct consul_store *)base;
	AUTO_RESPONSE struct http_response resp = { 0 };
	AUTO_FREE char *path = xasprintf("/v1/kv/%s?consistent", key);
	AUTO_FREE char *what = xasprintf("read %s", key);

	if (request(s, NULL, path, NULL, REQUEST_TIMEOUT_MS, &resp, e) < 0)
		return -1;
	if (resp.status == 200)
		return 0;
	/* Without the index it is some other server's 404. */
	if (resp.status == 404 && http_header(&resp, "X-Consul-Index") != NULL)
		return 1;
	refuse(s, what, &resp, e);
	/* An unknown token is refused, too, and no policy helps that. */
	if (resp.status == 403 && strstr(e->msg, "Permission denied") != NULL)
		return err_set(e, ERR_PERM,
		    "consul at %s: read %s: Permission denied; the token's policy lacks "
		    "key \"%s\" { policy = \"read\" }",
		    s->env.base, key, key);
	return -1;
}

static json_t *
write_operation(const struct store_write *w)
{
	AUTO_BUF struct buf value = { 0 };

	if (w->value == NULL)
		return json_pack("{s:{s:s,s:s,s:I}}", "KV", "Verb", "delete-cas", "Key", w->key,
		    "Index", (json_int_t)w->version);
	base64_encode(w->value, w->len, &value);
	return json_pack("{s:{s:s,s:s,s:s,s:I}}", "KV", "Verb", "cas", "Key", w->key, "Value",
	    value.data, "Index", (json_int_t)w->version);
}

static int
consul_write(struct store *base, const struct store_write *writes, size_t n, struct err *e)
{
	struct consul_store *s = (struct consul_store *)base;
	AUTO_RESPONSE struct http_response resp = { 0 };
	json_auto_t *ops = json_array(), *answer = NULL;
	AUTO_FREE char *body = NULL;
	const json_t *first;
	const char *what;
	json_int_t at;

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(ops, write_operation(&writes[i]));
	body = json_dumps(ops, JSON_COMPACT);
	if (request(s, "PUT", "/v1/txn", body, REQUEST_TIMEOUT_MS, &resp, e) < 0)
		return err_wrap(e,
		    "the change may or may not have been made, look before you repeat it");
	if (resp.status == 200)
		return 0;
	if (resp.status != 409) {
		refuse(s, "write", &resp, e);
		return resp.status < 500 ? -1 :
					   err_wrap(e,
					       "the change may or may not have been "
					       "made, look before you repeat it");
	}
	answer = parse_answer(s, &resp, e);
	first = json_array_get(json_object_get(answer, "Errors"), 0);
	what = json_string_value(json_object_get(first, "What"));
	at = json_integer_value(json_object_get(first, "OpIndex"));
	if (what != NULL && strstr(what, "Permission denied") != NULL && at >= 0 && (size_t)at < n)
		return err_set(e, ERR_PERM,
		    "consul at %s: the token may not write %s: %.300s; its policy lacks "
		    "key \"%s\" { policy = \"write\" }",
		    s->env.base, writes[at].key, what, writes[at].key);
	return err_set(e, ERR_BUSY,
	    "somebody else changed it meanwhile; nothing was written, try again (%.300s)",
	    what ? what : "consul gives no reason");
}

/*
 * Read again every few seconds and compare. A blocking query watches one key or prefix, and a node
 * has many: a connection for each would be more than an agent should cost.
 */
static int
consul_wait(struct store *base, const char *const *keys, size_t n, int64_t timeout_ms,
    struct err *e)
{
	struct consul_store *s = (struct consul_store *)base;
	int64_t end = clock_now_ms() + timeout_ms;
	uint64_t first = 0;

	for (int round = 0;; round++) {
		AUTO_ITEMS struct store_items items = { 0 };
		int64_t left = end - clock_now_ms();
		uint64_t sum = 0;

		if (round > 0 && left <= 0)
			return 0;
		if (round > 0)
			clock_sleep_ms(left < WAIT_SLICE_MS ? left : WAIT_SLICE_MS);
		if (consul_read(&s->base, keys, n, &items, e) < 0)
			return -1;
		for (size_t i = 0; i < items.n; i++)
			sum += hash_bytes(items.v[i].key, strlen(items.v[i].key)) ^
			    (items.v[i].version * UINT64_C(1099511628211));
		if (round == 0)
			first = sum;
		else if (sum != first)
			return 1;
	}
}

static void
consul_free(struct store *base)
{
	struct consul_store *s = (struct consul_store *)base;

	http_free(s->http);
	consul_env_release(&s->env);
	free(s->base.url);
	free(s);
}

struct store *
consul_store_open(struct err *e)
{
	static const struct store_ops ops = { consul_read, consul_absent, consul_write, consul_wait,
		consul_free };
	struct consul_store *s = xcalloc(1, sizeof *s);

	s->base.ops = &ops;
	if (consul_env_read(&s->env, e) < 0) {
		consul_free(&s->base);
		return NULL;
	}
	s->base.url = s->env.http.unix_socket ?
	    xasprintf("consul unix://%s", s->env.http.unix_socket) :
	    xasprintf("consul %s", s->env.base);
	s->http = http_new(&s->env.http);
	return &s->base;
}
