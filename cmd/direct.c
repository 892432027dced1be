/*
 * pp direct: one app on this node without a store, by the preparer and setlive. For what has to run
 * before there is a store: the kickstart of Consul itself, a single host, a trial.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/fs/path.h"
#include "lib/intent/edit.h"

static const struct setting direct_settings[] = {
	{ "basedir", 0, SETTING_TEXT, SETTING_FLAG_ONLY, "DIR", "where the app is on this node" },
	{ "digest", 0, SETTING_TEXT, SETTING_FLAG_ONLY, "sha256:HEX",
	    "what the artifact must have" },
	{ "dry-run", 'n', SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "print what would be done" },
	{ 0 },
};

/* The documents that the command line stands for. */
static int
make_docs(const struct settings *settings, const struct strv *operands, struct edit_docs *docs,
    struct err *e)
{
	AUTO_FREE char *active = xasprintf("versions.%s=active", operands->items[1]);
	AUTO_FREE char *basedir = xasprintf("basedir=%s", settings_text(settings, "basedir"));
	const char *digest = settings_text(settings, "digest");

	if (edit_apply(docs, active, e) < 0 || edit_apply(docs, basedir, e) < 0)
		return -1;
	if (digest != NULL) {
		AUTO_FREE char *change = xasprintf("digests.%s=%s", operands->items[1], digest);

		if (edit_apply(docs, change, e) < 0)
			return -1;
	}
	for (size_t i = 2; i < operands->n; i++)
		if (edit_apply(docs, operands->items[i], e) < 0)
			return -1;
	return 0;
}

/* The node's intent is this one app. */
static int
make_intent(struct pass *p, const char *name, const struct edit_docs *docs, struct err *e)
{
	struct intent_app *app;

	p->storeless = 1;
	p->intent.apps = xcalloc(1, sizeof *p->intent.apps);
	p->intent.napps = 1;
	p->seen = xcalloc(1, sizeof *p->seen);
	app = p->intent.apps;
	app->name = xstrdup(name);
	app->cluster = xstrdup(""); /* no store, no cluster */
	if (intent_take_config(docs->doc[EDIT_CONFIG], app, e) < 0)
		return -1;
	return intent_take_deploy_config(docs->doc[EDIT_DEPLOY_CONFIG], app, e);
}

/* Only a definition of runit's has room to say that it belongs to no store. */
static int
check_supervisor(const struct agent *agent, const struct settings *own, struct err *e)
{
	const char *name = agent == &agent_setlive ? settings_text(own, "supervisor") : NULL;

	if (agent != &agent_setlive || (name != NULL && strcmp(name, "runit") == 0))
		return 0;
	if (name != NULL || settings_text(own, "config") != NULL)
		return err_set(e, ERR_CONFIG, "pp direct takes --supervisor=runit only");
	return 0;
}

static int
run_agent(const struct agent *agent, const struct settings *given, const struct strv *operands,
    struct pass_result *result, struct err *e)
{
	AUTO_STRV struct strv only = { 0 };
	AUTO_DOCS struct edit_docs docs = { { NULL } };
	struct settings own = { 0 };
	struct pass p = { .state = { .dir = -1 } };
	int r, dry = settings_flag(given, "dry-run");

	strv_add(&only, xstrdup(operands->items[0]));
	settings_add(&own, pass_settings);
	settings_add(&own, direct_settings);
	settings_add(&own, agent->settings);
	settings_copy(&own, given);
	r = agent_load_settings(&own, agent->name, e);
	if (r == 0)
		r = pass_open(&p, &own, !dry, e);
	p.only = &only;
	if (r == 0 && !dry)
		r = state_lock(&p.state, agent->name, p.intent.node, e);
	if (r == 0)
		r = check_supervisor(agent, &own, e);
	if (r == 0)
		r = make_docs(given, operands, &docs, e);
	if (r == 0)
		r = make_intent(&p, operands->items[0], &docs, e);
	if (r == 0)
		r = pass_carry(&p, agent, result, e);
	pass_release(&p);
	settings_release(&own);
	return r;
}

static int
deploy(const struct settings *settings, const struct strv *operands, struct err *e)
{
	const struct agent *const both[] = { &agent_preparer, &agent_setlive };
	int code = 0;

	if (operands->n < 2 || settings_text(settings, "basedir") == NULL)
		return err_set(e, ERR_USAGE,
		    "usage: pp direct APP VERSION --basedir=DIR --repo=URL [KEY=VALUE ...]");
	if (!path_is_name(operands->items[0]) || !path_is_name(operands->items[1]))
		return err_set(e, ERR_DATA,
		    "\"%s\" and \"%s\" must name an app and a version: letters, digits, . _ and -",
		    operands->items[0], operands->items[1]);
	for (size_t i = 0; i < MEM_COUNT(both) && code == 0; i++) {
		struct pass_result result = { 0 };

		if (run_agent(both[i], settings, operands, &result, e) < 0)
			return -1;
		code = result.failed ? 1 : 0;
	}
	return code;
}

static int
run(struct settings *settings, int argc, char **argv, struct err *e)
{
	const struct setting *tables[] = { direct_settings, agent_preparer.settings,
		agent_setlive.settings, pass_settings, NULL };
	AUTO_STRV struct strv operands = { 0 };
	int64_t timeout;

	for (size_t i = 0; tables[i] != NULL; i++)
		settings_add(settings, tables[i]);
	if (settings_parse(settings, argc, argv, 0, &operands, e) < 0)
		return -1;
	if (settings_flag(settings, "help"))
		return cmd_usage("direct APP VERSION --basedir=DIR --repo=URL [KEY=VALUE ...]",
		    tables);
	log_set_verbose(settings_flag(settings, "verbose"));
	timeout = settings_duration(settings, "timeout", 0);
	if (timeout > 0)
		clock_set_deadline(timeout);
	return deploy(settings, &operands, e);
}

int
cmd_direct(int argc, char **argv)
{
	struct settings settings = { 0 };
	struct err e = ERR_INIT;
	int r = run(&settings, argc, argv, &e);

	settings_release(&settings);
	return r < 0 ? cmd_fail("direct", &e) : r;
}
