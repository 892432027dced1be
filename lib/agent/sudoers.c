/*
 * sudoers: an app's owners may act as the app's user, by a file pp-<app> in sudoers.d.
 *
 * sudo ignores files whose name has a dot, so a dot in the app's name is written %2e; no app's name
 * has a percent sign. Temporary files begin with a dot, so sudo never reads one.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/base/log.h"
#include "lib/fs/file.h"
#include "lib/sys/run.h"

#define PREFIX "pp-"

enum { SUDOERS_WRITE, SUDOERS_REMOVE };

static const struct setting settings[] = {
	{ "path", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "sudo's directory (default: /etc/sudoers.d)" },
	{ 0 },
};

static char *
sudoers_dir(const struct pass *p)
{
	return pass_dir(p, "path", "/etc/sudoers.d", "sudoers.d");
}

/* A name that begins with a slash is no app's: it stands for a file that pp does not name so. */
static char *
file_of_app(const char *app)
{
	AUTO_BUF struct buf name = { 0 };

	if (app[0] == '/')
		return xasprintf(PREFIX "%s", app + 1);
	buf_printf(&name, PREFIX);
	for (; *app != '\0'; app++)
		if (*app == '.')
			buf_add(&name, "%2e", 3);
		else
			buf_add(&name, app, 1);
	return mem_take(&name.data);
}

/* Undoes file_of_app(). */
static char *
app_of_file(const char *file)
{
	AUTO_BUF struct buf name = { 0 };
	AUTO_FREE char *again = NULL;

	buf_add(&name, "", 0);
	for (const char *at = file + strlen(PREFIX); *at != '\0'; at++) {
		if (strncmp(at, "%2e", 3) == 0) {
			buf_add(&name, ".", 1);
			at += 2;
		} else {
			buf_add(&name, at, 1);
		}
	}
	again = file_of_app(name.data);
	if (strcmp(again, file) != 0)
		return xasprintf("/%s", file + strlen(PREFIX));
	return mem_take(&name.data);
}

static struct file_attr
sudoers_attr(void)
{
	int root = geteuid() == 0;

	return (struct file_attr){ 0440, root ? 0 : FILE_KEEP, root ? 0 : FILE_KEEP };
}

/* "xavier, don, %ops ALL = (slug) ALL\n" */
static int
render(const struct intent_app *app, struct buf *out, struct err *e)
{
	const char *runas = app->runas != NULL ? app->runas : app->name;
	size_t n = 0;

	if (!intent_is_user_name(runas))
		return err_set(e, ERR_DATA,
		    "\"%s\" cannot stand for a user in sudoers, where a word in "
		    "capitals is an alias; set runas in deploy_config",
		    runas);
	for (size_t i = 0; i < app->owners.users.n; i++)
		buf_printf(out, "%s%s", n++ ? ", " : "", app->owners.users.items[i]);
	for (size_t i = 0; i < app->owners.groups.n; i++)
		buf_printf(out, "%s%%%s", n++ ? ", " : "", app->owners.groups.items[i]);
	buf_printf(out, " ALL = (%s) ALL\n", runas);
	return 0;
}

static int
has_owners(const struct intent_app *app)
{
	return app->owners.users.n + app->owners.groups.n > 0;
}

static int
look(const struct intent_app *app, int dir, const struct strv *files, struct seen_sudoers *seen,
    struct err *e)
{
	AUTO_FREE char *file = file_of_app(app->name);
	struct file_attr attr = sudoers_attr();
	AUTO_BUF struct buf text = { 0 };

	seen->present = strv_has(files, file);
	if (app->certainty != INTENT_STATED || !has_owners(app))
		return 0;
	if (render(app, &text, e) < 0)
		return -1;
	if (!seen->present)
		return 0;
	seen->same = file_same(dir, file, text.data, text.n, &attr, e);
	return seen->same < 0 ? -1 : 0;
}

