/*
 * pp intent: read and edit what is intended. The table of verbs, and what they share.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/intent.h"
#include "cmd/status.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

#define EXIT_TROUBLE 2 /* of diff, where 1 has another meaning */
#define INDEX_BITS 52  /* jq and its kin count no further exactly */

enum { NO_STORE = 1 };

struct verb {
	const char *name, *arguments, *summary;
	size_t least, most; /* operands */
	int (*run)(struct intent_run *, struct err *);
	const char *options; /* those of intent_settings that it takes */
	int flags;
};

static const struct setting intent_settings[] = {
	{ "json", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "print JSON; changes as a JSON Patch" },
	{ "dry-run", 'n', SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "print the change, do not make it" },
	{ "message", 'm', SETTING_TEXT, SETTING_FLAG_ONLY, "WHY", "why, for the history" },
	{ "if-index", 0, SETTING_TEXT, SETTING_FLAG_ONLY, "N",
	    "only if get --json still shows this index" },
	{ "file", 'f', SETTING_TEXT, SETTING_FLAG_ONLY, "FILE",
	    "apply: a file, a directory, or - for stdin" },
	{ "prune", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "apply, export: remove what is not there any more" },
	{ "yes", 'y', SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "do not ask" },
	{ "allow-empty", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "also take most nodes or all versions away" },
	{ "wait", 0, SETTING_DURATION, SETTING_FLAG_ONLY, "DUR",
	    "then wait until this node is so, for so long at most" },
	{ "rev", 0, SETTING_TEXT, SETTING_FLAG_ONLY, "N[..M]",
	    "diff: from one revision to another, or to now" },
	{ "to", 0, SETTING_TEXT, SETTING_FLAG_ONLY, "N", "rollback: to this revision" },
	{ "color", 0, SETTING_TEXT, SETTING_FLAG_ONLY, "WHEN", "auto, always or never" },
	{ "show-secrets", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "do not mask values that look secret" },
	{ 0 },
};

#define SHOWS " json color show-secrets "
#define WRITES SHOWS "dry-run message wait "
#define REMOVES "allow-empty yes "

static const struct verb verbs[] = {
	{ "get", "APP[/CLUSTER] [PATH]", "print what is intended, all or one path", 1, 2,
	    intent_get, " json ", 0 },
	{ "set", "APP[/CLUSTER] KEY=VALUE|KEY:=JSON|KEY- ...", "change it", 2, SIZE_MAX, intent_set,
	    WRITES "if-index ", 0 },
	{ "unset", "APP[/CLUSTER] KEY ...", "remove keys", 2, SIZE_MAX, intent_unset,
	    WRITES "if-index ", 0 },
	{ "edit", "APP[/CLUSTER]", "change it in your editor", 1, 1, intent_edit,
	    WRITES REMOVES "if-index ", 0 },
	{ "diff", "APP[/CLUSTER] FILE|APP/CLUSTER|--rev=N[..M]",
	    "compare; exit 0 same, 1 different", 1, 2, intent_diff, SHOWS "rev ", 0 },
	{ "assign", "APP/CLUSTER NODE ...", "put it on nodes", 2, SIZE_MAX, intent_assign, WRITES,
	    0 },
	{ "unassign", "APP/CLUSTER NODE ...", "take it off nodes", 2, SIZE_MAX, intent_unassign,
	    WRITES REMOVES, 0 },
	{ "history", "APP[/CLUSTER]", "who changed what, when and why", 1, 1, intent_history, SHOWS,
	    0 },
	{ "rollback", "APP[/CLUSTER] [--to=N]", "undo the last change, or all since N", 1, 1,
	    intent_rollback, WRITES REMOVES "to if-index ", 0 },
	{ "watch", "APP[/CLUSTER]", "print changes as they land", 1, 1, intent_watch, SHOWS, 0 },
	{ "apply", "-f FILE|DIR|- [--prune]", "many documents as one change", 0, 0, intent_apply,
	    WRITES REMOVES "file prune ", 0 },
	{ "export", "DIR|-", "write all documents to files", 1, 1, intent_export, " prune ", 0 },
	{ "check", "[FILE|DIR|-]", "check documents in files (here: .)", 0, 1, intent_check, "",
	    NO_STORE },
};

