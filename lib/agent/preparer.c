/*
 * preparer: every version that is intended, active or prep, is installed; what nobody needs any more
 * goes.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/agent/preparer.h"
#include "lib/artifact/installs.h"
#include "lib/artifact/trust.h"
#include "lib/base/log.h"
#include "lib/fs/file.h"
#include "lib/sys/user.h"

#define KEEP_DEFAULT 3

enum { PREPARE_USER, PREPARE_SWEEP, PREPARE_PRUNE, PREPARE_INSTALL, PREPARE_MEND };

static const struct setting settings[] = {
	{ "repo", 0, SETTING_LIST, SETTING_ANYWHERE, "URL",
	    "where artifacts are: file://, http(s)://, s3:// (several times)" },
	{ "repo-cacert", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE", "whom to trust for https" },
	{ "netrc", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE", "passwords for repositories" },
	{ "repo-headers", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE",
	    "header lines to send to them" },
	{ "s3-endpoint", 0, SETTING_TEXT, SETTING_ANYWHERE, "URL", "a store that speaks S3" },
	{ "s3-credentials", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE", "keys for it" },
	{ "verify", 0, SETTING_TEXT, SETTING_ANYWHERE, "HOW",
	    "auto (default), digest, signature or none" },
	{ "trusted-keys", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "whose signatures count (default: " TRUST_KEYS_DIR ")" },
	{ "jobs", 0, SETTING_NUMBER, SETTING_ANYWHERE, "N", "artifacts at once" },
	{ "min-free", 0, SETTING_TEXT, SETTING_ANYWHERE, "ROOM",
	    "what is to stay free: 5% (default), 20G" },
	{ "max-size", 0, SETTING_SIZE, SETTING_ANYWHERE, "SIZE", "of what an artifact unpacks to" },
	{ "max-files", 0, SETTING_NUMBER, SETTING_ANYWHERE, "N", "in an artifact" },
	{ "max-ratio", 0, SETTING_NUMBER, SETTING_ANYWHERE, "N",
	    "of its size, unpacked to packed" },
	{ "create-users", 0, SETTING_FLAG, SETTING_ANYWHERE, NULL, "make the users of runas" },
	{ "link-unchanged", 0, SETTING_FLAG, SETTING_ANYWHERE, NULL,
	    "hard-link files that two installs have" },
	{ "verify-installs", 0, SETTING_FLAG, SETTING_ANYWHERE, NULL,
	    "look for rot and tampering in what is installed" },
	{ "keep", 0, SETTING_NUMBER, SETTING_ANYWHERE, "N",
	    "versions that are no longer intended (default: 3)" },
	{ 0 },
};

static int
is_intended(const struct intent_app *app, const char *version)
{
	return preparer_version(app, version) != NULL;
}

/* Hidden things that no run needs: left by one that was killed, or of versions nobody wants now. */
static void
find_leftovers(const struct intent_app *app, const struct installs *found,
    struct seen_installs *seen)
{
	for (size_t i = 0; i < found->n; i++) {
		const struct installs_entry *entry = &found->entries[i];
		int installed = installs_has(found, INSTALLS_INSTALL, entry->version);
		int needed = 1;

		switch (entry->kind) {
		case INSTALLS_INSTALL:
			break;
		case INSTALLS_STAGING:
			needed = entry->held;
			break;
		case INSTALLS_LIST:
			needed = installed && !entry->unfinished;
			break;
		case INSTALLS_PART:
			needed = !installed && is_intended(app, entry->version);
			break;
		}
		if (!needed && !installs_held(found, entry->version))
			strv_add(&seen->leftovers, xstrdup(entry->name));
	}
}

/* What is installed and not intended, and what of that is in use. */
/*
 * May this be another app's, whose name begins with this one's? Two basedirs can be one directory by a
 * link, and slug_x_1 is slug's version x_1 as well as slug_x's version 1.
 */
