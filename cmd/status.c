/*
 * pp status: what every agent intends and sees on this node, by their own observe and plan.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/status.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

static const struct setting status_settings[] = {
	{ "format", 0, SETTING_TEXT, SETTING_FLAG_ONLY, "FORMAT", "table (default) or json" },
	{ "wait", 0, SETTING_DURATION, SETTING_FLAG_ONLY, "DUR",
	    "look until all is converged, for so long at most" },
	{ 0 },
};

/* Which state of an agent speaks for the app: what went wrong, then what is to be done. */
static int
weight(enum plan_state state)
{
	static const int weights[] = { [PLAN_CONVERGED] = 0,
		[PLAN_WAITING] = 1,
		[PLAN_PENDING] = 2,
		[PLAN_HALTED] = 3,
		[PLAN_HELD] = 4,
		[PLAN_FAILED] = 5 };

	return weights[state];
}

static struct status_row *
find_row(struct status_rows *rows, const struct app_plan *ap)
{
	for (size_t i = 0; i < rows->n; i++)
		if (rows->v[i].app == ap->app)
			return &rows->v[i];
	rows->v = xreallocarray(rows->v, rows->n + 1, sizeof *rows->v);
	rows->v[rows->n] =
	    (struct status_row){ .app = ap->app, .seen = ap->seen, .agents = json_object() };
	return &rows->v[rows->n++];
}

/* One agent's word on one app. An agent that is disabled does not do what it would. */
static void
add_app_plan(struct status_row *row, const char *agent, const struct app_plan *ap,
    const char *disabled)
{
	int idle = disabled != NULL && ap->state == PLAN_PENDING;
	enum plan_state state = idle ? PLAN_WAITING : ap->state;
	AUTO_FREE char *reason =
	    idle ? xasprintf("disabled: %s", disabled) : xstrdup(ap->reason ? ap->reason : "");
	json_t *entry = json_pack("{s:s,s:s?}", "state", plan_state_name(state), "reason",
	    state == PLAN_CONVERGED ? NULL : reason);

	(void)json_object_set_new(row->agents, agent, entry);
	if (weight(state) <= weight(row->state))
		return;
	row->state = state;
	free(row->reason);
	row->reason = xasprintf("%s: %s", agent, reason);
}

/* What an agent says of the node as a whole is news where no app speaks for it. */
static void
add_news(struct status_look *l, const char *agent, const struct plan *plan)
{
	size_t steps = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct app_plan *ap = &plan->apps[i];

		steps += ap->app != NULL ? ap->nsteps : 0;
		l->failed |= ap->app == NULL && ap->state == PLAN_FAILED;
		if (ap->app == NULL && (ap->state == PLAN_FAILED || steps == 0))
			strv_add(&l->news,
			    xasprintf("%s: %s: %s", agent, plan_state_name(ap->state), ap->reason));
	}
}

static void
add_plan(struct status_rows *rows, const char *agent, const struct plan *plan, const char *disabled)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->apps[i].app != NULL)
			add_app_plan(find_row(rows, &plan->apps[i]), agent, &plan->apps[i],
			    disabled);
}

/* What is live by its link: "installs/slug_abc" is version abc. */
static const char *
live_version(const struct status_row *row)
{
	const char *current = row->seen->live.current, *slash;
	size_t n = strlen(row->app->name);

	if (current == NULL)
		return NULL;
	slash = strrchr(current, '/');
	current = slash != NULL ? slash + 1 : current;
	return strncmp(current, row->app->name, n) == 0 && current[n] == '_' ? current + n + 1 :
									       current;
}

static const char *
running(const struct status_row *row)
{
	const struct seen_live *live = &row->seen->live;

	if (live->present.n == 0)
		return "no";
	if (live->wanted.n > 0 && live->wanted_state == SERVICE_UP)
		return "yes";
	return live->any_up ? "partly" : "no";
}

