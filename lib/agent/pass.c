#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/agent/jobs.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/fs/path.h"

#define HOST_MAX 256

const struct setting pass_settings[] = {
	{ "store", 0, SETTING_TEXT, SETTING_ANYWHERE, "STORE", "consul (default) or dir:PATH" },
	{ "node", 0, SETTING_TEXT, SETTING_ANYWHERE, "NAME",
	    "this node's name (default: hostname)" },
	{ "state-dir", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR", "where pp remembers things" },
	{ "verbose", 'v', SETTING_FLAG, SETTING_ANYWHERE, NULL, "tell what is looked at, too" },
	{ "timeout", 0, SETTING_DURATION, SETTING_ANYWHERE, "DUR", "end the run after this time" },
	{ "help", 'h', SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "print this" },
	{ 0 },
};

const struct setting converge_settings[] = {
	{ "dry-run", 'n', SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "print what would be done" },
	{ "app", 0, SETTING_LIST, SETTING_FLAG_ONLY, "APP", "only this app (several times)" },
	{ "splay", 0, SETTING_DURATION, SETTING_ANYWHERE, "DUR",
	    "start late, by a time of this node's own" },
	{ "wait", 0, SETTING_DURATION, SETTING_ANYWHERE, "DUR",
	    "go on for so long, with each change of intent" },
	{ "allow-empty", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "remove most or all of it at once, if the store says so" },
	{ "adopt-store", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "believe this store, though it is not the one known here" },
	{ "detailed-exitcodes", 0, SETTING_FLAG, SETTING_ANYWHERE, NULL,
	    "exit with a sum: 2 changed, 4 failed, 8 waiting" },
	{ 0 },
};

/* Only what --app named. */
static void
filter_apps(struct pass *p)
{
	struct intent_node *intent = &p->intent;
	size_t kept = 0;

	if (p->only->n == 0)
		return;
	for (size_t i = 0; i < p->only->n; i++)
		if (intent_find(intent, p->only->items[i]) == NULL)
			log_warn("%s: not assigned to %s", p->only->items[i], intent->node);
	for (size_t i = 0; i < intent->napps; i++) {
		if (strv_has(p->only, intent->apps[i].name))
			intent->apps[kept++] = intent->apps[i];
		else
			intent_app_release(&intent->apps[i]);
	}
	intent->napps = kept;
}

static int
find_node(const struct pass *p, char *name, size_t room, struct err *e)
{
	const char *given = settings_text(p->settings, "node");

	if (given == NULL && gethostname(name, room) < 0)
		return err_sys(e, "gethostname");
	if (given != NULL)
		(void)snprintf(name, room, "%s", given);
	name[room - 1] = '\0';
	if (!path_is_name(name))
		return err_set(e, ERR_CONFIG,
		    "node \"%s\": that cannot name a node; set --node, PP_NODE or node in pp.conf",
		    name);
	return 0;
}

int
pass_open(struct pass *p, const struct settings *settings, int write, struct err *e)
{
	static const struct strv none = { 0 };
	const char *store = settings_text(settings, "store");
	const char *state_dir = settings_text(settings, "state-dir");
	char node[HOST_MAX];

	*p = (struct pass){ .settings = settings, .only = &none, .state = { .dir = -1 } };
	if (find_node(p, node, sizeof node, e) < 0)
		return -1;
	p->intent.node = xstrdup(node);
	p->state_path = state_dir != NULL ? xstrdup(state_dir) : state_default_path(e);
	if (p->state_path == NULL || state_open(&p->state, p->state_path, write, e) < 0)
		return -1;
	p->store = store_open(store, STORE_THERE, e);
	return p->store != NULL ? 0 : -1;
}

void
pass_prepare(struct pass *p)
{
	filter_apps(p);
	p->seen = xcalloc(p->intent.napps, sizeof *p->seen);
}

int
pass_read(struct pass *p, int reads, struct err *e)
{
	AUTO_FREE char *node = p->intent.node;

	log_note("Polling intent store");
	p->intent.node = NULL;
	if (intent_read(p->store, &p->state, node, reads, &p->intent, e) < 0) {
		p->intent.node = mem_take(&node);
		return -1;
	}
	if (p->intent.unkept != NULL)
		log_warn("what was read is not kept for when the store is down: %s",
		    p->intent.unkept);
	if (caution_recall(p, e) < 0)
		return -1;
	pass_prepare(p);
	for (size_t i = 0; i < p->intent.napps; i++)
		log_note("Checking spec for %s", p->intent.apps[i].name);
	return 0;
}

void
pass_leftovers(struct pass *p, const struct strv *apps)
{
	for (size_t i = 0; i < apps->n; i++) {
		const char *name = apps->items[i];
		size_t n = p->intent.napps, at;

		strv_add(&p->present, xstrdup(name));
		if (intent_find(&p->intent, name) != NULL ||
		    (p->only->n > 0 && !strv_has(p->only, name)))
			continue;
		intent_resolve_leftover(p->store, &p->intent, name);
		/* What was seen stays parallel to the apps, which are sorted. */
		at = (size_t)(intent_find(&p->intent, name) - p->intent.apps);
		p->seen = xreallocarray(p->seen, n + 1, sizeof *p->seen);
		memmove(p->seen + at + 1, p->seen + at, (n - at) * sizeof *p->seen);
		p->seen[at] = (struct seen){ 0 };
	}
	caution_judge(p);
}

char *
pass_place(const struct pass *p, const char *name)
{
	return xasprintf("%s/%s", p->state_path, name);
}

char *
pass_dir(const struct pass *p, const char *setting, const char *as_root, const char *name)
{
	const char *given = settings_text(p->settings, setting);
	char cwd[4096];
	char *path;
	size_t n;

	if (given == NULL)
		return geteuid() == 0 && as_root != NULL ? xstrdup(as_root) : pass_place(p, name);
	/* Links and service definitions outlive the run: they need a path that does, too. */
	path = given[0] == '/' || getcwd(cwd, sizeof cwd) == NULL ? xstrdup(given) :
								    xasprintf("%s/%s", cwd, given);
	for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	return path;
}

static void
seen_release(struct seen *s, size_t nversions)
{
	for (size_t i = 0; s->installs.rot != NULL && i < nversions; i++)
		free(s->installs.rot[i]);
	free(s->installs.rot);
	free(s->installs.there);
	strv_release(&s->installs.others);
	strv_release(&s->installs.linked);
	strv_release(&s->installs.leftovers);
	free(s->installs.fault);
	setlive_seen_release(&s->live);
	free(s->ports.fault);
	free(s->sudoers.fault);
}

void
pass_release(struct pass *p)
{
	for (size_t i = 0; p->seen != NULL && i < p->intent.napps; i++)
		seen_release(&p->seen[i], p->intent.apps[i].nversions);
	free(p->seen);
	strv_release(&p->present);
	caution_release(&p->caution);
	registry_release(&p->registry);
	firewall_free(p->firewall);
	intent_release(&p->intent);
	store_free(p->store);
	state_release(&p->state);
	free(p->state_path);
	*p = (struct pass){ .state = { .dir = -1 } };
}

static void
print_plan(const struct agent *agent, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct app_plan *ap = &plan->apps[i];
		const char *name = ap->app != NULL ? ap->app->name : "node";

		if (ap->nsteps == 0 && ap->state != PLAN_CONVERGED)
			printf("%s %s: %s: %s\n", agent->name, name, plan_state_name(ap->state),
			    ap->reason);
		for (size_t k = 0; k < ap->nsteps; k++) {
			printf("%s %s: would %s (%s)\n", agent->name, name, ap->steps[k].text,
			    ap->steps[k].reason);
			if (ap->steps[k].detail != NULL)
				printf("%s", ap->steps[k].detail);
		}
	}
}

