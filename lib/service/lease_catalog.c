#include "lib/service/lease_catalog.h"

#include <jansson.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/fs/path.h"
#include "lib/service/registry_doc.h"

/* An entry of the answer. Borrowed. */
struct entry {
	const char *machine; /* Consul's name of the node */
	const char *node, *version;
	int passing, failed, by_hand;
};

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

static int
all_pass(const json_t *checks)
{
	const json_t *check;
	size_t i;

	json_array_foreach(checks, i, check) {
		if (strcmp(text_of(check, "Status"), "passing") != 0)
			return 0;
	}
	return 1;
}

static void
read_entry(const json_t *json, struct entry *entry)
{
	const json_t *meta = json_object_get(json_object_get(json, "Service"), "Meta");

	entry->machine = text_of(json_object_get(json, "Node"), "Node");
	entry->passing = all_pass(json_object_get(json, "Checks"));
	entry->by_hand = text_of(meta, "pp")[0] == '\0';
	entry->node = entry->by_hand ? entry->machine : text_of(meta, "pp-node");
	entry->version = entry->by_hand ? "" : text_of(meta, "pp-version");
	entry->failed = !entry->by_hand && strcmp(text_of(meta, "pp-failed"), "1") == 0;
	/* One of pp's that does not say whose it is cannot be told from those that are marked. */
	if (!path_is_name(entry->node)) {
		entry->node = "";
		entry->passing = entry->passing && entry->by_hand;
	}
	if (!lease_is_release(entry->version))
		entry->version = "";
}

/* Those of pp first, so that what was registered by hand finds them; then by node. */
static int
compare_entries(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;
	int r = strcmp(one->node, other->node);

	return r != 0 ? r : one->by_hand - other->by_hand;
}

static int
compare_machines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The machines that have an instance of pp's, sorted. */
static size_t
list_machines(const struct entry *entries, size_t n, const char **machines)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		if (!entries[i].by_hand)
			machines[found++] = entries[i].machine;
	if (found > 0)
		qsort(machines, found, sizeof *machines, compare_machines);
	return found;
}

static int
is_of(const struct lease_instance *it, const struct entry *entry)
{
	return !it->by_hand && !entry->by_hand && entry->node[0] != '\0' &&
	    strcmp(it->node, entry->node) == 0;
}

static void
join_instance(struct lease_instance *it, const struct entry *entry)
{
	it->passing &= entry->passing;
	it->failed |= entry->failed;
	/* Two versions at once: it is not known to be on either. */
	if (strcmp(it->version, entry->version) != 0)
		it->version[0] = '\0';
}

static void
add_instance(struct lease_view *view, const struct entry *entry)
{
	size_t n = view->ninstances;

	if (n > 0 && is_of(&view->instances[n - 1], entry)) {
		join_instance(&view->instances[n - 1], entry);
		return;
	}
	view->ninstances++;
	view->instances[n].node = xstrdup(entry->node);
	view->instances[n].version = xstrdup(entry->version);
	view->instances[n].passing = entry->passing;
	view->instances[n].failed = entry->failed;
	view->instances[n].by_hand = entry->by_hand;
}

static void
add_instances(struct lease_view *view, struct entry *entries, size_t n)
{
	AUTO_FREE const char **machines = xcalloc(n + 1, sizeof *machines);
	size_t nmachines = list_machines(entries, n, machines);

	if (n == 0)
		return;
	qsort(entries, n, sizeof *entries, compare_entries);
	view->instances = xcalloc(n, sizeof *view->instances);
	for (size_t i = 0; i < n; i++) {
		if (entries[i].by_hand && nmachines > 0 &&
		    bsearch(&entries[i].machine, machines, nmachines, sizeof *machines,
			compare_machines) != NULL)
			continue;
		add_instance(view, &entries[i]);
	}
}

int
lease_catalog_take(const char *answer, size_t n, const char *app, const char *cluster,
    struct lease_view *view, struct err *e)
{
	json_error_t parse;
	json_auto_t *doc = json_loadb(answer ? answer : "", n, JSON_REJECT_DUPLICATES, &parse);
	size_t size = json_array_size(doc), used = 0, i;
	AUTO_FREE struct entry *entries = NULL;
	const json_t *one;

	if (!json_is_array(doc) || size > LEASE_INSTANCES_MAX)
		return err_set(e, ERR_STORE,
		    "what the catalogue says of the service %s is not a list of instances; nothing is "
		    "believed",
		    app);
	entries = xcalloc(size + 1, sizeof *entries);
	json_array_foreach(doc, i, one) {
		const json_t *service = json_object_get(one, "Service");

		if (!json_is_object(service) || !json_is_array(json_object_get(one, "Checks")))
			return err_set(e, ERR_STORE,
			    "what the catalogue says of the service %s has an instance without "
			    "Service or Checks; nothing is believed",
			    app);
		if (strcmp(text_of(service, "Service"), app) == 0 &&
		    registry_doc_has_tag(service, cluster))
			read_entry(one, &entries[used++]);
	}
	add_instances(view, entries, used);
	return 0;
}
