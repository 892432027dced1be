/*
 * port_authority: <config-dir>/<app>.yml, and a program that is told to rebuild the rules from them.
 *
 * The manifest of the directory says which files pp wrote, and whether a rebuild is still due. A file
 * of pp's that somebody edited stands for one rule of port 0, which no intent has: an app that is held
 * keeps that rule, and so its file.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/yaml.h"
#include "lib/firewall/firewall.h"
#include "lib/fs/file.h"
#include "lib/fs/manifest.h"
#include "lib/fs/path.h"
#include "lib/sys/run.h"

#define FILE_MAX ((size_t)1 << 20) /* bytes */

static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };

/* "slug_1212_tcp: {port: 1212, protocol: tcp}", in block style and ascending order. */
static int
render(const struct fw_rule *rules, size_t n, struct buf *out, struct err *e)
{
	json_auto_t *doc = json_object();

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *key = xasprintf("%s_%u_%s", rules[i].app, rules[i].first,
		    fw_proto_name(rules[i].proto));

		(void)json_object_set_new(doc, key,
		    json_pack("{s:i,s:s}", "port", (int)rules[i].first, "protocol",
			fw_proto_name(rules[i].proto)));
	}
	return yaml_render(doc, out, e);
}

static int
by_port(const void *left, const void *right)
{
	const struct fw_rule *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return (int)a->proto - (int)b->proto;
}

/* What the file of an app is to hold. */
static int
render_app(const struct fw_rules *wanted, const char *app, struct buf *out, struct err *e)
{
	size_t n;
	const struct fw_rule *rules = fw_rules_of(wanted, app, &n);
	AUTO_FREE struct fw_rule *sorted = xcalloc(n, sizeof *sorted);

	if (n > 0)
		memcpy(sorted, rules, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_port);
	return render(sorted, n, out, e);
}

/* The app of a file; NULL if it is none of pp's names. Owns: the caller frees. */
static char *
app_of_file(const char *file)
{
	size_t n = strlen(file);
	AUTO_FREE char *app = NULL;

	if (n <= 4 || strcmp(file + n - 4, ".yml") != 0)
		return NULL;
	app = xmemdup(file, n - 4);
	return path_is_name(app) ? mem_take(&app) : NULL;
}

