/*
 * Units of systemd: how one is written and what `systemctl show` says of them (systemd_unit.c, no I/O),
 * and how systemd is told what to do (systemd_run.c). The files are systemd.c's.
 */
#ifndef PP_SYSTEMD_H
#define PP_SYSTEMD_H

#include "lib/service/supervisor.h"

/** pp-<service>.service. Owns: the caller frees. */
char *systemd_unit(const char *service);

/** The service of a unit's name; NULL where it cannot be one of pp's. Owns: the caller frees. */
char *systemd_service(const char *unit);

/**
 * Can systemd be told of such a service? It leaves out what it does not understand, and starts the rest:
 * so that is found out here.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int systemd_check(const struct service_spec *spec, const char *service, struct err *e);

/** The unit file of a service. Owns: the caller frees. */
char *systemd_render(const struct service_spec *spec, const char *service);

enum systemd_activity {
	SYSTEMD_DOWN,     /* and it stays so */
	SYSTEMD_STARTING, /* nothing of it runs yet, or not any more, and it is to be started */
	SYSTEMD_UP,
};

/** What systemd knows of a unit. */
struct systemd_shown {
	char *id;       /* another name than was asked for where that is an alias */
	char *load;     /* "loaded", "not-found", "masked", "bad-setting" ... */
	char *fragment; /* the file it is from; "": none */
	char *result;   /* "success", "timeout" (it was killed), "exit-code" ... */
	enum systemd_activity activity;
	int stale;        /* its file is another one than the one that systemd has read */
	int64_t since_us; /* of CLOCK_MONOTONIC: when it got up, or down; 0: never yet */
};

/** The properties that systemd_parse() reads, as an option of systemctl. */
extern const char systemd_properties[];

/**
 * Read what `systemctl show` printed of n units: a paragraph each, in their order.
 * Returns: 0 and shown[], for systemd_shown_release(); -1 with *e set, nothing held.
 */
int systemd_parse(const char *output, struct systemd_shown *shown, size_t n, struct err *e);

/** Free what they hold. */
void systemd_shown_release(struct systemd_shown *shown, size_t n);

/** The directory of unit files. */
const char *systemd_units_dir(const struct supervisor *s);

/** Is systemd PID 1 here? */
int systemd_is_running(void);

/** The same, or -1 with *e set. */
int systemd_check_running(struct err *e);

/**
 * What systemd knows of one unit, which has to be pp's or not be there.
 * Returns: 0 and *shown, for systemd_shown_release(); -1 with *e set: also where it is somebody else's.
 */
int systemd_show_own(const struct supervisor *s, const char *unit, struct systemd_shown *shown,
    struct err *e);

/** systemctl daemon-reload. */
int systemd_reload(struct err *e);

/** The backend's own parts of supervisor.h. */
int systemd_status(const struct supervisor *s, const struct strv *services,
    struct service_status *status, struct err *e);
int systemd_start(const struct supervisor *s, const char *service, int64_t timeout_ms,
    struct err *e);
int systemd_stop(const struct supervisor *s, const char *service, int64_t timeout_ms,
    struct err *e);
void systemd_restore(const struct supervisor *s, const char *service);
char *systemd_log_place(const struct supervisor *s, const char *service);
char *systemd_log_tail(const struct supervisor *s, const char *service);

#endif
