/*
 * servicebuilder: <config>/<app>.yaml, from which the program of that name makes the service
 * directories: servicebuilder -c CONFIG -d SCAN -s STAGE.
 *
 * A command is one string, of a shell, for a service with neither env nor limits; else an array of its
 * words, which starts a clean environment: what was written without stays as it was.
 *
 * The manifest of the configuration directory says which files pp wrote, and whether servicebuilder
 * has yet to be run.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <jansson.h>

#include "lib/base/yaml.h"
#include "lib/fs/file.h"
#include "lib/fs/manifest.h"
#include "lib/service/definition.h"
#include "lib/service/sv.h"
#include "lib/sys/run.h"

#define YAML_MAX (16 << 20) /* every service has the whole of env */

static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };

/* As it ever was. Owns: the caller. */
static json_t *
render_plain(const struct service_spec *spec, const char *launch)
{
	AUTO_FREE char *quoted = service_quote(launch);
	AUTO_FREE char *command = spec->user->self ?
	    xstrdup(quoted) :
	    xasprintf("chpst -u %s %s", spec->user->name, quoted);

	return json_pack("[s]", command);
}

/* With env or limits: no word of it may look like anything but text to a reader of YAML. */
static json_t *
render_words(const struct service_spec *spec, const struct strv *limits, const char *launch,
    struct err *e)
{
	json_t *words = json_pack("[s,s]", "env", "-i");
	AUTO_STRV struct strv all = { 0 };

	definition_environment(spec, &all);
	if (!spec->user->self || limits->n > 0)
		strv_add(&all, xstrdup("chpst"));
	if (!spec->user->self)
		strv_add(&all, xasprintf("-u%s", spec->user->name));
	for (size_t i = 0; i < limits->n; i++)
		strv_add(&all, xstrdup(limits->items[i]));
	strv_add(&all, xstrdup(launch));
	for (size_t i = 0; i < all.n; i++)
		if (json_array_append_new(words, json_string(all.items[i])) < 0) {
			json_decref(words);
			(void)err_set(e, ERR_DATA, "env: %.*s is not UTF-8, as YAML has to be",
			    (int)strcspn(all.items[i], "="), all.items[i]);
			return NULL;
		}
	return words;
}

static int
render(const struct service_spec *spec, struct buf *out, struct err *e)
{
	json_auto_t *doc = json_object();
	AUTO_STRV struct strv limits = { 0 };
	int plain;

	definition_limits(spec, &limits);
	plain = limits.n == 0 && (spec->env == NULL || spec->env->n == 0);
	for (size_t i = 0; i < spec->services->n; i++) {
		const char *service = spec->services->items[i];
		AUTO_FREE char *launch = service_launch(spec, service);
		json_t *run =
		    plain ? render_plain(spec, launch) : render_words(spec, &limits, launch, e);

		if (run == NULL)
			return -1;
		(void)json_object_set_new(doc, service, json_pack("{s:o}", "run", run));
	}
	return yaml_render(doc, out, e);
}

/* A file that ends in ".yaml" is of the app before that; NULL for other names. Caller frees. */
static char *
app_of_file(const char *file)
{
	size_t n = strlen(file);

	return n > 5 && strcmp(file + n - 5, ".yaml") == 0 ? xmemdup(file, n - 5) : NULL;
}

/* The services that a file defines: its keys that are not indented. */
static int
services_in(int dir, const char *file, const char *app, struct strv *services, struct strv *apps,
    struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	AUTO_STRV struct strv lines = { 0 };
	int r = file_read(dir, file, YAML_MAX, &text, e);

	if (r < 0)
		return -1;
	/* Noted and not there: its removal was not finished. */
	if (r > 0) {
		strv_add(services, xstrdup(app));
		strv_add(apps, xstrdup(app));
		return 0;
	}
	strv_split(&lines, text.data, '\n');
	for (size_t i = 0; i < lines.n; i++) {
		size_t n = strlen(lines.items[i]);

		if (n < 2 || lines.items[i][0] == ' ' || lines.items[i][n - 1] != ':')
			continue;
		strv_add(services, xmemdup(lines.items[i], n - 1));
		strv_add(apps, xstrdup(app));
	}
	return 0;
}

