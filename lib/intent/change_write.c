/*
 * Writing a change: which documents go together, in which order, and their history with them.
 */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/fs/path.h"
#include "lib/intent/change.h"
#include "lib/intent/history.h"
#include "lib/intent/intent.h"
#include "lib/intent/patch.h"

#define TXN_BYTES ((size_t)524288 - 8192) /* Consul's limit of a transaction, less what pp adds */
#define RECORD_BYTES (STORE_VALUE_MAX - 8192)
#define TARGET_BYTES 6144 /* of a record, besides the changes; encoded */
#define KEY_BYTES 128     /* of an operation, besides key and value */
#define TARGETS_MAX 16    /* histories that one transaction adds to */
#define TRIES 40
#define PAUSE_MS 40

/* In this order, where an app's documents do not fit one transaction. */
enum phase {
	PHASE_UNASSIGN,  /* nodes that lose the app, where its documents change, too */
	PHASE_DOCUMENTS, /* what the nodes that stay or come shall have */
	PHASE_ASSIGN,    /* nodes that get it, or move to another cluster */
	PHASE_LEFT, /* nodes that lose it while its documents stay; clusters that only lost nodes */
	PHASE_REMOVE, /* documents that nobody is assigned to any more */
};

/* One document that changes, and what it costs to write it. */
struct item {
	const struct change_doc *d;
	enum phase phase;
	char *target[2];   /* whose history tells of it: "slug/production" */
	const char *group; /* documents of one phase and group stay together; NULL: alone */
	size_t bytes, elided, record; /* encoded, also without new values; of the record, bare */
};

/* What happens to a cluster of an app. */
enum { GAINS = 1, LOSES = 2, DOCUMENTS = 4 };

struct fate {
	char *target;
	int what;
};

struct items {
	struct item *v;
	size_t n;
	struct fate *fates; /* that were looked at so far */
	size_t nfates;
};

/* Items that fit one transaction. */
struct batch {
	size_t from, to;
	int elide;
};

static const char *
cluster_of(const json_t *node)
{
	const char *cluster = json_string_value(json_object_get(node, "cluster"));

	/* It becomes part of a key. */
	return cluster != NULL && path_is_name(cluster) ? cluster : NULL;
}

static int
is_changed(const struct change_doc *d)
{
	if (d->before == NULL || d->after == NULL)
		return d->before != d->after;
	return !json_equal(d->before, d->after);
}

/* Does this cluster of the app gain (or lose) nodes by moves, or change its documents? */
static int
look_at(const struct change *c, const char *app, const char *cluster)
{
	int what = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct change_doc *d = &c->v[i];
		const char *from = cluster_of(d->before), *to = cluster_of(d->after);

		if (strcmp(d->k.app, app) != 0 || !is_changed(d))
			continue;
		if (d->k.kind != CHANGE_NODE) {
			if (strcmp(d->k.cluster, cluster) == 0)
				what |= DOCUMENTS;
			continue;
		}
		if (to != NULL && strcmp(to, cluster) == 0)
			what |= GAINS;
		else if (to != NULL && from != NULL && strcmp(from, cluster) == 0)
			what |= LOSES;
	}
	return what;
}

static int
fate_of(struct items *items, const struct change *c, const char *app, const char *cluster)
{
	AUTO_FREE char *target = xasprintf("%s/%s", app, cluster);
	int what;

	for (size_t i = items->nfates; i > 0; i--)
		if (strcmp(items->fates[i - 1].target, target) == 0)
			return items->fates[i - 1].what;
	what = look_at(c, app, cluster);
	items->fates = xreallocarray(items->fates, items->nfates + 1, sizeof *items->fates);
	items->fates[items->nfates++] = (struct fate){ mem_take(&target), what };
	return what;
}

static enum phase
phase_of(struct items *items, const struct change *c, const struct change_doc *d,
    const char *target)
{
	const char *cluster = d->k.kind == CHANGE_NODE ? cluster_of(d->before) : d->k.cluster;
	int what;

	if (d->k.kind == CHANGE_NODE && d->after != NULL)
		return PHASE_ASSIGN;
	if (d->k.kind == CHANGE_OWNERS)
		cluster = strchr(target, '/') + 1;
	what = fate_of(items, c, d->k.app, cluster ? cluster : "");
	if (d->k.kind == CHANGE_NODE)
		return what & DOCUMENTS ? PHASE_UNASSIGN : PHASE_LEFT;
	if (d->after == NULL)
		return PHASE_REMOVE;
	return (what & LOSES) && !(what & GAINS) ? PHASE_LEFT : PHASE_DOCUMENTS;
}

