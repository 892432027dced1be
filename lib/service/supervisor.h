/*
 * Supervisors: what keeps an app's services running on a node.
 *
 * An install's bin/launch is one service, named after the app; where it is a directory, each
 * executable in it is one, <app>__<name>. A backend writes and removes definitions, and starts, stops
 * and asks: runit and servicebuilder by sv (sv.h), systemd by systemctl (systemd.h), none not at all.
 */
#ifndef PP_SUPERVISOR_H
#define PP_SUPERVISOR_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/intent/intent.h"
#include "lib/sys/user.h"

/** What the services of one app are to be. All strings are borrowed. */
struct service_spec {
	const char *app, *cluster, *node, *version, *basedir;
	int port; /* the first one, or 0 */
	const struct user *user;
	const struct strv *services; /* their names, sorted */
	const struct strv *env;      /* "NAME=value" of deploy_config, sorted */
	const struct intent_limits *limits;
	int64_t stop_timeout_ms;
};

enum service_state {
	SERVICE_ABSENT, /* nothing supervises it */
	SERVICE_DOWN,
	SERVICE_UP,
};

/** How a service is. */
struct service_status {
	enum service_state state;
	int64_t for_ms; /* since it got so; of runit by a clock that may jump */
	long pid;       /* of its process; 0: none, or not known */
};

/** Services that pp has defined, each with its app; parallel lists. */
struct service_list {
	struct strv services, apps;
	struct strv direct; /* apps among them that `pp direct` started: no store knows of them */
};

struct supervisor;

struct supervisor_ops {
	const char *name;
	const char *configuring; /* the log's words when a definition is written */
	int (*list)(const struct supervisor *, struct service_list *, struct err *);
	int (*same)(const struct supervisor *, const struct service_spec *, struct err *);
	int (*define)(const struct supervisor *, const struct service_spec *, struct err *);
	int (*rehearse)(const struct supervisor *, const struct service_spec *, struct err *);
	int (*remove)(const struct supervisor *, const char *app, const struct strv *services,
	    struct err *);
	int (*enable)(const struct supervisor *, const char *service, struct err *);
	int (*status)(const struct supervisor *, const struct strv *services,
	    struct service_status *, struct err *);
	int (*start)(const struct supervisor *, const char *service, int64_t timeout_ms,
	    struct err *);
	int (*stop)(const struct supervisor *, const char *service, int64_t timeout_ms,
	    struct err *);
	void (*restore)(const struct supervisor *, const char *service);
	int (*keep_down)(const struct supervisor *, const char *service, struct err *);
	int (*enabled)(const struct supervisor *, const char *service);
	char *(*log_place)(const struct supervisor *, const char *service);
	char *(*log_tail)(const struct supervisor *, const char *service);
};

struct supervisor {
	const struct supervisor_ops *ops;
	char *scan;   /* the directory that runsvdir watches */
	char *stage;  /* where service directories are kept */
	char *config; /* servicebuilder's configuration directory; NULL for the others */
	char *units;  /* systemd's directory of unit files; NULL for the others */
};

extern const struct supervisor_ops supervisor_runit, supervisor_servicebuilder, supervisor_systemd,
    supervisor_none;

/** All backends, the default first; ends with NULL. */
extern const struct supervisor_ops *const supervisors[];

/** The backend of that name ("runit", "servicebuilder", "systemd", "none"); NULL if there is none. */
const struct supervisor_ops *supervisor_find(const char *name);

/**
 * What pp has defined here.
 * Effect:  none; a directory that is not there holds nothing.
 * Returns: 0 and *list, the caller's to release; -1 with *e set.
 */
int supervisor_list(const struct supervisor *s, struct service_list *list, struct err *e);

/** Free what the list holds. */
void service_list_release(struct service_list *list);

#define AUTO_SERVICES __attribute__((cleanup(service_list_release)))

/**
 * Is what is defined just what the spec says? 1 or 0.
 * Returns: -1 with *e set when that cannot be told, or something that pp did not make is in the way.
 */
int supervisor_same(const struct supervisor *s, const struct service_spec *spec, struct err *e);

/** Is a service defined in such a way that runsvdir starts it by itself, say after a reboot? */
int supervisor_enabled(const struct supervisor *s, const char *service);

/**
 * What can be found out before anything is stopped: is there room and permission to write what
 * supervisor_define() will?
 * Effect:  directories may be made; no definition changes.
 */
int supervisor_rehearse(const struct supervisor *s, const struct service_spec *spec, struct err *e);

/** Have runsvdir not start a service by itself, say after a reboot. Not there is fine. */
int supervisor_keep_down(const struct supervisor *s, const char *service, struct err *e);

/** Write the definitions of the spec's services. They are stopped; nothing is started. */
int supervisor_define(const struct supervisor *s, const struct service_spec *spec, struct err *e);

/** Remove definitions of an app that pp made and nobody wants. They are stopped. */
int supervisor_remove(const struct supervisor *s, const char *app, const struct strv *services,
    struct err *e);

/**
 * What bin/launch of the install open at `install` makes: the services' names, sorted.
 * Returns: 0, *services empty where there is no bin/launch; -1 with *e set (ERR_DATA).
 */
int service_names(int install, const char *app, struct strv *services, struct err *e);

/** The command of a service: <basedir>/current/bin/launch[/<name>]. Owns: the caller frees. */
char *service_launch(const struct service_spec *spec, const char *service);

/** Text as one word of a shell. Owns: the caller frees. */
char *service_quote(const char *text);

/**
 * The states of services, asked of one program at once.
 * Returns: 0 and status[i] of each; -1 with *e set.
 */
int supervisor_status(const struct supervisor *s, const struct strv *services,
    struct service_status *status, struct err *e);

/**
 * Start a service, waiting at most `timeout_ms` for the supervisor to have done it. Whether it is any
 * good is another question (health.h): what ends at once may count as started here.
 * Returns: 0; -1 with *e set: nothing supervises it, or it was not started in time.
 */
int supervisor_start(const struct supervisor *s, const char *service, int64_t timeout_ms,
    struct err *e);

/**
 * Stop a service and wait until it is down; what ignores that for `timeout_ms` is killed.
 * Returns: 0, also where nothing supervises it; -1 with *e set: it is to run on, as it did before.
 */
int supervisor_stop(const struct supervisor *s, const char *service, int64_t timeout_ms,
    struct err *e);

/** After a step that failed: let a service run again as it did. Whatever time is left of the run. */
void supervisor_restore(const struct supervisor *s, const char *service);

/** Where a service's log is, for people: a path, or a command. Owns: the caller frees. */
char *supervisor_log_place(const struct supervisor *s, const char *service);

/** The last lines of a service's log, made safe to print, a line each; NULL: none. Owns: the caller frees. */
char *supervisor_log_tail(const struct supervisor *s, const char *service);

#endif
