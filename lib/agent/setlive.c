/*
 * setlive: the active version is the one that is live and runs.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/fs/file.h"
#include "lib/intent/edit.h"

static const struct setting settings[] = {
	{ "runit", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR", "the directory runsvdir watches" },
	{ "runit-stage", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "where service directories are kept" },
	{ "config", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "servicebuilder's directory; implies it" },
	{ "supervisor", 0, SETTING_TEXT, SETTING_ANYWHERE, "NAME",
	    "runit (default), servicebuilder, systemd or none" },
	{ 0 },
};

/* ---- observe ---- */

/* The one that is stated, else the one this run was told, else the one its options imply. */
static const char *
supervisor_name(const struct pass *p, const char *stated)
{
	const char *given = settings_text(p->settings, "supervisor");

	if (stated != NULL || given != NULL)
		return stated != NULL ? stated : given;
	return settings_text(p->settings, "config") != NULL ? "servicebuilder" : "runit";
}

static int
choose_supervisor(const struct pass *p, const char *stated, struct supervisor *s, struct err *e)
{
	const char *name = supervisor_name(p, stated);

	s->ops = supervisor_find(name);
	if (s->ops == NULL)
		return err_set(e, ERR_CONFIG,
		    "supervisor \"%s\": write runit, servicebuilder, systemd or none", name);
	s->scan = pass_dir(p, "runit", "/etc/service", "service");
	s->stage = pass_dir(p, "runit-stage", NULL, "service-stage");
	if (s->ops == &supervisor_servicebuilder)
		s->config = pass_dir(p, "config", "/etc/servicebuilder.d", "servicebuilder.d");
	return 0;
}

static void
supervisor_release(struct supervisor *s)
{
	free(s->scan);
	free(s->stage);
	free(s->config);
	*s = (struct supervisor){ 0 };
}

/* Is this another backend than the one that the app is to be under? */
static int
is_elsewhere(const struct pass *p, const struct intent_app *app, const struct supervisor *s)
{
	return app->certainty == INTENT_STATED &&
	    strcmp(supervisor_name(p, app->supervisor), s->ops->name) != 0;
}

static void
take_service(struct seen_live *seen, int elsewhere, const struct supervisor_ops *ops,
    const char *service)
{
	struct strv *list = elsewhere ? &seen->elsewhere : &seen->present;

	if (!strv_has(list, service))
		strv_add(list, xstrdup(service));
	if (elsewhere)
		seen->elsewhere_ops = ops;
}

/* Note which app has which services; one whose intent says nothing has them under this backend. */
static int
take_services(struct pass *p, const struct supervisor *s, const struct service_list *list,
    struct err *e)
{
	const struct strv *services = &list->services;
	AUTO_STRV struct strv leftovers = { 0 };

	/* What was started without a store does not go for not being in one. */
	for (size_t i = 0; i < list->apps.n; i++)
		if (!strv_has(&list->direct, list->apps.items[i]))
			strv_add(&leftovers, xstrdup(list->apps.items[i]));
	pass_leftovers(p, &leftovers);
	for (size_t i = 0; i < services->n; i++) {
		const struct intent_app *app = intent_find(&p->intent, list->apps.items[i]);
		struct seen_live *seen;

		if (app == NULL)
			continue;
		seen = &p->seen[app - p->intent.apps].live;
		take_service(seen, is_elsewhere(p, app, s), s->ops, services->items[i]);
		seen->any_enabled |= supervisor_enabled(s, services->items[i]);
		if (app->certainty != INTENT_STATED && seen->supervisor.ops == NULL &&
		    choose_supervisor(p, s->ops->name, &seen->supervisor, e) < 0)
			return -1;
	}
	return 0;
}

