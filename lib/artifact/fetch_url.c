#include "lib/artifact/fetch_url.h"

#include <bsd/stdlib.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

#define ATTEMPTS 4
#define BACKOFF_MS 500 /* doubled with each attempt */
#define BACKOFF_MAX_MS 8000
#define PATIENCE_S 60 /* a server that wants to be left alone for longer is */
#define MIN_RATE 1024 /* bytes/s; slower than that for 30 s is as good as nothing */
#define PROGRESS_MS 100
#define VALIDATOR_MAX 256
#define DATE_AGE_S 60 /* a date is as good as a tag once it is so old */

/* One attempt. */
struct attempt {
	struct fetch_url *u;
	uint64_t offset; /* it was asked for what is behind this */
	int anew;        /* what is there is a part of something else: ask for all of it */
	int broken;      /* the answer contradicts itself; ask again */
	int refused;     /* the server is wrong; do not */
	int64_t last_ms; /* when progress was told */
};

/* What is to be done after one. */
enum next { NEXT_DONE, NEXT_ANEW, NEXT_AGAIN };

static int
parse_number(const char **at, uint64_t *number)
{
	uint64_t n = 0;
	const char *from = *at;

	for (; isdigit((unsigned char)**at); (*at)++) {
		if (n > UINT64_MAX / 100)
			return -1;
		n = n * 10 + (uint64_t)(**at - '0');
	}
	*number = n;
	return *at == from ? -1 : 0;
}

/* The length that the server says; 0 if it says none that counts. */
static uint64_t
length_of(const struct http_response *resp)
{
	const char *text = http_header(resp, "Content-Length");
	uint64_t n;

	if (text == NULL || http_header(resp, "Transfer-Encoding") != NULL ||
	    parse_number(&text, &n) < 0 || *text != '\0')
		return 0;
	return n;
}

static int
parse_date(const char *text, time_t *t)
{
	struct tm tm = { 0 };
	const char *end = text != NULL ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;

	if (end == NULL || *end != '\0')
		return -1;
	*t = timegm(&tm);
	return 0;
}

/* What tells whether it is still the same: a strong tag, else a date that is old enough. */
static enum part_validator
validator_of(const struct http_response *resp, const char **value)
{
	const char *tag = http_header(resp, "ETag"), *date = http_header(resp, "Last-Modified");
	size_t n = tag != NULL ? strlen(tag) : 0;
	time_t changed, now;

	*value = tag;
	if (n >= 2 && n <= VALIDATOR_MAX && tag[0] == '"' && strchr(tag + 1, '"') == tag + n - 1) {
		for (; *tag > 0x20 && *tag < 0x7f; tag++)
			;
		if (*tag == '\0')
			return PART_ETAG;
	}
	*value = date;
	if (parse_date(date, &changed) == 0 && parse_date(http_header(resp, "Date"), &now) == 0 &&
	    now - changed >= DATE_AGE_S)
		return PART_DATE;
	return PART_NONE;
}

/* Is it what is behind what we have, of the very thing that we have it of? How long is that? */
static int
continues(struct fetch_part *p, const struct http_response *resp)
{
	const char *range = http_header(resp, "Content-Range"), *now;
	uint64_t first, last, total;

	now = http_header(resp, p->kind == PART_ETAG ? "ETag" : "Last-Modified");
	if (now == NULL || strcmp(now, p->validator) != 0 || range == NULL ||
	    strncasecmp(range, "bytes ", 6) != 0)
		return 0;
	range += 6;
	if (parse_number(&range, &first) < 0 || *range++ != '-' ||
	    parse_number(&range, &last) < 0 || *range++ != '/' ||
	    parse_number(&range, &total) < 0 || *range != '\0')
		return 0;
	if (first != p->size || last + 1 != total || (p->total != 0 && p->total != total))
		return 0;
	p->total = total;
	return 1;
}

static void
tell_progress(struct attempt *a, int at_end)
{
	const struct fetch_options *o = a->u->options;
	int64_t now;

	if (o->progress == NULL || a->u->part == NULL)
		return;
	now = clock_now_ms();
	if (!at_end && now - a->last_ms < PROGRESS_MS)
		return;
	a->last_ms = now;
	o->progress(o->progress_arg, a->u->part->size, a->u->part->total);
}

static int
check_size(struct attempt *a, uint64_t size, struct err *e)
{
	if (size <= a->u->max)
		return 0;
	return err_set(e, ERR_DATA, "%s is larger than %llu bytes, the most that is allowed",
	    a->u->url, (unsigned long long)a->u->max);
}

