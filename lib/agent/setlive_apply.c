/*
 * setlive's steps, one by one. Each may be killed anywhere: the next pass sees what is there and goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/agent/setlive.h"
#include "lib/artifact/installs.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/fs/file.h"
#include "lib/fs/path.h"
#include "lib/service/definition.h"
#include "lib/sys/run.h"

#define GONE_WAIT_MS 30000 /* for the catalogue to see what was deregistered */

/* ---- services ---- */

/* Call for each service that the app has or is to have, with its supervisor, until one fails. */
static int
each_service(const struct pass *p, const struct seen_live *seen,
    int (*call)(void *arg, const struct supervisor *s, const char *service, struct err *e),
    void *arg, struct err *e)
{
	const struct strv *own[] = { &seen->present, &seen->wanted };
	AUTO_STRV struct strv done = { 0 };
	struct supervisor other = { 0 };
	int r = 0;

	for (size_t l = 0; l < MEM_COUNT(own); l++)
		for (size_t i = 0; r == 0 && i < own[l]->n; i++) {
			if (strv_has(&done, own[l]->items[i]))
				continue;
			strv_add(&done, xstrdup(own[l]->items[i]));
			r = call(arg, &seen->supervisor, own[l]->items[i], e);
		}
	if (r == 0 && seen->elsewhere.n > 0)
		r = setlive_supervisor(p, seen->elsewhere_ops->name, &other, e);
	for (size_t i = 0; r == 0 && i < seen->elsewhere.n; i++)
		r = call(arg, &other, seen->elsewhere.items[i], e);
	setlive_supervisor_release(&other);
	return r;
}

static int
restore(void *arg, const struct supervisor *s, const char *service, struct err *e)
{
	(void)arg;
	(void)e;
	supervisor_restore(s, service);
	return 0;
}

/* A step failed after the stop: let run again what ran before. */
static void
restore_services(const struct pass *p, const struct seen_live *seen)
{
	struct err ignored = ERR_INIT;

	if (seen->any_up)
		(void)each_service(p, seen, restore, NULL, &ignored);
}

struct stopping {
	int64_t timeout_ms;
	int retire;
};

static int
stop(void *arg, const struct supervisor *s, const char *service, struct err *e)
{
	const struct stopping *how = arg;

	if (how->retire && supervisor_keep_down(s, service, e) < 0)
		return -1;
	return supervisor_stop(s, service, how->timeout_ms, e) < 0 ?
	    err_wrap(e, "Could not stop %s", service) :
	    0;
}

static int64_t
stop_timeout(const struct intent_app *app)
{
	return app->basedir != NULL ? app->stop_timeout_ms : INTENT_STOP_TIMEOUT_MS;
}

/* To be cut short in the middle would leave it down: better not to begin. */
static int
check_time(const struct intent_app *app, const struct seen_live *seen, int64_t more_ms,
    struct err *e)
{
	int64_t needed = stop_timeout(app) + more_ms;

	if (!seen->any_up || clock_bound_ms(needed) >= needed)
		return 0;
	return err_set(e, ERR_FAIL,
	    "not stopped: stopping may take %lld s, and the time of --timeout is up before",
	    (long long)(needed / 1000));
}

static int
stop_services(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    int retire, struct err *e)
{
	struct stopping how = { stop_timeout(app), retire };

	if (check_time(app, seen, 0, e) < 0)
		return -1;
	log_change("%s: Stopping", app->name);
	if (each_service(p, seen, stop, &how, e) == 0)
		return 0;
	/* They are to run on as they did; only what nobody wants stays stopped. */
	if (app->certainty == INTENT_STATED && !retire)
		restore_services(p, seen);
	return -1;
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
		r = setlive_supervisor(p, seen->elsewhere_ops->name, &other, e);
		if (r == 0)
			r = supervisor_remove(&other, app->name, &seen->elsewhere, e);
		setlive_supervisor_release(&other);
	}
	return r < 0 || unwanted.n == 0 ?
	    r :
	    supervisor_remove(&seen->supervisor, app->name, &unwanted, e);
}

static int
define_services(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct service_spec spec = setlive_spec(p, app, seen);

	log_change("%s: %s", app->name, seen->supervisor.ops->configuring);
	return supervisor_define(&seen->supervisor, &spec, e);
}

/* ---- the install's own programs ---- */