static int
observe_backend(struct pass *p, const struct supervisor_ops *ops, struct err *e)
{
	AUTO_SERVICES struct service_list list = { 0 };
	struct supervisor s = { 0 };
	int r = choose_supervisor(p, ops->name, &s, e);

	if (r == 0)
		r = supervisor_list(&s, &list, e);
	if (r == 0)
		r = take_services(p, &s, &list, e);
	supervisor_release(&s);
	return r;
}

/* What pp has defined on this node, under any backend: an app may have been under another. */
static int
observe_present(struct pass *p, struct err *e)
{
	for (size_t i = 0; supervisors[i] != NULL; i++)
		if (observe_backend(p, supervisors[i], e) < 0)
			return -1;
	return 0;
}

/* user_config as it is put on the node: what the app asked for, or an empty object. */
static char *
render_user_config(const struct intent_app *app)
{
	/* Not indented: that would let a document that is deep grow a thousandfold. */
	AUTO_FREE char *text =
	    app->user_config == NULL ? xstrdup("{}") : edit_dump(app->user_config, JSON_SORT_KEYS);

	return xasprintf("%s\n", text);
}

static struct file_attr
user_config_attr(const struct user *user)
{
	return (struct file_attr){ 0640, user->self ? FILE_KEEP : user->uid,
		user->self ? FILE_KEEP : user->gid };
}

