#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/fs/file.h"
#include "lib/fs/path.h"
#include "lib/service/supervisor.h"

#define SERVICES_MAX 64

const struct supervisor_ops *const supervisors[] = { &supervisor_runit, &supervisor_servicebuilder,
	&supervisor_systemd, &supervisor_none, NULL };

const struct supervisor_ops *
supervisor_find(const char *name)
{
	for (size_t i = 0; supervisors[i] != NULL; i++)
		if (strcmp(supervisors[i]->name, name) == 0)
			return supervisors[i];
	return NULL;
}

int
supervisor_list(const struct supervisor *s, struct service_list *list, struct err *e)
{
	return s->ops->list(s, list, e);
}

void
service_list_release(struct service_list *list)
{
	strv_release(&list->services);
	strv_release(&list->apps);
	strv_release(&list->direct);
}

int
supervisor_same(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	return s->ops->same(s, spec, e);
}

int
supervisor_rehearse(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	return s->ops->rehearse(s, spec, e);
}

int
supervisor_define(const struct supervisor *s, const struct service_spec *spec, struct err *e)
{
	return s->ops->define(s, spec, e);
}

int
supervisor_remove(const struct supervisor *s, const char *app, const struct strv *services,
    struct err *e)
{
	return s->ops->remove(s, app, services, e);
}

int
supervisor_enabled(const struct supervisor *s, const char *service)
{
	return s->ops->enabled(s, service);
}

int
supervisor_keep_down(const struct supervisor *s, const char *service, struct err *e)
{
	return s->ops->keep_down(s, service, e);
}

int
supervisor_status(const struct supervisor *s, const struct strv *services,
    struct service_status *status, struct err *e)
{
	return s->ops->status(s, services, status, e);
}

int
supervisor_start(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	return s->ops->start(s, service, timeout_ms, e);
}

int
supervisor_stop(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e)
{
	return s->ops->stop(s, service, timeout_ms, e);
}

void
supervisor_restore(const struct supervisor *s, const char *service)
{
	s->ops->restore(s, service);
}

char *
supervisor_log_place(const struct supervisor *s, const char *service)
{
	return s->ops->log_place(s, service);
}

char *
supervisor_log_tail(const struct supervisor *s, const char *service)
{
	return s->ops->log_tail(s, service);
}

static int
check_executable(int dir, const char *name, struct err *e)
{
	struct stat st;

	if (fstatat(dir, name, &st, 0) < 0)
		return err_sys(e, "stat bin/launch %s", name);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return err_set(e, ERR_DATA,
		    "bin/launch: %s is not executable; set its run bit and pack a new version",
		    name);
	return 0;
}

static int
names_in_directory(int bin, const char *app, struct strv *services, struct err *e)
{
	AUTO_CLOSE int dir = openat(bin, "launch", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_STRV struct strv names = { 0 };

	if (dir < 0)
		return err_sys(e, "open bin/launch");
	if (dir_list(dir, &names, e) < 0)
		return err_wrap(e, "bin/launch");
	if (names.n > SERVICES_MAX)
		return err_set(e, ERR_DATA, "bin/launch holds more than %d services", SERVICES_MAX);
	for (size_t i = 0; i < names.n; i++) {
		if (names.items[i][0] == '.')
			continue;
		if (!path_is_name(names.items[i]))
			return err_set(e, ERR_DATA,
			    "bin/launch/%s cannot name a service; use letters, digits, . _ and -",
			    names.items[i]);
		if (check_executable(dir, names.items[i], e) < 0)
			return -1;
		strv_add(services, xasprintf("%s__%s", app, names.items[i]));
	}
	return 0;
}

int
service_names(int install, const char *app, struct strv *services, struct err *e)
{
	AUTO_CLOSE int bin = openat(install, "bin", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (bin < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, "open bin");
	if (fstatat(bin, "launch", &st, 0) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat bin/launch");
	if (S_ISDIR(st.st_mode))
		return names_in_directory(bin, app, services, e);
	if (check_executable(bin, "launch", e) < 0)
		return -1;
	strv_add(services, xstrdup(app));
	return 0;
}

char *
service_launch(const struct service_spec *spec, const char *service)
{
	size_t n = strlen(spec->app);

	if (strcmp(service, spec->app) == 0)
		return xasprintf("%s/current/bin/launch", spec->basedir);
	return xasprintf("%s/current/bin/launch/%s", spec->basedir, service + n + 2);
}

char *
service_quote(const char *text)
{
	AUTO_BUF struct buf out = { 0 };

	if (text[0] != '\0' &&
	    strspn(text,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789_./:@%+-") == strlen(text))
		return xstrdup(text);
	buf_add(&out, "'", 1);
	for (; *text != '\0'; text++)
		if (*text == '\'')
			buf_add(&out, "'\\''", 4);
		else
			buf_add(&out, text, 1);
	buf_add(&out, "'", 1);
	return mem_take(&out.data);
}
