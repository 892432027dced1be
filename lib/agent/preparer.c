/*
 * preparer: every version that is intended, active or prep, is installed.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/artifact/fetch.h"
#include "lib/artifact/install.h"
#include "lib/base/log.h"
#include "lib/fs/file.h"

enum { PREPARE_INSTALL, PREPARE_SWEEP };

static const struct setting settings[] = {
	{ "repo", 0, SETTING_LIST, SETTING_ANYWHERE, "URL",
	    "where artifacts are: file, http, https, s3 (several)" },
	{ "repo-cacert", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE", "whom to trust for https" },
	{ "netrc", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE", "passwords for repositories" },
	{ "repo-headers", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE", "headers for repositories" },
	{ "s3-endpoint", 0, SETTING_TEXT, SETTING_ANYWHERE, "URL", "where s3://bucket is" },
	{ "s3-credentials", 0, SETTING_TEXT, SETTING_ANYWHERE, "FILE", "keys for s3://" },
	{ 0 },
};

static int
look(const struct intent_app *app, struct seen_installs *seen, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/installs", app->basedir);
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	seen->there = xcalloc(app->nversions, 1);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open %s", path);
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
	}
	return install_leftovers(dir, app->name, &seen->leftovers, e);
}

/* Where artifacts come from; in pp.conf and the environment with blanks between. */
static void
repositories(const struct pass *p, struct strv *repos)
{
	const struct strv *given = settings_list(p->settings, "repo");
	AUTO_FREE char *place = pass_place(p, "repo");

	for (size_t i = 0; i < given->n; i++) {
		AUTO_STRV struct strv words = { 0 };

		strv_split(&words, given->items[i], ' ');
		for (size_t k = 0; k < words.n; k++)
			if (words.items[k][0] != '\0')
				strv_add(repos, xstrdup(words.items[k]));
	}
	if (repos->n == 0)
		strv_add(repos, xasprintf("file://%s", place));
}

static int
observe(struct pass *p, struct err *e)
{
	AUTO_STRV struct strv repos = { 0 };

	repositories(p, &repos);
	for (size_t i = 0; i < repos.n; i++)
		if (fetch_check_repo(repos.items[i], e) < 0)
			return -1;
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct seen_installs *seen = &p->seen[i].installs;
		struct err why = ERR_INIT;

		if (p->intent.apps[i].certainty == INTENT_STATED &&
		    look(&p->intent.apps[i], seen, &why) < 0)
			seen->fault = xstrdup(why.msg);
	}
	return 0;
}

static void
plan_app(const struct intent_app *app, const struct seen_installs *seen, struct app_plan *plan)
{
	if (plan_common(plan, seen->fault) || app->certainty == INTENT_GONE)
		return;
	for (size_t i = 0; i < seen->leftovers.n; i++)
		plan_step(plan, PREPARE_SWEEP, seen->leftovers.items[i],
		    "the run that was unpacking it is gone", "remove %s/installs/%s", app->basedir,
		    seen->leftovers.items[i]);
	for (size_t i = 0; i < app->nversions; i++)
		if (!seen->there[i])
			plan_step(plan, PREPARE_INSTALL, app->versions[i].id,
			    app->versions[i].active ? "it is the active version" :
						      "it is to be ready",
			    "install %s/installs/%s_%s", app->basedir, app->name,
			    app->versions[i].id);
}

static void
plan(const struct pass *p, struct plan *plan)
{
	for (size_t i = 0; i < p->intent.napps; i++)
		plan_app(&p->intent.apps[i], &p->seen[i].installs,
		    plan_add(plan, &p->intent.apps[i], &p->seen[i]));
}

static const struct intent_version *
version_of(const struct intent_app *app, const char *id)
{
	for (size_t i = 0; i < app->nversions; i++)
		if (strcmp(app->versions[i].id, id) == 0)
			return &app->versions[i];
	return NULL;
}

static struct fetch *
open_fetch(const struct pass *p, struct err *e)
{
	const struct settings *s = p->settings;
	AUTO_STRV struct strv repos = { 0 };
	struct fetch_options options = { .repos = &repos,
		.cacert = settings_text(s, "repo-cacert"),
		.netrc = settings_text(s, "netrc"),
		.headers = settings_text(s, "repo-headers"),
		.s3_endpoint = settings_text(s, "s3-endpoint"),
		.s3_credentials = settings_text(s, "s3-credentials") };

	repositories(p, &repos);
	return fetch_new(&options, e);
}

static struct fetch *fetch;

static void
close_fetch(void)
{
	fetch_free(fetch);
}

static int
install_version(const struct pass *p, const struct intent_app *app, const char *path, int dir,
    const struct intent_version *version, struct err *e)
{
	AUTO_FREE char *part = xasprintf(".%s_%s.part", app->name, version->id);
	AUTO_FETCHED struct fetched got = FETCHED_INIT;
	struct user user;
	struct install in = { .path = path,
		.dir = dir,
		.app = app->name,
		.version = version->id,
		.digest = version->digest,
		.gid = (gid_t)-1 };

	log_change("Does not exist: %s/%s_%s", path, app->name, version->id);
	if (user_of_app(app->runas, app->name, &user, e) < 0)
		return -1;
	if (!user.self)
		in.gid = user.gid;
	if (fetch == NULL) {
		fetch = open_fetch(p, e);
		if (fetch == NULL)
			return -1;
		(void)atexit(close_fetch);
	}
	if (fetch_artifact(fetch, app->name, version->id, dir, part, &got, e) < 0)
		return -1;
	return install_unpack(&in, got.fd, got.where, e) < 0 ? err_wrap(e, "%s", got.where) : 0;
}

static int
apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/installs", ap->app->basedir);
	AUTO_CLOSE int base = -1, dir = -1;

	if (dir_make(ap->app->basedir, 0755, e) < 0)
		return -1;
	/* Below basedir no symlink is followed: it may be the app's own user who put it there. */
	base = dir_open(ap->app->basedir, e);
	if (base < 0)
		return -1;
	dir = dir_make_at(base, "installs", 0755, e);
	if (dir < 0)
		return err_wrap(e, "%s", ap->app->basedir);
	if (step->kind == PREPARE_SWEEP)
		return install_sweep(dir, step->subject, e);
	return install_version(p, ap->app, path, dir, version_of(ap->app, step->subject), e) < 0 ?
	    err_wrap(e, "version %s", step->subject) :
	    0;
}

const struct agent agent_preparer = {
	.name = "preparer",
	.summary = "fetch and unpack the versions this node should have ready",
	.steps_apart = 1,
	.settings = settings,
	.observe = observe,
	.plan = plan,
	.apply = apply,
};