static int
observe_user_config(const struct intent_app *app, int base, struct seen_live *seen, struct err *e)
{
	AUTO_FREE char *text = render_user_config(app);
	struct file_attr attr = user_config_attr(&seen->user);
	int missing, same;
	AUTO_CLOSE int dir = dir_open_at(base, "config", &missing, e);

	if (dir < 0 && !missing)
		return -1;
	/* Nothing asked for and nothing there is the same thing. */
	if (dir < 0) {
		e->class = ERR_NONE;
		seen->same_config = app->user_config == NULL;
		return 0;
	}
	same = file_same(dir, "user_config.json", text, strlen(text), &attr, e);
	if (same == 0 && app->user_config == NULL)
		same = faccessat(dir, "user_config.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	seen->same_config = same == 1;
	return same < 0 ? -1 : 0;
}

static int
observe_install(const struct intent_app *app, int base, struct seen_live *seen, struct err *e)
{
	const struct intent_version *active = intent_active(app);
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int installs = -1, install = -1;
	int missing;

	if (active == NULL)
		return 0;
	/* Step by step, as no symlink below basedir is followed. */
	installs = dir_open_at(base, "installs", &missing, e);
	name = xasprintf("%s_%s", app->name, active->id);
	if (installs >= 0)
		install = dir_open_at(installs, name, &missing, e);
	if (install < 0 && missing)
		e->class = ERR_NONE;
	if (install < 0)
		return missing ? 0 : err_wrap(e, "%s", app->basedir);
	seen->prepared = 1;
	/* Linked only. */
	if (seen->supervisor.ops == &supervisor_none)
		return 0;
	if (service_names(install, app->name, &seen->wanted, e) < 0)
		return err_wrap(e, "%s/installs/%s", app->basedir, name);
	seen->launches = seen->wanted.n > 0;
	return 0;
}

/* A link's target below basedir; the prototype wrote absolute ones. */
static char *
read_link_below(const char *basedir, int base, const char *name, struct err *e)
{
	char *target = link_read(base, name, e);
	size_t n = strlen(basedir);

	if (target != NULL && strncmp(target, basedir, n) == 0 && target[n] == '/')
		memmove(target, target + n + 1, strlen(target + n + 1) + 1);
	return target;
}

static int
observe_links(const char *basedir, int base, struct seen_live *seen, struct err *e)
{
	static const char *const names[] = { "current", "last" };
	struct stat st;

	/* Found out before anything is stopped, and not when the link is to be made. */
	for (size_t i = 0; i < MEM_COUNT(names); i++)
		if (fstatat(base, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode))
			return err_set(e, ERR_FAIL,
			    "%s/%s is in the way: it is not a symlink, so pp did not make it; "
			    "move it away",
			    basedir, names[i]);
	seen->current = read_link_below(basedir, base, "current", e);
	if (e->class == ERR_NONE)
		seen->last = read_link_below(basedir, base, "last", e);
	return e->class == ERR_NONE ? 0 : err_wrap(e, "%s", basedir);
}

static struct service_spec
spec_of(const struct pass *p, const struct intent_app *app, const struct seen_live *seen)
{
	const struct intent_version *active = intent_active(app);

	return (struct service_spec){ .app = app->name,
		.cluster = app->cluster,
		.node = p->intent.node,
		.version = active ? active->id : "",
		.basedir = app->basedir,
		.port = app->nports ? app->ports[0].first : 0,
		.user = &seen->user,
		.services = &seen->wanted,
		.env = &app->env,
		.limits = &app->limits,
		.stop_timeout_ms = app->stop_timeout_ms };
}

static int
observe_definition(const struct pass *p, const struct intent_app *app, struct seen_live *seen,
    struct err *e)
{
	struct service_spec spec = spec_of(p, app, seen);
	int same;

	if (!seen->launches || seen->elsewhere.n > 0)
		return 0;
	same = supervisor_same(&seen->supervisor, &spec, e);
	seen->defined = same == 1;
	return same < 0 ? -1 : 0;
}

static int
observe_app(const struct pass *p, const struct intent_app *app, struct seen_live *seen,
    struct err *e)
{
	AUTO_CLOSE int base = -1;

	if (app->certainty != INTENT_STATED)
		return 0;
	if (choose_supervisor(p, app->supervisor, &seen->supervisor, e) < 0)
		return -1;
	if (user_of_app(app->runas, app->name, &seen->user, e) < 0)
		return -1;
	base = open(app->basedir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base < 0 && errno == ENOENT)
		return 0;
	if (base < 0)
		return err_sys(e, "open %s", app->basedir);
	if (observe_links(app->basedir, base, seen, e) < 0 ||
	    observe_install(app, base, seen, e) < 0 || observe_user_config(app, base, seen, e) < 0)
		return -1;
	return observe_definition(p, app, seen, e);
}

/* Every service that the app has or is to have: what runs under such a name is the app's. */
static void
list_services(const struct seen_live *seen, struct strv *services)
{
	const struct strv *lists[] = { &seen->present, &seen->elsewhere, &seen->wanted };

	for (size_t l = 0; l < MEM_COUNT(lists); l++)
		for (size_t i = 0; i < lists[l]->n; i++)
			if (!strv_has(services, lists[l]->items[i]))
				strv_add(services, xstrdup(lists[l]->items[i]));
}

static void
take_states(struct seen_live *seen, const struct strv *services,
    const struct service_status *states)
{
	seen->wanted_state = seen->wanted.n > 0 ? SERVICE_UP : SERVICE_ABSENT;
	for (size_t i = 0; i < services->n; i++) {
		seen->any_up |= states[i].state == SERVICE_UP;
		if (strv_has(&seen->wanted, services->items[i]) &&
		    states[i].state < seen->wanted_state)
			seen->wanted_state = states[i].state;
	}
}

/* All services of all apps at once, so that one sv can be asked. */
static int
observe_states(struct pass *p, struct err *e)
{
	AUTO_STRV struct strv all = { 0 };
	AUTO_FREE struct service_status *states = NULL;
	struct supervisor s = { 0 };
	size_t at = 0;
	int r;

	for (size_t i = 0; i < p->intent.napps; i++) {
		AUTO_STRV struct strv own = { 0 };

		list_services(&p->seen[i].live, &own);
		for (size_t k = 0; k < own.n; k++)
			strv_add(&all, xstrdup(own.items[k]));
	}
	if (all.n == 0)
		return 0;
	states = xcalloc(all.n, sizeof *states);
	r = choose_supervisor(p, NULL, &s, e);
	if (r == 0)
		r = supervisor_status(&s, &all, states, e);
	supervisor_release(&s);
	for (size_t i = 0; r == 0 && i < p->intent.napps; i++) {
		AUTO_STRV struct strv own = { 0 };

		list_services(&p->seen[i].live, &own);
		take_states(&p->seen[i].live, &own, states + at);
		at += own.n;
	}
	return r;
}

static int
observe(struct pass *p, struct err *e)
{
	if (observe_present(p, e) < 0)
		return -1;
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct err why = ERR_INIT;

		if (observe_app(p, &p->intent.apps[i], &p->seen[i].live, &why) < 0)
			p->seen[i].live.fault = xstrdup(why.msg);
	}
	return observe_states(p, e);
}