static int
open_config(const struct supervisor *s, int *missing, struct err *e)
{
	int fd = open(s->config, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*missing = fd < 0 && errno == ENOENT;
	return fd < 0 ? err_sys(e, "open %s", s->config) : fd;
}

static int
sb_list(const struct supervisor *s, struct service_list *list, struct err *e)
{
	AUTO_STRV struct strv ours = { 0 };
	int missing;
	AUTO_CLOSE int dir = open_config(s, &missing, e);

	if (dir < 0)
		return missing ? 0 : -1;
	if (manifest_read(dir, &ours, e) < 0)
		return err_wrap(e, "%s", s->config);
	for (size_t i = 0; i < ours.n; i++) {
		AUTO_FREE char *app = app_of_file(ours.items[i]);

		if (app != NULL &&
		    services_in(dir, ours.items[i], app, &list->services, &list->apps, e) < 0)
			return err_wrap(e, "%s", s->config);
	}
	return 0;
}

/* A service's place must be free or ours, and no other app's file may define it. */
static int
check_services(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	AUTO_SERVICES struct service_list list = { 0 };

	if (sb_list(s, &list, e) < 0)
		return -1;
	for (size_t i = 0; i < list.services.n; i++)
		if (strv_has(spec->services, list.services.items[i]) &&
		    strcmp(list.apps.items[i], spec->app) != 0)
			return err_set(e, ERR_FAIL,
			    "service %s is app %s's already; rename one of them",
			    list.services.items[i], list.apps.items[i]);
	for (size_t i = 0; i < spec->services->n; i++)
		if (sv_check_scan(s, spec->services->items[i], e) < 0)
			return -1;
	return 0;
}

/* 1: the file is there as it should be; 0: it is to be written; -1: it is somebody else's. */
static int
compare(const struct supervisor *s, int dir, const struct service_spec *spec, const char *file,
    const struct buf *yaml, struct err *e)
{
	AUTO_STRV struct strv ours = { 0 };
	struct stat st;
	int same;

	if (check_services(s, spec, e) < 0)
		return -1;
	same = file_same(dir, file, yaml->data, yaml->n, &attr, e);
	if (same != 0 || fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return same;
	if (manifest_read(dir, &ours, e) < 0)
		return -1;
	if (!strv_has(&ours, file))
		return err_set(e, ERR_FAIL,
		    "%s/%s is in the way: pp did not write it for %s; move it away", s->config,
		    file, spec->app);
	return 0;
}

static int
sb_same(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s.yaml", spec->app);
	AUTO_BUF struct buf yaml = { 0 };
	int missing, same, pending;
	AUTO_CLOSE int dir = open_config(s, &missing, e);

	if (dir < 0)
		return missing ? 0 : -1;
	if (render(spec, &yaml, e) < 0)
		return -1;
	same = compare(s, dir, spec, file, &yaml, e);
	if (same != 1)
		return same;
	pending = manifest_is_pending(dir, e);
	return pending < 0 ? -1 : !pending;
}

/* Let servicebuilder make what the configuration says; what it was not told yet stays noted. */
static int
build(const struct supervisor *s, int dir, struct err *e)
{
	const char *argv[] = { "servicebuilder", "-c", s->config, "-d", s->scan, "-s", s->stage,
		NULL };
	struct run run = { .argv = argv };

	if (dir_make(s->scan, 0755, e) < 0 || dir_make(s->stage, 0755, e) < 0 ||
	    run_checked(&run, e) < 0)
		return -1;
	return manifest_set_pending(dir, 0, e);
}

static int
sb_rehearse(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s.yaml", spec->app);
	AUTO_BUF struct buf yaml = { 0 };
	AUTO_CLOSE int dir = -1;

	if (dir_make(s->config, 0755, e) < 0)
		return -1;
	dir = dir_open(s->config, e);
	if (dir < 0 || render(spec, &yaml, e) < 0)
		return -1;
	return file_rehearse(dir, file, yaml.data, yaml.n, &attr, e);
}

static int
sb_define(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s.yaml", spec->app);
	AUTO_BUF struct buf yaml = { 0 };
	AUTO_CLOSE int dir = -1;
	int same;

	if (dir_make(s->config, 0755, e) < 0)
		return -1;
	dir = dir_open(s->config, e);
	if (dir < 0 || render(spec, &yaml, e) < 0)
		return -1;
	same = compare(s, dir, spec, file, &yaml, e);
	if (same < 0 || manifest_set_pending(dir, 1, e) < 0 || manifest_note(dir, file, 1, e) < 0)
		return -1;
	if (same == 0 && file_write(dir, file, yaml.data, yaml.n, &attr, e) < 0)
		return -1;
	return build(s, dir, e);
}

static int
sb_remove(const struct supervisor *s, const char *app, const struct strv *services, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s.yaml", app);
	AUTO_CLOSE int dir = -1, stage = -1;
	int missing;

	dir = open_config(s, &missing, e);
	if (dir < 0 && missing)
		e->class = ERR_NONE;
	if (dir < 0)
		return missing ? 0 : -1;
	if (manifest_set_pending(dir, 1, e) < 0 || file_remove(dir, file, e) < 0 ||
	    build(s, dir, e) < 0)
		return -1;
	stage = dir_open(s->stage, e);
	for (size_t i = 0; stage >= 0 && i < services->n; i++)
		if (sv_clear(s, stage, services->items[i], e) < 0)
			return -1;
	return stage < 0 ? -1 : manifest_note(dir, file, 0, e);
}

/* Its links are servicebuilder's; a stopped service only must not be started by runsvdir. */
static int
sb_enable(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", s->stage, service);
	AUTO_CLOSE int dir = dir_open(path, e);

	return dir < 0 ? -1 : file_remove(dir, "down", e);
}

const struct supervisor_ops supervisor_servicebuilder = {
	.name = "servicebuilder",
	.configuring = "Configuring service builder",
	.list = sb_list,
	.same = sb_same,
	.define = sb_define,
	.rehearse = sb_rehearse,
	.remove = sb_remove,
	.enable = sb_enable,
	.status = sv_status,
	.start = sv_start,
	.stop = sv_stop,
	.restore = sv_restore,
	.keep_down = sv_keep_down,
	.enabled = sv_enabled,
	.log_place = sv_log_place,
	.log_tail = sv_log_tail,
};