static json_t *
prepared_versions(const struct status_row *row)
{
	json_t *list = json_array();

	for (size_t i = 0; row->seen->installs.there != NULL && i < row->app->nversions; i++)
		if (row->seen->installs.there[i])
			(void)json_array_append_new(list, json_string(row->app->versions[i].id));
	return list;
}

/* What was read of a document before it proved wrong is not what is intended. */
static size_t
intended_versions(const struct status_row *row)
{
	return row->app->certainty == INTENT_STATED ? row->app->nversions : 0;
}

/* The rules that are in force for an app; *n of them. A file that somebody edited is none. */
static const struct fw_rule *
rules_of(const struct pass *p, const struct intent_app *app, size_t *n)
{
	const struct fw_rule *rules;

	*n = 0;
	if (p->firewall == NULL)
		return NULL;
	rules = fw_rules_of(&p->firewall->found, app->name, n);
	if (*n > 0 && rules[0].first == 0)
		*n = 0;
	return rules;
}

/* With what has come through them, where that is counted. */
static json_t *
open_ports(const struct pass *p, const struct intent_app *app)
{
	json_t *list = json_array();
	size_t n;
	const struct fw_rule *rules = rules_of(p, app, &n);

	for (size_t i = 0; i < n; i++) {
		char ports[16];
		json_t *port =
		    json_pack("{s:s,s:s,s:s?}", "port", fw_rule_ports(&rules[i], '-', ports),
			"protocol", fw_proto_name(rules[i].proto), "from", rules[i].from);

		if (p->firewall->ops->counts)
			(void)json_object_update_new(port,
			    json_pack("{s:I,s:I}", "packets", (json_int_t)rules[i].packets, "bytes",
				(json_int_t)rules[i].bytes));
		(void)json_array_append_new(list, port);
	}
	return list;
}

/* The services that are to be there or are there, by what is to supervise them. */
static void
list_services(const struct status_row *row, struct strv *services)
{
	const struct seen_live *live = &row->seen->live;
	const struct strv *lists[] = { &live->wanted, &live->present };

	if (row->app->certainty != INTENT_STATED || live->supervisor.ops == NULL)
		return;
	for (size_t l = 0; l < MEM_COUNT(lists); l++)
		for (size_t i = 0; i < lists[l]->n; i++)
			if (!strv_has(services, lists[l]->items[i]))
				strv_add(services, xstrdup(lists[l]->items[i]));
}

static json_t *
logs_json(const struct status_row *row)
{
	AUTO_STRV struct strv services = { 0 };
	json_t *logs = json_object();

	list_services(row, &services);
	for (size_t i = 0; i < services.n; i++) {
		AUTO_FREE char *place =
		    supervisor_log_place(&row->seen->live.supervisor, services.items[i]);

		(void)json_object_set_new(logs, services.items[i], json_string(place));
	}
	return logs;
}

static json_t *
row_json(const struct pass *p, const struct status_row *row)
{
	const struct intent_version *active =
	    intended_versions(row) > 0 ? intent_active(row->app) : NULL;
	json_t *intended = json_object();

	for (size_t i = 0; i < intended_versions(row); i++)
		(void)json_object_set_new(intended, row->app->versions[i].id,
		    json_string(row->app->versions[i].active ? "active" : "prep"));
	return json_pack("{s:s,s:s?,s:o,s:s?,s:o,s:s?,s:s,s:o,s:o,s:s,s:s?,s:O}", "app",
	    row->app->name, "cluster", row->app->cluster, "intended", intended, "active",
	    active ? active->id : NULL, "prepared", prepared_versions(row), "live",
	    live_version(row), "running", running(row), "ports", open_ports(p, row->app), "logs",
	    logs_json(row), "state", plan_state_name(row->state), "reason", row->reason, "agents",
	    row->agents);
}

