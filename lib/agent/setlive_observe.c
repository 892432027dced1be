/*
 * What setlive looks at: links, installs, definitions, what runs and how well, and what the cluster says.
 */
#include "lib/agent/setlive.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/fs/file.h"
#include "lib/fs/path.h"
#include "lib/intent/edit.h"
#include "lib/service/definition.h"

/* ---- which supervisor ---- */

/* The one that is stated, else the one this run was told, else the one its options imply. */
static const char *
supervisor_name(const struct pass *p, const char *stated)
{
	const char *given = settings_text(p->settings, "supervisor");

	if (stated != NULL || given != NULL)
		return stated != NULL ? stated : given;
	return settings_text(p->settings, "config") != NULL ? "servicebuilder" : "runit";
}

int
setlive_supervisor(const struct pass *p, const char *name, struct supervisor *s, struct err *e)
{
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

void
setlive_supervisor_release(struct supervisor *s)
{
	free(s->scan);
	free(s->stage);
	free(s->config);
	free(s->units);
	*s = (struct supervisor){ 0 };
}

/* Is this another backend than the one that the app is to be under? */
static int
is_elsewhere(const struct pass *p, const struct intent_app *app, const struct supervisor *s)
{
	return app->certainty == INTENT_STATED &&
	    strcmp(supervisor_name(p, app->supervisor), s->ops->name) != 0;
}

/* ---- what pp has defined ---- */

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
		    setlive_supervisor(p, s->ops->name, &seen->supervisor, e) < 0)
			return -1;
	}
	return 0;
}

static int
observe_backend(struct pass *p, const struct supervisor_ops *ops, struct err *e)
{
	AUTO_SERVICES struct service_list list = { 0 };
	struct supervisor s = { 0 };
	int r = setlive_supervisor(p, ops->name, &s, e);

	if (r == 0)
		r = supervisor_list(&s, &list, e);
	if (r == 0)
		r = take_services(p, &s, &list, e);
	setlive_supervisor_release(&s);
	return r;
}

/* ---- the links, the install, user_config ---- */

char *
setlive_user_config(const struct intent_app *app)
{
	/* Not indented: that would let a document that is deep grow a thousandfold. */
	AUTO_FREE char *text =
	    app->user_config == NULL ? xstrdup("{}") : edit_dump(app->user_config, JSON_SORT_KEYS);

	return xasprintf("%s\n", text);
}

struct file_attr
setlive_user_config_attr(const struct user *user)
{
	return (struct file_attr){ 0640, user->self ? FILE_KEEP : user->uid,
		user->self ? FILE_KEEP : user->gid };
}