/* One step. Returns: 1 where the next ones may follow. */
static int
apply_step(struct pass *p, const struct agent *agent, const struct app_plan *ap,
    const struct step *step, struct pass_result *result)
{
	const char *name = ap->app != NULL ? ap->app->name : agent->name;
	struct err e = ERR_INIT;
	int r;

	if (clock_bound_ms(1) == 0)
		r = err_set(&e, ERR_FAIL, "the time of --timeout is up before: %s", step->text);
	else
		r = agent->apply(p, ap, step, &e);
	if (r == 0) {
		result->changed |= !step->quiet;
		return 1;
	}
	if (r > 0) {
		log_note("%s: %s", name, e.msg);
		result->waiting = 1;
		return 0;
	}
	log_fatal("%s: %s", name, e.msg);
	result->failed = 1;
	return agent->steps_apart;
}

/* Steps in order, but for what jobs_apply() does; the first that fails ends them for this app, unless they stand apart. */
static void
apply_app(struct pass *p, const struct agent *agent, const struct app_plan *ap,
    struct pass_result *result)
{
	for (size_t k = 0; k < ap->nsteps; k++) {
		if (agent->apart != NULL && agent->apart(&ap->steps[k]))
			continue;
		if (!apply_step(p, agent, ap, &ap->steps[k], result))
			return;
	}
}

