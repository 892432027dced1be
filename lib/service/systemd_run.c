/*
 * Driving units by systemctl(1): what systemd says of them, start and stop, their logs.
 */
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/service/definition.h"
#include "lib/service/systemd.h"
#include "lib/sys/run.h"

#define UNITS "/etc/systemd/system"
#define RUNS "/run/systemd/system" /* there where systemd is PID 1 */
#define SHOW_AT_ONCE 256
#define KILL_WAIT_MS 10000
#define RESTORE_MS 5000
#define LOG_MS 5000
#define POLL_MS 100

const char *
systemd_units_dir(const struct supervisor *s)
{
	return s->units != NULL ? s->units : UNITS;
}

int
systemd_is_running(void)
{
	return access(RUNS, F_OK) == 0;
}

int
systemd_check_running(struct err *e)
{
	if (systemd_is_running())
		return 0;
	return err_set(e, ERR_FAIL,
	    "systemd does not run here: there is no " RUNS
	    "; write supervisor runit, or another one");
}

/* ---- what systemd says ---- */

/* `how` bounds it in time. */
static int
show_by(const struct run *how, const char *const *units, size_t n, struct systemd_shown *shown,
    struct err *e)
{
	AUTO_FREE const char **argv = xcalloc(n + 5, sizeof *argv);
	AUTO_BUF struct buf output = { 0 };
	struct run run = *how;
	int status;

	run.argv = argv;
	run.output_max = 4096 + n * 8192;

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

static int
show(const char *const *units, size_t n, struct systemd_shown *shown, struct err *e)
{
	return show_by(&(struct run){ 0 }, units, n, shown, e);
}

/* Is it from our file, or from none that there is any more? */
static int
is_ours(const struct supervisor *s, const char *unit, const struct systemd_shown *shown)
{
	AUTO_FREE char *path = xasprintf("%s/%s", systemd_units_dir(s), unit);

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

static int
show_own_by(const struct run *how, const struct supervisor *s, const char *unit,
    struct systemd_shown *shown, struct err *e)
{
	if (systemd_check_running(e) < 0 || show_by(how, &unit, 1, shown, e) < 0)
		return -1;
	if (is_ours(s, unit, shown))
		return 0;
	(void)in_the_way(unit, shown, e);
	systemd_shown_release(shown, 1);
	return -1;
}

int
systemd_show_own(const struct supervisor *s, const char *unit, struct systemd_shown *shown,
    struct err *e)
{
	return show_own_by(&(struct run){ 0 }, s, unit, shown, e);
}

static struct service_status
status_of(const struct supervisor *s, const char *unit, const struct systemd_shown *shown)
{
	struct service_status status = { .state = SERVICE_DOWN };
	int64_t since = shown->since_us > 0 ? clock_now_ms() - shown->since_us / 1000 : 0;

	if (!is_ours(s, unit, shown))
		return (struct service_status){ .state = SERVICE_ABSENT };
	status.for_ms = since > 0 ? since : 0;
	if (shown->activity == SYSTEMD_UP)
		status.state = SERVICE_UP;
	else if (shown->activity == SYSTEMD_DOWN && strcmp(shown->load, "not-found") == 0)
		status.state = SERVICE_ABSENT;
	return status;
}

int
systemd_status(const struct supervisor *s, const struct strv *services,
    struct service_status *status, struct err *e)
{
	AUTO_STRV struct strv units = { 0 };

	if (services->n == 0)
		return 0;
	if (systemd_check_running(e) < 0)
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
reload_by(const struct run *how, struct err *e)
{
	const char *argv[] = { "systemctl", "daemon-reload", NULL };
	struct run run = *how;

	run.argv = argv;
	return run_checked(&run, e);
}

int
systemd_reload(struct err *e)
{
	return reload_by(&(struct run){ 0 }, e);
}

static int
tell(const char *verb, const char *unit, const struct run *how, struct err *e)
{
	const char *argv[] = { "systemctl", verb, "--no-ask-password", unit, NULL };
	struct run run = *how;

	run.argv = argv;
	return run_checked(&run, e) < 0 ? err_wrap(e, "%s", unit) : 0;
}

static int
start_unit(const struct supervisor *s, const char *unit, int restoring, int64_t timeout_ms,
    struct err *e)
{
	struct run ask = { .restoring = restoring, .timeout_ms = restoring ? RESTORE_MS : 0 };
	struct run start = { .restoring = restoring,
		.timeout_ms = timeout_ms > 0 ? timeout_ms : 1 };
	struct systemd_shown shown;
	int stale;

	if (show_own_by(&ask, s, unit, &shown, e) < 0)
		return -1;
	stale = shown.stale;
	systemd_shown_release(&shown, 1);
	/* A run that was killed may have written the file and told nobody. */
	if (stale && reload_by(&ask, e) < 0)
		return -1;
	return tell("start", unit, &start, e);
}

int
systemd_start(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service);

	return start_unit(s, unit, 0, timeout_ms, e);
}

void
systemd_restore(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *unit = systemd_unit(service);
	struct err ignored = ERR_INIT;

	(void)start_unit(s, unit, 1, RESTORE_MS, &ignored);
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

		if (systemd_show_own(s, unit, &shown, e) < 0)
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

	if (systemd_show_own(s, unit, &shown, e) < 0)
		return -1;
	down = shown.activity == SYSTEMD_DOWN;
	/* TimeoutStopSec is stop_timeout, too: systemd may have been faster. */
	if (down && strcmp(shown.result, "timeout") == 0)
		log_warn("service %s did not stop in time, killed by systemd", service);
	systemd_shown_release(&shown, 1);
	return down ? 0 : err_set(e, ERR_FAIL, "%s was started again by somebody else", unit);
}

int
systemd_stop(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service);
	struct run how = { .timeout_ms = timeout_ms > 0 ? timeout_ms : 1 };
	struct systemd_shown shown;
	struct err why = ERR_INIT;
	const char *one = unit;
	int idle;

	if (systemd_check_running(e) < 0 || show(&one, 1, &shown, e) < 0)
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
	systemd_restore(s, service);
	return -1;
}

char *
systemd_log_place(const struct supervisor *s, const char *service)
{
	(void)s;
	return xasprintf("journalctl -u pp-%s", service);
}

char *
systemd_log_tail(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *unit = systemd_unit(service);
	const char *argv[] = { "journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=10",
		"--unit", unit, NULL };
	struct run run = { .argv = argv, .timeout_ms = LOG_MS };
	AUTO_BUF struct buf output = { 0 };
	struct err ignored = ERR_INIT;

	(void)s;
	if (!systemd_is_running() || run_program(&run, &output, &ignored) != 0)
		return NULL;
	return definition_tail(output.data, output.n);
}