static void
print_json(const struct pass *p, const struct status_rows *rows)
{
	json_auto_t *apps = json_array(), *doc = NULL;
	AUTO_FREE char *text = NULL;

	for (size_t i = 0; i < rows->n; i++)
		(void)json_array_append_new(apps, row_json(p, &rows->v[i]));
	doc = json_pack("{s:s,s:O}", "node", p->intent.node, "apps", apps);
	text = json_dumps(doc, JSON_INDENT(2));
	printf("%s\n", text);
}

enum { COLUMNS = 8 };

static void
row_cells(const struct status_row *row, struct strv *cells)
{
	AUTO_STRV struct strv intended = { 0 }, prepared = { 0 };
	const char *live = live_version(row);
	char safe[1024] = "";

	for (size_t i = 0; i < intended_versions(row); i++) {
		const struct intent_version *v = &row->app->versions[i];

		strv_add(&intended, xasprintf("%s%s", v->id, v->active ? "*" : ""));
		if (row->seen->installs.there != NULL && row->seen->installs.there[i])
			strv_add(&prepared, xstrdup(v->id));
	}
	if (row->reason != NULL)
		log_escape(safe, sizeof safe, row->reason);
	strv_add(cells, xstrdup(row->app->name));
	strv_add(cells, xstrdup(row->app->cluster ? row->app->cluster : "-"));
	strv_add(cells, intended.n ? strv_join(&intended, ",") : xstrdup("-"));
	strv_add(cells, prepared.n ? strv_join(&prepared, ",") : xstrdup("-"));
	strv_add(cells, xstrdup(live ? live : "-"));
	strv_add(cells, xstrdup(running(row)));
	strv_add(cells, xstrdup(plan_state_name(row->state)));
	strv_add(cells, xstrdup(safe));
}

static void
print_table(const struct status_rows *rows)
{
	static const char *const heads[COLUMNS] = { "APP", "CLUSTER", "INTENDED", "PREPARED",
		"LIVE", "RUNNING", "STATE", "REASON" };
	AUTO_STRV struct strv cells = { 0 };
	int width[COLUMNS] = { 0 };

	for (int c = 0; c < COLUMNS; c++)
		strv_add(&cells, xstrdup(heads[c]));
	for (size_t i = 0; i < rows->n; i++)
		row_cells(&rows->v[i], &cells);
	for (size_t i = 0; i < cells.n; i++)
		if ((int)strlen(cells.items[i]) > width[i % COLUMNS])
			width[i % COLUMNS] = (int)strlen(cells.items[i]);
	for (size_t i = 0; i < cells.n; i++) {
		const char *next = i % COLUMNS == COLUMNS - 1 ? "" : cells.items[i + 1];

		/* No blanks at the end of a line, where there is no reason. */
		if (i % COLUMNS == COLUMNS - 1 || (i % COLUMNS == COLUMNS - 2 && next[0] == '\0'))
			printf("%s%s", cells.items[i], i % COLUMNS == COLUMNS - 1 ? "\n" : "");
		else
			printf("%-*s  ", width[i % COLUMNS], cells.items[i]);
	}
}

/* For apps that were named: each port that is open, and what has come through it. */
static void
print_ports(const struct pass *p, const struct status_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		size_t n;
		const struct fw_rule *rules = rules_of(p, rows->v[i].app, &n);

		for (size_t k = 0; k < n; k++) {
			char ports[16];

			printf("%s: open %s/%s%s%s", rules[k].app,
			    fw_rule_ports(&rules[k], '-', ports), fw_proto_name(rules[k].proto),
			    rules[k].from ? " from " : "", rules[k].from ? rules[k].from : "");
			if (p->firewall->ops->counts)
				printf(", %llu packets", (unsigned long long)rules[k].packets);
			printf("\n");
		}
	}
}

/* And where the log of each of their services is. */
static void
print_logs(const struct status_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		AUTO_STRV struct strv services = { 0 };

		list_services(&rows->v[i], &services);
		for (size_t k = 0; k < services.n; k++) {
			AUTO_FREE char *place =
			    supervisor_log_place(&rows->v[i].seen->live.supervisor,
				services.items[k]);
			char safe[2048];

			log_escape(safe, sizeof safe, place);
			printf("%s: log of %s: %s\n", rows->v[i].app->name, services.items[k],
			    safe);
		}
	}
}