static int
observe(struct pass *p, struct err *e)
{
	AUTO_FREE char *path = sudoers_dir(p);
	AUTO_STRV struct strv files = { 0 }, apps = { 0 };
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 && errno != ENOENT)
		return err_sys(e, "open %s", path);
	if (dir >= 0 && dir_list(dir, &files, e) < 0)
		return err_wrap(e, "%s", path);
	for (size_t i = 0; i < files.n; i++)
		if (strncmp(files.items[i], PREFIX, strlen(PREFIX)) == 0)
			strv_add(&apps, app_of_file(files.items[i]));
	pass_leftovers(p, &apps);
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct err why = ERR_INIT;

		if (look(&p->intent.apps[i], dir, &files, &p->seen[i].sudoers, &why) < 0)
			p->seen[i].sudoers.fault = xstrdup(why.msg);
	}
	return 0;
}

static void
plan_app(const struct intent_app *app, const struct seen_sudoers *seen, struct app_plan *plan)
{
	AUTO_FREE char *file = file_of_app(app->name);

	if (plan_common(plan, seen->fault))
		return;
	if (app->certainty == INTENT_GONE) {
		if (seen->present)
			plan_step(plan, SUDOERS_REMOVE, file,
			    "the app is not assigned to this node any more", "remove %s", file);
		return;
	}
	if (app->owners_certainty == INTENT_UNREADABLE ||
	    (app->owners_certainty == INTENT_DOUBTED && seen->present)) {
		plan_say(plan, PLAN_HELD, "could not fetch ownership data: %s", app->owners_reason);
		return;
	}
	if (!has_owners(app)) {
		if (seen->present)
			plan_step(plan, SUDOERS_REMOVE, file, "it has no owners", "remove %s",
			    file);
		else
			plan_say(plan, PLAN_CONVERGED, "no owners, skipping");
		return;
	}
	if (!seen->same)
		plan_step(plan, SUDOERS_WRITE, file,
		    seen->present ? "its owners differ" : "its owners have none yet", "write %s",
		    file);
	else
		plan_say(plan, PLAN_CONVERGED, "no change to sudoers");
}

static void
plan(const struct pass *p, struct plan *plan)
{
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct app_plan *ap = plan_add(plan, &p->intent.apps[i], &p->seen[i]);

		plan_app(ap->app, &p->seen[i].sudoers, ap);
	}
}

static int
validate(const char *path, const char *tmp, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s/%s", path, tmp);
	const char *argv[] = { "visudo", "-cf", file, NULL };
	struct run run = { .argv = argv };

	return run_checked(&run, e) < 0 ? err_wrap(e, "could not validate sudoers") : 0;
}

static int
write_rule(const struct intent_app *app, const char *path, int dir, const char *file, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	AUTO_FREE char *tmp = NULL;
	struct file_attr attr = sudoers_attr();

	if (render(app, &text, e) < 0 ||
	    file_stage(dir, file, text.data, text.n, &attr, &tmp, e) < 0)
		return -1;
	if (validate(path, tmp, e) < 0) {
		(void)unlinkat(dir, tmp, 0);
		return -1;
	}
	if (file_publish(dir, tmp, file, e) < 0)
		return -1;
	log_change("%s: wrote new sudoers", app->name);
	return 0;
}

static int
apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	AUTO_FREE char *path = sudoers_dir(p);
	AUTO_CLOSE int dir = -1;

	if (dir_make(path, 0750, e) < 0)
		return -1;
	dir = dir_open(path, e);
	if (dir < 0)
		return -1;
	if (step->kind == SUDOERS_WRITE)
		return write_rule(ap->app, path, dir, step->subject, e);
	log_change("%s: removing unexpected file: %s", ap->app->name, step->subject);
	return file_remove(dir, step->subject, e);
}

const struct agent agent_sudoers = {
	.name = "sudoers",
	.summary = "let an app's owners act as the app's user",
	.reads = INTENT_OWNERS,
	.settings = settings,
	.observe = observe,
	.plan = plan,
	.apply = apply,
};
