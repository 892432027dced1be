/*
 * Units of systemd as text: how one is written, and what `systemctl show` says of them. No I/O.
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

#endif