int
status_is_named(const struct intent_app *app, const struct strv *names)
{
	if (names->n == 0)
		return 1;
	for (size_t i = 0; i < names->n; i++) {
		const char *name = names->items[i];
		size_t n = strcspn(name, "/");

		if (strlen(app->name) == n && memcmp(app->name, name, n) == 0 &&
		    (name[n] == '\0' || app->cluster == NULL ||
			strcmp(app->cluster, name + n + 1) == 0))
			return 1;
	}
	return 0;
}

/* The settings of one agent: what the command line said, then its section of pp.conf. */
static int
agent_settings(const struct agent *agent, const struct settings *given, struct settings *own,
    struct err *e)
{
	settings_add(own, pass_settings);
	settings_add(own, agent->settings);
	settings_copy(own, given);
	/* To read all that is installed takes long: only where it was asked for here. */
	for (size_t i = 0; i < own->n; i++)
		if (strcmp(own->known[i]->name, "verify-installs") == 0 && own->values[i].n == 0)
			strv_add(&own->values[i], xstrdup("no"));
	return agent_load_settings(own, agent->name, e);
}

void
status_look_release(struct status_look *l)
{
	for (size_t k = 0; agents[k] != NULL; k++) {
		plan_release(&l->plans[k]);
		settings_release(&l->own[k]);
	}
	for (size_t i = 0; i < l->rows.n; i++) {
		free(l->rows.v[i].reason);
		json_decref(l->rows.v[i].agents);
	}
	free(l->rows.v);
	strv_release(&l->news);
	pass_release(&l->p);
}

/* An agent that cannot look can do nothing for any app either. */
static void
fail_all(struct status_look *l, const struct agent *agent, struct plan *plan, const char *why)
{
	for (size_t i = 0; i < l->p.intent.napps; i++)
		plan_say(plan_add(plan, &l->p.intent.apps[i], &l->p.seen[i]), PLAN_FAILED, "%s",
		    why);
	add_plan(&l->rows, agent->name, plan, NULL);
}

static int
observe_all(struct status_look *l, const struct settings *given, int *seen, struct err *e)
{
	for (size_t k = 0; agents[k] != NULL; k++) {
		struct err why = ERR_INIT;

		if (agent_settings(agents[k], given, &l->own[k], e) < 0)
			return -1;
		l->p.settings = &l->own[k];
		seen[k] = agents[k]->observe(&l->p, &why) == 0;
		if (seen[k])
			continue;
		/* What this user may not see is somebody else's to tell; all else is a fault. */
		if (why.class != ERR_PERM)
			fail_all(l, agents[k], &l->plans[k], why.msg);
		l->left_out = 1;
		strv_add(&l->news,
		    xasprintf("%s: its part is left out: %s", agents[k]->name, why.msg));
	}
	return 0;
}

int
status_look_take(struct status_look *l, const struct settings *given, struct err *e)
{
	int seen[STATUS_AGENTS_MAX] = { 0 };

	*l = (struct status_look){ .failed = 0 };
	if (pass_open(&l->p, given, 0, e) < 0 || pass_read(&l->p, INTENT_OWNERS, e) < 0 ||
	    observe_all(l, given, seen, e) < 0)
		return -1;
	for (size_t k = 0; agents[k] != NULL; k++) {
		AUTO_FREE char *disabled = NULL;

		l->p.settings = &l->own[k];
		if (!seen[k])
			continue;
		if (state_disabled(&l->p.state, agents[k]->name, &disabled, e) < 0)
			return -1;
		agents[k]->plan(&l->p, &l->plans[k]);
		add_plan(&l->rows, agents[k]->name, &l->plans[k], disabled);
		add_news(l, agents[k]->name, &l->plans[k]);
	}
	return 0;
}