/* The history that has a change of owners: see change_write(). */
static char *
home_of(struct store *s, const struct change *c, const char *app, const char *given, struct err *e)
{
	AUTO_FREE char *prefix = xasprintf("clusters/%s/", app);
	AUTO_ITEMS struct store_items items = { 0 };
	const char *key = prefix;
	size_t n = strlen(app);

	if (given != NULL && strncmp(given, app, n) == 0 && given[n] == '/')
		return xstrdup(given);
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i].k.app, app) == 0 && c->v[i].k.cluster[0] != '\0')
			return xasprintf("%s/%s", app, c->v[i].k.cluster);
	if (store_read(s, &key, 1, &items, e) < 0)
		return NULL;
	for (size_t i = 0; i < items.n; i++) {
		struct change_key k;

		if (change_parse_key(items.v[i].key, &k) == 0 && k.cluster[0] != '\0')
			return xasprintf("%s/%s", app, k.cluster);
	}
	return xasprintf("%s/owners", app);
}

static size_t
encoded(size_t n)
{
	return 4 * ((n + 2) / 3);
}

static void
weigh(struct item *it)
{
	json_auto_t *delta = patch_delta(it->d->before, it->d->after);
	AUTO_FREE char *full = json_dumps(delta, JSON_COMPACT);
	AUTO_FREE char *text = it->d->after ? edit_render(it->d->after) : NULL;
	AUTO_FREE char *less = NULL;
	size_t bytes = encoded(text ? strlen(text) : 0) + strlen(it->d->key) + KEY_BYTES;
	size_t times = it->target[1] ? 2 : 1, more = strlen(it->d->key) + KEY_BYTES;

	patch_elide(delta);
	less = json_dumps(delta, JSON_COMPACT);
	it->record = strlen(full) + more;
	it->bytes = bytes + times * encoded(it->record);
	it->elided = bytes + times * encoded(strlen(less) + more);
}

static int
make_item(struct items *items, struct store *s, const struct change *c, const struct change_doc *d,
    const char *home, struct err *e)
{
	struct item *it = &items->v[items->n++];
	const char *from = cluster_of(d->before), *to = cluster_of(d->after);

	*it = (struct item){ .d = d };
	if (d->k.kind == CHANGE_NODE) {
		it->target[0] = xasprintf("%s/%s", d->k.app, to ? to : from ? from : "none");
		if (from != NULL && to != NULL && strcmp(from, to) != 0)
			it->target[1] = xasprintf("%s/%s", d->k.app, from);
	} else if (d->k.kind == CHANGE_OWNERS) {
		it->target[0] = home_of(s, c, d->k.app, home, e);
	} else {
		it->target[0] = xasprintf("%s/%s", d->k.app, d->k.cluster);
	}
	if (it->target[0] == NULL)
		return -1;
	it->phase = phase_of(items, c, d, it->target[0]);
	it->group = d->k.kind == CHANGE_NODE ? NULL : it->target[0];
	weigh(it);
	return 0;
}

static int
compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = strcmp(x->d->k.app, y->d->k.app);

	if (order == 0)
		order = (int)x->phase - (int)y->phase;
	if (order == 0)
		order = strcmp(x->group ? x->group : "", y->group ? y->group : "");
	return order != 0 ? order : strcmp(x->d->key, y->d->key);
}

static void
list_targets(const struct items *items, size_t from, size_t to, struct strv *targets)
{
	for (size_t i = from; i < to; i++)
		for (int t = 0; t < 2; t++) {
			const char *target = items->v[i].target[t];

			if (target != NULL && !strv_has(targets, target))
				strv_add(targets, xstrdup(target));
		}
}

static int
fits(const struct items *items, size_t from, size_t to, int elide, size_t room)
{
	AUTO_STRV struct strv targets = { 0 };
	size_t bytes, record = 0;

	/* Each history takes one more write, and one that removes its oldest record. */
	if (to - from > STORE_WRITES_MAX)
		return 0;
	list_targets(items, from, to, &targets);
	if (targets.n > TARGETS_MAX || to - from + 2 * targets.n > STORE_WRITES_MAX)
		return 0;
	bytes = targets.n * TARGET_BYTES;
	for (size_t i = from; i < to; i++) {
		bytes += elide ? items->v[i].elided : items->v[i].bytes;
		record += elide ? 0 : items->v[i].record;
	}
	return bytes <= room && record <= RECORD_BYTES;
}