static int
may_be_of_another(const struct pass *p, const struct intent_app *app, const char *name)
{
	for (size_t i = 0; i < p->intent.napps; i++) {
		const char *other = p->intent.apps[i].name;
		size_t n = strlen(other);

		if (n > strlen(app->name) && strncmp(name, other, n) == 0 && name[n] == '_')
			return 1;
	}
	return 0;
}

static int
find_others(const struct pass *p, const struct intent_app *app, int dir, struct installs *found,
    struct seen_installs *seen, struct err *e)
{
	size_t others = 0;

	for (size_t i = 0; i < found->n; i++)
		others += found->entries[i].kind == INSTALLS_INSTALL &&
		    !is_intended(app, found->entries[i].version);
	if (others == 0)
		return 0;
	if (installs_date(dir, app->name, found, e) < 0)
		return -1;
	for (size_t i = 0; i < found->n; i++) {
		const struct installs_entry *entry = &found->entries[i];
		int linked;

		if (entry->kind != INSTALLS_INSTALL || is_intended(app, entry->version) ||
		    may_be_of_another(p, app, entry->name))
			continue;
		linked = installs_linked(dir, app->name, entry->version, e);
		if (linked < 0)
			return -1;
		strv_add(&seen->others, xstrdup(entry->version));
		if (linked)
			strv_add(&seen->linked, xstrdup(entry->version));
	}
	return 0;
}

static int
find_intended(const struct pass *p, const struct intent_app *app, const char *path, int dir,
    struct seen_installs *seen, struct err *e)
{
	for (size_t i = 0; i < app->nversions; i++) {
		AUTO_FREE char *name = xasprintf("%s_%s", app->name, app->versions[i].id);
		struct stat st;

		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT)
				return err_sys(e, "stat %s/%s", path, name);
			continue;
		}
		if (!S_ISDIR(st.st_mode))
			return err_set(e, ERR_FAIL,
			    "%s/%s is in the way: it is not a directory; move it away", path, name);
		seen->there[i] = 1;
		if (settings_flag(p->settings, "verify-installs") &&
		    preparer_check(p, app, path, dir, &app->versions[i], &seen->rot[i], e) < 0)
			return -1;
	}
	return 0;
}

static int
look(const struct pass *p, const struct intent_app *app, struct seen_installs *seen, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/installs", app->basedir);
	AUTO_INSTALLS struct installs found = { 0 };
	AUTO_CLOSE int dir = -1;
	int exists = 1;

	seen->there = xcalloc(app->nversions, 1);
	seen->rot = xcalloc(app->nversions, sizeof *seen->rot);
	if (app->runas != NULL && geteuid() == 0)
		exists = user_exists(app->runas, e);
	if (exists < 0)
		return -1;
	seen->no_user = !exists;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open %s", path);
	if (find_intended(p, app, path, dir, seen, e) < 0 ||
	    installs_scan(dir, app->name, &found, e) < 0)
		return -1;
	find_leftovers(app, &found, seen);
	return find_others(p, app, dir, &found, seen, e);
}

static int
observe(struct pass *p, struct err *e)
{
	if (preparer_check_settings(p, e) < 0)
		return -1;
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct seen_installs *seen = &p->seen[i].installs;
		struct err why = ERR_INIT;

		if (p->intent.apps[i].certainty == INTENT_STATED &&
		    look(p, &p->intent.apps[i], seen, &why) < 0)
			seen->fault = xstrdup(why.msg);
	}
	return 0;
}

/* The newest of what nobody intends any more stay, and what is in use does. */
static void
plan_prunes(const struct intent_app *app, const struct seen_installs *seen, uint64_t keep,
    struct app_plan *plan)
{
	for (size_t i = 0; i < seen->others.n; i++)
		if (i >= keep && !strv_has(&seen->linked, seen->others.items[i]))
			plan_step(plan, PREPARE_PRUNE, seen->others.items[i],
			    "it is no longer intended, and newer ones are kept",
			    "remove %s/installs/%s_%s", app->basedir, app->name,
			    seen->others.items[i]);
}