static int
begin_part(struct attempt *a, const struct http_response *resp, struct err *e)
{
	struct fetch_part *p = a->u->part;
	const struct fetch_options *o = a->u->options;

	if (resp->status == 206) {
		a->anew = !continues(p, resp);
		if (a->anew)
			return err_set(e, ERR_FAIL, "%s has changed", a->u->url);
		log_note("Going on with %s at byte %llu", a->u->url, (unsigned long long)p->size);
		if (fetch_part_continue(p, e) < 0)
			return -1;
	} else {
		const char *validator;
		enum part_validator kind = validator_of(resp, &validator);

		if (fetch_part_begin(p, a->u->url, kind, validator, length_of(resp), e) < 0)
			return -1;
	}
	if (check_size(a, p->total, e) < 0 ||
	    (o->room != NULL && p->total > p->size &&
		o->room(o->room_arg, p->total - p->size, e) < 0)) {
		fetch_part_drop(p);
		return -1;
	}
	return 0;
}

static int
on_head(void *arg, const struct http_response *resp, struct err *e)
{
	struct attempt *a = arg;

	if (resp->status != 200 && (resp->status != 206 || a->offset == 0)) {
		a->refused = 1;
		return err_set(e, ERR_FAIL, "%s: HTTP status %ld, which was not asked for",
		    a->u->url, resp->status);
	}
	if (a->u->part != NULL)
		return begin_part(a, resp, e);
	a->u->text->n = 0;
	return check_size(a, length_of(resp), e);
}

static int
on_body(void *arg, const char *data, size_t n, struct err *e)
{
	struct attempt *a = arg;
	struct fetch_part *p = a->u->part;

	if (p == NULL) {
		if (check_size(a, a->u->text->n + n, e) < 0)
			return -1;
		buf_add(a->u->text, data, n);
		return 0;
	}
	if (check_size(a, p->size + n, e) < 0) {
		fetch_part_drop(p);
		return -1;
	}
	if (p->total > 0 && p->size + n > p->total) {
		a->broken = 1;
		return err_set(e, ERR_FAIL, "%s: it is longer than the server said", a->u->url);
	}
	if (fetch_part_write(p, data, n, e) < 0)
		return -1;
	tell_progress(a, 0);
	return 0;
}

/* The word for it in S3's XML; empty if there is none. */
static void
s3_code(const struct fetch_url *u, const struct http_response *resp, char *code, size_t room)
{
	const char *at = u->repo->kind == REPO_S3 && resp->body.data != NULL ?
	    strstr(resp->body.data, "<Code>") :
	    NULL;
	size_t n = 0;

	code[0] = '\0';
	if (at == NULL)
		return;
	for (at += strlen("<Code>"); n + 1 < room && isalnum((unsigned char)at[n]); n++)
		code[n] = at[n];
	code[strncmp(at + n, "</Code>", 7) == 0 ? n : 0] = '\0';
}

static int
is_worth_it(long status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
	    status == 503 || status == 504;
}

static enum next
judge_status(struct attempt *a, const struct http_response *resp, enum fetch_result *result,
    struct err *why)
{
	struct fetch_url *u = a->u;
	const char *region = http_header(resp, "x-amz-bucket-region");
	char code[64], hint[128] = "";
	int denied = resp->status == 401 || resp->status == 403;

	s3_code(u, resp, code, sizeof code);
	if (u->repo->kind == REPO_S3 && (resp->status == 301 || resp->status == 400) &&
	    region != NULL &&
	    strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(region) &&
	    strlen(region) < 32)
		(void)snprintf(hint, sizeof hint, "; the bucket is elsewhere: set AWS_REGION=%s",
		    region);
	err_set(why, denied ? ERR_PERM : ERR_FAIL, "%s: HTTP status %ld%s%s%s", u->url,
	    resp->status, code[0] ? ", " : "", code, hint);
	*result = FETCH_FAILED;
	if (resp->status == 416 && a->offset > 0)
		return NEXT_ANEW;
	if (is_worth_it(resp->status))
		return NEXT_AGAIN;
	if (resp->status == 410 || (resp->status == 404 && strcmp(code, "NoSuchBucket") != 0))
		*result = FETCH_NONE;
	else if (resp->status == 403 && u->repo->kind == REPO_S3 &&
	    (code[0] == '\0' || strcmp(code, "AccessDenied") == 0))
		*result = FETCH_DENIED;
	return NEXT_DONE;
}

