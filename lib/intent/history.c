#include "lib/intent/history.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/intent/intent.h"
#include "lib/intent/patch.h"

#define WHY_MAX 1000 /* bytes of -m */
#define WHO_MAX 256
#define SEQ_DIGITS 15
#define TITLE_MAX 8192

const struct setting history_settings[] = {
	{ "require-message", 0, SETTING_FLAG, SETTING_ANYWHERE, NULL,
	    "refuse a change without -m" },
	{ 0 },
};

/* "7", and nothing else that reads as 7. */
static long long
parse_seq(const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n > SEQ_DIGITS || strspn(text, "0123456789") != n || text[0] == '0')
		return -1;
	return strtoll(text, NULL, 10);
}

/* May a record of this app in this cluster speak of that document? */
static int
is_own(const char *key, const char *app, const char *cluster)
{
	struct change_key k;

	return key != NULL && change_parse_key(key, &k) == 0 && strcmp(k.app, app) == 0 &&
	    (k.cluster[0] == '\0' || strcmp(k.cluster, cluster) == 0);
}

static int
check_record(const json_t *doc, const char *app, const char *cluster, struct err *e)
{
	const json_t *changes = json_object_get(doc, "changes"), *change, *entry;
	size_t i, k;

	if (!json_is_array(changes))
		return err_set(e, ERR_DATA, "it has no changes");
	json_array_foreach(changes, i, change) {
		const json_t *delta = json_object_get(change, "delta");

		if (!is_own(json_string_value(json_object_get(change, "key")), app, cluster) ||
		    !json_is_array(delta))
			return err_set(e, ERR_DATA, "it tells of a document that is none of %s/%s",
			    app, cluster);
		json_array_foreach(delta, k, entry)
			if (!json_is_string(json_object_get(entry, "path")))
				return err_set(e, ERR_DATA, "a change without a path");
	}
	return 0;
}

static int
compare_records(const void *a, const void *b)
{
	long long x = ((const struct history_record *)a)->seq;
	long long y = ((const struct history_record *)b)->seq;

	return (x > y) - (x < y);
}

void
history_take(const struct store_items *items, const char *app, const char *cluster,
    struct history *h)
{
	AUTO_FREE char *prefix = xasprintf("history/%s/%s/", app, cluster);
	size_t len = strlen(prefix);

	h->v = xcalloc(items->n + 1, sizeof *h->v);
	for (size_t i = 0; i < items->n; i++) {
		const struct store_item *item = &items->v[i];
		struct history_record *r = &h->v[h->n];
		struct err why = ERR_INIT;
		long long seq;

		if (strncmp(item->key, prefix, len) != 0 || (seq = parse_seq(item->key + len)) < 0)
			continue;
		*r = (struct history_record){ seq, xstrdup(item->key), item->version, NULL, NULL };
		r->doc = intent_parse_item(item, &why);
		if (r->doc != NULL && check_record(r->doc, app, cluster, &why) < 0) {
			(void)err_wrap(&why, "%s", item->key);
			json_decref(r->doc);
			r->doc = NULL;
		}
		if (r->doc == NULL)
			r->fault = xstrdup(why.msg);
		h->n++;
	}
	qsort(h->v, h->n, sizeof *h->v, compare_records);
}

int
history_read(struct store *s, const char *app, const char *cluster, struct history *h,
    struct err *e)
{
	AUTO_FREE char *prefix = xasprintf("history/%s/%s/", app, cluster);
	AUTO_FREE char *probe = xasprintf("%s1", prefix);
	AUTO_ITEMS struct store_items items = { 0 };
	const char *key = prefix;

	if (store_read(s, &key, 1, &items, e) < 0)
		return -1;
	history_take(&items, app, cluster, h);
	/* What may not be seen looks like nothing; a single key does not. */
	if (h->n == 0 && store_absent(s, probe, e) < 0)
		return -1;
	return 0;
}

int
history_snapshot(struct store *s, const char *app, const char *cluster, const struct strv *keys,
    struct history *h, struct change *c, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };
	AUTO_STRV struct strv all = { 0 };

	strv_add(&all, xasprintf("history/%s/%s/", app, cluster));
	for (size_t i = 0; i < keys->n; i++)
		strv_add(&all, xstrdup(keys->items[i]));
	if (store_read(s, (const char *const *)all.items, all.n, &items, e) < 0)
		return -1;
	history_take(&items, app, cluster, h);
	return change_take(c, &items, keys, e);
}