/* Where the app, or within it what has to stay together, ends. */
static size_t
end_of(const struct items *items, size_t at, int whole_app)
{
	const struct item *first = &items->v[at];
	size_t to = at + 1;

	for (; to < items->n; to++) {
		const struct item *it = &items->v[to];

		if (strcmp(it->d->k.app, first->d->k.app) != 0)
			break;
		if (!whole_app &&
		    (it->phase != first->phase || it->group == NULL || first->group == NULL ||
			strcmp(it->group, first->group) != 0))
			break;
	}
	return to;
}

/*
 * Add items[from..to) to the last batch, or to a new one. Returns: 0; 1 where it fits none; *batches
 * has room for one more always.
 */
static int
pack(const struct items *items, size_t from, size_t to, int elide, size_t room,
    struct batch *batches, size_t *n)
{
	struct batch *last = *n > 0 ? &batches[*n - 1] : NULL;

	if (!elide && last != NULL && !last->elide && fits(items, last->from, to, 0, room)) {
		last->to = to;
		return 0;
	}
	if (!fits(items, from, to, elide, room))
		return 1;
	batches[(*n)++] = (struct batch){ from, to, elide };
	return 0;
}

static int
plan_batches(const struct items *items, size_t room, struct batch *batches, size_t *n,
    struct err *e)
{
	size_t at = 0;

	while (at < items->n) {
		size_t end = end_of(items, at, 1);

		if (pack(items, at, end, 0, room, batches, n) == 0) {
			at = end;
			continue;
		}
		while (at < end) {
			size_t to = end_of(items, at, 0);

			if (pack(items, at, to, 0, room, batches, n) != 0 &&
			    pack(items, at, to, 1, room, batches, n) != 0)
				return err_set(e, ERR_DATA,
				    "%s: with what it was, it would be larger than %zu bytes, which "
				    "is more than the store takes at once; make the change in steps, "
				    "or shorten what is in it",
				    items->v[at].d->key,
				    room < STORE_VALUE_MAX ? room : STORE_VALUE_MAX);
			at = to;
		}
	}
	return 0;
}

/* ---- one transaction ---- */

struct txn {
	struct store_write writes[STORE_WRITES_MAX];
	char *owned[2 * STORE_WRITES_MAX]; /* keys and values to free */
	size_t n, nowned;
};

static char *
own(struct txn *t, char *text)
{
	t->owned[t->nowned++] = text;
	return text;
}

static void
txn_release(struct txn *t)
{
	for (size_t i = 0; i < t->nowned; i++)
		free(t->owned[i]);
}

static int
tells_of(const struct item *it, const char *target)
{
	return strcmp(it->target[0], target) == 0 ||
	    (it->target[1] != NULL && strcmp(it->target[1], target) == 0);
}

static int
add_record(struct txn *t, const struct items *items, const struct batch *b, const char *target,
    const struct history *h, const struct change_note *note, struct err *e)
{
	json_auto_t *record = history_new_record(note);
	long long seq = history_newest(h) + 1;
	char *key = own(t, xasprintf("history/%s/%lld", target, seq));
	AUTO_FREE char *text = NULL;
	char *line;

	if (record == NULL)
		return err_set(e, ERR_DATA, "%s: its record cannot be written", target);
	if (seq > HISTORY_SEQ_MAX)
		return err_set(e, ERR_DATA,
		    "history/%s/%lld: no number comes after it; pp did not write it: remove it",
		    target, seq - 1);
	for (size_t i = b->from; i < b->to; i++)
		if (tells_of(&items->v[i], target))
			history_add_doc(record, items->v[i].d, b->elide);
	text = edit_dump(record, JSON_COMPACT);
	line = own(t, xasprintf("%s\n", text ? text : ""));
	t->writes[t->n++] = (struct store_write){ .key = key, .value = line, .len = strlen(line) };
	return 0;
}

/* Records that are too old, as many as there is room for. */
static void
add_pruning(struct txn *t, const struct history *h)
{
	long long newest = history_newest(h) + 1;

	for (size_t i = 0; i < h->n && t->n < STORE_WRITES_MAX; i++) {
		if (h->v[i].seq > newest - HISTORY_KEEP)
			return;
		t->writes[t->n++] = (struct store_write){ .key = own(t, xstrdup(h->v[i].key)),
			.version = h->v[i].version };
	}
}

