/*
 * none: an app is linked only. Whoever wants it to run sees to that; nothing here knows of services.
 */
#include "lib/service/supervisor.h"

static int
none_list(const struct supervisor *s, struct service_list *list, struct err *e)
{
	(void)s;
	(void)list;
	(void)e;
	return 0;
}

static int
none_same(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	(void)s;
	(void)spec;
	(void)e;
	return 1;
}

static int
none_define(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	(void)s;
	(void)spec;
	(void)e;
	return 0;
}

static int
none_remove(const struct supervisor *s, const char *app, const struct strv *services, struct err *e)
{
	(void)s;
	(void)app;
	(void)services;
	(void)e;
	return 0;
}

static int
none_touch(const struct supervisor *s, const char *service, struct err *e)
{
	(void)s;
	(void)service;
	(void)e;
	return 0;
}

static int
none_status(const struct supervisor *s, const struct strv *services, struct service_status *status,
    struct err *e)
{
	(void)s;
	(void)e;
	for (size_t i = 0; i < services->n; i++)
		status[i] = (struct service_status){ .state = SERVICE_ABSENT };
	return 0;
}

static int
none_switch(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	(void)s;
	(void)service;
	(void)timeout_ms;
	(void)e;
	return 0;
}

static void
none_restore(const struct supervisor *s, const char *service)
{
	(void)s;
	(void)service;
}

static int
none_enabled(const struct supervisor *s, const char *service)
{
	(void)s;
	(void)service;
	return 0;
}

static char *
none_log_place(const struct supervisor *s, const char *service)
{
	(void)s;
	(void)service;
	return xstrdup("wherever its starter has it: the supervisor is none");
}

static char *
none_log_tail(const struct supervisor *s, const char *service)
{
	(void)s;
	(void)service;
	return NULL;
}

const struct supervisor_ops supervisor_none = {
	.name = "none",
	.configuring = "Configuring nothing",
	.list = none_list,
	.same = none_same,
	.define = none_define,
	.rehearse = none_define,
	.remove = none_remove,
	.enable = none_touch,
	.status = none_status,
	.start = none_switch,
	.stop = none_switch,
	.restore = none_restore,
	.keep_down = none_touch,
	.enabled = none_enabled,
	.log_place = none_log_place,
	.log_tail = none_log_tail,
};