/* ---- plan: setlive_plan.c has it for one app ---- */

static void
plan(const struct pass *p, struct plan *plan)
{
	for (size_t i = 0; i < p->intent.napps; i++)
		setlive_plan_app(&p->intent.apps[i], &p->seen[i].live,
		    plan_add(plan, &p->intent.apps[i], &p->seen[i]));
}

/* ---- apply ---- */

/* Whatever can fail for want of room or permission fails here, where nothing is stopped yet. */
static int
rehearse(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct service_spec spec = spec_of(p, app, seen);
	AUTO_FREE char *text = render_user_config(app);
	struct file_attr attr = user_config_attr(&seen->user);
	AUTO_CLOSE int base = -1, dir = -1;

	if (seen->launches && supervisor_rehearse(&seen->supervisor, &spec, e) < 0)
		return -1;
	if (seen->same_config)
		return 0;
	base = dir_open(app->basedir, e);
	if (base >= 0)
		dir = dir_make_at(base, "config", 0755, e);
	if (dir < 0 || file_rehearse(dir, "user_config.json", text, strlen(text), &attr, e) < 0)
		return err_wrap(e, "%s", app->basedir);
	return 0;
}

/* A step failed after the stop: let run again what ran before. */
static void
restore_services(const struct seen_live *seen)
{
	AUTO_STRV struct strv services = { 0 };

	list_services(seen, &services);
	for (size_t i = 0; seen->any_up && i < services.n; i++)
		supervisor_restore(&seen->supervisor, services.items[i]);
}

static int
stop_services(const struct intent_app *app, const struct seen_live *seen, int retire, struct err *e)
{
	int64_t timeout =
	    app->certainty == INTENT_STATED ? app->stop_timeout_ms : INTENT_STOP_TIMEOUT_MS;
	AUTO_STRV struct strv services = { 0 };

	list_services(seen, &services);
	if (seen->any_up && clock_bound_ms(timeout) < timeout)
		return err_set(e, ERR_FAIL,
		    "not stopped: stopping may take %lld s, and the time of "
		    "--timeout is up before",
		    (long long)(timeout / 1000));
	log_change("%s: Stopping", app->name);
	for (size_t i = 0; i < services.n; i++) {
		const char *service = services.items[i];

		if (retire && supervisor_keep_down(&seen->supervisor, service, e) < 0)
			return -1;
		if (supervisor_stop(&seen->supervisor, service, timeout, e) == 0)
			continue;
		/* They are to run on as they did; only what nobody wants stays stopped. */
		if (app->certainty == INTENT_STATED && !retire)
			restore_services(seen);
		return err_wrap(e, "Could not stop %s", service);
	}
	return 0;
}

static int
remove_services(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	AUTO_STRV struct strv unwanted = { 0 };
	struct supervisor other = { 0 };
	int r = 0;

	for (size_t i = 0; i < seen->present.n; i++)
		if (!strv_has(&seen->wanted, seen->present.items[i]))
			strv_add(&unwanted, xstrdup(seen->present.items[i]));
	log_change("%s: Removing service", app->name);
	if (seen->elsewhere.n > 0) {
		r = choose_supervisor(p, seen->elsewhere_ops->name, &other, e);
		if (r == 0)
			r = supervisor_remove(&other, app->name, &seen->elsewhere, e);
		supervisor_release(&other);
	}
	return r < 0 || unwanted.n == 0 ?
	    r :
	    supervisor_remove(&seen->supervisor, app->name, &unwanted, e);
}