/* Run bin/NAME of the install at `dir`, as the app's user and with its environment. */
static int
run_hook(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    const char *dir, const char *name, int64_t timeout_ms, struct err *e)
{
	AUTO_FREE char *install = xasprintf("%s/%s", app->basedir, dir);
	AUTO_FREE char *path = xasprintf("%s/bin/%s", install, name);
	const char *argv[] = { path, NULL };
	struct service_spec spec = setlive_spec(p, app, seen);
	AUTO_FREE char *prefix = xasprintf("installs/%s_", app->name);
	AUTO_STRV struct strv env = { 0 };
	AUTO_CLOSE int cwd = open(install, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct run run = { .argv = argv,
		.timeout_ms = timeout_ms,
		.cwd_fd = cwd,
		.user = &seen->user,
		.sweeping = 1 };

	if (cwd < 0)
		return err_sys(e, "open %s", install);
	/* It says goodbye for the version that it is of. */
	if (strcmp(name, "disable") == 0 && seen->current != NULL &&
	    strncmp(seen->current, prefix, strlen(prefix)) == 0)
		spec.version = seen->current + strlen(prefix);
	definition_environment(&spec, &env);
	run.env = (const char *const *)env.items;
	return run_checked(&run, e) < 0 ? err_wrap(e, "bin/%s", name) : 0;
}

int
setlive_run_enable(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/current/bin/enable", app->basedir);

	return access(path, X_OK) < 0 ?
	    0 :
	    run_hook(p, app, seen, "current", "enable", app->start_timeout_ms, e);
}

/* ---- before anything is stopped ---- */

/* Whatever can fail for want of room or permission fails here, where nothing is stopped yet. */
static int
rehearse(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct service_spec spec = setlive_spec(p, app, seen);
	AUTO_FREE char *text = setlive_user_config(app);
	struct file_attr attr = setlive_user_config_attr(&seen->user);
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

static int
preflight(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	AUTO_FREE char *dir = xasprintf("installs/%s_%s", app->name, seen->version);

	if (check_time(app, seen, app->drain_ms, e) < 0 || rehearse(p, app, seen, e) < 0)
		return -1;
	if (!seen->has_preflight)
		return 0;
	log_note("%s: Running bin/preflight of %s", app->name, seen->version);
	return run_hook(p, app, seen, dir, "preflight", app->start_timeout_ms, e) < 0 ?
	    err_wrap(e, "%s is not made live", seen->version) :
	    0;
}

static int
take_lease(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	const struct lease_request req = setlive_lease_request(p, app, seen);
	enum lease_verdict verdict;
	AUTO_FREE char *why = NULL;

	if (lease_take(p->store, &req, &verdict, &why, e) < 0)
		return -1;
	if (verdict == LEASE_GRANTED) {
		log_note("%s: has the lease of cluster %s", app->name, req.cluster);
		return 0;
	}
	(void)err_set(e, ERR_BUSY, "%s: %s", verdict == LEASE_HALTED ? "halted" : "waiting",
	    why != NULL ? why : "the cluster needs this node");
	return 1;
}

static int
drain(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct err why = ERR_INIT;

	if (check_time(app, seen, app->drain_ms, e) < 0)
		return -1;
	log_change("%s: Draining", app->name);
	if (seen->registered && registry_maintain(p->store, app->name, 1, e) < 0)
		return -1;
	/* It is on its way out: that it does not say goodbye properly is no reason to keep it. */
	if (seen->has_disable &&
	    run_hook(p, app, seen, "current", "disable", stop_timeout(app), &why) < 0)
		log_warn("%s: %s; going on", app->name, why.msg);
	clock_sleep_ms(clock_bound_ms(app->drain_ms));
	return 0;
}

/* ---- what is put in its place ---- */

static int
write_user_config(const struct intent_app *app, const struct seen_live *seen, struct err *e)
{
	AUTO_FREE char *text = setlive_user_config(app);
	struct file_attr attr = setlive_user_config_attr(&seen->user);
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
flip_links(struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    const char *target, struct err *e)
{
	AUTO_CLOSE int base = dir_open(app->basedir, e);

	log_change("%s: Symlinking", app->name);
	if (base < 0)
		return -1;
	/* Stopping may take minutes, in which the preparer follows a newer intent. */
	if (faccessat(base, target, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "%s/%s, which was there before the stop", app->basedir, target);
	if (state_keep(&p->state, SETLIVE_PLACE, app->name, app->basedir, e) < 0 ||
	    state_keep(&p->state, SETLIVE_CLUSTER, app->name, app->cluster, e) < 0)
		return -1;
	if (seen->current != NULL && strcmp(seen->current, target) != 0 &&
	    link_flip(base, "last", seen->current, e) < 0)
		return err_wrap(e, "%s", app->basedir);
	return link_flip(base, "current", target, e) < 0 ? err_wrap(e, "%s", app->basedir) : 0;
}

/* ---- one step ---- */

static int
deregister(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	log_note("%s: Taking it out of cluster %s", app->name, seen->cluster);
	return registry_remove(p->store, app->name, e);
}

int
setlive_register(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    int failed, struct err *e)
{
	struct registration wanted = setlive_registration(p, app, seen, failed);
	struct health_check check = { 0 };
	int r;

	/* How what is live now is checked, which may not be what was live when it was looked at. */
	setlive_choose_check(p, app, seen, &check);
	wanted.check = &check;
	log_note("%s: Registering it in cluster %s", app->name, app->cluster);
	r = registry_put(p->store, &wanted, e);
	health_check_release(&check);
	return r;
}

static int
return_lease(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    const char *cluster, struct err *e)
{
	/* An earlier run died on the way down, or was told to stay: it may have said goodbye already. */
	if (seen->maintenance && seen->all_up && app->certainty == INTENT_STATED &&
	    setlive_why_restart(app, seen) == NULL && setlive_run_enable(p, app, seen, e) < 0)
		return -1;
	if (registry_maintain(p->store, app->name, 0, e) < 0)
		return -1;
	return lease_return(p->store, app->name, cluster, p->intent.node, e);
}

/* Whoever is out of the cluster is out only when everybody can see it. */
static int
leave(const struct pass *p, const struct intent_app *app, const char *cluster, struct err *e)
{
	if (lease_await_gone(p->store, app->name, cluster, p->intent.node, GONE_WAIT_MS, e) < 0)
		return -1;
	return lease_return(p->store, app->name, cluster, p->intent.node, e);
}

/* Every install of the app, whoever made it, with what is hidden beside it. */
static int
purge_installs(int installs, const char *app, struct err *e)
{
	AUTO_INSTALLS struct installs found = { 0 };

	if (installs_scan(installs, app, &found, e) < 0)
		return -1;
	for (size_t i = 0; i < found.n; i++) {
		const struct installs_entry *entry = &found.entries[i];
		int r = entry->kind == INSTALLS_INSTALL ?
		    installs_prune(installs, app, entry->version, e) :
		    installs_sweep(installs, entry->name, e);

		if (r < 0)
			return -1;
	}
	return 0;
}

static int
purge(struct pass *p, const struct intent_app *app, const char *basedir, struct err *e)
{
	AUTO_CLOSE int base = -1, installs = -1;
	int missing = 0;

	if (path_basedir_fault(basedir) != NULL)
		return err_set(e, ERR_FAIL, "%s is no basedir", basedir);
	log_change("%s: Removing its installs from %s", app->name, basedir);
	base = open(basedir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (base < 0 && errno == ENOENT)
		return state_forget(&p->state, SETLIVE_PLACE, app->name, e);
	if (base < 0)
		return err_sys(e, "open %s, which was a directory", basedir);
	if (file_remove(base, "current", e) < 0 || file_remove(base, "last", e) < 0)
		return err_wrap(e, "%s", basedir);
	installs = dir_open_at(base, "installs", &missing, e);
	if (installs < 0 ? !missing : purge_installs(installs, app->name, e) < 0)
		return err_wrap(e, "%s", basedir);
	e->class = ERR_NONE;
	return state_forget(&p->state, SETLIVE_PLACE, app->name, e);
}

static int
feed(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct health_answer answer = seen->health;

	if (answer.text == NULL) {
		answer.verdict = setlive_is_healthy(app, seen) ? HEALTH_PASSING : HEALTH_CRITICAL;
		answer.text =
		    (char *)(answer.verdict == HEALTH_PASSING ? "it runs" : "it does not stay up");
	}
	return registry_feed(p->store, app->name, &answer, e);
}

static int
carry_out(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	const struct seen_live *seen = &ap->seen->live;
	const struct intent_app *app = ap->app;

	switch ((enum setlive_step)step->kind) {
	case LIVE_PREFLIGHT:
		return preflight(p, app, seen, e);
	case LIVE_LEASE:
		return take_lease(p, app, seen, e);
	case LIVE_DRAIN:
		return drain(p, app, seen, e);
	case LIVE_STOP:
		return stop_services(p, app, seen, 0, e);
	case LIVE_RETIRE:
		return stop_services(p, app, seen, 1, e);
	case LIVE_REMOVE:
		return remove_services(p, app, seen, e);
	case LIVE_DEFINE:
		return define_services(p, app, seen, e);
	case LIVE_CONFIG:
		return write_user_config(app, seen, e);
	case LIVE_LINK:
		return flip_links(p, app, seen, step->subject, e);
	case LIVE_WATCH:
		return setlive_begin_watch(p, app, seen, e);
	case LIVE_START:
		return setlive_start(p, app, seen, e);
	case LIVE_REGISTER:
		return setlive_register(p, app, seen, 0, e);
	case LIVE_FAILED:
		return setlive_register(p, app, seen, 1, e);
	case LIVE_DEREGISTER:
		return deregister(p, app, seen, e);
	case LIVE_RETURN:
		return return_lease(p, app, seen, step->subject, e);
	case LIVE_LEFT:
		return leave(p, app, step->subject, e);
	case LIVE_FEED:
		return feed(p, app, seen, e);
	case LIVE_FORGET:
		return state_forget(&p->state, SETLIVE_REVERTED, app->name, e);
	case LIVE_PURGE:
		return purge(p, app, step->subject, e);
	}
	return err_set(e, ERR_FAIL, "unknown step %d", step->kind);
}

/* Steps between the stop and the start: what fails there leaves the app down. */
static int
is_between(int kind)
{
	return kind == LIVE_REMOVE || kind == LIVE_DEFINE || kind == LIVE_CONFIG ||
	    kind == LIVE_LINK;
}

int
setlive_apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	int r = carry_out(p, ap, step, e);

	if (r >= 0)
		return r;
	if (is_between(step->kind) && ap->app->certainty == INTENT_STATED)
		restore_services(p, &ap->seen->live);
	return -1;
}
