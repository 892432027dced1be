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
#include "lib/net/plain.h"
#include "lib/store/consul_env.h"
#include "lib/store/engine.h"
#include "lib/store/txn.h"

#define BATCH 62     /* keys of one request of several, beside pp/store */
#define BATCH_MAX 63 /* of the only one: a transaction has 64 operations */
#define REQUEST_TIMEOUT_MS 15000
#define ANSWER_MAX (UINT64_C(64) * 1024 * 1024)
#define WAIT_SLICE_MS 5000

struct consul_store {
	struct store base;
	struct consul_env env;
	struct http *http;
	struct plain *plain; /* where it is this host's agent, without TLS; else NULL */
	uint64_t floor;      /* a version that was there before the request under way */
	int answers;         /* since store_begin() */
	int moved; /* one of them had a document that may be younger than an earlier answer */
};

/* Take the answer in; `sent` over a connection of our own, else the whole of it by libcurl. */
static int
receive(struct consul_store *s, const struct http_request *req, struct http_response *resp,
    struct err *e)
{
	const char *leader;

	if ((s->plain ? plain_receive(s->plain, req, resp, e) : http_do(s->http, req, resp, e)) < 0)
		return err_wrap(e, "consul");
	leader = http_header(resp, "X-Consul-KnownLeader");
	if (leader != NULL && strcmp(leader, "true") != 0)
		return err_set(e, ERR_STORE, "consul at %s knows no leader; look at its servers",
		    s->env.base);
	return 0;
}

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

	if (s->plain != NULL && plain_send(s->plain, &req, e) < 0)
		return err_wrap(e, "consul");
	return receive(s, &req, resp, e);
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

/* Keys are made of names and slashes; any other would be a mistake of the caller's. */
static int
add_operation(struct buf *body, const char *key, struct err *e)
{
	static const char before[] = "{\"KV\":{\"Verb\":\"get-tree\",\"Key\":\"", after[] = "\"}}";

	for (const char *at = key; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || *at == '"' || *at == '\\' || *at == 0x7f)
			return err_set(e, ERR_DATA, "key %s: not a name", key);
	buf_add(body, body->n == 0 ? "[" : ",", 1);
	buf_add(body, before, sizeof before - 1);
	buf_add(body, key, strlen(key));
	buf_add(body, after, sizeof after - 1);
	return 0;
}

static int
is_asked(const char *key, const char *asked)
{
	size_t len = strlen(asked);

	return asked[len - 1] == '/' ? strncmp(key, asked, len) == 0 : strcmp(key, asked) == 0;
}

/*
 * A get-tree is a prefix match: "nodes/web1" brings nodes/web10 too. Answers come in the order of the
 * questions, so the search begins where the last one ended.
 */
static int
was_asked(const char *key, const char *const *keys, size_t n, size_t *last)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = (*last + i) % n;

		if (is_asked(key, keys[at])) {
			*last = at;
			return 1;
		}
	}
	return strcmp(key, STORE_ID_KEY) == 0;
}

/* An answer that is being taken in. */
struct taking {
	struct consul_store *s;
	const char *const *keys;
	size_t n, last;
	struct store_items *items;
	uint64_t newest;
};

static int
take_entry(void *arg, const struct txn_entry *entry, struct err *e)
{
	struct taking *t = arg;
	AUTO_BUF struct buf bytes = { 0 };

	if (entry->index == 0 || base64_decode(entry->value ? entry->value : "", &bytes) < 0)
		return err_set(e, ERR_STORE, "consul at %s: an answer of the wrong shape",
		    t->s->env.base);
	if (!was_asked(entry->key, t->keys, t->n, &t->last))
		return 0;
	store_items_add(t->items, entry->key, bytes.data, bytes.n, entry->index);
	if (entry->index > t->newest)
		t->newest = entry->index;
	return 0;
}

static int
take_results(struct taking *t, const json_t *answer, struct err *e)
{
	const json_t *results = json_object_get(answer, "Results"), *result;
	const char *base = t->s->env.base;
	size_t i;

	if (json_is_false(json_object_get(answer, "KnownLeader")))
		return err_set(e, ERR_STORE, "consul at %s knows no leader; look at its servers",
		    base);
	if (json_array_size(json_object_get(answer, "Errors")) > 0)
		return err_set(e, ERR_STORE, "consul at %s: an answer with Errors", base);
	/* An empty result is null in some versions. */
	if (!json_is_array(results) && !json_is_null(results))
		return err_set(e, ERR_STORE, "consul at %s: an answer without Results", base);
	json_array_foreach(results, i, result) {
		const json_t *kv = json_object_get(result, "KV");
		const json_t *value = json_object_get(kv, "Value");
		json_int_t index = json_integer_value(json_object_get(kv, "ModifyIndex"));
		struct txn_entry entry = { json_string_value(json_object_get(kv, "Key")),
			json_string_value(value), index > 0 ? (uint64_t)index : 0 };

		if (entry.key == NULL || (!json_is_string(value) && !json_is_null(value)))
			entry = (struct txn_entry){ "", NULL, 0 };
		if (take_entry(t, &entry, e) < 0)
			return -1;
	}
	return 0;
}

