#include <ctype.h>
#include <string.h>

#include <jansson.h>

#include "lib/base/clock.h"
#include "lib/fs/path.h"
#include "lib/service/definition.h"
#include "lib/service/systemd.h"

#define PREFIX "pp-"
#define SUFFIX ".service"
#define UNIT_NAME_MAX 255 /* bytes of a unit's name that systemd takes */

const char systemd_properties[] =
    "--property=Id,LoadState,ActiveState,FragmentPath,NeedDaemonReload,Result,"
    "ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic";

char *
systemd_unit(const char *service)
{
	return xasprintf(PREFIX "%s" SUFFIX, service);
}

char *
systemd_service(const char *unit)
{
	size_t n = strlen(unit), prefix = strlen(PREFIX), suffix = strlen(SUFFIX);

	if (n <= prefix + suffix || strncmp(unit, PREFIX, prefix) != 0 ||
	    strcmp(unit + n - suffix, SUFFIX) != 0)
		return NULL;
	return xmemdup(unit + prefix, n - prefix - suffix);
}

/* ---- writing a unit ---- */

static int
is_utf8(const char *text)
{
	json_auto_t *string = json_string(text);

	return string != NULL;
}

static int
check_variable(const char *variable, struct err *e)
{
	size_t n = strcspn(variable, "=");
	int good = n > 0 && variable[n] == '=' && isdigit((unsigned char)variable[0]) == 0;

	for (size_t i = 0; good && i < n; i++)
		good = variable[i] == '_' ||
		    (isascii((unsigned char)variable[i]) && isalnum((unsigned char)variable[i]));
	if (!good)
		return err_set(e, ERR_DATA,
		    "env: \"%.*s\" is no name that systemd takes; use letters, digits and _",
		    (int)n, variable);
	if (!is_utf8(variable))
		return err_set(e, ERR_DATA, "env: %.*s is not UTF-8, as systemd wants it", (int)n,
		    variable);
	return 0;
}

int
systemd_check(const struct service_spec *spec, const char *service, struct err *e)
{
	AUTO_FREE char *unit = systemd_unit(service);

	if (strlen(unit) > UNIT_NAME_MAX)
		return err_set(e, ERR_DATA,
		    "service %s: with this name its unit's would be longer than the %d bytes of "
		    "systemd; shorten it",
		    service, UNIT_NAME_MAX);
	if (strpbrk(spec->basedir, "\"'\\") != NULL)
		return err_set(e, ERR_DATA,
		    "basedir %s: systemd starts no program of a path with a quote or \\ in it; take "
		    "another basedir or supervisor",
		    spec->basedir);
	for (size_t i = 0; spec->env != NULL && i < spec->env->n; i++)
		if (check_variable(spec->env->items[i], e) < 0)
			return -1;
	return 0;
}

/* A setting that is the rest of its line: only specifiers have a meaning there. */
static void
add_raw(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		buf_printf(out, "%s%c", *text == '%' ? "%" : "", *text);
}

/* One word in quotes: where a backslash escapes, and specifiers are expanded. */
static void
add_word(struct buf *out, const char *text)
{
	buf_printf(out, "\"");
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '%')
			buf_printf(out, "%%%%");
		else
			buf_add(out, text, 1);
	}
	buf_printf(out, "\"");
}

static void
add_limits(struct buf *out, const struct intent_limits *l)
{
	const struct {
		const char *setting;
		uint64_t value;
	} limits[] = { { "LimitNOFILE", l->nofile }, { "MemoryMax", l->memory },
		{ "LimitCPU", l->cpu_seconds }, { "TasksMax", l->tasks } };

	for (size_t i = 0; i < MEM_COUNT(limits); i++)
		if (limits[i].value > 0)
			buf_printf(out, "%s=%llu\n", limits[i].setting,
			    (unsigned long long)limits[i].value);
}

/* What is to run, as whom, where, and with what. */
static void
add_command(struct buf *out, const struct service_spec *spec, const char *service)
{
	AUTO_FREE char *launch = service_launch(spec, service);
	AUTO_STRV struct strv env = { 0 };

	if (!spec->user->self)
		buf_printf(out, "User=%s\n", spec->user->name);
	buf_printf(out, "WorkingDirectory=");
	add_raw(out, spec->basedir);
	/* The colon: what has a dollar in it is no variable. */
	buf_printf(out, "/current\nExecStart=:");
	add_word(out, launch);
	buf_printf(out, "\n");
	definition_environment(spec, &env);
	for (size_t i = 0; i < env.n; i++) {
		buf_printf(out, "Environment=");
		add_word(out, env.items[i]);
		buf_printf(out, "\n");
	}
}

char *
systemd_render(const struct service_spec *spec, const char *service)
{
	AUTO_FREE char *mark = definition_mark(spec);
	AUTO_BUF struct buf out = { 0 };
	/* Nothing would be for ever. */
	int64_t stop_ms = spec->stop_timeout_ms > 0 ? spec->stop_timeout_ms : 1;

	buf_printf(&out, "%s", mark);
	buf_printf(&out, "[Unit]\nDescription=%s, by pp\nAfter=network.target\n", service);
	buf_printf(&out, "StartLimitIntervalSec=0\n\n[Service]\nType=exec\n");
	add_command(&out, spec, service);
	buf_printf(&out, "Restart=always\nRestartSec=1\nKillMode=mixed\nTimeoutStopSec=%lldms\n",
	    (long long)stop_ms);
	if (spec->limits != NULL)
		add_limits(&out, spec->limits);
	buf_printf(&out, "StandardOutput=journal\nStandardError=inherit\nSyslogIdentifier=%s\n",
	    service);
	buf_printf(&out, "\n[Install]\nWantedBy=multi-user.target\n");
	return mem_take(&out.data);
}

