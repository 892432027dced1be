/*
 * pp intent: read and edit what is intended.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "lib/base/log.h"
#include "lib/fs/path.h"
#include "lib/intent/edit.h"
#include "lib/intent/target.h"

#define EXIT_DIFFERS 1
#define EXIT_TROUBLE 2                 /* of diff, where 1 has another meaning */
#define FILE_MAX (8 * STORE_VALUE_MAX) /* bytes of a file with documents */
#define ASSIGN_AT_ONCE 60              /* nodes in one transaction */

/* What a verb works on. */
struct intent_run {
	struct settings *settings;
	struct store *store;
	struct strv operands; /* without the verb */
};

struct verb {
	const char *name, *arguments, *summary;
	size_t least, most;                            /* operands */
	int (*run)(struct intent_run *, struct err *); /* 0, or 1 where diff differs; -1 with *e */
};

static const struct setting intent_settings[] = {
	{ "json", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "get: print JSON" },
	{ "dry-run", 'n', SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "print the change, do not make it" },
	{ 0 },
};

/* ---- get ---- */

static void
print_json(const json_t *value)
{
	AUTO_FREE char *text = edit_dump(value, JSON_INDENT(2) | JSON_SORT_KEYS);

	printf("%s\n", text ? text : "null");
}

/* "abc:prep,def:active", as versions= takes it. */
static void
print_map(const json_t *map)
{
	AUTO_STRV struct strv parts = { 0 };
	AUTO_FREE char *text = NULL;
	const json_t *value;
	const char *id;

	json_object_foreach((json_t *)map, id, value)
		strv_add(&parts,
		    xasprintf("%s:%s", id, json_is_string(value) ? json_string_value(value) : "?"));
	strv_sort(&parts);
	text = strv_join(&parts, ",");
	printf("%s\n", text);
}

static int
get_path(const struct target *t, const char *path, int as_json, struct err *e)
{
	const json_t *value = edit_find(&t->docs, path);
	AUTO_FREE char *text = NULL;

	if (value == NULL)
		return err_set(e, ERR_FAIL, "%s/%s has no %s", t->app, t->cluster, path);
	if (as_json) {
		print_json(value);
	} else if (json_is_object(value) &&
	    (strcmp(path, "versions") == 0 || strcmp(path, "digests") == 0)) {
		print_map(value);
	} else {
		text = json_is_string(value) ? xstrdup(json_string_value(value)) : edit_show(value);
		printf("%s\n", text);
	}
	return 0;
}

static void
get_all(const struct target *t, int as_json)
{
	AUTO_LEAVES struct edit_leaves leaves = { 0 };
	json_auto_t *all = json_object();

	for (int d = 0; d < EDIT_DOCS; d++)
		if (t->docs.doc[d] != NULL)
			(void)json_object_set(all, edit_doc_name((enum edit_doc)d), t->docs.doc[d]);
	if (as_json) {
		(void)json_object_set_new(all, "app", json_string(t->app));
		(void)json_object_set_new(all, "cluster", json_string(t->cluster));
		print_json(all);
		return;
	}
	edit_flatten(&t->docs, &leaves);
	for (size_t i = 0; i < leaves.n; i++) {
		AUTO_FREE char *line = edit_show_leaf(&leaves.v[i]);

		printf("%s\n", line);
	}
}

static int
require_some(const struct target *t, struct err *e)
{
	if (t->docs.doc[EDIT_CONFIG] != NULL || t->docs.doc[EDIT_DEPLOY_CONFIG] != NULL)
		return 0;
	return err_set(e, ERR_DATA, "there is no intent for %s/%s", t->app, t->cluster);
}

static int
verb_get(struct intent_run *run, struct err *e)
{
	AUTO_TARGET struct target t = { 0 };
	int as_json = settings_flag(run->settings, "json");

	if (target_read(run->store, run->operands.items[0], &t, e) < 0 || require_some(&t, e) < 0)
		return -1;
	if (run->operands.n > 1)
		return get_path(&t, run->operands.items[1], as_json, e);
	get_all(&t, as_json);
	return 0;
}

/* ---- set, unset ---- */

static int
edit(struct intent_run *run, int (*change)(struct edit_docs *, const char *, struct err *),
    struct err *e)
{
	AUTO_TARGET struct target t = { 0 };
	AUTO_DOCS struct edit_docs docs = { { NULL } };
	AUTO_BUF struct buf diff = { 0 };

