/*
 * systemd: a unit file pp-<service>.service, and the link that has it started at boot.
 *
 * The first line of the file says that pp wrote it and for which app; a unit without it, or one of the
 * same name from another directory, is somebody else's and not touched. Drop-ins are the
 * administrator's: nothing here looks at them.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/fs/file.h"
#include "lib/service/definition.h"
#include "lib/service/systemd.h"
#include "lib/sys/run.h"

#define WANTS "multi-user.target.wants"

static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };

/* The directory; -1 with *e set, which a *missing one is not. */
static int
open_units(const struct supervisor *s, int *missing, struct err *e)
{
	int fd = open(systemd_units_dir(s), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*missing = fd < 0 && errno == ENOENT;
	return fd < 0 && !*missing ? err_sys(e, "open %s", systemd_units_dir(s)) : fd;
}

/* For which app pp wrote this unit, and whether without a store; NULL where it is not pp's. */
static char *
owner_of(int dir, const char *unit, int *direct)
{
	AUTO_CLOSE int fd = openat(dir, unit, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char text[DEFINITION_HEAD_MAX + 1] = "";
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    pread(fd, text, DEFINITION_HEAD_MAX, 0) < 0)
		return NULL;
	return definition_owner(text, direct);
}

static int
sd_list(const struct supervisor *s, struct service_list *list, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };
	int missing;
	AUTO_CLOSE int dir = open_units(s, &missing, e);

	if (dir < 0)
		return missing ? 0 : -1;
	if (dir_list(dir, &names, e) < 0)
		return err_wrap(e, "%s", systemd_units_dir(s));
	for (size_t i = 0; i < names.n; i++) {
		AUTO_FREE char *service = systemd_service(names.items[i]);
		int direct = 0;
		char *app = service ? owner_of(dir, names.items[i], &direct) : NULL;

		if (app == NULL)
			continue;
		strv_add(&list->services, mem_take(&service));
		strv_add(&list->apps, app);
		if (direct)
			strv_add(&list->direct, xstrdup(app));
	}
	return 0;
}

static int
check_not_foreign(const struct supervisor *s, int dir, const char *app, const char *unit,
    struct err *e)
{
	AUTO_FREE char *owner = NULL;
	struct stat st;
	int direct;

