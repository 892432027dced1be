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

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/fs/file.h"
#include "lib/fs/path.h"
#include "lib/service/definition.h"
#include "lib/service/systemd.h"
#include "lib/sys/run.h"

#define UNITS "/etc/systemd/system"
#define RUNS "/run/systemd/system" /* there where systemd is PID 1 */
#define WANTS "multi-user.target.wants"
#define SHOW_AT_ONCE 256
#define KILL_WAIT_MS 10000
#define RESTORE_MS 5000
#define LOG_MS 5000
#define POLL_MS 100

static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };

static const char *
units_dir(const struct supervisor *s)
{
	return s->units != NULL ? s->units : UNITS;
}

static int
is_running(void)
{
	return access(RUNS, F_OK) == 0;
}

static int
check_running(struct err *e)
{
	if (is_running())
		return 0;
	return err_set(e, ERR_FAIL,
	    "systemd does not run here: there is no " RUNS
	    "; write supervisor runit, or another one");
}

/* ---- what systemd says ---- */

static int
show(const char *const *units, size_t n, struct systemd_shown *shown, struct err *e)
{
	AUTO_FREE const char **argv = xcalloc(n + 5, sizeof *argv);
	AUTO_BUF struct buf output = { 0 };
	struct run run = { .argv = argv, .output_max = 4096 + n * 8192 };
	int status;

	argv[0] = "systemctl";
	argv[1] = "show";
	argv[2] = "--no-pager";
	argv[3] = systemd_properties;
	memcpy(argv + 4, units, n * sizeof *units);
	status = run_program(&run, &output, e);
	if (status < 0)
		return -1;
	if (status > 0) {
		AUTO_FREE char *words = run_words(output.data);

		return err_set(e, ERR_FAIL, "systemctl show: exit %d: %s", status, words);
	}
	return systemd_parse(output.data, shown, n, e);
}

/* Is it from our file, or from none that there is any more? */
static int
is_ours(const struct supervisor *s, const char *unit, const struct systemd_shown *shown)
{
	AUTO_FREE char *path = xasprintf("%s/%s", units_dir(s), unit);

	return strcmp(shown->id, unit) == 0 &&
	    (shown->fragment[0] == '\0' || strcmp(shown->fragment, path) == 0);
}

static int
in_the_way(const char *unit, const struct systemd_shown *shown, struct err *e)
{
	return err_set(e, ERR_FAIL,
	    "unit %s is in the way: pp did not make it, it is %s; rename that or the app", unit,
	    shown->fragment[0] != '\0' ? shown->fragment : shown->id);
}

/* One unit, which has to be ours. */
static int
show_own(const struct supervisor *s, const char *unit, struct systemd_shown *shown, struct err *e)
{
	if (check_running(e) < 0 || show(&unit, 1, shown, e) < 0)
		return -1;
	if (is_ours(s, unit, shown))
		return 0;
	(void)in_the_way(unit, shown, e);
	systemd_shown_release(shown, 1);
	return -1;
}

static struct service_status
status_of(const struct supervisor *s, const char *unit, const struct systemd_shown *shown)
{
	struct service_status status = { SERVICE_DOWN, 0 };
	int64_t since = shown->since_us > 0 ? clock_now_ms() - shown->since_us / 1000 : 0;

	if (!is_ours(s, unit, shown))
		return (struct service_status){ SERVICE_ABSENT, 0 };
	status.for_ms = since > 0 ? since : 0;
	if (shown->activity == SYSTEMD_UP)
		status.state = SERVICE_UP;
	else if (shown->activity == SYSTEMD_DOWN && strcmp(shown->load, "not-found") == 0)
		status.state = SERVICE_ABSENT;
	return status;
}

static int
sd_status(const struct supervisor *s, const struct strv *services, struct service_status *status,
    struct err *e)
{
	AUTO_STRV struct strv units = { 0 };

	if (services->n == 0)
		return 0;
	if (check_running(e) < 0)
		return -1;
	for (size_t i = 0; i < services->n; i++)
		strv_add(&units, systemd_unit(services->items[i]));
	for (size_t at = 0; at < units.n; at += SHOW_AT_ONCE) {
		struct systemd_shown shown[SHOW_AT_ONCE];
		size_t n = units.n - at < SHOW_AT_ONCE ? units.n - at : SHOW_AT_ONCE;

		if (show((const char *const *)units.items + at, n, shown, e) < 0)
			return -1;
		for (size_t i = 0; i < n; i++)
			status[at + i] = status_of(s, units.items[at + i], &shown[i]);
		systemd_shown_release(shown, n);
	}
	return 0;
}