/* ---- reading what systemctl shows ---- */

struct paragraph {
	char *id, *load, *active, *fragment, *reload, *result, *up_at, *down_at;
};

static int
take_line(struct paragraph *p, const char *line, struct err *e)
{
	const struct {
		const char *name;
		char **value;
	} known[] = { { "Id", &p->id }, { "LoadState", &p->load }, { "ActiveState", &p->active },
		{ "FragmentPath", &p->fragment }, { "NeedDaemonReload", &p->reload },
		{ "Result", &p->result }, { "ActiveEnterTimestampMonotonic", &p->up_at },
		{ "InactiveEnterTimestampMonotonic", &p->down_at } };
	size_t n = strcspn(line, "=");

	/* A warning of its, maybe: what matters is asked for below. */
	for (size_t i = 0; line[n] == '=' && i < MEM_COUNT(known); i++) {
		if (strlen(known[i].name) != n || strncmp(line, known[i].name, n) != 0)
			continue;
		if (*known[i].value != NULL)
			return err_set(e, ERR_FAIL, "systemctl show: it says %s twice",
			    known[i].name);
		*known[i].value = xstrdup(line + n + 1);
	}
	return 0;
}

static int
parse_activity(const char *active, enum systemd_activity *activity)
{
	static const struct {
		const char *word;
		enum systemd_activity activity;
	} words[] = { { "active", SYSTEMD_UP }, { "reloading", SYSTEMD_UP },
		{ "refreshing", SYSTEMD_UP }, { "deactivating", SYSTEMD_UP },
		{ "activating", SYSTEMD_STARTING }, { "inactive", SYSTEMD_DOWN },
		{ "failed", SYSTEMD_DOWN }, { "maintenance", SYSTEMD_DOWN } };

	for (size_t i = 0; i < MEM_COUNT(words); i++)
		if (strcmp(active, words[i].word) == 0) {
			*activity = words[i].activity;
			return 0;
		}
	return -1;
}

static int
parse_us(const char *text, int64_t *us)
{
	size_t n = strlen(text);

	if (n == 0 || n > 18 || strspn(text, "0123456789") != n)
		return -1;
	*us = strtoll(text, NULL, 10);
	return 0;
}

static int
take_paragraph(struct paragraph *p, struct systemd_shown *shown, struct err *e)
{
	int64_t up_at, down_at;

	if (p->id == NULL || p->load == NULL || p->active == NULL || p->fragment == NULL ||
	    p->reload == NULL || p->up_at == NULL || p->down_at == NULL)
		return err_set(e, ERR_FAIL,
		    "systemctl show: it does not say all that was asked of %s",
		    p->id ? p->id : "a unit");
	if (parse_activity(p->active, &shown->activity) < 0)
		return err_set(e, ERR_FAIL, "systemctl show %s: ActiveState is \"%.100s\"", p->id,
		    p->active);
	if (strcmp(p->reload, "yes") != 0 && strcmp(p->reload, "no") != 0)
		return err_set(e, ERR_FAIL, "systemctl show %s: NeedDaemonReload is \"%.100s\"",
		    p->id, p->reload);
	if (parse_us(p->up_at, &up_at) < 0 || parse_us(p->down_at, &down_at) < 0)
		return err_set(e, ERR_FAIL, "systemctl show %s: a time is \"%.100s\", \"%.100s\"",
		    p->id, p->up_at, p->down_at);
	shown->stale = strcmp(p->reload, "yes") == 0;
	shown->since_us = shown->activity == SYSTEMD_UP ? up_at : down_at;
	shown->id = mem_take(&p->id);
	shown->load = mem_take(&p->load);
	shown->fragment = mem_take(&p->fragment);
	shown->result = p->result ? mem_take(&p->result) : xstrdup("");
	return 0;
}

static void
paragraph_release(struct paragraph *p)
{
	char **all[] = { &p->id, &p->load, &p->active, &p->fragment, &p->reload, &p->result,
		&p->up_at, &p->down_at };

	for (size_t i = 0; i < MEM_COUNT(all); i++)
		free(*all[i]);
	*p = (struct paragraph){ 0 };
}

static int
parse_paragraphs(const struct strv *lines, struct systemd_shown *shown, size_t n, struct err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		struct paragraph p = { 0 };
		int r = 0;

		for (; r == 0 && at < lines->n && lines->items[at][0] != '\0'; at++)
			r = take_line(&p, lines->items[at], e);
		at++;
		if (r == 0)
			r = take_paragraph(&p, &shown[i], e);
		paragraph_release(&p);
		if (r < 0)
			return -1;
	}
	for (; at < lines->n; at++)
		if (strncmp(lines->items[at], "Id=", 3) == 0)
			return err_set(e, ERR_FAIL,
			    "systemctl show: it tells of more units than were asked for");
	return 0;
}

int
systemd_parse(const char *output, struct systemd_shown *shown, size_t n, struct err *e)
{
	AUTO_STRV struct strv lines = { 0 };

	memset(shown, 0, n * sizeof *shown);
	strv_split(&lines, output, '\n');
	if (parse_paragraphs(&lines, shown, n, e) == 0)
		return 0;
	systemd_shown_release(shown, n);
	return -1;
}

void
systemd_shown_release(struct systemd_shown *shown, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(shown[i].id);
		free(shown[i].load);
		free(shown[i].fragment);
		free(shown[i].result);
		shown[i] = (struct systemd_shown){ 0 };
	}
}