long long
history_newest(const struct history *h)
{
	return h->n > 0 ? h->v[h->n - 1].seq : 0;
}

int
history_check_why(const char *why, struct err *e)
{
	json_auto_t *text = json_string(why);

	if (text == NULL)
		return err_set(e, ERR_USAGE, "--message: it is not valid UTF-8");
	if (strlen(why) > WHY_MAX)
		return err_set(e, ERR_USAGE, "--message: at most %d bytes", WHY_MAX);
	return 0;
}

/* What others may have put there is shortened, and made what a document can hold. */
static json_t *
word(const char *text)
{
	char safe[WHO_MAX];

	if (text == NULL || text[0] == '\0')
		return NULL;
	log_escape(safe, sizeof safe, text);
	return json_string(safe);
}

static json_t *
who(void)
{
	const struct passwd *pw = getpwuid(getuid());
	AUTO_FREE char *number = xasprintf("%u", (unsigned)getuid());
	char host[WHO_MAX] = "";

	(void)gethostname(host, sizeof host - 1);
	return json_pack("{s:o*,s:o*,s:o*}", "user", word(pw ? pw->pw_name : number), "sudo_user",
	    word(getenv("SUDO_USER")), "host", word(host));
}

static json_t *
when(void)
{
	struct timeval now;
	char day[32], stamp[64];
	struct tm tm;

	(void)gettimeofday(&now, NULL);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(stamp, sizeof stamp, "%s.%03dZ", day, (int)(now.tv_usec / 1000));
	return json_string(stamp);
}

json_t *
history_new_record(const struct change_note *note)
{
	return json_pack("{s:i,s:o,s:o,s:s,s:s*,s:O*,s:[]}", "schema", 1, "when", when(), "who",
	    who(), "what", note->what, "why", note->why, "undoes", note->undoes, "changes");
}

void
history_add_doc(json_t *record, const struct change_doc *d, int elide)
{
	json_t *delta = patch_delta(d->before, d->after);

	if (elide)
		patch_elide(delta);
	(void)json_array_append_new(json_object_get(record, "changes"),
	    json_pack("{s:s,s:o}", "key", d->key, "delta", delta));
}

static void
add_safe(struct buf *out, const char *before, const char *text, const char *after)
{
	char safe[TITLE_MAX / 2];

	if (text == NULL)
		return;
	log_escape(safe, sizeof safe, text);
	buf_printf(out, "%s%s%s", before, safe, after);
}

char *
history_title(const struct history_record *r)
{
	const json_t *w = json_object_get(r->doc, "who"), *rev;
	const json_t *undoes = json_object_get(r->doc, "undoes");
	const char *why = json_string_value(json_object_get(r->doc, "why"));
	struct buf out = { 0 };
	size_t i;

	buf_printf(&out, "revision %lld", r->seq);
	if (r->doc == NULL) {
		add_safe(&out, ": cannot be read: ", r->fault, "");
		return out.data;
	}
	add_safe(&out, ", ", json_string_value(json_object_get(r->doc, "when")), "");
	add_safe(&out, ", ", json_string_value(json_object_get(w, "user")), "");
	add_safe(&out, " (sudo by ", json_string_value(json_object_get(w, "sudo_user")), ")");
	add_safe(&out, " on ", json_string_value(json_object_get(w, "host")), "");
	add_safe(&out, ", ", json_string_value(json_object_get(r->doc, "what")), "");
	json_array_foreach(undoes, i, rev)
		buf_printf(&out, "%s%lld", i ? ", " : " of ", (long long)json_integer_value(rev));
	add_safe(&out, ": ", why, "");
	return out.data;
}

/* A copy of a delta in which a value that was not kept says so. */
static json_t *
with_elided(const json_t *delta)
{
	json_t *copy = json_deep_copy(delta), *entry;
	size_t i;

	json_array_foreach(copy, i, entry)
		if (json_object_del(entry, "elided") == 0)
			(void)json_object_set_new(entry, "after", json_string(PATCH_ELIDED));
	return copy;
}

