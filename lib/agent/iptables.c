/*
 * iptables: the ports of the apps on this node are open, and those of the gone ones are not.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/base/log.h"
#include "lib/firewall/port_authority.h"
#include "lib/fs/file.h"
#include "lib/fs/manifest.h"

enum { PORTS_OPEN, PORTS_CLOSE, PORTS_REBUILD };

static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };

static const struct setting settings[] = {
	{ "config-dir", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR", "port_authority's directory" },
	{ "cmd", 0, SETTING_TEXT, SETTING_ANYWHERE, "PROGRAM", "port_authority itself" },
	{ 0 },
};

static char *
config_dir(const struct pass *p)
{
	return pass_dir(p, "config-dir", "/etc/port_authority.d", "port_authority.d");
}

static int
look(const struct intent_app *app, int dir, const struct strv *ours, struct seen_ports *seen,
    struct err *e)
{
	AUTO_FREE char *file = port_authority_file(app->name);
	AUTO_BUF struct buf yaml = { 0 };
	struct stat st;

	seen->present = strv_has(ours, file);
	if (app->certainty != INTENT_STATED)
		return 0;
	if (port_authority_render(app, &yaml, e) < 0)
		return -1;
	/* An app without ports needs no file. */
	if (dir < 0) {
		seen->same = app->nports == 0;
		return 0;
	}
	seen->same = file_same(dir, file, yaml.data, yaml.n, &attr, e);
	if (seen->same < 0)
		return -1;
	if (seen->same || fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		seen->same |= app->nports == 0 && !seen->present;
		return 0;
	}
	if (!seen->present)
		return err_set(e, ERR_FAIL, "%s is in the way: pp did not write it; move it away",
		    file);
	return 0;
}

/* Apps that have a file of ours here, whatever the intent says. */
static void
find_leftovers(struct pass *p, const struct strv *ours)
{
	AUTO_STRV struct strv apps = { 0 };

	for (size_t i = 0; i < ours->n; i++) {
		char *app = port_authority_app(ours->items[i]);

		if (app != NULL)
			strv_add(&apps, app);
	}
	pass_leftovers(p, &apps);
}

static int
observe(struct pass *p, struct err *e)
{
	AUTO_FREE char *path = config_dir(p);
	AUTO_STRV struct strv ours = { 0 };
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 && errno != ENOENT)
		return err_sys(e, "open %s", path);
	if (dir >= 0) {
		p->refresh_pending = manifest_is_pending(dir, e);
		if (p->refresh_pending < 0 || manifest_read(dir, &ours, e) < 0)
			return err_wrap(e, "%s", path);
	}
	find_leftovers(p, &ours);
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct err why = ERR_INIT;

		if (look(&p->intent.apps[i], dir, &ours, &p->seen[i].ports, &why) < 0)
			p->seen[i].ports.fault = xasprintf("%s: %s", path, why.msg);
	}
	return 0;
}

static void
plan_app(const struct intent_app *app, const struct seen_ports *seen, struct app_plan *plan)
{
	AUTO_FREE char *file = port_authority_file(app->name);

	if (plan_common(plan, seen->fault))
		return;
	if (app->certainty == INTENT_GONE) {
		if (seen->present)
			plan_step(plan, PORTS_CLOSE, file,
			    "the app is not assigned to this node any more", "remove %s", file);
		return;
	}
	if (!seen->same)
		plan_step(plan, PORTS_OPEN, file,
		    seen->present ? "its ports differ" : "its ports are not there yet", "write %s",
		    file);
}

static void
plan(const struct pass *p, struct plan *plan)
{
	struct app_plan *node;
	size_t steps = 0;

	for (size_t i = 0; i < p->intent.napps; i++) {
		struct app_plan *ap = plan_add(plan, &p->intent.apps[i], &p->seen[i]);

		plan_app(ap->app, &p->seen[i].ports, ap);
		steps += ap->nsteps;
	}
	if (steps == 0 && !p->refresh_pending)
		return;
	node = plan_add(plan, NULL, NULL);
	plan_step(node, PORTS_REBUILD, NULL,
	    steps > 0 ? "files changed" : "the last rebuild did not succeed",
	    "have port_authority rebuild");
}

static int
write_ports(const struct app_plan *ap, int dir, const char *file, struct err *e)
{
	AUTO_BUF struct buf yaml = { 0 };

	if (port_authority_render(ap->app, &yaml, e) < 0)
		return -1;
	for (size_t i = 0; i < ap->app->nports; i++)
		log_change("%s: allowing %s:%u", ap->app->name,
		    ap->app->ports[i].proto == INTENT_UDP ? "udp" : "tcp", ap->app->ports[i].first);
	if (manifest_note(dir, file, 1, e) < 0)
		return -1;
	return file_write(dir, file, yaml.data, yaml.n, &attr, e);
}

static int
close_ports(const struct app_plan *ap, int dir, const char *file, struct err *e)
{
	log_change("%s: closing its ports", ap->app->name);
	if (file_remove(dir, file, e) < 0)
		return -1;
	return manifest_note(dir, file, 0, e);
}

static int
rebuild(const struct pass *p, int dir, struct err *e)
{
	const char *cmd = settings_text(p->settings, "cmd");

	log_change("refreshing portauthority");
	if (port_authority_rebuild(cmd != NULL ? cmd : "port_authority", e) < 0)
		return err_wrap(e, "error refreshing portauthority");
	return manifest_set_pending(dir, 0, e);
}

static int
apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	AUTO_FREE char *path = config_dir(p);
	AUTO_CLOSE int dir = -1;

	if (dir_make(path, 0755, e) < 0)
		return -1;
	dir = dir_open(path, e);
	if (dir < 0)
		return -1;
	if (step->kind == PORTS_REBUILD)
		return rebuild(p, dir, e);
	/* Before the first change: whoever is killed now has the rebuild made up for. */
	if (manifest_set_pending(dir, 1, e) < 0)
		return err_wrap(e, "%s", path);
	if ((step->kind == PORTS_OPEN ? write_ports(ap, dir, step->subject, e) :
					close_ports(ap, dir, step->subject, e)) < 0)
		return err_wrap(e, "%s", path);
	return 0;
}

const struct agent agent_iptables = {
	.name = "iptables",
	.summary = "open the ports of the apps on this node, close those of gone ones",
	.settings = settings,
	.observe = observe,
	.plan = plan,
	.apply = apply,
};