static int
take_answer(struct taking *t, struct http_response *resp, struct err *e)
{
	size_t before = t->items->n;
	json_auto_t *answer = NULL;
	int r = txn_scan(resp->body.data, resp->body.n, take_entry, t, e);

	if (r != 0)
		return r < 0 ? -1 : 0;
	/* Not as Consul writes it: perhaps no answer at all, perhaps from another version of it. */
	store_items_cut(t->items, before);
	t->newest = t->s->floor;
	answer = parse_answer(t->s, resp, e);
	return answer == NULL ? -1 : take_results(t, answer, e);
}

/* The questions of one transaction, pp/store among them, as http_request's body. */
static int
write_batch(const char *const *keys, size_t n, struct http_request *req, struct buf *body,
    struct err *e)
{
	if (add_operation(body, STORE_ID_KEY, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (add_operation(body, keys[i], e) < 0)
			return -1;
	buf_add(body, "]", 1);
	req->body = body->data;
	req->body_len = body->n;
	return 0;
}

/* Keys that are read in batches of at most `most`. */
struct batches {
	const char *const *keys;
	size_t n, most;
	struct http_request req;
};

static size_t
batch_size(const struct batches *b, size_t at)
{
	return b->n - at < b->most ? b->n - at : b->most;
}

static int
send_batch(struct consul_store *s, const struct batches *b, size_t at, struct err *e)
{
	AUTO_BUF struct buf body = { 0 };
	struct http_request req = b->req;

	if (write_batch(b->keys + at, batch_size(b, at), &req, &body, e) < 0)
		return -1;
	return plain_send(s->plain, &req, e) < 0 ? err_wrap(e, "consul") : 0;
}

/*
 * The next question goes out before the answer to this one is read, so that the server is at it while
 * this one is parsed.
 */
static int
ask_batch(struct consul_store *s, const struct batches *b, size_t at, struct http_response *resp,
    struct err *e)
{
	AUTO_BUF struct buf body = { 0 };
	struct http_request req = b->req;

	if (s->plain == NULL)
		return write_batch(b->keys + at, batch_size(b, at), &req, &body, e) < 0 ?
		    -1 :
		    receive(s, &req, resp, e);
	if (plain_pending(s->plain) == 0 && send_batch(s, b, at, e) < 0)
		return -1;
	if (at + b->most < b->n && send_batch(s, b, at + b->most, e) < 0)
		return -1;
	return receive(s, &req, resp, e);
}

static int
read_batch(struct consul_store *s, const struct batches *b, size_t at, struct store_items *items,
    struct err *e)
{
	AUTO_RESPONSE struct http_response resp = { 0 };
	struct taking t = { .s = s,
		.keys = b->keys + at,
		.n = batch_size(b, at),
		.items = items,
		.newest = s->floor };

	if (ask_batch(s, b, at, &resp, e) < 0)
		return -1;
	if (resp.status != 200)
		return refuse(s, "read", &resp, e);
	if (take_answer(&t, &resp, e) < 0)
		return -1;
	/* Written between two answers is only what is younger than all of the earlier one. */
	s->moved |= s->answers++ > 0 && t.newest > s->floor;
	s->floor = t.newest;
	return 0;
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
	AUTO_FREE char *url = xasprintf("%s/v1/txn?consistent", s->env.base);
	struct batches b = { .keys = keys,
		.n = n,
		.most = n <= BATCH_MAX ? BATCH_MAX : BATCH,
		.req = { .method = "PUT",
		    .url = url,
		    .headers = &s->env.headers,
		    .timeout_ms = REQUEST_TIMEOUT_MS,
		    .max_body = ANSWER_MAX } };
	size_t batches = 0;

	for (size_t at = 0; at < n; at += b.most, batches++) {
		if (read_batch(s, &b, at, items, e) < 0) {
			/* What is still on its way would answer the next question. */
			if (s->plain != NULL)
				plain_hang_up(s->plain);
			return -1;
		}
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

static int
consul_begin(struct store *base, uint64_t known, struct err *e)
{
	struct consul_store *s = (struct consul_store *)base;

	(void)e;
	/* What an earlier reading has seen was there before, too: that is why a second one is sure. */
	if (known > s->floor)
		s->floor = known;
	s->moved = s->answers = 0;
	return 0;
}

static int
consul_end(struct store *base, int *moved, struct err *e)
{
	(void)e;
	*moved = ((struct consul_store *)base)->moved;
	return 0;
}

static json_t *
write_operation(const struct store_write *w)
{
	AUTO_BUF struct buf value = { 0 };

	/* An index of 0 is none to Consul: that there is no such key is a verb of its own. */
	if (w->check && w->version == 0)
		return json_pack("{s:{s:s,s:s}}", "KV", "Verb", "check-not-exists", "Key", w->key);
	if (w->check)
		return json_pack("{s:{s:s,s:s,s:I}}", "KV", "Verb", "check-index", "Key", w->key,
		    "Index", (json_int_t)w->version);
	if (w->value == NULL)
		return json_pack("{s:{s:s,s:s,s:I}}", "KV", "Verb", "delete-cas", "Key", w->key,
		    "Index", (json_int_t)w->version);
	base64_encode(w->value, w->len, &value);
	return json_pack("{s:{s:s,s:s,s:s,s:I}}", "KV", "Verb", "cas", "Key", w->key, "Value",
	    value.data, "Index", (json_int_t)w->version);
}

/* Why the transaction was rolled back, as its answer says. */
static int
explain_conflict(struct consul_store *s, const struct store_write *writes, size_t n,
    const struct http_response *resp, struct err *e)
{
	json_auto_t *answer = parse_answer(s, resp, e);
	const json_t *first = json_array_get(json_object_get(answer, "Errors"), 0);
	const char *what = json_string_value(json_object_get(first, "What")), *right;
	json_int_t at = json_integer_value(json_object_get(first, "OpIndex"));

	if (what != NULL && strstr(what, "Permission denied") != NULL && at >= 0 &&
	    (size_t)at < n) {
		/* To see that there is no such key takes the right to write it. */
		right = writes[at].check && writes[at].version != 0 ? "read" : "write";
		return err_set(e, ERR_PERM,
		    "consul at %s: the token may not %s %s: %.300s; its policy lacks "
		    "key \"%s\" { policy = \"%s\" }",
		    s->env.base, right, writes[at].key, what, writes[at].key, right);
	}
	return err_set(e, ERR_BUSY,
	    "somebody else changed it meanwhile; nothing was written, try again (%.300s)",
	    what ? what : "consul gives no reason");
}

static int
consul_write(struct store *base, const struct store_write *writes, size_t n, struct err *e)
{
	static const char unknown[] =
	    "the change may or may not have been made, look before you repeat it";
	struct consul_store *s = (struct consul_store *)base;
	AUTO_RESPONSE struct http_response resp = { 0 };
	json_auto_t *ops = json_array();
	AUTO_FREE char *body = NULL;
	int writing = 0;

	for (size_t i = 0; i < n; i++) {
		(void)json_array_append_new(ops, write_operation(&writes[i]));
		writing |= !writes[i].check;
	}
	body = json_dumps(ops, JSON_COMPACT);
	/* Without a write among them it is a read, and a server that is behind could answer it. */
	if (request(s, "PUT", writing ? "/v1/txn" : "/v1/txn?consistent", body, REQUEST_TIMEOUT_MS,
		&resp, e) < 0)
		return err_wrap(e, "%s", unknown);
	if (resp.status == 200)
		return 0;
	if (resp.status == 409)
		return explain_conflict(s, writes, n, &resp, e);
	refuse(s, "write", &resp, e);
	return resp.status < 500 ? -1 : err_wrap(e, "%s", unknown);
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

static int
consul_ask(struct store *base, const struct store_question *q, long *status, struct buf *answer,
    struct err *e)
{
	struct consul_store *s = (struct consul_store *)base;
	AUTO_RESPONSE struct http_response resp = { 0 };

	if (request(s, q->method, q->path, q->body, REQUEST_TIMEOUT_MS, &resp, e) < 0)
		return -1;
	*status = resp.status;
	*answer = resp.body;
	resp.body = (struct buf){ 0 };
	return 1;
}

static void
consul_free(struct store *base)
{
	struct consul_store *s = (struct consul_store *)base;

	plain_free(s->plain);
	http_free(s->http);
	consul_env_release(&s->env);
	free(s->base.url);
	free(s);
}

struct store *
consul_store_open(struct err *e)
{
	static const struct store_ops ops = { consul_read, consul_absent, consul_write, consul_wait,
		consul_begin, consul_end, consul_free, consul_ask };
	struct consul_store *s = xcalloc(1, sizeof *s);

	s->base.ops = &ops;
	s->base.ordered = 1;
	if (consul_env_read(&s->env, e) < 0) {
		consul_free(&s->base);
		return NULL;
	}
	s->base.url = s->env.http.unix_socket ?
	    xasprintf("consul unix://%s", s->env.http.unix_socket) :
	    xasprintf("consul %s", s->env.base);
	s->http = http_new(&s->env.http);
	if (plain_can(&s->env.http, s->env.base))
		s->plain = plain_new(&s->env.http);
	return &s->base;
}