static int
observe_user_config(const struct intent_app *app, int base, struct seen_live *seen, struct err *e)
{
	AUTO_FREE char *text = setlive_user_config(app);
	struct file_attr attr = setlive_user_config_attr(&seen->user);
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

char *
setlive_link(const char *basedir, const char *name)
{
	AUTO_CLOSE int base = open(basedir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err ignored = ERR_INIT;

	return base < 0 ? NULL : read_link_below(basedir, base, name, &ignored);
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

static int
is_program(int dir, const char *path)
{
	struct stat st;

	return fstatat(dir, path, &st, 0) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

/* A hook that is there and cannot be run would be left out in silence. */
static int
check_hooks(int install, struct err *e)
{
	static const char *const hooks[] = { "bin/preflight", "bin/enable", "bin/disable",
		"bin/check" };

	for (size_t i = 0; i < MEM_COUNT(hooks); i++)
		if (faccessat(install, hooks[i], F_OK, 0) == 0 && !is_program(install, hooks[i]))
			return err_set(e, ERR_DATA,
			    "%s is not executable; set its run bit and pack a new version",
			    hooks[i]);
	return 0;
}

/* The install of the version that is to be live; -1 with *missing where it is not there. */
static int
open_install(const struct intent_app *app, const char *version, int base, int *missing,
    struct err *e)
{
	AUTO_FREE char *name = xasprintf("%s_%s", app->name, version);
	/* Step by step, as no symlink below basedir is followed. */
	AUTO_CLOSE int installs = dir_open_at(base, "installs", missing, e);

	return installs >= 0 ? dir_open_at(installs, name, missing, e) : -1;
}

static int
observe_install(const struct intent_app *app, int base, struct seen_live *seen, struct err *e)
{
	AUTO_CLOSE int install = -1;
	int missing = 0;

	if (seen->version == NULL)
		return 0;
	install = open_install(app, seen->version, base, &missing, e);
	if (install < 0 && missing)
		e->class = ERR_NONE;
	if (install < 0)
		return missing ? 0 : err_wrap(e, "%s", app->basedir);
	seen->prepared = 1;
	if (check_hooks(install, e) < 0 || service_names(install, app->name, &seen->wanted, e) < 0)
		return err_wrap(e, "%s/installs/%s_%s", app->basedir, app->name, seen->version);
	if (seen->supervisor.ops == &supervisor_none)
		strv_release(&seen->wanted);
	seen->launches = seen->wanted.n > 0;
	seen->has_preflight = is_program(install, "bin/preflight");
	return 0;
}

/* ---- what is to be live ---- */

/* All that the processes of a version see of what is intended, beside the version itself. */
static char *
release_of(const struct intent_app *app, const char *version)
{
	AUTO_FREE char *config = setlive_user_config(app), *env = strv_join(&app->env, "\n");
	AUTO_BUF struct buf all = { 0 };

	buf_printf(&all, "%s\n%s\n%s\n%d\n", config, env ? env : "", app->runas ? app->runas : "",
	    app->nports > 0 ? app->ports[0].first : 0);
	buf_printf(&all, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", app->limits.nofile,
	    app->limits.memory, app->limits.cpu_seconds, app->limits.tasks);
	return xasprintf("%s+%08" PRIx32, version, (uint32_t)hash_bytes(all.data, all.n));
}

/* The version gone back to, where the active one is what was gone back from. */
static int
recall_reverted(struct pass *p, const struct intent_app *app, struct seen_live *seen, struct err *e)
{
	AUTO_FREE char *memo = NULL;
	char *old;

	if (state_recall(&p->state, SETLIVE_REVERTED, app->name, &memo, e) < 0)
		return -1;
	old = memo != NULL ? strchr(memo, ' ') : NULL;
	if (old == NULL)
		return 0;
	*old++ = '\0';
	seen->outlived = strcmp(memo, seen->release) != 0;
	if (seen->outlived || !path_is_name(old))
		return 0;
	seen->reverted = mem_take(&seen->version);
	seen->version = xstrdup(old);
	free(seen->release);
	seen->release = release_of(app, old);
	return 0;
}

/* How the start of that release went: "<release>", it failed; "<release> since <ms>", it is not known yet. */
static int
recall_start(struct pass *p, const struct intent_app *app, struct seen_live *seen, struct err *e)
{
	AUTO_FREE char *memo = NULL;
	char *since;
	int64_t ago;

	if (state_recall(&p->state, SETLIVE_FAILING, app->name, &memo, e) < 0)
		return -1;
	since = memo != NULL ? strchr(memo, ' ') : NULL;
	if (since != NULL)
		*since++ = '\0';
	if (memo == NULL || strcmp(memo, seen->release) != 0)
		return 0;
	seen->unfinished = 1;
	if (since == NULL) {
		seen->failing = 1;
		return 0;
	}
	/* The clock begins anew with each boot, and so does the app. */
	ago = clock_now_ms() - strtoll(since + strcspn(since, "0123456789"), NULL, 10);
	seen->failing = ago >= app->start_timeout_ms;
	return 0;
}

static int
choose_version(struct pass *p, const struct intent_app *app, struct seen_live *seen, struct err *e)
{
	const struct intent_version *active = intent_active(app);

	if (active == NULL)
		return 0;
	seen->version = xstrdup(active->id);
	seen->release = release_of(app, active->id);
	return recall_reverted(p, app, seen, e) < 0 ? -1 : recall_start(p, app, seen, e);
}

struct service_spec
setlive_spec(const struct pass *p, const struct intent_app *app, const struct seen_live *seen)
{
	return (struct service_spec){ .app = app->name,
		.cluster = app->cluster,
		.node = p->intent.node,
		.version = seen->version ? seen->version : "",
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
	struct service_spec spec = setlive_spec(p, app, seen);
	int same;

	if (!seen->launches || seen->elsewhere.n > 0)
		return 0;
	same = supervisor_same(&seen->supervisor, &spec, e);
	seen->defined = same == 1;
	return same < 0 ? -1 : 0;
}

static int
observe_app(struct pass *p, const struct intent_app *app, struct seen_live *seen, struct err *e)
{
	AUTO_CLOSE int base = -1;

	if (app->certainty != INTENT_STATED)
		return 0;
	if (setlive_supervisor(p, supervisor_name(p, app->supervisor), &seen->supervisor, e) < 0 ||
	    choose_version(p, app, seen, e) < 0 ||
	    user_of_app(app->runas, app->name, &seen->user, e) < 0)
		return -1;
	base = open(app->basedir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base < 0 && errno == ENOENT)
		return 0;
	if (base < 0)
		return err_sys(e, "open %s", app->basedir);
	if (observe_links(app->basedir, base, seen, e) < 0 ||
	    observe_install(app, base, seen, e) < 0 || observe_user_config(app, base, seen, e) < 0)
		return -1;
	seen->has_disable = is_program(base, "current/bin/disable");
	return observe_definition(p, app, seen, e);
}

/* ---- what runs ---- */

/* The services of an app that are under this backend: what runs under such a name is the app's. */
static void
list_services(const struct seen_live *seen, const struct supervisor_ops *ops, struct strv *services)
{
	const struct strv *lists[] = { &seen->present, &seen->wanted, &seen->elsewhere };

	for (size_t l = 0; l < MEM_COUNT(lists); l++) {
		if ((l < 2 ? seen->supervisor.ops : seen->elsewhere_ops) != ops)
			continue;
		for (size_t i = 0; i < lists[l]->n; i++)
			if (!strv_has(services, lists[l]->items[i]))
				strv_add(services, xstrdup(lists[l]->items[i]));
	}
}

static void
take_states(struct seen_live *seen, const struct strv *services,
    const struct service_status *status)
{
	for (size_t i = 0; i < services->n; i++) {
		const char *name = services->items[i];
		const int up = status[i].state == SERVICE_UP;

		seen->any_up |= up;
		if (strv_has(&seen->present, name) || strv_has(&seen->elsewhere, name))
			seen->all_up &= up;
		if (up && status[i].for_ms < seen->up_ms)
			seen->up_ms = status[i].for_ms;
		if (strv_has(&seen->wanted, name) && status[i].state < seen->wanted_state)
			seen->wanted_state = status[i].state;
	}
}

/* All services of all apps under one backend at once, so that one program can be asked. */
static int
observe_states(struct pass *p, const struct supervisor_ops *ops, struct err *e)
{
	AUTO_STRV struct strv all = { 0 };
	AUTO_FREE struct service_status *status = NULL;
	AUTO_FREE size_t *ends = xcalloc(p->intent.napps + 1, sizeof *ends);
	struct supervisor s = { 0 };
	int r;

	for (size_t i = 0; i < p->intent.napps; i++) {
		AUTO_STRV struct strv own = { 0 };

		list_services(&p->seen[i].live, ops, &own);
		for (size_t k = 0; k < own.n; k++)
			strv_add(&all, xstrdup(own.items[k]));
		ends[i + 1] = all.n;
	}
	if (all.n == 0)
		return 0;
	status = xcalloc(all.n, sizeof *status);
	r = setlive_supervisor(p, ops->name, &s, e);
	if (r == 0)
		r = supervisor_status(&s, &all, status, e);
	setlive_supervisor_release(&s);
	for (size_t i = 0; r == 0 && i < p->intent.napps; i++) {
		const struct strv own = { all.items + ends[i], ends[i + 1] - ends[i] };

		take_states(&p->seen[i].live, &own, status + ends[i]);
	}
	return r;
}

static void
before_states(struct seen_live *seen)
{
	seen->wanted_state = seen->wanted.n > 0 ? SERVICE_UP : SERVICE_ABSENT;
	seen->all_up = seen->present.n + seen->elsewhere.n > 0;
	seen->up_ms = INT64_MAX;
}

/* ---- how well it runs ---- */

void
setlive_choose_check(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen, struct health_check *check)
{
	AUTO_FREE char *path = xasprintf("%s/current/bin/check", app->basedir);
	struct service_spec spec = setlive_spec(p, app, seen);
	AUTO_STRV struct strv env = { 0 };

	definition_environment(&spec, &env);
	health_choose(app, &seen->user, is_program(AT_FDCWD, path), &env, check);
}

static void
observe_health(const struct pass *p, const struct intent_app *app, struct seen_live *seen)
{
	if (app->certainty != INTENT_STATED || seen->fault != NULL || !seen->all_up)
		return;
	setlive_choose_check(p, app, seen, &seen->check);
	/* Another user's program can only be run by root; what pp status would say then is no news. */
	if (seen->check.kind == HEALTH_EXEC && !seen->user.self && geteuid() != 0)
		return;
	if (seen->check.kind != HEALTH_SUPERVISOR)
		health_ask(&seen->check, &seen->health);
}

/* ---- all of it ---- */

int
setlive_observe(struct pass *p, struct err *e)
{
	/* An app may have been under another one than now. */
	for (size_t i = 0; supervisors[i] != NULL; i++)
		if (observe_backend(p, supervisors[i], e) < 0)
			return -1;
	if (setlive_observe_places(p, e) < 0)
		return -1;
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct seen_live *seen = &p->seen[i].live;
		struct err why = ERR_INIT;

		if (observe_app(p, &p->intent.apps[i], seen, &why) < 0)
			seen->fault = xstrdup(why.msg);
		if (setlive_observe_gone(p, &p->intent.apps[i], seen, e) < 0)
			return -1;
		before_states(seen);
	}
	for (size_t i = 0; supervisors[i] != NULL; i++)
		if (observe_states(p, supervisors[i], e) < 0)
			return -1;
	for (size_t i = 0; i < p->intent.napps; i++)
		observe_health(p, &p->intent.apps[i], &p->seen[i].live);
	return setlive_observe_cluster(p, e);
}

void
setlive_seen_release(struct seen_live *seen)
{
	char *texts[] = { seen->version, seen->release, seen->reverted, seen->current, seen->last,
		seen->cluster, seen->entry_fault, seen->lease_why, seen->place, seen->fault };

	for (size_t i = 0; i < MEM_COUNT(texts); i++)
		free(texts[i]);
	strv_release(&seen->wanted);
	strv_release(&seen->present);
	strv_release(&seen->elsewhere);
	setlive_supervisor_release(&seen->supervisor);
	health_check_release(&seen->check);
	health_answer_release(&seen->health);
	*seen = (struct seen_live){ 0 };
}