	if (target_read(run->store, run->operands.items[0], &t, e) < 0)
		return -1;
	docs = edit_docs_copy(&t.docs);
	for (size_t i = 1; i < run->operands.n; i++)
		if (change(&docs, run->operands.items[i], e) < 0)
			return err_wrap(e, "%s/%s", t.app, t.cluster);
	if (edit_check(&t.docs, &docs, t.app, t.cluster, e) < 0)
		return -1;
	if (edit_diff(&t.docs, &docs, &diff) == 0)
		return 0;
	if (!settings_flag(run->settings, "dry-run") && target_write(run->store, &t, &docs, e) < 0)
		return err_wrap(e, "%s/%s", t.app, t.cluster);
	(void)fputs(diff.data, stdout);
	return 0;
}

static int
verb_set(struct intent_run *run, struct err *e)
{
	return edit(run, edit_apply, e);
}

static int
verb_unset(struct intent_run *run, struct err *e)
{
	return edit(run, edit_unset, e);
}

/* ---- diff ---- */

static int
read_whole(const char *path, struct buf *out, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char chunk[16384];
	size_t n;
	int bad;

	if (f == NULL)
		return err_sys(e, "open %s", path);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && out->n <= FILE_MAX)
		buf_add(out, chunk, n);
	bad = ferror(f);
	if (f != stdin)
		(void)fclose(f);
	if (bad)
		return err_sys(e, "read %s", path);
	if (out->n > FILE_MAX)
		return err_set(e, ERR_DATA, "%s is larger than %zu bytes", path, FILE_MAX);
	buf_add(out, "", 0);
	return 0;
}

static int
docs_of_file(const char *path, struct edit_docs *docs, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	json_auto_t *json = NULL;

	if (read_whole(path, &text, e) < 0)
		return -1;
	json = intent_parse(path, text.data, text.n, e);
	if (json == NULL)
		return -1;
	return edit_from_json(json, docs, e) < 0 ? err_wrap(e, "%s", path) : 0;
}

/* A file, rather than APP/CLUSTER: "-", one that says so by its form, or one that is there. */
static int
is_file(const char *text)
{
	size_t n = strlen(text);
	struct stat st;

	return text[0] == '-' || text[0] == '.' || text[0] == '/' ||
	    (n > 5 && strcmp(text + n - 5, ".json") == 0) ||
	    (stat(text, &st) == 0 && !S_ISDIR(st.st_mode));
}

static int
verb_diff(struct intent_run *run, struct err *e)
{
	const char *other = run->operands.items[1];
	AUTO_TARGET struct target a = { 0 }, b = { 0 };
	AUTO_DOCS struct edit_docs from = { { NULL } }, to = { { NULL } };
	AUTO_BUF struct buf diff = { 0 };
	int file = is_file(other);

	if (target_read(run->store, run->operands.items[0], &a, e) < 0 || require_some(&a, e) < 0)
		return -1;
	if (file && docs_of_file(other, &to, e) < 0)
		return -1;
	if (!file && (target_read(run->store, other, &b, e) < 0 || require_some(&b, e) < 0))
		return -1;
	if (!file)
		to = edit_docs_copy(&b.docs);
	from = edit_docs_copy(&a.docs);
	/* A file speaks only of the documents that it holds. */
	for (int d = 0; file && d < EDIT_DOCS; d++)
		if (to.doc[d] == NULL && from.doc[d] != NULL) {
			json_decref(from.doc[d]);
			from.doc[d] = NULL;
		}
	if (edit_diff(&from, &to, &diff) == 0)
		return 0;
	(void)fputs(diff.data, stdout);
	return EXIT_DIFFERS;
}

/* ---- assign, unassign ---- */

static int
assign_some(struct intent_run *run, const struct target *t, size_t from, size_t to, int assign,
    struct err *e)
{
	struct store_write writes[ASSIGN_AT_ONCE] = { { 0 } };
	AUTO_BUF struct buf lines = { 0 };
	size_t n = 0;
	int r = 0;

	for (size_t i = from; r == 0 && i < to; i++) {
		AUTO_FREE char *line = NULL;
		struct store_write w = { 0 };

		r = target_assign(run->store, t->app, t->cluster, run->operands.items[i], assign,
		    &w, &line, e);
		if (r == 0 && line[0] != '\0') {
			buf_printf(&lines, "%s", line);
			writes[n++] = w;
		} else {
			free((char *)w.key);
		}
	}
	if (r == 0 && n > 0 && !settings_flag(run->settings, "dry-run"))
		r = store_write(run->store, writes, n, e);
	for (size_t i = 0; i < n; i++) {
		free((char *)writes[i].key);
		free((char *)writes[i].value);
	}
	if (r == 0 && lines.n > 0)
		(void)fputs(lines.data, stdout);
	return r;
}