static int
open_dir(const struct firewall *f, struct err *e)
{
	int dir = open(f->options.config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? err_sys(e, "open %s", f->options.config_dir) : dir;
}

/* The ports that a file of ours opens: those that, written again, give just its bytes. */
static int
read_file(int dir, const char *file, const char *app, struct fw_rules *found, struct err *e)
{
	AUTO_BUF struct buf text = { 0 }, again = { 0 };
	AUTO_STRV struct strv lines = { 0 };
	AUTO_RULES struct fw_rules rules = { 0 };
	unsigned port = 0;
	int r = file_read(dir, file, FILE_MAX, &text, e);

	if (r != 0)
		return r < 0 ? -1 : 0;
	strv_split(&lines, text.data, '\n');
	for (size_t i = 0; i < lines.n; i++) {
		char proto[4];

		if (sscanf(lines.items[i], "  port: %5u", &port) == 1)
			continue;
		if (sscanf(lines.items[i], "  protocol: %3s", proto) == 1 && port >= 1 &&
		    port <= 65535)
			fw_rules_add(&rules, app, proto[0] == 'u' ? INTENT_UDP : INTENT_TCP,
			    (uint16_t)port, (uint16_t)port, NULL, 0, 0);
	}
	fw_rules_sort(&rules);
	if (render_app(&rules, app, &again, e) < 0)
		return -1;
	if (again.n == text.n && memcmp(again.data, text.data, text.n) == 0)
		fw_rules_keep_app(found, &rules, app);
	else
		fw_rules_add(found, app, INTENT_TCP, 0, 0, NULL, 0, 0);
	return 0;
}

static int
look(struct firewall *f, struct err *e)
{
	AUTO_STRV struct strv ours = { 0 };
	struct err why = ERR_INIT;
	AUTO_CLOSE int dir = open_dir(f, &why);
	int pending;

	if (dir < 0 && errno == ENOENT) {
		f->absent = 1;
		return 0;
	}
	if (dir < 0) {
		*e = why;
		return -1;
	}
	pending = manifest_is_pending(dir, e);
	if (pending < 0 || manifest_read(dir, &ours, e) < 0)
		return err_wrap(e, "%s", f->options.config_dir);
	f->absent = ours.n == 0;
	if (pending)
		f->damage = xstrdup("the last rebuild did not succeed");
	for (size_t i = 0; i < ours.n; i++) {
		AUTO_FREE char *app = app_of_file(ours.items[i]);

		if (app != NULL && read_file(dir, ours.items[i], app, &f->found, e) < 0)
			return err_wrap(e, "%s", f->options.config_dir);
	}
	return 0;
}

/* A file of that name that pp did not write, and that is not what it would write either. */
static int
check_not_foreign(const struct firewall *f, const struct intent_app *app, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s.yml", app->name);
	AUTO_STRV struct strv ours = { 0 };
	AUTO_RULES struct fw_rules rules = { 0 };
	AUTO_BUF struct buf text = { 0 };
	struct err none = ERR_INIT;
	AUTO_CLOSE int dir = open_dir(f, &none);
	struct stat st;
	int same;

	if (dir < 0 || fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	fw_rules_add_app(&rules, app);
	fw_rules_sort(&rules);
	if (manifest_read(dir, &ours, e) < 0 || render_app(&rules, app->name, &text, e) < 0)
		return -1;
	if (strv_has(&ours, file))
		return 0;
	same = file_same(dir, file, text.data, text.n, &attr, e);
	if (same != 0)
		return same < 0 ? -1 : 0;
	return err_set(e, ERR_FAIL, "%s is in the way: pp did not write it; move it away", file);
}

static int
check_ports(const struct intent_app *app, struct err *e)
{
	for (size_t i = 0; i < app->nports; i++) {
		const struct intent_port *port = &app->ports[i];

		if (port->first != port->last)
			return err_set(e, ERR_DATA,
			    "ports: port_authority takes no range like %u-%u; "
			    "list the ports one by one",
			    port->first, port->last);
		if (port->from.n > 0)
			return err_set(e, ERR_DATA,
			    "ports: port_authority cannot restrict who may "
			    "reach port %u, and opening it to everybody was not asked for",
			    port->first);
	}
	return 0;
}

static int
check(const struct firewall *f, const struct intent_app *app, struct err *e)
{
	if (check_ports(app, e) < 0 || check_not_foreign(f, app, e) < 0)
		return err_wrap(e, "%s", f->options.config_dir);
	return 0;
}

/* Apps of which there is or shall be something, sorted. */
static void
list_apps(const struct fw_rules *a, const struct fw_rules *b, struct strv *apps)
{
	const struct fw_rules *both[] = { a, b };

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < both[k]->n; i++)
			if (i == 0 || strcmp(both[k]->v[i].app, both[k]->v[i - 1].app) != 0)
				if (!strv_has(apps, both[k]->v[i].app))
					strv_add(apps, xstrdup(both[k]->v[i].app));
	strv_sort(apps);
}

/* Is the file of this app to stay as somebody edited it? */
static int
is_kept(const struct fw_rules *wanted, const char *app)
{
	size_t n;
	const struct fw_rule *rules = fw_rules_of(wanted, app, &n);

	return n > 0 && rules[0].first == 0;
}

static char *
describe(const struct firewall *f, const struct fw_rules *wanted)
{
	AUTO_STRV struct strv apps = { 0 };
	AUTO_BUF struct buf out = { 0 };
	struct err ignored = ERR_INIT;

	list_apps(&f->found, wanted, &apps);
	for (size_t i = 0; i < apps.n; i++) {
		AUTO_BUF struct buf text = { 0 };

		if (is_kept(wanted, apps.items[i]) ||
		    fw_rules_same_app(&f->found, wanted, apps.items[i]) ||
		    render_app(wanted, apps.items[i], &text, &ignored) < 0)
			continue;
		buf_printf(&out, "# %s/%s.yml\n%s", f->options.config_dir, apps.items[i],
		    text.data);
	}
	buf_printf(&out, "# %s rebuild\n", f->options.cmd);
	return mem_take(&out.data);
}

static int
write_app(int dir, const struct fw_rules *wanted, const char *app, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s.yml", app);
	AUTO_BUF struct buf text = { 0 };
	size_t n;
	int same;

	(void)fw_rules_of(wanted, app, &n);
	if (n == 0) {
		if (file_remove(dir, file, e) < 0)
			return -1;
		return manifest_note(dir, file, 0, e);
	}
	if (render_app(wanted, app, &text, e) < 0)
		return -1;
	same = file_same(dir, file, text.data, text.n, &attr, e);
	if (same < 0 || manifest_note(dir, file, 1, e) < 0)
		return -1;
	return same ? 0 : file_write(dir, file, text.data, text.n, &attr, e);
}

static int
rebuild(const struct firewall *f, int dir, struct err *e)
{
	const char *argv[] = { f->options.cmd, "rebuild", NULL };
	struct run run = { .argv = argv };

	if (run_checked(&run, e) < 0)
		return err_wrap(e, "error refreshing portauthority");
	return manifest_set_pending(dir, 0, e);
}

static int
write_rules(struct firewall *f, const struct fw_rules *wanted, struct err *e)
{
	AUTO_STRV struct strv apps = { 0 };
	struct err first = ERR_INIT;
	AUTO_CLOSE int dir = -1;

	if (dir_make(f->options.config_dir, 0755, e) < 0)
		return -1;
	dir = open_dir(f, e);
	/* Before the first change: whoever is killed now has the rebuild made up for. */
	if (dir < 0 || manifest_set_pending(dir, 1, e) < 0)
		return -1;
	list_apps(&f->found, wanted, &apps);
	for (size_t i = 0; i < apps.n; i++) {
		struct err why = ERR_INIT;

		if (is_kept(wanted, apps.items[i]) ||
		    fw_rules_same_app(&f->found, wanted, apps.items[i]))
			continue;
		if (write_app(dir, wanted, apps.items[i], &why) < 0 && first.class == ERR_NONE) {
			err_wrap(&why, "%s/%s.yml", f->options.config_dir, apps.items[i]);
			first = why;
		}
	}
	if (rebuild(f, dir, e) < 0)
		return -1;
	if (first.class != ERR_NONE)
		*e = first;
	return first.class == ERR_NONE ? 0 : -1;
}

const struct firewall_ops firewall_port_authority = {
	.name = "port_authority",
	.refreshing = "refreshing portauthority",
	.look = look,
	.check = check,
	.describe = describe,
	.write = write_rules,
};
