#include "lib/store/store.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <jansson.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/store/engine.h"

struct store *
store_open(const char *spec, enum store_open_how how, struct err *e)
{
	if (spec == NULL || strcmp(spec, "consul") == 0)
		return consul_store_open(e);
	if (strncmp(spec, "dir:", 4) == 0 && spec[4] != '\0')
		return dir_store_open(spec + 4, how, e);
	err_set(e, ERR_CONFIG, "store \"%s\": write consul or dir:PATH", spec);
	return NULL;
}

void
store_free(struct store *s)
{
	if (s != NULL)
		s->ops->free(s);
}

/* What pp/store says: an id, or nothing where it is not there. A broken one is an error. */
static int
take_id(struct store *s, struct store_items *items, struct err *e)
{
	const struct store_item *item = store_find(items, STORE_ID_KEY);
	json_error_t parse;
	const char *id;
	json_t *doc;

	items->id[0] = '\0';
	if (item == NULL)
		return 0;
	if (item->fault != NULL)
		return err_set(e, ERR_STORE, "%s: %s; nothing is believed", s->url, item->fault);
	doc = json_loadb(item->value, item->len, JSON_REJECT_DUPLICATES, &parse);
	id = json_string_value(json_object_get(doc, "id"));
	if (id == NULL || id[0] == '\0' ||
	    strlcpy(items->id, id, sizeof items->id) >= sizeof items->id) {
		json_decref(doc);
		return err_set(e, ERR_STORE,
		    "%s: the document pp/store holds no id of a store; nothing is believed",
		    s->url);
	}
	json_decref(doc);
	return 0;
}

int
store_read(struct store *s, const char *const *keys, size_t n, struct store_items *items,
    struct err *e)
{
	if (s->ops->read(s, keys, n, items, e) < 0)
		return -1;
	store_items_sort(items);
	if (take_id(s, items, e) < 0)
		return -1;
	s->named |= items->id[0] != '\0';
	return 0;
}

int
store_begin(struct store *s, uint64_t known, struct err *e)
{
	return s->ops->begin(s, known, e);
}

int
store_end(struct store *s, int *moved, struct err *e)
{
	return s->ops->end(s, moved, e);
}

static int
compare_items(const void *a, const void *b)
{
	return strcmp(((const struct store_item *)a)->key, ((const struct store_item *)b)->key);
}

const struct store_item *
store_find(const struct store_items *items, const char *key)
{
	struct store_item wanted = { .key = (char *)key };

	if (items->n == 0)
		return NULL;
	return bsearch(&wanted, items->v, items->n, sizeof *items->v, compare_items);
}

void
store_items_add(struct store_items *items, const char *key, const char *value, size_t len,
    uint64_t version)
{
	if ((items->n & (items->n - 1)) == 0)
		items->v = xreallocarray(items->v, items->n ? 2 * items->n : 1, sizeof *items->v);
	items->v[items->n++] = (struct store_item){ .key = xstrdup(key),
		.value = xmemdup(value, len),
		.len = len,
		.version = version };
}

void
store_items_add_fault(struct store_items *items, const char *key, const char *fault)
{
	store_items_add(items, key, "", 0, 1);
	items->v[items->n - 1].fault = xstrdup(fault);
}

void
store_items_sort(struct store_items *items)
{
	size_t kept = 0;

	if (items->n < 2)
		return;
	qsort(items->v, items->n, sizeof *items->v, compare_items);
	for (size_t i = 1; i < items->n; i++) {
		if (strcmp(items->v[i].key, items->v[kept].key) == 0) {
			free(items->v[i].key);
			free(items->v[i].value);
			free(items->v[i].fault);
		} else {
			items->v[++kept] = items->v[i];
		}
	}
	items->n = kept + 1;
}

void
store_items_cut(struct store_items *items, size_t n)
{
	while (items->n > n) {
		struct store_item *last = &items->v[--items->n];

		free(last->key);
		free(last->value);
		free(last->fault);
	}
}

void
store_items_release(struct store_items *items)
{
	store_items_cut(items, 0);
	free(items->v);
	*items = (struct store_items){ 0 };
}

int
store_absent(struct store *s, const char *key, struct err *e)
{
	return s->ops->absent(s, key, e);
}

/* A random UUID, version 4 (RFC 4122). */
static void
make_uuid(char out[37])
{
	static const char form[] = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof form; i++) {
		if (form[i] == 'x')
			out[i] = hex[arc4random_uniform(16)];
		else if (form[i] == 'y')
			out[i] = hex[8 + arc4random_uniform(4)];
		else
			out[i] = form[i];
	}
}

/* What is written must be readable again. *checks: how many of them write nothing. */
static int
check_sizes(const struct store_write *writes, size_t n, size_t *checks, struct err *e)
{
	if (n > STORE_WRITES_MAX)
		return err_set(e, ERR_DATA,
		    "%zu documents at once are too many for one change; at most %d go together", n,
		    STORE_WRITES_MAX);
	for (size_t i = 0; i < n; i++) {
		*checks += writes[i].check != 0;
		if (!writes[i].check && writes[i].len > STORE_VALUE_MAX)
			return err_set(e, ERR_DATA, "%s would be larger than %zu bytes",
			    writes[i].key, STORE_VALUE_MAX);
	}
	return 0;
}

/* Write, and give the store an id. Returns: 0; 1 where this token may not do that; -1 with *e set. */
static int
write_first(struct store *s, const struct store_write *writes, size_t n, struct err *e)
{
	AUTO_FREE struct store_write *all = xcalloc(n + 1, sizeof *all);
	AUTO_FREE char *doc = NULL;
	char uuid[37];

	memcpy(all, writes, n * sizeof *all);
	make_uuid(uuid);
	doc = xasprintf("{\n  \"id\": \"%s\",\n  \"schema\": 1\n}\n", uuid);
	all[n] = (struct store_write){ .key = STORE_ID_KEY, .value = doc, .len = strlen(doc) };
	if (s->ops->write(s, all, n + 1, e) == 0)
		return 0;
	if (e->class != ERR_PERM)
		return -1;
	*e = (struct err)ERR_INIT;
	return 1;
}

int
store_write(struct store *s, const struct store_write *writes, size_t n, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };
	const char *key = STORE_ID_KEY;
	size_t checks = 0;
	int r;

	if (n == 0)
		return 0;
	if (check_sizes(writes, n, &checks, e) < 0)
		return -1;
	/* Where nothing is written, there is nothing to give an id for. */
	if (!s->named && checks < n) {
		if (store_read(s, &key, 1, &items, e) < 0)
			return -1;
		/* Who may not name the store may still write what he may: somebody else will. */
		if (!s->named && (r = write_first(s, writes, n, e)) <= 0)
			return r;
	}
	return s->ops->write(s, writes, n, e);
}

int
store_ask(struct store *s, const struct store_question *q, long *status, struct buf *answer,
    struct err *e)
{
	return s->ops->ask == NULL ? 0 : s->ops->ask(s, q, status, answer, e);
}

int
store_wait(struct store *s, const char *const *keys, size_t n, int64_t timeout_ms, struct err *e)
{
	return s->ops->wait(s, keys, n, timeout_ms, e);
}