/* The request failed, and *why is set. */
static enum next
judge_fault(const struct attempt *a, const struct http_response *resp, enum fetch_result *result,
    struct err *why)
{
	*result = FETCH_FAILED;
	if (a->anew)
		return NEXT_ANEW;
	if (a->broken)
		return NEXT_AGAIN;
	if (resp->fault == HTTP_STOPPED && !a->refused) {
		*result = FETCH_OVER;
		return NEXT_DONE;
	}
	if (resp->fault == HTTP_HERE) {
		*result = FETCH_OVER;
		why->class = ERR_CONFIG;
		return NEXT_DONE;
	}
	why->class = ERR_FAIL;
	if (resp->fault == HTTP_UNREACHABLE)
		*result = FETCH_DOWN;
	return resp->fault == HTTP_UNREACHABLE || resp->fault == HTTP_BROKEN ? NEXT_AGAIN :
									       NEXT_DONE;
}

static enum next
judge_end(struct attempt *a, enum fetch_result *result, struct err *why)
{
	const struct fetch_part *p = a->u->part;

	*result = FETCH_GOT;
	tell_progress(a, 1);
	if (p == NULL || p->total == 0 || p->size == p->total)
		return NEXT_DONE;
	*result = FETCH_FAILED;
	err_set(why, ERR_FAIL, "%s: it ended after %llu of %llu bytes", a->u->url,
	    (unsigned long long)p->size, (unsigned long long)p->total);
	return NEXT_AGAIN;
}

static void
ask_for_rest(const struct attempt *a, struct strv *headers)
{
	if (a->offset == 0)
		return;
	strv_add(headers, xasprintf("Range: bytes=%llu-", (unsigned long long)a->offset));
	strv_add(headers, xasprintf("If-Range: %s", a->u->part->validator));
}

static enum next
ask(struct fetch_url *u, enum fetch_result *result, long *patience_s, struct err *why)
{
	struct attempt a = { .u = u };
	AUTO_STRV struct strv headers = { 0 };
	AUTO_RESPONSE struct http_response resp = { 0 };
	int64_t left = u->end_ms - clock_now_ms();
	struct http_request req = { .url = u->url,
		.headers = &headers,
		.auth = u->auth,
		.timeout_ms = left > 0 ? left : 1,
		.max_body = UINT64_MAX,
		.min_rate = MIN_RATE,
		.on_head = on_head,
		.on_body = on_body,
		.arg = &a };
	int r;

	if (u->part != NULL && fetch_part_fits(u->part, u->url))
		a.offset = u->part->size;
	ask_for_rest(&a, &headers);
	r = http_do(u->http, &req, &resp, why);
	u->plain_http |= resp.plain;
	*patience_s = resp.retry_after_s;
	if (r < 0)
		return judge_fault(&a, &resp, result, why);
	return resp.status == 200 || resp.status == 206 ? judge_end(&a, result, why) :
							  judge_status(&a, &resp, result, why);
}

/* How long to wait, by chance, so that a thousand nodes do not come back together; -1: not at all. */
static int64_t
backoff_ms(const struct fetch_url *u, int attempt, long patience_s)
{
	int64_t most = (int64_t)BACKOFF_MS << attempt, left = u->end_ms - clock_now_ms(), wait;

	if (patience_s > PATIENCE_S)
		return -1;
	if (most > BACKOFF_MAX_MS)
		most = BACKOFF_MAX_MS;
	wait = (int64_t)patience_s * 1000 + arc4random_uniform((uint32_t)most + 1);
	return wait < left && clock_bound_ms(wait) == wait ? wait : -1;
}

static void
say_attempts(struct err *why, int attempts, long patience_s)
{
	char more[96] = "";
	size_t n = strlen(why->msg);

	if (patience_s > PATIENCE_S)
		(void)snprintf(more, sizeof more, " (it wants to be asked again in %ld s)",
		    patience_s);
	else if (attempts > 1)
		(void)snprintf(more, sizeof more, " (%d attempts)", attempts);
	(void)snprintf(why->msg + n, sizeof why->msg - n, "%s", more);
}

enum fetch_result
fetch_url_get(struct fetch_url *u, struct err *why)
{
	enum fetch_result result = FETCH_FAILED;
	int attempt = 1;

	for (;;) {
		long patience_s = 0;
		enum next next = ask(u, &result, &patience_s, why);
		int64_t wait;

		if (next == NEXT_DONE)
			break;
		if (next == NEXT_ANEW) {
			log_note("%s is not what the part here is of; beginning anew", u->url);
			if (fetch_part_begin(u->part, u->url, PART_NONE, "", 0, why) < 0)
				return FETCH_OVER;
			continue;
		}
		wait = attempt < ATTEMPTS ? backoff_ms(u, attempt, patience_s) : -1;
		if (wait < 0) {
			say_attempts(why, attempt, patience_s);
			break;
		}
		log_note("%s; trying again in %lld.%lld s (%d of %d)", why->msg,
		    (long long)(wait / 1000), (long long)(wait % 1000 / 100), attempt + 1,
		    ATTEMPTS);
		clock_sleep_ms(wait);
		attempt++;
	}
	return result;
}