static int
define_services(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct service_spec spec = spec_of(p, app, seen);

	log_change("%s: %s", app->name, seen->supervisor.ops->configuring);
	return supervisor_define(&seen->supervisor, &spec, e);
}

static int
write_user_config(const struct intent_app *app, const struct seen_live *seen, struct err *e)
{
	AUTO_FREE char *text = render_user_config(app);
	struct file_attr attr = user_config_attr(&seen->user);
	AUTO_CLOSE int base = dir_open(app->basedir, e), dir = -1;

	log_change("%s: Writing user_config", app->name);
	if (base < 0)
		return -1;
	dir = dir_make_at(base, "config", 0755, e);
	if (dir < 0)
		return err_wrap(e, "%s", app->basedir);
	return file_write(dir, "user_config.json", text, strlen(text), &attr, e);
}

static int
flip_links(const struct intent_app *app, const struct seen_live *seen, const char *target,
    struct err *e)
{
	AUTO_CLOSE int base = dir_open(app->basedir, e);

	log_change("%s: Symlinking", app->name);
	if (base < 0)
		return -1;
	/* Stopping may take minutes, in which the preparer follows a newer intent. */
	if (faccessat(base, target, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "%s/%s, which was there before the stop", app->basedir, target);
	if (seen->current != NULL && strcmp(seen->current, target) != 0 &&
	    link_flip(base, "last", seen->current, e) < 0)
		return err_wrap(e, "%s", app->basedir);
	return link_flip(base, "current", target, e) < 0 ? err_wrap(e, "%s", app->basedir) : 0;
}

static int
start_services(const struct intent_app *app, const struct seen_live *seen, struct err *e)
{
	log_change("%s: Starting", app->name);
	for (size_t i = 0; i < seen->wanted.n; i++)
		if (seen->supervisor.ops->enable(&seen->supervisor, seen->wanted.items[i], e) < 0)
			return -1;
	for (size_t i = 0; i < seen->wanted.n; i++)
		if (supervisor_start(&seen->supervisor, seen->wanted.items[i],
			app->start_timeout_ms, e) < 0)
			return err_wrap(e, "Could not start");
	return 0;
}

static int
carry_out(const struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	const struct seen_live *seen = &ap->seen->live;

	switch ((enum setlive_step)step->kind) {
	case LIVE_STOP:
		if (rehearse(p, ap->app, seen, e) < 0)
			return -1;
		return stop_services(ap->app, seen, 0, e);
	case LIVE_RETIRE:
		return stop_services(ap->app, seen, 1, e);
	case LIVE_REMOVE:
		return remove_services(p, ap->app, seen, e);
	case LIVE_DEFINE:
		return define_services(p, ap->app, seen, e);
	case LIVE_CONFIG:
		return write_user_config(ap->app, seen, e);
	case LIVE_LINK:
		return flip_links(ap->app, seen, step->subject, e);
	case LIVE_START:
		return start_services(ap->app, seen, e);
	}
	return err_set(e, ERR_FAIL, "unknown step %d", step->kind);
}

static int
apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	int between = step->kind == LIVE_REMOVE || step->kind == LIVE_DEFINE ||
	    step->kind == LIVE_CONFIG || step->kind == LIVE_LINK;

	if (carry_out(p, ap, step, e) == 0)
		return 0;
	if (between && ap->app->certainty == INTENT_STATED)
		restore_services(&ap->seen->live);
	return -1;
}

const struct agent agent_setlive = {
	.name = "setlive",
	.summary = "make the active version live, and keep it running",
	.settings = settings,
	.observe = observe,
	.plan = plan,
	.apply = apply,
};