static int
reload(struct err *e)
{
	const char *argv[] = { "systemctl", "daemon-reload", NULL };
	struct run run = { .argv = argv };

	return run_checked(&run, e);
}

/* ---- the files ---- */

/* The directory; -1 with *e set, which a *missing one is not. */
static int
open_units(const struct supervisor *s, int *missing, struct err *e)
{
	int fd = open(units_dir(s), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*missing = fd < 0 && errno == ENOENT;
	return fd < 0 && !*missing ? err_sys(e, "open %s", units_dir(s)) : fd;
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
		return err_wrap(e, "%s", units_dir(s));
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
		return errno == ENOENT ? 0 : err_sys(e, "stat %s/%s", units_dir(s), unit);
	owner = owner_of(dir, unit, &direct);
	if (owner == NULL || strcmp(owner, app) != 0)
		return err_set(e, ERR_FAIL,
		    "%s/%s is in the way: pp did not make it for %s; move it away", units_dir(s),
		    unit, app);
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
	AUTO_FREE char *target = xasprintf("%s/%s", units_dir(s), unit), *path = link_of(unit);
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

	if (check_running(e) < 0)
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

	if (check_running(e) < 0 || dir_make(units_dir(s), 0755, e) < 0)
		return -1;
	dir = dir_open(units_dir(s), e);
	if (dir >= 0)
		wants = dir_make_at(dir, WANTS, 0755, e);
	if (wants < 0)
		return err_wrap(e, "%s", units_dir(s));
	for (size_t i = 0; i < spec->services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(spec->services->items[i]);
		AUTO_FREE char *text = systemd_render(spec, spec->services->items[i]);
		struct systemd_shown shown;

		if (systemd_check(spec, spec->services->items[i], e) < 0 ||
		    check_not_foreign(s, dir, spec->app, unit, e) < 0 ||
		    show_own(s, unit, &shown, e) < 0)
			return -1;
		systemd_shown_release(&shown, 1);
		if (file_rehearse(dir, unit, text, strlen(text), &attr, e) < 0 ||
		    file_rehearse(wants, unit, "", 0, &attr, e) < 0)
			return err_wrap(e, "%s/%s", units_dir(s), unit);
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
			return err_wrap(e, "%s", units_dir(s));
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

		if (show_own(s, unit, &shown, e) < 0)
			return -1;
		loaded = strcmp(shown.load, "loaded") == 0;
		if (!loaded)
			(void)err_set(e, ERR_FAIL,
			    "systemd does not take %s/%s (%s); see: systemctl status %s",
			    units_dir(s), unit, shown.load, unit);
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

	if (check_running(e) < 0 || dir_make(units_dir(s), 0755, e) < 0)
		return -1;
	for (size_t i = 0; i < spec->services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(spec->services->items[i]);
		struct systemd_shown shown;

		if (show_own(s, unit, &shown, e) < 0)
			return -1;
		systemd_shown_release(&shown, 1);
	}
	dir = dir_open(units_dir(s), e);
	if (dir < 0)
		return -1;
	changed = write_units(s, dir, spec, e);
	if (changed < 0 || (changed && reload(e) < 0))
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
		return missing ? 0 : err_wrap(e, "%s", units_dir(s));
	return file_remove(wants, unit, e) < 0 ? err_wrap(e, "%s/" WANTS, units_dir(s)) : 0;
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
			return err_wrap(e, "%s", units_dir(s));
	}
	/* A directory of units may be put in order where no systemd runs: there is nobody to tell. */
	if (!is_running())
		return 0;
	for (size_t i = 0; i < services->n; i++) {
		AUTO_FREE char *unit = systemd_unit(services->items[i]);
		const char *argv[] = { "systemctl", "reset-failed", unit, NULL };
		struct run run = { .argv = argv };
		AUTO_BUF struct buf output = { 0 };
		struct err ignored = ERR_INIT;

		(void)run_program(&run, &output, &ignored);
	}
	return reload(e);
}

static int
sd_enable(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service);
	AUTO_FREE char *target = xasprintf("%s/%s", units_dir(s), unit);
	AUTO_CLOSE int dir = dir_open(units_dir(s), e), wants = -1;

	if (dir < 0)
		return -1;
	wants = dir_make_at(dir, WANTS, 0755, e);
	return wants < 0 || link_flip(wants, unit, target, e) < 0 ?
	    err_wrap(e, "%s/" WANTS, units_dir(s)) :
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

/* ---- what runs ---- */

static int
tell(const char *verb, const char *unit, const struct run *how, struct err *e)
{
	const char *argv[] = { "systemctl", verb, "--no-ask-password", unit, NULL };
	struct run run = *how;

	run.argv = argv;
	return run_checked(&run, e) < 0 ? err_wrap(e, "%s", unit) : 0;
}

static int
start_unit(const struct supervisor *s, const char *unit, const struct run *how, struct err *e)
{
	struct systemd_shown shown;
	int stale;

	if (show_own(s, unit, &shown, e) < 0)
		return -1;
	stale = shown.stale;
	systemd_shown_release(&shown, 1);
	/* A run that was killed may have written the file and told nobody. */
	if (stale && reload(e) < 0)
		return -1;
	return tell("start", unit, how, e);
}

static int
sd_start(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service);
	struct run how = { .timeout_ms = timeout_ms > 0 ? timeout_ms : 1 };

	return start_unit(s, unit, &how, e);
}