static int
assign_nodes(struct intent_run *run, int assign, struct err *e)
{
	AUTO_TARGET struct target t = { 0 };
	size_t n = run->operands.n;

	if (target_read(run->store, run->operands.items[0], &t, e) < 0)
		return -1;
	for (size_t i = 1; i < n; i++)
		for (size_t k = 1; k < i; k++)
			if (strcmp(run->operands.items[i], run->operands.items[k]) == 0)
				return err_set(e, ERR_USAGE, "%s is named twice",
				    run->operands.items[i]);
	if (assign && (t.docs.doc[EDIT_CONFIG] == NULL || t.docs.doc[EDIT_DEPLOY_CONFIG] == NULL))
		(void)fprintf(stderr,
		    "pp intent: note: %s/%s has no %s yet; its nodes hold what they "
		    "have until it is set\n",
		    t.app, t.cluster, t.docs.doc[EDIT_CONFIG] == NULL ? "config" : "deploy_config");
	for (size_t from = 1; from < n; from += ASSIGN_AT_ONCE) {
		size_t to = n - from < ASSIGN_AT_ONCE ? n : from + ASSIGN_AT_ONCE;

		if (assign_some(run, &t, from, to, assign, e) < 0)
			return from == 1 ? -1 :
					   err_wrap(e, "the first %zu nodes are done", from - 1);
	}
	return 0;
}

static int
verb_assign(struct intent_run *run, struct err *e)
{
	return assign_nodes(run, 1, e);
}

static int
verb_unassign(struct intent_run *run, struct err *e)
{
	return assign_nodes(run, 0, e);
}

/* ---- the verbs ---- */

static const struct verb verbs[] = {
	{ "get", "APP[/CLUSTER] [PATH]", "print what is intended, all or one path", 1, 2,
	    verb_get },
	{ "set", "APP[/CLUSTER] KEY=VALUE|KEY:=JSON|KEY- ...", "change it", 2, SIZE_MAX, verb_set },
	{ "unset", "APP[/CLUSTER] KEY ...", "remove keys", 2, SIZE_MAX, verb_unset },
	{ "diff", "APP[/CLUSTER] FILE|APP/CLUSTER", "compare; exit 0 same, 1 different", 2, 2,
	    verb_diff },
	{ "assign", "APP/CLUSTER NODE ...", "put it on nodes", 2, SIZE_MAX, verb_assign },
	{ "unassign", "APP/CLUSTER NODE ...", "take it off nodes", 2, SIZE_MAX, verb_unassign },
};

static int
usage(FILE *out)
{
	AUTO_BUF struct buf options = { 0 };

	settings_usage(intent_settings, &options);
	settings_usage(pass_settings, &options);
	(void)fprintf(out, "usage: pp intent VERB [argument ...]\n\n");
	for (size_t i = 0; i < MEM_COUNT(verbs); i++)
		(void)fprintf(out, "  %-8s %-44s %s\n", verbs[i].name, verbs[i].arguments,
		    verbs[i].summary);
	(void)fprintf(out, "\n%s", options.data);
	return 0;
}

static const struct verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < MEM_COUNT(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int
run_verb(const struct verb *verb, struct intent_run *run, struct err *e)
{
	const char *spec = settings_text(run->settings, "store");
	int r;

	if (run->operands.n < verb->least || run->operands.n > verb->most)
		return err_set(e, ERR_USAGE, "usage: pp intent %s %s", verb->name, verb->arguments);
	run->store = store_open(spec, STORE_MAKE, e);
	if (run->store == NULL)
		return -1;
	r = verb->run(run, e);
	store_free(run->store);
	return r;
}

static int
run_intent(const struct verb *verb, int argc, char **argv, struct settings *settings, struct err *e)
{
	AUTO_STRV struct strv operands = { 0 };
	struct intent_run run = { .settings = settings };
	int r;

	settings_add(settings, pass_settings);
	settings_add(settings, intent_settings);
	if (settings_parse(settings, argc, argv, 0, &operands, e) < 0)
		return -1;
	if (settings_flag(settings, "help"))
		return usage(stdout);
	if (agent_load_settings(settings, NULL, e) < 0)
		return -1;
	log_set_verbose(settings_flag(settings, "verbose"));
	run.operands = operands;
	r = run_verb(verb, &run, e);
	return r;
}

int
cmd_intent(int argc, char **argv)
{
	const struct verb *verb = argc > 1 ? find_verb(argv[1]) : NULL;
	struct settings settings = { 0 };
	struct err e = ERR_INIT;
	AUTO_FREE char *name = NULL;
	int r;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return usage(stdout);
	if (verb == NULL) {
		(void)usage(stderr);
		return EX_USAGE;
	}
	name = xasprintf("intent %s", verb->name);
	r = run_intent(verb, argc - 1, argv + 1, &settings, &e);
	settings_release(&settings);
	if (r >= 0)
		return r;
	r = cmd_fail(name, &e);
	return verb->run == verb_diff && r == EXIT_DIFFERS ? EXIT_TROUBLE : r;
}