/* ---- what the verbs share ---- */

int
intent_look(const struct intent_run *run, struct edit_look *look, struct err *e)
{
	const char *color = settings_text(run->settings, "color"), *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	*look = (struct edit_look){ .secrets = settings_flag(run->settings, "show-secrets") };
	if (color == NULL || strcmp(color, "auto") == 0)
		look->color = (no == NULL || no[0] == '\0') && isatty(STDOUT_FILENO) &&
		    term != NULL && strcmp(term, "dumb") != 0;
	else if (strcmp(color, "always") == 0)
		look->color = 1;
	else if (strcmp(color, "never") != 0)
		return err_set(e, ERR_USAGE, "--color=%s: write auto, always or never", color);
	return 0;
}

void
intent_print_json(const json_t *value)
{
	AUTO_FREE char *text = edit_dump(value, JSON_INDENT(2) | JSON_SORT_KEYS);

	printf("%s\n", text ? text : "null");
}

int
intent_print(const struct intent_run *run, const struct change *c, const char *prefix,
    struct err *e)
{
	AUTO_BUF struct buf lines = { 0 };
	json_auto_t *patch = NULL;
	struct edit_look look;

	if (intent_look(run, &look, e) < 0)
		return -1;
	if (settings_flag(run->settings, "json")) {
		patch = change_patch(c, look.secrets);
		intent_print_json(patch);
		return 0;
	}
	look.prefix = prefix;
	change_diff(c, &look, &lines);
	if (lines.n > 0)
		(void)fwrite(lines.data, 1, lines.n, stdout);
	return 0;
}

