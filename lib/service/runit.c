/*
 * runit, directly: <stage>/<service>/ with run and log/run, linked into the scan directory.
 *
 * The second line of run says that pp wrote it and for which app; nothing without it is touched.
 * The link is made when the service is started, so a definition alone starts nothing.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/fs/file.h"
#include "lib/service/definition.h"
#include "lib/service/sv.h"

static const struct file_attr script = { 0755, FILE_KEEP, FILE_KEEP };
static const char log_run[] = "#!/bin/sh\nexec svlogd -tt ./main\n";

/* The user and the limits: chpst and its options, where there is anything to change. */
static void
render_chpst(const struct service_spec *spec, struct buf *out)
{
	AUTO_STRV struct strv limits = { 0 };

	definition_limits(spec, &limits);
	if (spec->user->self && limits.n == 0)
		return;
	buf_printf(out, "chpst ");
	if (!spec->user->self)
		buf_printf(out, "-u %s ", spec->user->name);
	for (size_t i = 0; i < limits.n; i++)
		buf_printf(out, "%s ", limits.items[i]);
}

static char *
render_run(const struct service_spec *spec, const char *service)
{
	AUTO_FREE char *launch = service_launch(spec, service), *command = service_quote(launch);
	AUTO_FREE char *dir = xasprintf("%s/current", spec->basedir), *cwd = service_quote(dir);
	AUTO_FREE char *config = xasprintf("%s/config/user_config.json", spec->basedir);
	AUTO_FREE char *config_word = service_quote(config), *mark = definition_mark(spec);
	AUTO_BUF struct buf out = { 0 };

	/* To change a byte of this restarts every service of a fleet. */
	buf_printf(&out, "#!/bin/sh\n%sexec 2>&1\ncd %s || exit 1\nexec env -i \\\n", mark, cwd);
	buf_printf(&out, "\t" DEFINITION_PATH " \\\n");
	buf_printf(&out, "\tPP_APP=%s PP_VERSION=%s PP_CLUSTER=%s PP_NODE=%s \\\n", spec->app,
	    spec->version, spec->cluster, spec->node);
	buf_printf(&out, "\tPP_USER_CONFIG=%s \\\n", config_word);
	if (spec->port > 0)
		buf_printf(&out, "\tPORT=%d \\\n", spec->port);
	for (size_t i = 0; spec->env != NULL && i < spec->env->n; i++) {
		AUTO_FREE char *word = service_quote(spec->env->items[i]);

		buf_printf(&out, "\t%s \\\n", word);
	}
	buf_printf(&out, "\t");
	render_chpst(spec, &out);
	buf_printf(&out, "%s\n", command);
	return mem_take(&out.data);
}