	if (fstatat(dir, unit, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s/%s", systemd_units_dir(s), unit);
	owner = owner_of(dir, unit, &direct);
	if (owner == NULL || strcmp(owner, app) != 0)
		return err_set(e, ERR_FAIL,
		    "%s/%s is in the way: pp did not make it for %s; move it away",
		    systemd_units_dir(s), unit, app);
	return 0;
}

/* Where the link is that has a unit started at boot, and what it has to say. */
static char *
link_of(const char *unit)
{
	return xasprintf(WANTS "/%s", unit);
}

static int
is_enabled(const struct supervisor *s, int dir, const char *unit)
{
	AUTO_FREE char *target = xasprintf("%s/%s", systemd_units_dir(s), unit),
		       *path = link_of(unit);
	AUTO_FREE char *now = NULL;
	struct err ignored = ERR_INIT;

	now = link_read(dir, path, &ignored);
	return now != NULL && strcmp(now, target) == 0;
}

static int
sd_same(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	int missing, same = 1;
	AUTO_CLOSE int dir = -1;

	if (systemd_check_running(e) < 0)
		return -1;
	dir = open_units(s, &missing, e);
	if (dir < 0)
		return missing ? 0 : -1;
	for (size_t i = 0; i < spec->services->n && same == 1; i++) {
		AUTO_FREE char *unit = systemd_unit(spec->services->items[i]), *text = NULL;

		if (systemd_check(spec, spec->services->items[i], e) < 0 ||
		    check_not_foreign(s, dir, spec->app, unit, e) < 0)
			return -1;
		text = systemd_render(spec, spec->services->items[i]);
		same = file_same(dir, unit, text, strlen(text), &attr, e);
		if (same == 1)
			same = is_enabled(s, dir, unit);
	}
	return same;
}

static int
sd_rehearse(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	AUTO_CLOSE int dir = -1, wants = -1;

	if (systemd_check_running(e) < 0 || dir_make(systemd_units_dir(s), 0755, e) < 0)
		return -1;
	dir = dir_open(systemd_units_dir(s), e);
	if (dir >= 0)
		wants = dir_make_at(dir, WANTS, 0755, e);
	if (wants < 0)
		return err_wrap(e, "%s", systemd_units_dir(s));
	for (size_t i = 0; i < spec->services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(spec->services->items[i]);
		AUTO_FREE char *text = systemd_render(spec, spec->services->items[i]);
		struct systemd_shown shown;

		if (systemd_check(spec, spec->services->items[i], e) < 0 ||
		    check_not_foreign(s, dir, spec->app, unit, e) < 0 ||
		    systemd_show_own(s, unit, &shown, e) < 0)
			return -1;
		systemd_shown_release(&shown, 1);
		if (file_rehearse(dir, unit, text, strlen(text), &attr, e) < 0 ||
		    file_rehearse(wants, unit, "", 0, &attr, e) < 0)
			return err_wrap(e, "%s/%s", systemd_units_dir(s), unit);
	}
	return 0;
}

/* Write what differs. Returns: 1 if something was, 0; -1 with *e set. */
static int
write_units(const struct supervisor *s, int dir, const struct service_spec *spec, struct err *e)
{
	int changed = 0;

	for (size_t i = 0; i < spec->services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(spec->services->items[i]), *text = NULL;
		int same;

		if (systemd_check(spec, spec->services->items[i], e) < 0 ||
		    check_not_foreign(s, dir, spec->app, unit, e) < 0)
			return -1;
		text = systemd_render(spec, spec->services->items[i]);
		same = file_same(dir, unit, text, strlen(text), &attr, e);
		if (same < 0)
			return -1;
		if (same == 0 && file_write(dir, unit, text, strlen(text), &attr, e) < 0)
			return err_wrap(e, "%s", systemd_units_dir(s));
		changed |= !same;
	}
	return changed;
}

/* What it did not understand it tells nobody but its log. */
static int
check_taken(const struct supervisor *s, const struct strv *services, struct err *e)
{
	for (size_t i = 0; i < services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(services->items[i]);
		struct systemd_shown shown;
		int loaded;

		if (systemd_show_own(s, unit, &shown, e) < 0)
			return -1;
		loaded = strcmp(shown.load, "loaded") == 0;
		if (!loaded)
			(void)err_set(e, ERR_FAIL,
			    "systemd does not take %s/%s (%s); see: systemctl status %s",
			    systemd_units_dir(s), unit, shown.load, unit);
		systemd_shown_release(&shown, 1);
		if (!loaded)
			return -1;
	}
	return 0;
}

static int
sd_define(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	AUTO_CLOSE int dir = -1;
	int changed;

	if (systemd_check_running(e) < 0 || dir_make(systemd_units_dir(s), 0755, e) < 0)
		return -1;
	for (size_t i = 0; i < spec->services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(spec->services->items[i]);
		struct systemd_shown shown;

		if (systemd_show_own(s, unit, &shown, e) < 0)
			return -1;
		systemd_shown_release(&shown, 1);
	}
	dir = dir_open(systemd_units_dir(s), e);
	if (dir < 0)
		return -1;
	changed = write_units(s, dir, spec, e);
	if (changed < 0 || (changed && systemd_reload(e) < 0))
		return -1;
	return check_taken(s, spec->services, e);
}

static int
disable(const struct supervisor *s, int dir, const char *unit, struct err *e)
{
	int missing;
	AUTO_CLOSE int wants = dir_open_at(dir, WANTS, &missing, e);

	if (wants < 0 && missing)
		e->class = ERR_NONE;
	if (wants < 0)
		return missing ? 0 : err_wrap(e, "%s", systemd_units_dir(s));
	return file_remove(wants, unit, e) < 0 ? err_wrap(e, "%s/" WANTS, systemd_units_dir(s)) : 0;
}

static int
sd_remove(const struct supervisor *s, const char *app, const struct strv *services, struct err *e)
{
	int missing;
	AUTO_CLOSE int dir = open_units(s, &missing, e);

	if (dir < 0)
		return missing ? 0 : -1;
	/* The file goes last: as long as it is there, the next pass knows whose the link is. */
	for (size_t i = 0; i < services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(services->items[i]);

		if (check_not_foreign(s, dir, app, unit, e) < 0 || disable(s, dir, unit, e) < 0)
			return -1;
		if (file_remove(dir, unit, e) < 0)
			return err_wrap(e, "%s", systemd_units_dir(s));
	}
	/* A directory of units may be put in order where no systemd runs: there is nobody to tell. */
	if (!systemd_is_running())
		return 0;
	for (size_t i = 0; i < services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(services->items[i]);
		const char *argv[] = { "systemctl", "reset-failed", unit, NULL };
		struct run run = { .argv = argv };
		AUTO_BUF struct buf output = { 0 };
		struct err ignored = ERR_INIT;

		(void)run_program(&run, &output, &ignored);
	}
	return systemd_reload(e);
}

static int
sd_enable(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service);
	AUTO_FREE char *target = xasprintf("%s/%s", systemd_units_dir(s), unit);
	AUTO_CLOSE int dir = dir_open(systemd_units_dir(s), e), wants = -1;

	if (dir < 0)
		return -1;
	wants = dir_make_at(dir, WANTS, 0755, e);
	return wants < 0 || link_flip(wants, unit, target, e) < 0 ?
	    err_wrap(e, "%s/" WANTS, systemd_units_dir(s)) :
	    0;
}

static int
sd_keep_down(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service), *owner = NULL;
	int missing, direct;
	AUTO_CLOSE int dir = open_units(s, &missing, e);

	if (dir < 0)
		return missing ? 0 : -1;
	owner = owner_of(dir, unit, &direct);
	return owner == NULL ? 0 : disable(s, dir, unit, e);
}

static int
sd_enabled(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *unit = systemd_unit(service);
	struct err ignored = ERR_INIT;
	int missing;
	AUTO_CLOSE int dir = open_units(s, &missing, &ignored);

	return dir >= 0 && faccessat(dir, unit, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is_enabled(s, dir, unit);
}

const struct supervisor_ops supervisor_systemd = {
	.name = "systemd",
	.configuring = "Configuring systemd",
	.list = sd_list,
	.same = sd_same,
	.define = sd_define,
	.rehearse = sd_rehearse,
	.remove = sd_remove,
	.enable = sd_enable,
	.status = systemd_status,
	.start = systemd_start,
	.stop = systemd_stop,
	.restore = systemd_restore,
	.keep_down = sd_keep_down,
	.enabled = sd_enabled,
	.log_place = systemd_log_place,
	.log_tail = systemd_log_tail,
};