int
intent_has_terminal(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

int
intent_confirm(const char *question, const char *instead, struct err *e)
{
	char answer[64] = "";

	if (!intent_has_terminal())
		return err_set(e, ERR_USAGE, "there is no terminal to ask on; %s", instead);
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s [y/N] ", question);
	if (fgets(answer, sizeof answer, stdin) == NULL ||
	    (strcasecmp(answer, "y\n") != 0 && strcasecmp(answer, "yes\n") != 0))
		return err_set(e, ERR_FAIL, "nothing was changed");
	return 0;
}

/* What a big removal takes away, and whether that is wanted. */
static int
guard(const struct intent_run *run, const struct change *c, int *asked, struct err *e)
{
	AUTO_BUF struct buf why = { 0 };
	AUTO_STRV struct strv lines = { 0 };
	AUTO_FREE char *list = NULL, *question = NULL, *instead = NULL;
	int n;

	if (settings_flag(run->settings, "allow-empty"))
		return 0;
	n = change_losses(run->store, c, &why, e);
	if (n <= 0)
		return n;
	why.data[why.n - 1] = '\0';
	strv_split(&lines, why.data, '\n');
	list = strv_join(&lines, "; ");
	question = xasprintf("%s. Is that meant?", list);
	instead = xasprintf("%s: if that is meant, say --allow-empty", list);
	*asked = 1;
	return intent_confirm(question, instead, e);
}

static int
take_note(struct intent_run *run, struct err *e)
{
	const char *why = settings_text(run->settings, "message");

	if (why == NULL && settings_flag(run->settings, "require-message"))
		return err_set(e, ERR_USAGE,
		    "say why with -m: require-message is set, see pp.conf(5)");
	if (why != NULL && history_check_why(why, e) < 0)
		return -1;
	run->note.what = run->verb;
	run->note.why = why;
	return 0;
}

static int
agree(struct intent_run *run, const struct change *c, const char *prefix, enum intent_ask ask,
    int *printed, struct err *e)
{
	int asks = ask == INTENT_ASK && !settings_flag(run->settings, "yes"), asked = 0;

	if (asks || (ask != INTENT_JUST_DO && intent_has_terminal())) {
		if (intent_print(run, c, prefix, e) < 0)
			return -1;
		*printed = 1;
	}
	if (ask != INTENT_JUST_DO && guard(run, c, &asked, e) < 0)
		return -1;
	return asks && !asked ?
	    intent_confirm("Make this change?", "if this change is meant, say --yes", e) :
	    0;
}

/* Of the apps of a change, what --wait is to follow: where nothing changes, all that it speaks of. */
static void
take_touched(struct intent_run *run, const struct change *c)
{
	int all = change_count(c) == 0;

	strv_release(&run->touched);
	for (size_t i = 0; i < c->n; i++) {
		const struct change_doc *d = &c->v[i];
		const json_t *at = d->after != NULL ? d->after : d->before;
		const char *cluster = json_string_value(json_object_get(at, "cluster"));
		AUTO_FREE char *name = NULL;

		if (at == NULL || (!all && json_equal(d->before, d->after)))
			continue;
		if (d->k.kind != CHANGE_NODE)
			cluster = d->k.cluster[0] != '\0' ? d->k.cluster : NULL;
		name = cluster != NULL ? xasprintf("%s/%s", d->k.app, cluster) : xstrdup(d->k.app);
		if (!strv_has(&run->touched, name))
			strv_add(&run->touched, mem_take(&name));
	}
}

int
intent_commit(struct intent_run *run, const struct change *c, const char *prefix,
    enum intent_ask ask, struct err *e)
{
	struct edit_look look;
	int printed = 0;

	/* What is wrong with the command line comes before anything is done. */
	if (intent_look(run, &look, e) < 0)
		return -1;
	take_touched(run, c);
	if (change_count(c) == 0)
		return settings_flag(run->settings, "json") ? intent_print(run, c, prefix, e) : 0;
	if (settings_flag(run->settings, "dry-run"))
		return intent_print(run, c, prefix, e);
	if (take_note(run, e) < 0 || agree(run, c, prefix, ask, &printed, e) < 0 ||
	    change_write(run->store, c, &run->note, e) < 0)
		return -1;
	return printed ? 0 : intent_print(run, c, prefix, e);
}

long long
intent_index(const struct target *t)
{
	uint64_t all[EDIT_DOCS], any = 0;

	for (int d = 0; d < EDIT_DOCS; d++) {
		all[d] = t->version[d];
		any |= all[d];
	}
	return any == 0 ? 0 : (long long)(hash_bytes(all, sizeof all) >> (64 - INDEX_BITS)) | 1;
}

int
intent_read_target(struct intent_run *run, struct target *t, struct err *e)
{
	const char *index = settings_text(run->settings, "if-index");
	char now[32];

	if (index != NULL && (strspn(index, "0123456789") != strlen(index) || strlen(index) > 19))
		return err_set(e, ERR_USAGE, "--if-index=%s: write the index of get --json", index);
	if (target_read(run->store, run->operands.items[0], t, e) < 0)
		return -1;
	(void)snprintf(now, sizeof now, "%lld", intent_index(t));
	if (index != NULL && strcmp(index, now) != 0)
		return err_set(e, ERR_BUSY,
		    "%s/%s was changed meanwhile: its index is %s, not %s; nothing was written",
		    t->app, t->cluster, now, index);
	return 0;
}

int
intent_require_some(struct intent_run *run, const struct target *t, struct err *e)
{
	for (int d = 0; d < EDIT_OWNERS; d++)
		if (t->docs.doc[d] != NULL)
			return 0;
	/* What may not be seen is not what is not there. */
	for (int d = 0; d < EDIT_OWNERS; d++)
		if (store_absent(run->store, t->key[d], e) < 0)
			return -1;
	return err_set(e, ERR_DATA, "there is no intent for %s/%s", t->app, t->cluster);
}

static void
tell(const char *before, const char *line)
{
	size_t room = 4 * strlen(line) + 1;
	AUTO_FREE char *safe = xcalloc(room, 1);

	log_escape(safe, room, line);
	(void)fprintf(stderr, "%s%s\n", before, safe);
}

int
intent_tell_report(const char *where, const struct check_report *report, struct err *e)
{
	for (size_t i = 0; i < report->notes.n; i++)
		tell("note: ", report->notes.items[i]);
	for (size_t i = 0; i < report->faults.n; i++)
		tell("", report->faults.items[i]);
	if (report->faults.n == 0)
		return 0;
	return err_set(e, ERR_DATA, "%s: %zu fault%s", where, report->faults.n,
	    report->faults.n == 1 ? "" : "s");
}

/* ---- the command ---- */

static int
usage(FILE *out)
{
	AUTO_BUF struct buf options = { 0 };

	settings_usage(intent_settings, &options);
	settings_usage(history_settings, &options);
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

/* An option that a verb does nothing with was meant for something. */
static int
check_options(const struct verb *verb, const struct settings *settings, struct err *e)
{
	for (const struct setting *s = intent_settings; s->name != NULL; s++) {
		AUTO_FREE char *word = xasprintf(" %s ", s->name);

		if (settings_text(settings, s->name) != NULL && strstr(verb->options, word) == NULL)
			return err_set(e, ERR_USAGE, "--%s is no option of pp intent %s", s->name,
			    verb->name);
	}
	return 0;
}

static int
run_verb(const struct verb *verb, struct intent_run *run, struct err *e)
{
	const char *spec = settings_text(run->settings, "store");
	int r;

	if (run->operands.n < verb->least || run->operands.n > verb->most)
		return err_set(e, ERR_USAGE, "usage: pp intent %s %s", verb->name, verb->arguments);
	if (!(verb->flags & NO_STORE))
		run->store = store_open(spec, STORE_MAKE, e);
	if (run->store == NULL && !(verb->flags & NO_STORE))
		return -1;
	r = verb->run(run, e);
	store_free(run->store);
	return r;
}

/* --wait, when the change is made. */
static int
follow(const struct intent_run *run, struct err *e)
{
	int r;

	if (run->touched.n == 0)
		return 0;
	/* Who reads it from a pipe sees the change before it is waited for. */
	(void)fflush(stdout);
	r = status_wait(run->settings, &run->touched,
	    settings_flag(run->settings, "json") ? "json" : "table",
	    settings_duration(run->settings, "wait", 0), STATUS_HERE, e);
	return r < 0 ? err_wrap(e, "the intent is as you said; waiting for this node") : r;
}

static int
run_intent(const struct verb *verb, int argc, char **argv, struct settings *settings, struct err *e)
{
	AUTO_STRV struct strv operands = { 0 };
	struct intent_run run = { .verb = verb->name, .settings = settings };
	int r;

	settings_add(settings, pass_settings);
	settings_add(settings, history_settings);
	settings_add(settings, intent_settings);
	if (settings_parse(settings, argc, argv, 0, &operands, e) < 0)
		return -1;
	if (settings_flag(settings, "help"))
		return usage(stdout);
	if (settings_flag(settings, "dry-run") && settings_text(settings, "wait") != NULL)
		return err_set(e, ERR_USAGE, "--wait has nothing to wait for with --dry-run");
	if (check_options(verb, settings, e) < 0 || agent_load_settings(settings, NULL, e) < 0)
		return -1;
	log_set_verbose(settings_flag(settings, "verbose"));
	run.operands = operands;
	r = run_verb(verb, &run, e);
	if (r == 0 && settings_text(settings, "wait") != NULL)
		r = follow(&run, e);
	strv_release(&run.touched);
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
	return verb->run == intent_diff && r == INTENT_DIFFERS ? EXIT_TROUBLE : r;
}