static void
sd_restore(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *unit = systemd_unit(service);
	struct run how = { .timeout_ms = RESTORE_MS, .restoring = 1 };
	struct err ignored = ERR_INIT;

	(void)start_unit(s, unit, &how, &ignored);
}

/* All of its processes at once; 0 once it is down, for good. */
static int
kill_unit(const struct supervisor *s, const char *unit, struct err *e)
{
	const char *argv[] = { "systemctl", "kill", "--signal=KILL", unit, NULL };
	struct run run = { .argv = argv };
	int64_t end = clock_now_ms() + clock_bound_ms(KILL_WAIT_MS);
	struct err ignored = ERR_INIT;

	(void)run_checked(&run, &ignored);
	for (;;) {
		struct systemd_shown shown;
		enum systemd_activity activity;

		if (show_own(s, unit, &shown, e) < 0)
			return -1;
		activity = shown.activity;
		systemd_shown_release(&shown, 1);
		if (activity == SYSTEMD_DOWN)
			return 0;
		if (clock_now_ms() >= end)
			return err_set(e, ERR_FAIL, "%s: it survives a kill", unit);
		clock_sleep_ms(POLL_MS);
	}
}

/* It was told to stop and did what systemd could make it do: 0 if that was enough. */
static int
check_down(const struct supervisor *s, const char *service, const char *unit, struct err *e)
{
	struct systemd_shown shown;
	int down;

	if (show_own(s, unit, &shown, e) < 0)
		return -1;
	down = shown.activity == SYSTEMD_DOWN;
	/* TimeoutStopSec is stop_timeout, too: systemd may have been faster. */
	if (down && strcmp(shown.result, "timeout") == 0)
		log_warn("service %s did not stop in time, killed by systemd", service);
	systemd_shown_release(&shown, 1);
	return down ? 0 : err_set(e, ERR_FAIL, "%s was started again by somebody else", unit);
}

static int
sd_stop(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service);
	struct run how = { .timeout_ms = timeout_ms > 0 ? timeout_ms : 1 };
	struct systemd_shown shown;
	struct err why = ERR_INIT;
	const char *one = unit;
	int idle;

	if (check_running(e) < 0 || show(&one, 1, &shown, e) < 0)
		return -1;
	/* Somebody else's is none that pp supervises. */
	idle = shown.activity == SYSTEMD_DOWN || !is_ours(s, unit, &shown);
	systemd_shown_release(&shown, 1);
	if (idle)
		return 0;
	if (tell("stop", unit, &how, &why) == 0) {
		if (check_down(s, service, unit, e) == 0)
			return 0;
	} else if (strstr(why.msg, "did not end in time") != NULL) {
		log_warn("service %s did not stop in time, killing it", service);
		if (kill_unit(s, unit, e) == 0)
			return 0;
	} else {
		*e = why;
	}
	/* It goes on as before: it was to be up. */
	sd_restore(s, service);
	return -1;
}

static char *
sd_log_place(const struct supervisor *s, const char *service)
{
	(void)s;
	return xasprintf("journalctl -u pp-%s", service);
}

static char *
sd_log_tail(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *unit = systemd_unit(service);
	const char *argv[] = { "journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=10",
		"--unit", unit, NULL };
	struct run run = { .argv = argv, .timeout_ms = LOG_MS };
	AUTO_BUF struct buf output = { 0 };
	struct err ignored = ERR_INIT;

	(void)s;
	if (!is_running() || run_program(&run, &output, &ignored) != 0)
		return NULL;
	return definition_tail(output.data, output.n);
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
	.status = sd_status,
	.start = sd_start,
	.stop = sd_stop,
	.restore = sd_restore,
	.keep_down = sd_keep_down,
	.enabled = sd_enabled,
	.log_place = sd_log_place,
	.log_tail = sd_log_tail,
};
