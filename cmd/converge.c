/*
 * pp converge AGENT: one observe-and-apply pass over this node.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd/cmd.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

#define LOOK_AGAIN_MS 1000 /* for who waits for others to get healthy */
#define EXIT_CHANGED 2
#define EXIT_FAILED 4
#define EXIT_WAITING 8

static int
usage(const struct agent *agent)
{
	const struct setting *tables[4] = { 0 };
	size_t n = 0;

	if (agent != NULL)
		tables[n++] = agent->settings;
	tables[n++] = converge_settings;
	tables[n++] = pass_settings;
	if (agent != NULL) {
		AUTO_FREE char *line = xasprintf("converge %s [option ...]", agent->name);

		return cmd_usage(line, tables);
	}
	(void)cmd_usage("converge AGENT [option ...]", tables);
	printf("\nAgents (pp converge AGENT --help tells an agent's own options):\n");
	for (size_t i = 0; agents[i] != NULL; i++)
		printf("  %-9s %s\n", agents[i]->name, agents[i]->summary);
	return 0;
}

/* Late by a time that is this node's own, so that a fleet does not come all at once. */
static void
sleep_splay(const struct agent *agent, const char *node, int64_t splay_ms)
{
	AUTO_FREE char *name = xasprintf("%s %s", node, agent->name);

	if (splay_ms > 0)
		clock_sleep_ms((int64_t)(hash_bytes(name, strlen(name)) % (uint64_t)splay_ms));
}

/* The documents that another pass would read. */
static void
list_watched(const struct pass *p, const struct agent *agent, struct strv *keys)
{
	strv_add(keys, xasprintf("nodes/%s/", p->intent.node));
	for (size_t i = 0; i < p->intent.napps; i++) {
		if (agent->reads & INTENT_OWNERS)
			strv_add(keys, xasprintf("owners/%s", p->intent.apps[i].name));
		if (p->intent.apps[i].cluster == NULL)
			continue;
		strv_add(keys,
		    xasprintf("clusters/%s/%s/", p->intent.apps[i].name,
			p->intent.apps[i].cluster));
		if (agent == &agent_setlive)
			strv_add(keys,
			    xasprintf("locks/%s/%s", p->intent.apps[i].name,
				p->intent.apps[i].cluster));
	}
}

static int
run_pass(const struct agent *agent, const struct settings *settings, struct pass_result *result,
    struct strv *watched, struct err *e)
{
	int dry = settings_flag(settings, "dry-run"), r;
	AUTO_FREE char *message = NULL;
	struct pass p;

	r = pass_open(&p, settings, !dry, e);
	if (r == 0 && watched->n == 0 && !dry) {
		sleep_splay(agent, p.intent.node, settings_duration(settings, "splay", 0));
		r = state_lock(&p.state, agent->name, p.intent.node, e);
	}
	if (r == 0)
		r = state_disabled(&p.state, agent->name, &message, e);
	if (r == 0 && message != NULL && !dry)
		log_note("%s is disabled on this node: %s", agent->name, message);
	else if (r == 0)
		r = pass_run(&p, agent, result, e);
	strv_release(watched);
	list_watched(&p, agent, watched);
	pass_release(&p);
	return r;
}

/* Wait for a change; for one that no document tells of, not for long. Returns: as store_wait(). */
static int
wait_for_change(const char *spec, const struct strv *watched, int waiting, int64_t left_ms,
    struct err *e)
{
	struct store *store = store_open(spec, STORE_THERE, e);
	int64_t bound = waiting && left_ms > LOOK_AGAIN_MS ? LOOK_AGAIN_MS : left_ms;
	int r = store == NULL ?
	    -1 :
	    store_wait(store, (const char *const *)watched->items, watched->n, bound, e);

	store_free(store);
	return r == 0 && bound < left_ms ? 1 : r;
}

/* Passes until the time of --wait is over, each as soon as the intent has changed. */
static int
run_passes(const struct agent *agent, const struct settings *settings, struct pass_result *sum,
    struct err *e)
{
	int64_t end = clock_now_ms() + settings_duration(settings, "wait", 0);
	AUTO_STRV struct strv watched = { 0 };
	const char *spec = settings_text(settings, "store");

	for (;;) {
		struct pass_result result = { 0 };
		int64_t left;
		int r = run_pass(agent, settings, &result, &watched, e);

		sum->changed |= result.changed;
		if (r < 0)
			return -1;
		sum->failed = result.failed;
		sum->waiting = result.waiting;
		left = clock_bound_ms(end - clock_now_ms());
		if (left <= 0 || settings_flag(settings, "dry-run"))
			return 0;
		r = wait_for_change(spec, &watched, result.waiting, left, e);
		if (r <= 0)
			return r;
	}
}