/* For which app pp wrote this service's run, and whether without a store; NULL where it is not pp's. */
static char *
owner_of(int stage, const char *service, int *direct)
{
	AUTO_FREE char *path = xasprintf("%s/run", service);
	AUTO_CLOSE int fd = -1;
	char text[DEFINITION_HEAD_MAX + 1] = "";
	const char *line;
	struct stat st;

	/* Whatever else is there is somebody else's: a link, a program, something not for our eyes. */
	if (fstatat(stage, service, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return NULL;
	fd = openat(stage, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    pread(fd, text, DEFINITION_HEAD_MAX, 0) < 0)
		return NULL;
	line = strchr(text, '\n');
	return line == NULL ? NULL : definition_owner(line + 1, direct);
}

/* The stage directory; -1 with *missing where there is none yet. */
static int
open_stage(const struct supervisor *s, int *missing, struct err *e)
{
	int fd = open(s->stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*missing = fd < 0 && errno == ENOENT;
	return fd < 0 ? err_sys(e, "open %s", s->stage) : fd;
}

static int
runit_list(const struct supervisor *s, struct service_list *list, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };
	int missing;
	AUTO_CLOSE int stage = open_stage(s, &missing, e);

	if (stage < 0)
		return missing ? 0 : -1;
	if (dir_list(stage, &names, e) < 0)
		return err_wrap(e, "%s", s->stage);
	for (size_t i = 0; i < names.n; i++) {
		int direct = 0;
		char *app = NULL;

		if (names.items[i][0] != '.')
			app = owner_of(stage, names.items[i], &direct);
		if (app == NULL)
			continue;
		strv_add(&list->services, xstrdup(names.items[i]));
		strv_add(&list->apps, app);
		if (direct)
			strv_add(&list->direct, xstrdup(app));
	}
	return 0;
}

static int
check_not_foreign(const struct supervisor *s, int stage, const char *app, const char *service,
    struct err *e)
{
	int direct;
	struct stat st, run;
	AUTO_FREE char *owner = NULL, *path = xasprintf("%s/run", service);

	if (fstatat(stage, service, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s/%s", s->stage, service);
	/* A run that was killed may have left the directory without its run. */
	if (S_ISDIR(st.st_mode) && fstatat(stage, path, &run, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT)
		return 0;
	owner = owner_of(stage, service, &direct);
	if (owner == NULL || strcmp(owner, app) != 0)
		return err_set(e, ERR_FAIL,
		    "%s/%s is in the way: pp did not make it for %s; move it away", s->stage,
		    service, app);
	return 0;
}

static int
same_service(int stage, const struct service_spec *spec, const char *service, struct err *e)
{
	AUTO_FREE char *run = render_run(spec, service), *path = xasprintf("%s/run", service);
	AUTO_FREE char *log_path = xasprintf("%s/log/run", service);
	AUTO_FREE char *down = xasprintf("%s/down", service);
	int same;

	/* Retired, so not as it should be for a service that is to run. */
	if (faccessat(stage, down, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	same = file_same(stage, path, run, strlen(run), &script, e);

	if (same != 1)
		return same;
	return file_same(stage, log_path, log_run, strlen(log_run), &script, e);
}

static int
runit_same(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	int missing;
	AUTO_CLOSE int stage = open_stage(s, &missing, e);

	for (size_t i = 0; i < spec->services->n; i++)
		if (sv_check_scan(s, spec->services->items[i], e) < 0)
			return -1;
	if (stage < 0)
		return missing ? 0 : -1;
	for (size_t i = 0; i < spec->services->n; i++) {
		int same;

		if (check_not_foreign(s, stage, spec->app, spec->services->items[i], e) < 0)
			return -1;
		same = same_service(stage, spec, spec->services->items[i], e);
		if (same != 1)
			return same;
	}
	return 1;
}

/* The directories of a service, made: the one for run and the one for log/run. */
static int
open_service(const struct supervisor *s, const char *service, int *dir, int *log, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", s->stage, service);
	AUTO_FREE char *main_dir = xasprintf("%s/log/main", path);
	AUTO_FREE char *log_dir = xasprintf("%s/log", path);

	if (dir_make(main_dir, 0755, e) < 0)
		return -1;
	*dir = dir_open(path, e);
	*log = dir_open(log_dir, e);
	return *dir < 0 || *log < 0 ? -1 : 0;
}

static int
define_service(const struct supervisor *s, const struct service_spec *spec, const char *service,
    struct err *e)
{
	AUTO_FREE char *run = render_run(spec, service);
	AUTO_CLOSE int dir = -1, log = -1;

	if (open_service(s, service, &dir, &log, e) < 0)
		return -1;
	/* log/run first: with run in place the service counts as defined. */
	if (file_write(log, "run", log_run, strlen(log_run), &script, e) < 0)
		return -1;
	return file_write(dir, "run", run, strlen(run), &script, e);
}

static int
runit_rehearse(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	for (size_t i = 0; i < spec->services->n; i++) {
		AUTO_FREE char *run = render_run(spec, spec->services->items[i]);
		AUTO_CLOSE int dir = -1, log = -1;

		if (open_service(s, spec->services->items[i], &dir, &log, e) < 0 ||
		    file_rehearse(log, "run", log_run, strlen(log_run), &script, e) < 0 ||
		    file_rehearse(dir, "run", run, strlen(run), &script, e) < 0)
			return err_wrap(e, "%s/%s", s->stage, spec->services->items[i]);
	}
	return 0;
}

static int
runit_define(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	AUTO_CLOSE int stage = -1;

	if (dir_make(s->stage, 0755, e) < 0)
		return -1;
	stage = dir_open(s->stage, e);
	if (stage < 0)
		return -1;
	for (size_t i = 0; i < spec->services->n; i++)
		if (check_not_foreign(s, stage, spec->app, spec->services->items[i], e) < 0 ||
		    define_service(s, spec, spec->services->items[i], e) < 0)
			return -1;
	return 0;
}

static int
runit_remove(const struct supervisor *s, const char *app, const struct strv *services,
    struct err *e)
{
	int missing;
	AUTO_CLOSE int stage = open_stage(s, &missing, e);

	if (stage < 0)
		return missing ? 0 : -1;
	for (size_t i = 0; i < services->n; i++) {
		if (check_not_foreign(s, stage, app, services->items[i], e) < 0)
			return -1;
		if (sv_clear(s, stage, services->items[i], e) < 0)
			return -1;
	}
	return 0;
}

static int
runit_enable(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", s->stage, service);
	AUTO_CLOSE int dir = dir_open(path, e), scan = -1;

	if (dir < 0 || file_remove(dir, "down", e) < 0 || dir_make(s->scan, 0755, e) < 0)
		return -1;
	scan = dir_open(s->scan, e);
	if (scan < 0)
		return -1;
	return link_flip(scan, service, path, e) < 0 ? err_wrap(e, "%s", s->scan) : 0;
}

const struct supervisor_ops supervisor_runit = {
	.name = "runit",
	.configuring = "Configuring runit",
	.list = runit_list,
	.same = runit_same,
	.define = runit_define,
	.rehearse = runit_rehearse,
	.remove = runit_remove,
	.enable = runit_enable,
	.status = sv_status,
	.start = sv_start,
	.stop = sv_stop,
	.restore = sv_restore,
	.keep_down = sv_keep_down,
	.enabled = sv_enabled,
	.log_place = sv_log_place,
	.log_tail = sv_log_tail,
};