static void
add_docs(struct txn *t, const struct items *items, const struct batch *b)
{
	for (size_t i = b->from; i < b->to; i++) {
		const struct change_doc *d = items->v[i].d;
		struct store_write w = { .key = d->key, .version = d->version };

		if (d->after != NULL) {
			w.value = own(t, edit_render(d->after));
			w.len = strlen(w.value);
		}
		t->writes[t->n++] = w;
	}
}

static int
write_once(struct store *s, const struct items *items, const struct batch *b,
    const struct change_note *note, struct err *e)
{
	AUTO_STRV struct strv targets = { 0 }, prefixes = { 0 };
	AUTO_ITEMS struct store_items found = { 0 };
	struct history h[TARGETS_MAX] = { { NULL, 0 } };
	struct txn t = { .n = 0 };
	int r = 0;

	list_targets(items, b->from, b->to, &targets);
	for (size_t i = 0; i < targets.n; i++)
		strv_add(&prefixes, xasprintf("history/%s/", targets.items[i]));
	if (store_read(s, (const char *const *)prefixes.items, prefixes.n, &found, e) < 0)
		return -1;
	add_docs(&t, items, b);
	for (size_t i = 0; r == 0 && i < targets.n; i++) {
		AUTO_FREE char *app = xstrdup(targets.items[i]);
		char *slash = strchr(app, '/');

		*slash = '\0';
		history_take(&found, app, slash + 1, &h[i]);
		r = add_record(&t, items, b, targets.items[i], &h[i], note, e);
	}
	for (size_t i = 0; r == 0 && i < targets.n; i++)
		add_pruning(&t, &h[i]);
	if (r == 0)
		r = store_write(s, t.writes, t.n, e);
	for (size_t i = 0; i < targets.n; i++)
		history_release(&h[i]);
	txn_release(&t);
	return r;
}

/* Are the documents still what they were read as? Then it was only the number that was taken. */
static int
is_current(struct store *s, const struct items *items, const struct batch *b)
{
	AUTO_ITEMS struct store_items found = { 0 };
	AUTO_STRV struct strv keys = { 0 };
	struct err ignored = ERR_INIT;

	for (size_t i = b->from; i < b->to; i++)
		strv_add(&keys, xstrdup(items->v[i].d->key));
	if (store_read(s, (const char *const *)keys.items, keys.n, &found, &ignored) < 0)
		return 0;
	for (size_t i = b->from; i < b->to; i++) {
		const struct store_item *item = store_find(&found, items->v[i].d->key);

		if ((item ? item->version : 0) != items->v[i].d->version)
			return 0;
	}
	return 1;
}

static int
write_batch(struct store *s, const struct items *items, const struct batch *b,
    const struct change_note *note, struct err *e)
{
	for (int try = 1;; try++) {
		struct err why = ERR_INIT;

		if (write_once(s, items, b, note, &why) == 0)
			return 0;
		if (why.class != ERR_BUSY || try == TRIES || !is_current(s, items, b)) {
			*e = why;
			return -1;
		}
		clock_sleep_ms(1 + (int64_t)arc4random_uniform(PAUSE_MS));
	}
}

/* ---- all of it ---- */

static int
write_items(struct store *s, const struct items *items, const struct change_note *note,
    struct err *e)
{
	AUTO_FREE struct batch *batches = xcalloc(items->n + 1, sizeof *batches);
	/* Files have no limit but that of a document. */
	size_t room = strncmp(s->url, "dir:", 4) == 0 ? SIZE_MAX / 2 : TXN_BYTES, n = 0;

	if (plan_batches(items, room, batches, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (write_batch(s, items, &batches[i], note, e) < 0)
			return i == 0 ? -1 :
					err_wrap(e,
					    "the first %zu of %zu documents are written, do it "
					    "again for the rest",
					    batches[i].from, items->n);
	return 0;
}

int
change_write(struct store *s, const struct change *c, const struct change_note *note, struct err *e)
{
	struct items items = { .v = xcalloc(c->n, sizeof *items.v) };
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++)
		if (is_changed(&c->v[i]))
			r = make_item(&items, s, c, &c->v[i], note->home, e);
	if (r == 0 && items.n > 0) {
		qsort(items.v, items.n, sizeof *items.v, compare_items);
		r = write_items(s, &items, note, e);
	}
	for (size_t i = 0; i < items.n; i++) {
		free(items.v[i].target[0]);
		free(items.v[i].target[1]);
	}
	for (size_t i = 0; i < items.nfates; i++)
		free(items.fates[i].target);
	free(items.fates);
	free(items.v);
	return r;
}