static void
plan_installs(const struct intent_app *app, const struct seen_installs *seen, struct app_plan *plan)
{
	for (size_t i = 0; i < app->nversions; i++) {
		const char *id = app->versions[i].id;

		if (!seen->there[i])
			plan_step(plan, PREPARE_INSTALL, id,
			    app->versions[i].active ? "it is the active version" :
						      "it is to be ready",
			    "install %s/installs/%s_%s", app->basedir, app->name, id);
		else if (seen->rot[i] != NULL)
			plan_step(plan, PREPARE_MEND, id, seen->rot[i],
			    "install %s/installs/%s_%s afresh", app->basedir, app->name, id);
	}
}

static void
plan_app(const struct pass *p, const struct intent_app *app, const struct seen_installs *seen,
    struct app_plan *plan)
{
	if (plan_common(plan, seen->fault) || app->certainty == INTENT_GONE)
		return;
	if (seen->no_user && !settings_flag(p->settings, "create-users")) {
		plan_say(plan, PLAN_FAILED, USER_MISSING, app->runas, app->runas);
		return;
	}
	if (seen->no_user)
		plan_step(plan, PREPARE_USER, app->runas, "the app is to run as it",
		    "make the user %s", app->runas);
	for (size_t i = 0; i < seen->leftovers.n; i++)
		plan_step(plan, PREPARE_SWEEP, seen->leftovers.items[i], "no run needs it any more",
		    "remove %s/installs/%s", app->basedir, seen->leftovers.items[i]);
	plan_prunes(app, seen, settings_number(p->settings, "keep", KEEP_DEFAULT), plan);
	plan_installs(app, seen, plan);
}

static void
plan(const struct pass *p, struct plan *plan)
{
	for (size_t i = 0; i < p->intent.napps; i++)
		plan_app(p, &p->intent.apps[i], &p->seen[i].installs,
		    plan_add(plan, &p->intent.apps[i], &p->seen[i]));
}

static int
make_user(const char *name, struct err *e)
{
	log_change("Making the user %s", name);
	return user_create(name, e);
}

static int
apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	const struct intent_app *app = ap->app;
	AUTO_FREE char *path = xasprintf("%s/installs", app->basedir);
	AUTO_CLOSE int base = -1, dir = -1;

	if (step->kind == PREPARE_USER)
		return make_user(step->subject, e);
	if (dir_make(app->basedir, 0755, e) < 0)
		return -1;
	/* Below basedir no symlink is followed: it may be the app's own user who put it there. */
	base = dir_open(app->basedir, e);
	if (base < 0)
		return -1;
	dir = dir_make_at(base, "installs", 0755, e);
	if (dir < 0)
		return err_wrap(e, "%s", app->basedir);
	if (step->kind == PREPARE_MEND)
		log_warn("%s/%s_%s is not as it was unpacked, and is installed afresh: %s", path,
		    app->name, step->subject, step->reason);
	if (step->kind == PREPARE_SWEEP)
		return installs_sweep(dir, step->subject, e);
	if (step->kind == PREPARE_PRUNE)
		return installs_prune(dir, app->name, step->subject, e);
	return preparer_install(p, app, path, dir, preparer_version(app, step->subject),
		   step->kind == PREPARE_MEND, e) < 0 ?
	    err_wrap(e, "version %s", step->subject) :
	    0;
}

static int
apart(const struct step *step)
{
	return step->kind == PREPARE_INSTALL || step->kind == PREPARE_MEND;
}

const struct agent agent_preparer = {
	.name = "preparer",
	.summary = "fetch and unpack the versions this node should have ready",
	.steps_apart = 1,
	.apart = apart,
	.settings = settings,
	.observe = observe,
	.plan = plan,
	.apply = apply,
};