/* A gone app of which nothing is left is not worth a line. */
static int
is_over(const struct status_row *row)
{
	return row->app->certainty == INTENT_GONE && row->state == PLAN_CONVERGED;
}

int
status_is_here(const struct status_rows *rows, const char *name)
{
	struct strv one = { (char *[]){ (char *)name, NULL }, 1 };

	for (size_t i = 0; i < rows->n; i++)
		if (!is_over(&rows->v[i]) && status_is_named(rows->v[i].app, &one))
			return 1;
	return 0;
}

/* An app that was asked for and is not here is news to whoever asked. */
static int
is_shown(const struct status_rows *rows, const char *name, const char *node)
{
	int here = status_is_here(rows, name);

	if (!here)
		log_warn("%s: not assigned to %s", name, node);
	return here;
}

static int
print_rows(const struct pass *p, const struct status_rows *all, const struct strv *names,
    const char *format)
{
	struct status_rows rows = { xcalloc(all->n, sizeof *rows.v), 0 };
	int code = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct status_row *row = &all->v[i];

		if (is_over(row) || !status_is_named(row->app, names))
			continue;
		rows.v[rows.n++] = *row;
		if (row->state == PLAN_FAILED || row->state == PLAN_HELD ||
		    row->state == PLAN_HALTED)
			code = 1;
	}
	if (strcmp(format, "json") == 0)
		print_json(p, &rows);
	else
		print_table(&rows);
	for (size_t i = 0; i < names->n; i++)
		code |= !is_shown(&rows, names->items[i], p->intent.node);
	if (names->n > 0 && strcmp(format, "json") != 0) {
		print_ports(p, &rows);
		print_logs(&rows);
	}
	free(rows.v);
	return code;
}

int
status_look_print(const struct status_look *l, const struct strv *names, const char *format)
{
	for (size_t i = 0; i < l->news.n; i++)
		log_warn("%s", l->news.items[i]);
	return print_rows(&l->p, &l->rows, names, format) | l->failed;
}

static int
show(const struct settings *given, const struct strv *names, const char *format, struct err *e)
{
	struct status_look l;
	int r = status_look_take(&l, given, e);

	if (r == 0)
		r = status_look_print(&l, names, format);
	status_look_release(&l);
	return r;
}

static int
run(struct settings *settings, int argc, char **argv, struct err *e)
{
	const struct setting *tables[] = { status_settings, pass_settings, NULL };
	AUTO_STRV struct strv operands = { 0 };
	const char *format;
	int64_t timeout;

	settings_add(settings, status_settings);
	settings_add(settings, pass_settings);
	for (size_t k = 0; agents[k] != NULL; k++)
		settings_add(settings, agents[k]->settings);
	if (settings_parse(settings, argc, argv, 0, &operands, e) < 0)
		return -1;
	if (settings_flag(settings, "help"))
		return cmd_usage("status [APP[/CLUSTER] ...]", tables);
	format = settings_text(settings, "format");
	if (format != NULL && strcmp(format, "table") != 0 && strcmp(format, "json") != 0)
		return err_set(e, ERR_USAGE, "--format=%s: write table or json", format);
	if (agent_load_settings(settings, NULL, e) < 0)
		return -1;
	log_set_verbose(settings_flag(settings, "verbose"));
	timeout = settings_duration(settings, "timeout", 0);
	if (timeout > 0)
		clock_set_deadline(timeout);
	format = format != NULL ? format : "table";
	if (settings_text(settings, "wait") == NULL)
		return show(settings, &operands, format, e);
	return status_wait(settings, &operands, format, settings_duration(settings, "wait", 0),
	    STATUS_ALL, e);
}

int
cmd_status(int argc, char **argv)
{
	struct settings settings = { 0 };
	struct err e = ERR_INIT;
	int r = run(&settings, argc, argv, &e);

	settings_release(&settings);
	return r < 0 ? cmd_fail("status", &e) : r;
}