static void
report_state(const struct app_plan *ap, struct pass_result *result)
{
	const char *name = ap->app != NULL ? ap->app->name : "node";

	switch (ap->state) {
	case PLAN_CONVERGED:
	case PLAN_WAITING:
	case PLAN_HALTED:
		if (ap->reason != NULL)
			log_note("%s: %s%s", name, ap->state == PLAN_HALTED ? "halted: " : "",
			    ap->reason);
		result->waiting |= ap->state != PLAN_CONVERGED;
		break;
	case PLAN_HELD:
		log_warn("%s: held as it is: %s", name, ap->reason);
		result->failed = 1;
		break;
	case PLAN_FAILED:
		log_fatal("%s: %s", name, ap->reason);
		result->failed = 1;
		break;
	case PLAN_PENDING:
		break;
	}
}

/* Observe, plan, apply. */
static int
carry_once(struct pass *p, const struct agent *agent, struct pass_result *result, struct err *e)
{
	struct plan plan = { 0 };
	int dry = settings_flag(p->settings, "dry-run");

	if (agent->observe(p, e) < 0)
		return -1;
	agent->plan(p, &plan);
	for (size_t i = 0; i < plan.n; i++) {
		report_state(&plan.apps[i], result);
		if (!dry)
			apply_app(p, agent, &plan.apps[i], result);
		else
			result->changed |= plan.apps[i].nsteps > 0;
	}
	if (dry)
		print_plan(agent, &plan);
	else if (agent->apart != NULL)
		jobs_apply(p, agent, &plan, result);
	plan_release(&plan);
	return 0;
}

/* What was seen is not so any more. */
static void
forget_seen(struct pass *p)
{
	for (size_t i = 0; i < p->intent.napps; i++) {
		seen_release(&p->seen[i], p->intent.apps[i].nversions);
		p->seen[i] = (struct seen){ 0 };
	}
	strv_release(&p->present);
	registry_release(&p->registry);
}

int
pass_carry(struct pass *p, const struct agent *agent, struct pass_result *result, struct err *e)
{
	*result = (struct pass_result){ 0 };
	if (carry_once(p, agent, result, e) < 0)
		return -1;
	if (!p->again)
		return 0;
	p->again = 0;
	forget_seen(p);
	return carry_once(p, agent, result, e);
}

int
pass_run(struct pass *p, const struct agent *agent, struct pass_result *result, struct err *e)
{
	int dry = settings_flag(p->settings, "dry-run");
	int reads = agent->reads | (dry ? 0 : INTENT_KEEP) |
	    (settings_flag(p->settings, "adopt-store") ? INTENT_ADOPT : 0);

	p->only = settings_list(p->settings, "app");
	p->caution.overruled = settings_flag(p->settings, "allow-empty");
	if (pass_read(p, reads, e) < 0) {
		if (e->class == ERR_STORE || e->class == ERR_PERM)
			offline_run(p, agent, result);
		return -1;
	}
	/* Before anything is removed in its name. */
	if (p->intent.adopts && !dry &&
	    state_remember_store(&p->state, p->store->url, p->intent.store_id, e) < 0)
		return -1;
	if (pass_carry(p, agent, result, e) < 0)
		return -1;
	return dry ? 0 : caution_remember(p, e);
}