/* The change that a record tells of: of each document the parts that it tells of. */
static void
rebuild(const struct history_record *r, struct change *c)
{
	const json_t *change;
	struct err ignored = ERR_INIT;
	size_t i;

	json_array_foreach(json_object_get(r->doc, "changes"), i, change) {
		json_auto_t *delta = with_elided(json_object_get(change, "delta"));
		struct change_doc *d =
		    change_add(c, json_string_value(json_object_get(change, "key")), NULL, 0, NULL);

		if (d == NULL)
			continue;
		(void)patch_redo(&d->after, delta, NULL, &ignored);
		(void)patch_undo(&d->before, delta, &ignored);
	}
}

void
history_diff(const struct history_record *r, const struct edit_look *look, struct buf *out)
{
	AUTO_CHANGE struct change c = { 0 };

	rebuild(r, &c);
	change_diff(&c, look, out);
}

json_t *
history_json(const struct history_record *r, int secrets)
{
	const json_t *change;
	json_t *json, *patch;
	size_t i;

	if (r->doc == NULL)
		return json_pack("{s:I,s:s}", "revision", (json_int_t)r->seq, "fault", r->fault);
	json = json_copy(r->doc);
	patch = json_array();
	json_array_foreach(json_object_get(r->doc, "changes"), i, change) {
		const char *key = json_string_value(json_object_get(change, "key"));
		AUTO_FREE char *name = patch_escape(key);
		AUTO_FREE char *base = xasprintf("/%s", name);

		patch_add_rfc6902(patch, base, json_object_get(change, "delta"), secrets);
	}
	(void)json_object_del(json, "changes");
	(void)json_object_set_new(json, "patch", patch);
	(void)json_object_set_new(json, "revision", json_integer((json_int_t)r->seq));
	return json;
}

/* The record must be readable to be undone. */
static int
need(const struct history_record *r, struct err *e)
{
	return r->doc != NULL ? 0 : err_set(e, ERR_DATA, "%s", r->fault);
}

int
history_keys(const struct history *h, long long rev, struct strv *keys, struct err *e)
{
	for (size_t i = 0; i < h->n; i++) {
		const json_t *change;
		size_t k;

		if (h->v[i].seq <= rev)
			continue;
		if (need(&h->v[i], e) < 0)
			return -1;
		json_array_foreach(json_object_get(h->v[i].doc, "changes"), k, change) {
			const char *key = json_string_value(json_object_get(change, "key"));

			if (!strv_has(keys, key))
				strv_add(keys, xstrdup(key));
		}
	}
	return 0;
}

int
history_rewind(const struct history *h, long long from, long long to, struct change *c,
    struct err *e)
{
	long long next = from;

	for (size_t i = h->n; i > 0 && next > to; i--) {
		const struct history_record *r = &h->v[i - 1];
		const json_t *changes = json_object_get(r->doc, "changes");

		if (r->seq > from)
			continue;
		if (r->seq != next)
			break;
		if (need(r, e) < 0)
			return -1;
		for (size_t k = json_array_size(changes); k > 0; k--) {
			const json_t *change = json_array_get(changes, k - 1);
			const char *key = json_string_value(json_object_get(change, "key"));
			struct change_doc *d = change_find(c, key);

			if (d != NULL &&
			    patch_undo(&d->after, json_object_get(change, "delta"), e) < 0)
				return err_wrap(e, "revision %lld cannot be undone: %s", r->seq,
				    key);
		}
		next--;
	}
	if (next > to)
		return err_set(e, ERR_DATA,
		    "revision %lld is not in the history any more, so what was before it is not known",
		    next);
	return 0;
}

int
history_replay(const struct history_record *r, struct change *c, struct err *e)
{
	const json_t *change;
	size_t i;

	if (need(r, e) < 0)
		return -1;
	json_array_foreach(json_object_get(r->doc, "changes"), i, change) {
		struct change_doc *d =
		    change_find(c, json_string_value(json_object_get(change, "key")));

		if (d != NULL &&
		    patch_redo(&d->after, json_object_get(change, "delta"), d->before, e) < 0)
			return -1;
	}
	return 0;
}

void
history_release(struct history *h)
{
	for (size_t i = 0; i < h->n; i++) {
		free(h->v[i].key);
		free(h->v[i].fault);
		json_decref(h->v[i].doc);
	}
	free(h->v);
	*h = (struct history){ 0 };
}