static int
run_agent(const struct agent *agent, const struct settings *settings)
{
	struct pass_result result = { 0 };
	struct err e = ERR_INIT;
	int64_t timeout = settings_duration(settings, "timeout", 0);

	log_set_verbose(settings_flag(settings, "verbose"));
	if (timeout > 0)
		clock_set_deadline(timeout);
	if (run_passes(agent, settings, &result, &e) < 0) {
		if (e.class == ERR_BUSY)
			log_warn("%s", e.msg);
		else
			log_fatal(result.changed ? "%s: nothing else was done: %s" :
						   "%s: nothing was done: %s",
			    agent->name, e.msg);
		return err_exit_code(&e);
	}
	if (settings_flag(settings, "detailed-exitcodes"))
		return (result.changed ? EXIT_CHANGED : 0) | (result.failed ? EXIT_FAILED : 0) |
		    (result.waiting ? EXIT_WAITING : 0);
	return result.failed ? 1 : 0;
}

/* Parse the command line with one agent's settings; *e says why not. */
static int
parse(const struct agent *agent, int how, int argc, char **argv, struct settings *settings,
    struct strv *operands, struct err *e)
{
	settings_add(settings, pass_settings);
	settings_add(settings, converge_settings);
	if (agent != NULL)
		settings_add(settings, agent->settings);
	return settings_parse(settings, argc, argv, how, operands, e);
}

/* As if --verbose had been given, where nobody said no. */
static void
be_talkative(struct settings *settings)
{
	for (size_t i = 0; i < settings->n; i++)
		if (strcmp(settings->known[i]->name, "verbose") == 0 && settings->values[i].n == 0)
			strv_add(&settings->values[i], xstrdup("yes"));
}

static int
prepare(const struct agent *agent, int how, int argc, char **argv, struct settings *settings,
    struct err *e)
{
	AUTO_STRV struct strv operands = { 0 };
	size_t named = how & SETTINGS_SINGLE_DASH ? 0 : 1;

	if (parse(agent, how, argc, argv, settings, &operands, e) < 0)
		return -1;
	if (settings_flag(settings, "help"))
		return 0;
	if (operands.n > named)
		return err_set(e, ERR_USAGE, "one agent a run; \"%s\" is too much",
		    operands.items[named]);
	return agent_load_settings(settings, agent->name, e);
}

static int
converge(const struct agent *agent, int how, int argc, char **argv)
{
	struct settings settings = { 0 };
	struct err e = ERR_INIT;
	int code;

	if (prepare(agent, how, argc, argv, &settings, &e) < 0) {
		code = cmd_fail("converge", &e);
	} else if (settings_flag(&settings, "help")) {
		code = usage(agent);
	} else {
		if (how & SETTINGS_SINGLE_DASH)
			be_talkative(&settings);
		code = run_agent(agent, &settings);
	}
	settings_release(&settings);
	return code;
}

int
cmd_converge_as(const char *agent, int argc, char **argv)
{
	return converge(agent_find(agent), SETTINGS_SINGLE_DASH, argc, argv);
}

/* Which argument names the agent: an option's value may be called like one. */
static const struct agent *
find_agent(int argc, char **argv, struct err *e)
{
	const struct agent *agent = NULL;
	AUTO_BUF struct buf known = { 0 };

	for (size_t k = 0; agents[k] != NULL; k++) {
		AUTO_STRV struct strv operands = { 0 };
		struct settings settings = { 0 };
		struct err ignored = ERR_INIT;

		if (parse(agents[k], 0, argc, argv, &settings, &operands, &ignored) == 0 &&
		    operands.n > 0 && strcmp(operands.items[0], agents[k]->name) == 0)
			agent = agents[k];
		settings_release(&settings);
		buf_printf(&known, "%s%s", k ? ", " : "", agents[k]->name);
	}
	for (int i = 1; agent == NULL && i < argc; i++)
		agent = agent_find(argv[i]);
	if (agent == NULL)
		(void)err_set(e, ERR_USAGE, "name an agent: %s", known.data ? known.data : "");
	return agent;
}

int
cmd_converge(int argc, char **argv)
{
	struct err e = ERR_INIT;
	const struct agent *agent = find_agent(argc, argv, &e);

	if (agent != NULL)
		return converge(agent, 0, argc, argv);
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return usage(NULL);
	return cmd_fail("converge", &e);
}
